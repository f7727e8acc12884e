"""What orch costs by itself, with no host: `orch --help`, and the plan of a cluster of a thousand hosts."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks import big_cluster

ROOT = Path(__file__).parents[1]
HELP_RUNS, PLAN_RUNS = 15, 3


def measure() -> dict[str, Any]:
    return {"help": _help(), "plan": _plan()}


def _help() -> dict[str, list[float]]:
    """`orch --help` and a Python that does nothing, turn by turn; the first of each only warms up."""
    orch = Path(sys.executable).with_name("orch")
    ours = [str(orch)] if orch.exists() else [sys.executable, "-m", "orchestrator.cli"]
    commands = {"orch --help": [*ours, "--help"], "python -c pass": [sys.executable, "-c", "pass"]}
    found: dict[str, list[float]] = {name: [] for name in commands}
    for turn in range(HELP_RUNS + 1):
        for name, command in commands.items():
            seconds = _seconds(command)
            if turn:
                found[name].append(seconds)
    return found


def _seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=_environment())
    return time.perf_counter() - start


def _plan() -> dict[str, Any]:
    """Each run in a process of its own, so that memory is that of one plan."""
    runs = []
    for _ in range(PLAN_RUNS):
        command = [sys.executable, "-m", "benchmarks.workers.big_plan"]
        command += [str(big_cluster.HOSTS), str(big_cluster.DEPLOYMENTS)]
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, env=_environment()
        )
        if done.returncode:
            return {"missing": done.stderr.strip()[-500:]}
        runs.append(json.loads(done.stdout))
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]} | {
        "runs_total": [run["total"] for run in runs]
    }


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}
