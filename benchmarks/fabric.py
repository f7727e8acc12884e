"""All pairs of lab hosts measured in rounds against one after the other, over TCP; and the plan of a big switch.

The hosts are containers that share this machine's cores: the lab holds every port to a small rate, so that what is
compared is waiting, not CPU. Both ways run the same steps in one process each; only who waits for whom differs.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import closing, redirect_stdout, suppress
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.up_overhead import ROOT, name_of, orch, said_of
from orchestrator.cli.drive import carried_out
from orchestrator.cli.measured import PLAYBOOK, STAGES
from orchestrator.cli.options import Site
from orchestrator.cli.playbooks import cluster_playbook, with_options
from orchestrator.contracts import Step
from orchestrator.plan.build import build
from orchestrator.rdma.answers import Effort
from orchestrator.run.events import Bus
from orchestrator.run.fabric import Fabrics
from orchestrator.steps.measure import Wanted
from orchestrator.steps.trial import GoingStep

LAB = "fbench"
SIZES = (2, 4, 8, 16)
RATE = "50mbit"  # of each half of a port
EFFORT = Effort(seconds=2, qps=1)
BIG = 256


def measure(sizes: Sequence[int] = SIZES) -> dict[str, Any]:
    """Seconds of each way for each number of hosts, and the big plan."""
    return {"pairs": _in_a_lab(sizes), "plan": _big_plan()}


def _in_a_lab(sizes: Sequence[int]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="orch-bench-") as folder:
        try:
            return _measure(Path(folder), sizes)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            return {"missing": f"{name_of(error.cmd)}: {said_of(error)}"}
        finally:
            with suppress(subprocess.CalledProcessError):  # it may never have come up
                orch("lab", "down", "--name", LAB)


def _measure(work: Path, sizes: Sequence[int]) -> dict[str, Any]:
    lab = ("--name", LAB, "--dir", str(work))
    orch("lab", "up", "--hosts", str(max(sizes)), "--topology", "switch", *lab)
    inventory = work / "inventory.yaml"
    cluster = work / "cluster.yaml"
    cluster.write_text("version: 1\nname: fbench\ninventory: inventory.yaml\n", encoding="utf-8")
    orch("run", "network", str(cluster))
    site = _site(inventory)
    with closing(site):
        names = list(site.cluster.hosts)
        for name in names:
            orch("lab", "break", "--name", LAB, name, f"slow-link:p0:{RATE}")
        rows = []
        for size in sizes:
            row: dict[str, float] = {"hosts": size, "pairs": size * (size - 1) // 2}
            for how in ("in rounds", "one by one"):
                row[how] = all_pairs(site, frozenset(names[:size]), how)
            rows.append(row)
    return {"rows": rows, "rate": RATE, "seconds": EFFORT.seconds}


def _site(inventory: Path) -> Site:
    words: dict[str, Any] = {"json": True, "verbose": False, "accept_new_host_keys": False}
    return Site(inventory, (), None, purpose="look", inventory=inventory, **words)


def all_pairs(site: Site, hosts: frozenset[str], how: str) -> float:
    """Seconds until every pair has its number; connections are open before."""
    run = f"bench-{time.time_ns()}"
    options = {"run": run, "hosts": hosts, "all_pairs": True, "effort": EFFORT, "soak": True}
    book = with_options(cluster_playbook(site.cluster, PLAYBOOK), dict.fromkeys(STAGES, options))
    steps = build(site.cluster, book, hosts)
    if how == "one by one":
        steps = one_by_one(steps)
    print(f"{len(hosts)} hosts, {how}", file=sys.stderr, flush=True)
    with redirect_stdout(sys.stderr):
        start = time.perf_counter()
        world, _ = carried_out(site, steps, Bus(run, []), threading.Event())
        took = time.perf_counter() - start
    verdict = Fabrics(site.cluster, Wanted.of(options), world).verdict()
    numbers = [one.gbps for one in verdict.links]
    if None in numbers or len(numbers) != len(hosts) * (len(hosts) - 1) // 2:
        raise RuntimeError(f"not every pair was measured: {numbers}")
    return took


def one_by_one(steps: Mapping[str, Step]) -> dict[str, Step]:
    """The same steps, each pair after all of the one before it in the plan."""
    pairs: dict[str, set[str]] = {}
    pair_of: dict[str, str] = {}
    for one, step in steps.items():
        if isinstance(step, GoingStep):
            pair_of[one] = "-".join(sorted((step.trial.client, step.trial.server)))
            pairs.setdefault(pair_of[one], set()).add(one)
    names = list(pairs)
    before = {name: frozenset(pairs[last]) for last, name in pairwise(names)}
    return {
        one: replace(step, turns=step.turns | before.get(pair_of.get(one, ""), frozenset()))
        for one, step in steps.items()
    }


def _big_plan() -> dict[str, Any]:
    """In a process of its own, so that memory is that of one plan."""
    command = [sys.executable, "-m", "benchmarks.workers.fabric_plan", str(BIG)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    if done.returncode:
        return {"missing": done.stderr.strip()[-500:]}
    found: dict[str, Any] = json.loads(done.stdout)
    return {"hosts": BIG, **found}
