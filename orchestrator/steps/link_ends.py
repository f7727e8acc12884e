"""All ends of a link have one MTU: where they differ, small packets pass and a model's data hangs.

No stage of its own: the stage `link` looks at it first.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from orchestrator.contracts import Change, Step, World
from orchestrator.errors import Refused
from orchestrator.facts.network import ReadNetwork
from orchestrator.network.fabric import Member, Segment
from orchestrator.spec.models import Deployment

TOLD = 4  # hosts by name; of a large switch the others are a number


@dataclass(frozen=True, kw_only=True)
class EndsAgree(Step):
    """One half of a link, between the hosts of one deployment."""

    segment: Segment
    members: tuple[Member, ...]

    def check(self, world: World) -> Change | None:
        by_mtu: dict[int, list[Member]] = defaultdict(list)
        for one in self.members:
            netdev = world[one.host].get(ReadNetwork()).netdevs.get(one.netdev)
            if netdev is not None:  # the half's own step says what is not there
                by_mtu[netdev.mtu].append(one)
        if len(by_mtu) < 2:
            return None
        told = ", ".join(f"{mtu} at {_told(each)}" for mtu, each in sorted(by_mtu.items()))
        odd = [one for mtu, each in by_mtu.items() if mtu != self.segment.mtu for one in each]
        raise Refused(
            f"{self.scope}: the ends of {self.segment.link} have different MTUs ({told}):"
            " large packets vanish, small ones pass",
            host=odd[0].host,
            step=self.id,
            hint="; ".join(set_mtu(one.host, one.netdev, self.segment.mtu) for one in odd[:TOLD])
            + "; `orch run network` sets it for good",
        )


def set_mtu(host: str, netdev: str, mtu: int) -> str:
    """What to type."""
    return f"on {host}: sudo ip link set dev {netdev} mtu {mtu}"


def _told(members: list[Member]) -> str:
    more = len(members) - TOLD
    named = ", ".join(f"{one.host} {one.netdev}" for one in members[:TOLD])
    return f"{named} and {more} more" if more > 0 else named


def ends_id(deployment: str, segment: Segment) -> str:
    return f"{deployment}/link-ends/{segment.link}/{segment.half}"


def ends_steps(deployment: Deployment, segments: Iterable[Segment]) -> Iterator[Step]:
    """A gate for each half of each link that joins hosts of a deployment."""
    for segment in segments:
        members = tuple(one for one in segment.members if one.host in deployment.hosts)
        yield EndsAgree(
            id=ends_id(deployment.name, segment),
            role="gate",
            scope=deployment.name,
            needs=frozenset(f"{one.host}/network/confirm" for one in members),
            reads=frozenset((one.host, ReadNetwork()) for one in members),
            segment=segment,
            members=members,
        )
