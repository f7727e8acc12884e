"""Proof that a gang over hosts uses the fabric: on all of them its devices' counters move while it answers.

NCCL falls back to TCP without a word; with `gate: {rdma: required}` that is refused, else it is said.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.contracts import Change, Patience, Step, World
from orchestrator.errors import Refused
from orchestrator.facts.moved import ByHost, Moved, ReadMoved, kept_line
from orchestrator.facts.rdma_counters import Port, ReadRdmaCounters
from orchestrator.ranks.arguments import name_of
from orchestrator.rdma.live import Live, Through, devices_of, environment_of, judged, through
from orchestrator.script import Command, Raw, Script, sh
from orchestrator.spec.models import Cluster, Deployment
from orchestrator.steps.gang import GangStep, Reads, container_reads, found
from orchestrator.steps.warmup import asking, key

FOLDER = ".cache/orch/moved"
PROMPT = 200  # tokens: enough that every layer's activations are far above noise
ASK_S = 600.0
TRAFFIC = ReadRdmaCounters(traffic=True)


def request(cluster: Cluster, deployment: Deployment, container: str) -> Script:
    """One prompt to the head, as `up` asks after its first answer; `orch verify-rdma --live` asks it again."""
    ask = asking(cluster, deployment, container, [PROMPT])
    return Script({"ask": Command(ask, stdin=key(deployment), timeout=ASK_S)})


def _query(cluster: Cluster, deployment: Deployment) -> ReadMoved:
    return ReadMoved(f"{FOLDER}/{cluster.name}-{deployment.name}")


@dataclass(frozen=True, kw_only=True)
class CountersStep(GangStep):
    """What was counted around the question, in a file on the head."""

    host: str

    def ports(self, world: World) -> Mapping[str, tuple[Port, ...]]:
        """Host → the ports that NCCL_IB_HCA of what runs there names."""
        each: dict[str, dict[Port, None]] = {}
        for name, host in self.names.items():
            container = found(world, self.cluster, host, name)
            label = container.labels.get("orch.spec") if container else None
            each.setdefault(host, {}).update(dict.fromkeys(devices_of(environment_of(label))))
        return {host: tuple(ports) for host, ports in each.items()}

    def asked(self, world: World) -> str:
        """The container that is asked: of another one nothing is known."""
        container = found(world, self.cluster, self.host, next(iter(self.names)))
        return container.id[:12] if container else ""

    def moved(self, world: World) -> Moved | None:
        """What is kept of that container."""
        kept = world[self.host].get(_query(self.cluster, self.deployment))
        return kept if kept is not None and kept.asked == self.asked(world) else None

    def now(self, world: World) -> ByHost:
        """As they were read last, of all hosts at once."""
        return {
            host: {port: one for port, one in world[host].get(TRAFFIC).items() if port in ports}
            for host, ports in self.ports(world).items()
        }


@dataclass(frozen=True, kw_only=True)
class FabricAsked(CountersStep):
    """The head has answered a question, and what the ports of all hosts had counted before it is kept."""

    def check(self, world: World) -> Change | None:
        if self.moved(world) is not None or not any(self.ports(world).values()):
            return None
        return Change("ask it once more, with an eye on the RDMA counters of its hosts")

    def apply(self, change: Change, world: World) -> Script:
        text = sh(
            """f="${HOME:-/root}"/{}
mkdir -p "${f%/*}" || exit 1
{} || exit 1
printf '%s\\n' {} {} >"$f.new" && mv "$f.new" "$f\"""",
            _query(self.cluster, self.deployment).path,
            Raw(asking(self.cluster, self.deployment, next(iter(self.names)), [PROMPT])),
            f"asked {self.asked(world)}",
            kept_line("before", self.now(world)),
        )
        return Script({"ask": Command(text, stdin=key(self.deployment), timeout=ASK_S)})


