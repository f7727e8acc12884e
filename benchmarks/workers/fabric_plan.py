"""Plans all-pairs of many hosts behind a switch on the scripted transport. Prints JSON.

One machine answers for real, with an iperf3 that is a fake; every other host gives its answers, with its own addresses.
Files, steps, rounds, scripts, framing, parsing and deciding are orch's own.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from benchmarks.workers.big_plan import OneMachine, timed
from orchestrator.cli import collect_rarely
from orchestrator.cli.measured import PLAYBOOK, STAGES
from orchestrator.cli.playbooks import cluster_playbook, with_options
from orchestrator.contracts import Step
from orchestrator.plan.build import build
from orchestrator.rdma.trials import QUICK
from orchestrator.run.survey import host_reader, survey
from orchestrator.run.world import LiveWorld
from orchestrator.script import Command, Result
from orchestrator.spec.resolve import load_inventory
from orchestrator.steps.trial import Serve
from tests.scripted.hosts import ReplyHost, TimelyHosts

NETDEV = "ens1f0np0"
KIND = f"""\
version: 1
name: fast
ports: {{p0: {{halves: [{{netdev: {NETDEV}}}], gbps: 100}}}}
"""


def write(folder: Path, hosts: int) -> Path:
    """An inventory with all hosts on one switch."""
    names = [f"n{number}" for number in range(hosts)]
    rows = [
        f"  {name}: {{kind: fast, address: 10.64.{number // 250}.{number % 250 + 1}}}"
        for number, name in enumerate(names)
    ]
    ports = ", ".join(f"{name}.p0" for name in names)
    (folder / "kinds").mkdir(exist_ok=True)
    (folder / "kinds" / "fast.yaml").write_text(KIND)
    links = f"links:\n  - {{switch: s1, ports: [{ports}], subnets: [10.32.0.0/16]}}"
    path = folder / "inventory.yaml"
    path.write_text("\n".join(["version: 1", "hosts:", *rows, links]) + "\n")
    return path


class Machine(OneMachine):
    """That one machine, with the fabric's netdev in its answer."""

    def _canned(self, command: Command) -> Result | None:
        found = super()._canned(command)
        if found is None or b"enp1s0f0np0" not in found.out:
            return found
        return replace(found, out=found.out.replace(b"enp1s0f0np0", NETDEV.encode()))


def rounds_of(steps: Mapping[str, Step]) -> tuple[int, int]:
    """How many pairs, and in how many rounds: the longest way through servers that wait for others' turns."""
    pair_of = {one: tuple(sorted((step.going.trial.client, step.going.trial.server)))
               for one, step in steps.items() if hasattr(step, "going")}  # fmt: skip
    at: dict[tuple[str, ...], int] = {}
    for one, step in steps.items():  # in an order in which what is needed comes first
        if isinstance(step, Serve) and pair_of[one] not in at:
            before = [at[pair_of[turn]] for turn in step.turns if turn in pair_of]
            at[pair_of[one]] = 1 + max(before, default=0)
    return len(at), max(at.values(), default=0)


def plan(folder: Path, hosts: int) -> dict[str, float]:
    """What `orch verify-rdma --all-pairs --quick` does before its first test, part by part, in seconds."""
    found: dict[str, float] = {}
    cpu = time.process_time()
    path = write(folder, hosts)
    with timed(found, "load"):
        cluster = load_inventory(path)
    options = {"run": "20260101T000000-abcd", "all_pairs": True, "effort": QUICK}
    with timed(found, "build"):
        book = with_options(cluster_playbook(cluster, PLAYBOOK), dict.fromkeys(STAGES, options))
        steps = build(cluster, book)
    scripted = TimelyHosts(
        {name: ReplyHost(Machine(folder / "machine")) for name in list(cluster.hosts)[:1]}
    )
    machine = next(iter(scripted.hosts.values()))
    scripted.hosts.update(dict.fromkeys(cluster.hosts, machine))
    with timed(found, "survey"):
        survey(steps, LiveWorld(cluster.hosts, host_reader(scripted)))
    found["total"] = sum(found.values())
    found["cpu"] = time.process_time() - cpu
    found["steps"] = len(steps)
    found["pairs"], found["rounds"] = rounds_of(steps)
    found["scripts_a_host"] = sum(scripted.round_trips.values()) / hosts
    return found


def main(hosts: int) -> dict[str, float]:
    collect_rarely()  # as the command does
    with tempfile.TemporaryDirectory() as folder:
        found = plan(Path(folder), hosts)
    found["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return found


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[1]))))
