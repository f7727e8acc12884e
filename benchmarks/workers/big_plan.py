"""Plans a cluster of a thousand hosts on the scripted transport and tells what each part took.

One machine answers for real, with a docker and an nvidia-smi that are fakes; the others give its answers.
Rendering, framing, parsing, deciding and showing are orch's own. Prints JSON.
"""

from __future__ import annotations

import json
import re
import resource
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from benchmarks import big_cluster
from orchestrator.cli import collect_rarely
from orchestrator.cli.playbooks import cluster_playbook
from orchestrator.plan.build import build
from orchestrator.plan.show import counts, lines
from orchestrator.run.survey import host_reader, survey
from orchestrator.run.world import LiveWorld
from orchestrator.script import Command, Result, Script, Sh
from orchestrator.spec.resolve import load_cluster
from tests.scripted.hosts import ReplyHost, ScriptedHosts, ShellHost, TimelyHosts

FAKES = {
    "docker": """\
case "$1 $2" in
"info --format") printf '%s\\n' "$STATE" '{"ServerVersion":"28.2.2","DockerRootDir":"'"$STATE"'",
"CgroupVersion":"2","Runtimes":{"nvidia":{}}}' ;;
"ps -a") ;;
"image inspect")
  case "$4" in
  "{{.Id}}") echo sha256:$(printf %064d 7) ;;
  *) echo '{"id":"sha256:'$(printf %064d 7)'","digests":[],"arch":"'$(uname -m)'","size":9}' ;; esac ;;
*) echo "Error: No such container" >&2; exit 1 ;; esac""",
    "nvidia-smi": "echo '0, GPU-7b1f2c3d-0001-0002-0003-00000000000a, 0000000F:01:00.0, 580.142, "
    "[N/A], [N/A], [N/A], NVIDIA GB10'",
    "dpkg-query": 'for one; do case $one in -*|*{*) ;; *) echo "installed $one" ;; esac; done',
}
# A Spark's netdevs before anything was configured: this machine's own would be refused.
NETDEVS = ("enP7s7", "enp1s0f0np0", "enP2p1s0f0np0", "enp1s0f1np1", "enP2p1s0f1np1")
LINKS = [
    {"ifname": name, "flags": ["UP", "LOWER_UP"], "mtu": 1500, "address": "48:21:0b:00:00:01",
     "addr_info": [{"local": "10.64.0.1", "prefixlen": 16}] if name == "enP7s7" else []}
    for name in NETDEVS
]  # fmt: skip
NETWORK = "\n".join(
    [
        *("@addresses", json.dumps(LINKS), "@routes", '[{"dst": "default", "dev": "enP7s7"}]'),
        *("@sysfs", *(f"{name} 2 200000 1 mlx5_core - configured -" for name in NETDEVS)),
        *("@renderer", "ssh 10.64.9.9 40000 10.64.0.1 22", "systemd-networkd active"),
        *("NetworkManager inactive", "end\n"),
    ]
)
CANNED = {
    "ip -j addr": NETWORK,
    "/var/lib/orch/netplan": "netplan yes\nsystemd yes\nend\n",
    "/etc/netplan/*.yaml": "end\n",
}
ABSENT = (
    "docker logs",
    "docker exec",
    "ping -n",
)  # they name a container or a neighbour: one answer


# What makes the same question another one for each gang: its name, its rank's number, a digest of both.
NAMED = re.compile(r"\bm\d+\b(\\?-\d+)?|\b[0-9a-f]{12}([0-9a-f]{4})?\b")


class OneMachine:
    """Every host is this one: a command that was answered once is answered the same ever after.

    A host's own work is not orch's: what a small plan asked of one gang is known for all gangs.
    """

    def __init__(self, folder: Path) -> None:
        self._hosts = ScriptedHosts({"one": ShellHost(folder, FAKES)})
        self._known: dict[Command, Result] = {}
        self._told: dict[Command, Result] = {}
        self._lock = threading.Lock()
        self.ran = 0  # commands that a shell had to be started for

    def __call__(self, name: str, command: Command) -> Result:
        known = self._told.get(command)
        if known is None:
            known = self._told[command] = self._answer(command)
        if b"\nclock " not in known.out:
            return known
        clock = f"\nclock {time.time():.3f}".encode()  # a host's clock goes on
        return replace(known, out=re.sub(rb"\nclock [0-9.]+", clock, known.out))

    def _answer(self, command: Command) -> Result:
        alike = replace(command, sh=Sh(NAMED.sub("m", command.sh)))
        if alike not in self._known:
            with self._lock:  # a thousand hosts would else start their shells at once
                if alike not in self._known:
                    self._known[alike] = self._canned(command) or self._real(command)
        return self._known[alike]

    def _canned(self, command: Command) -> Result | None:
        for needle, text in CANNED.items():
            if needle in command.sh:
                return Result(0, text.encode(), b"", 0.0)
        if any(needle in command.sh for needle in ABSENT):
            return Result(1, b"", b"Error: No such container", 0.0)
        return None

    def _real(self, command: Command) -> Result:
        self.ran += 1
        return self._hosts.run("one", Script({"it": command}))["it"]


@contextmanager
def timed(found: dict[str, float], name: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    found[name] = time.perf_counter() - start


def plan(folder: Path, machine: OneMachine, hosts: int, deployments: int) -> dict[str, float]:
    """What `orch plan` does, part by part, in seconds."""
    found: dict[str, float] = {}
    cpu = time.process_time()
    path = big_cluster.write(folder, hosts, deployments)
    with timed(found, "load"):
        cluster = load_cluster(path)
    with timed(found, "build"):
        steps = build(cluster, cluster_playbook(cluster, "up"))
    scripted = TimelyHosts({name: ReplyHost(machine) for name in cluster.hosts})
    with timed(found, "survey"):
        decision = survey(steps, LiveWorld(cluster.hosts, host_reader(scripted)))
    with timed(found, "show"):
        shown = list(lines(decision))
    wrong = next(iter(decision.problems.values()), None)
    if wrong is not None:
        raise RuntimeError(f"the plan is not the one that is to be measured: {wrong}")
    found["total"] = sum(found.values())
    found["cpu"] = time.process_time() - cpu
    found |= {"steps": len(steps), "lines": len(shown)}
    found["scripts_a_host"] = sum(scripted.round_trips.values()) / hosts
    return {**found, **counts(decision)}


def main(hosts: int, deployments: int) -> dict[str, float]:
    """A small plan first, so that the machine has answered each question once."""
    collect_rarely()  # as the command does
    with tempfile.TemporaryDirectory() as folder:
        machine = OneMachine(Path(folder) / "machine")
        plan(Path(folder), machine, 2 * hosts // deployments, 2)
        found = plan(Path(folder), machine, hosts, deployments)
    found["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return found


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[1]), int(sys.argv[2]))))