@dataclass(frozen=True, kw_only=True)
class FabricUsed(CountersStep):
    """On each host, each port that its ranks were given has carried data while the gang answered."""

    def check(self, world: World) -> Change | None:
        given = any(self.ports(world).values())
        moved = self.moved(world)
        if given and (moved is None or moved.after is None):
            return Change("see whether the RDMA counters of its hosts have moved")
        wrong = self._wrong(world)
        if wrong and self.deployment.gate.rdma == "required":
            raise Refused(
                wrong,
                host=self.host,
                step=self.id,
                hint="set `debug: true` in the profile and look for NET/IB in `orch logs`",
            )
        return None

    def use(self, world: World) -> Live:
        """What the ports of all hosts carried when it was asked, as `orch verify-rdma --live` says it."""
        moved = self.moved(world)
        before = moved.before if moved else {}
        after = moved.after or {} if moved else {}
        each = tuple(
            through(host, port, before.get(host, {}), after.get(host, {}))
            for host, ports in self.ports(world).items()
            for port in ports
        )
        return judged(self.deployment.name, each)

    def _wrong(self, world: World) -> str:
        """Ports that carried nothing, or of which that can't be told; "" where all did."""
        each = self.use(world).through
        name = self.deployment.name
        if not each:
            return f"{name} answers, but its ranks were given no RDMA device"
        if still := _named(each, carried=False):
            others = any(one.carried for one in each)
            went = "its data went over the other devices" if others else "TCP fallback"
            return f"{name} answers, but {still} carried nothing: {went}"
        if unread := _named(each, carried=None):
            return f"{name} answers, but whether {unread} carried it is not known: no counters"
        return ""

    def remarks(self, world: World) -> Sequence[str]:
        """NCCL falls back without a word: it is said where it is allowed."""
        wrong = self._wrong(world)
        return [wrong] if wrong and any(self.ports(world).values()) else []

    def apply(self, change: Change, world: World) -> Script:
        text = sh(
            """f="${HOME:-/root}"/{}
{ grep -v '^after ' "$f" && printf '%s\\n' {}; } >"$f.new" && mv "$f.new" "$f\"""",
            _query(self.cluster, self.deployment).path,
            kept_line("after", self.now(world)),
        )
        return Script({"keep": Command(text)})


def _named(each: Iterable[Through], carried: bool | None) -> str:
    return ", ".join(f"{one.host} {one.device}" for one in each if one.carried is carried)


def _apart(deployment: Deployment) -> bool:
    """Whole replicas on each host say nothing to each other, unless they share experts."""
    shared = "enable-expert-parallel" in {name_of(key) for key in deployment.profile.args}
    return deployment.parallel.data >= len(deployment.hosts) and not shared


def counters_steps(cluster: Cluster, options: Mapping[str, Any]) -> Iterable[Step]:
    """For gangs over hosts whose ports have RDMA devices, unless the gate is off."""
    for name, deployment in cluster.deployments.items():
        ports = [port for host in deployment.hosts for port in cluster.hosts[host].ports.values()]
        has_rdma = any(half.rdma for port in ports for half in port.halves)
        if len(set(deployment.hosts)) < 2 or deployment.gate.rdma == "off" or not has_rdma:
            continue
        if _apart(deployment):
            continue
        kept: Reads = frozenset({(deployment.head, _query(cluster, deployment))})
        counted: Reads = frozenset((host, TRAFFIC) for host in deployment.hosts)
        common: dict[str, Any] = {
            "host": deployment.head,
            "scope": name,
            "stage": "counters",
            "reads": container_reads(cluster, deployment) | kept | counted,
            "cluster": cluster,
            "deployment": deployment,
        }
        patience = Patience(total=ASK_S + 60, stall=ASK_S + 60)
        asked = FabricAsked(
            id=f"{name}/counters/asked",
            needs=frozenset({f"{name}/answer"}),
            patience=patience,
            **common,
        )
        yield asked
        yield FabricUsed(id=f"{name}/counters", role="gate", needs=frozenset({asked.id}), **common)


STAGES = {"counters": counters_steps}
