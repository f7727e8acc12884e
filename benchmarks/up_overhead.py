"""`orch up` of the demo's cluster against the same by hand, from clean containers, turn by turn on one lab."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from orchestrator.network.fabric import Member
from orchestrator.network.topology import plan_fabric
from orchestrator.spec.resolve import load_cluster

ROOT = Path(__file__).parents[1]
HERE = Path(__file__).parent
LAB = "bench"
RUNS = 2
LIMIT_S = 600


def measure() -> dict[str, Any]:
    """Seconds until a completion came, of each run. The first `orch up` prepares the hosts and is not counted."""
    with tempfile.TemporaryDirectory(prefix="orch-bench-") as folder:
        work = Path(folder)
        try:
            return _measure(work)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            return {"missing": f"{name_of(error.cmd)}: {said_of(error)}"}
        finally:
            orch("lab", "down", "--name", LAB)


def _measure(work: Path) -> dict[str, Any]:
    orch("lab", "up", "--hosts", "2", "--topology", "pair", "--name", LAB, "--dir", str(work))
    cluster_file = work / "cluster.yaml"
    shutil.copy(ROOT / "examples" / "lab" / "cluster.yaml", cluster_file)
    first = _timed(lambda: orch("up", str(cluster_file)))
    orch("down", str(cluster_file))
    by_hand = Hand(work, cluster_file)
    found: dict[str, list[float]] = {"orch up": [], "by hand": [], "orch up again": []}
    for _ in range(RUNS):
        found["by hand"].append(_timed(by_hand.up))
        by_hand.down()
        found["orch up"].append(_timed(lambda: orch("up", str(cluster_file))))
        found["orch up again"].append(_timed(lambda: orch("up", str(cluster_file))))
        orch("down", str(cluster_file))
    return {"first orch up": first, "runs": found}


class Hand:
    """The hand-written script, told what a person would know."""

    def __init__(self, work: Path, cluster_file: Path) -> None:
        cluster = load_cluster(cluster_file)
        head, worker = (cluster.hosts[name] for name in ("spark-1", "spark-2"))
        # The first segment that joins both, as orch picks it; its netdev is called the same on both.
        segment = plan_fabric(cluster).common((head.name, worker.name))[0]
        self._hosts = [head.address, worker.address]
        self._environment = {
            **os.environ,
            "SSH_KEY": str(work / "id_ed25519"),
            "KNOWN_HOSTS": str(work / "known_hosts"),
            "CONTROL_FOLDER": str(work),
            "NETDEV": segment.member(head.name).netdev,
            "HEAD_ADDRESS": _address(segment.member(head.name)),
            "WORKER_ADDRESS": _address(segment.member(worker.name)),
        }

    def up(self) -> None:
        answer = json.loads(self._run("up"))
        if not answer["choices"][0]["text"]:
            raise RuntimeError(f"no answer: {answer}")

    def down(self) -> None:
        self._run("down")

    def _run(self, verb: str) -> str:
        command = ["bash", str(HERE / "up_by_hand.sh"), verb, *self._hosts]
        return _checked(command, self._environment)


def _address(member: Member) -> str:
    if member.interface is None:
        raise ValueError(f"{member.host} has no address on the fabric")
    return str(member.interface.ip)


def orch(*arguments: str) -> str:
    command = [sys.executable, "-m", "orchestrator.cli", *arguments]
    return _checked(command, {**os.environ, "PYTHONPATH": str(ROOT)})


def _checked(command: list[str], environment: dict[str, str]) -> str:
    print("$", *command[-4:], file=sys.stderr, flush=True)
    done = subprocess.run(
        command, env=environment, check=True, capture_output=True, text=True, timeout=LIMIT_S
    )
    return done.stdout


def _timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def name_of(command: object) -> str:
    return " ".join(command[-4:]) if isinstance(command, list) else str(command)


def said_of(error: subprocess.CalledProcessError | subprocess.TimeoutExpired) -> str:
    text = error.stderr or error.stdout or b""
    return (text if isinstance(text, str) else text.decode(errors="replace")).strip()[-500:]
