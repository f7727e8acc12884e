"""The first gate: each host tells who it is, and its clock is right; leases and logs rely on that."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

from orchestrator.contracts import Change, Step, World
from orchestrator.errors import Refused
from orchestrator.facts.answers import Identity
from orchestrator.facts.identity import Identify
from orchestrator.spec.models import Cluster

# Against our own clock, which may be a laptop's; and among the hosts of one gang, whose logs are merged.
FAR_S = 30.0
APART_S = 5.0
HINT = "on {host}: sudo timedatectl set-ntp true; timedatectl status"


def offset(identity: Identity) -> tuple[float, float]:
    """How far the host's clock is ahead of ours, in seconds: at least, and at most.

    It was read somewhere between our asking and our having the answer: on a busy machine that is seconds.
    """
    least = identity.clock_epoch_s - identity.controller_epoch_s
    return least, least + identity.read_s


def _beyond(span: tuple[float, float], point: float) -> float:
    """How far a span is from a point for certain; positive when it is ahead of it."""
    least, most = span
    return least - point if least > point else min(0.0, most - point)


@dataclass(frozen=True, kw_only=True)
class Reachable(Step):
    """The host answers, and its clock is not far from ours."""

    host: str

    def check(self, world: World) -> Change | None:
        ahead = _beyond(offset(world[self.host].get(Identify())), 0.0)
        if abs(ahead) > FAR_S:
            raise Refused(
                f"its clock is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} ours",
                host=self.host,
                hint=HINT.format(host=self.host) + " (or, if ours is wrong, the same here)",
            )
        return None


@dataclass(frozen=True, kw_only=True)
class SameClock(Step):
    """The clocks of a deployment's hosts agree."""

    hosts: tuple[str, ...]

    def check(self, world: World) -> Change | None:
        offsets = {host: offset(world[host].get(Identify())) for host in self.hosts}
        # Ours has a voice as well: of two hosts that differ it tells which one is wrong.
        middle = median([0.0, *(sum(span) / 2 for span in offsets.values())])
        away = {host: _beyond(span, middle) for host, span in offsets.items()}
        host = max(away, key=lambda one: abs(away[one]))
        if abs(away[host]) > APART_S:
            raise Refused(
                f"its clock is {abs(away[host]):.0f} s"
                f" {'ahead of' if away[host] > 0 else 'behind'} the other hosts of the gang",
                host=host,
                hint=HINT.format(host=host),
            )
        return None


def reachable_steps(cluster: Cluster, options: Mapping[str, Any]) -> Iterable[Step]:
    """One gate for each host in use, and one for each gang of several hosts."""
    for host in cluster.used_hosts:
        yield Reachable(
            id=f"{host.name}/reachable",
            role="gate",
            host=host.name,
            reads=frozenset({(host.name, Identify())}),
        )
    for deployment in cluster.deployments.values():
        hosts = tuple(dict.fromkeys(deployment.hosts))
        if len(hosts) > 1:
            yield SameClock(
                id=f"{deployment.name}/reachable/clocks",
                role="gate",
                scope=deployment.name,
                needs=frozenset(f"{host}/reachable" for host in hosts),
                reads=frozenset((host, Identify()) for host in hosts),
                hosts=hosts,
            )


STAGES = {"reachable": reachable_steps}
