"""Proof that a gang over hosts uses the fabric: its devices' counters move while it answers.

NCCL falls back to TCP without a word; with `gate: {rdma: required}` that is refused, else it is said.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.contracts import Change, Patience, Step, World
from orchestrator.errors import Refused
from orchestrator.facts.moved import ReadMoved, counters
from orchestrator.network.environment import environment_reads, rank_devices
from orchestrator.ranks.arguments import name_of
from orchestrator.rdma.live import LEAST_BYTES, Live, Through, judged
from orchestrator.script import Command, Raw, Script, sh
from orchestrator.spec.models import Cluster, Deployment
from orchestrator.steps.gang import GangStep, container_reads, found
from orchestrator.steps.warmup import asking, key

FOLDER = ".cache/orch/moved"
PROMPT = 200  # tokens: enough that every layer's activations are far above noise
ASK_S = 600.0


def request(cluster: Cluster, deployment: Deployment, container: str) -> Script:
    """One prompt to the head, as `up` asks after its first answer; `orch verify-rdma --live` asks it again."""
    ask = asking(cluster, deployment, container, [PROMPT])
    return Script({"ask": Command(ask, stdin=key(deployment), timeout=ASK_S)})


def _query(cluster: Cluster, deployment: Deployment) -> ReadMoved:
    return ReadMoved(f"{FOLDER}/{cluster.name}-{deployment.name}")


@dataclass(frozen=True, kw_only=True)
class FabricUsed(GangStep):
    """The head's RDMA devices that the gang was given have carried its data since it was started."""

    host: str

    def _kept_for(self, world: World) -> str:
        """The container that was asked: another one has not been measured."""
        container = found(world, self.cluster, self.deployment.head, next(iter(self.names)))
        return container.id[:12] if container else ""

    def _read(self, world: World) -> Mapping[str, int] | None:
        moved = world[self.deployment.head].get(_query(self.cluster, self.deployment))
        return moved if moved and f"container:{self._kept_for(world)}" in moved else None

    def check(self, world: World) -> Change | None:
        devices = rank_devices(self.cluster, self.deployment, self.deployment.head, world)
        if not devices:
            return None
        if self._read(world) is None:
            return Change("see whether the RDMA counters move while it answers")
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
        """What the head's devices carried when it was asked."""
        moved = self._read(world) or {}
        devices = rank_devices(self.cluster, self.deployment, self.deployment.head, world)
        each = []
        for one in devices:
            amount = moved.get(one.name)
            carried = None if amount is None else amount >= LEAST_BYTES
            each.append(Through(self.deployment.head, one.name, carried, bytes=amount))
        return judged(self.deployment.name, tuple(each))

    def _wrong(self, world: World) -> str:
        """Devices that carried nothing, or of which that can't be told; "" where all did."""
        each = self.use(world).through
        still = ", ".join(one.device for one in each if one.carried is False)
        unread = ", ".join(one.device for one in each if one.carried is None)
        name = self.deployment.name
        if still:
            return f"{name} answers, but {still} carried nothing: TCP fallback"
        if unread:
            return f"{name} answers, but whether {unread} carried it is not known: no byte counters"
        return ""

    def remarks(self, world: World) -> Sequence[str]:
        """NCCL falls back without a word: it is said where it is allowed."""
        wrong = self._wrong(world)
        return [wrong] if wrong else []

    def apply(self, change: Change, world: World) -> Script:
        head = self.deployment.head
        devices = rank_devices(self.cluster, self.deployment, head, world)
        look = counters(
            tuple((one.name, one.port) for one in devices), tuple(one.netdev for one in devices)
        )
        mark = f"container:{self._kept_for(world)}"
        ask = asking(self.cluster, self.deployment, next(iter(self.names)), [PROMPT])
        text = sh(
            """f="${HOME:-/root}"/{}
mkdir -p "${f%/*}" || exit 1
before=$({}) || exit 1
{} || exit 1
after=$({}) || exit 1
{ echo before {} 0; printf '%s\\n' "$before" | sed 's/^/before /'
echo after {} 0; printf '%s\\n' "$after" | sed 's/^/after /'; } >"$f.new" && mv "$f.new" "$f\"""",
            _query(self.cluster, self.deployment).path,
            Raw(look),
            Raw(ask),
            Raw(look),
            mark,
            mark,
        )
        return Script({"ask": Command(text, stdin=key(self.deployment), timeout=ASK_S)})


def _apart(deployment: Deployment) -> bool:
    """Whole replicas on each host say nothing to each other, unless they share experts."""
    shared = "enable-expert-parallel" in {name_of(key) for key in deployment.profile.args}
    return deployment.parallel.data >= len(deployment.hosts) and not shared


def counters_steps(cluster: Cluster, options: Mapping[str, Any]) -> Iterable[Step]:
    """For gangs over hosts whose ports have RDMA devices, unless the gate is off."""
    for name, deployment in cluster.deployments.items():
        ports = cluster.hosts[deployment.head].ports.values()
        has_rdma = any(half.rdma for port in ports for half in port.halves)
        if len(deployment.hosts) < 2 or deployment.gate.rdma == "off" or not has_rdma:
            continue
        if _apart(deployment):
            continue
        yield FabricUsed(
            id=f"{name}/counters",
            role="gate",
            host=deployment.head,
            scope=name,
            stage="counters",
            needs=frozenset({f"{name}/answer"}),
            reads=container_reads(cluster, deployment)
            | environment_reads(cluster, deployment)
            | {(deployment.head, _query(cluster, deployment))},
            patience=Patience(total=ASK_S + 60, stall=ASK_S + 60),
            cluster=cluster,
            deployment=deployment,
        )


STAGES = {"counters": counters_steps}
