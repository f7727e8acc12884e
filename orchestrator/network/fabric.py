"""The fabric as a value: which halves of which hosts share a subnet, and what shape that gives."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Interface, IPv4Network
from typing import Literal

FabricKind = Literal["pair", "switch", "ring", "chain", "mesh", "none"]


@dataclass(frozen=True)
class Member:
    """One half of a port in a segment. `interface` is None where addresses are link-local."""

    host: str
    port: str
    netdev: str
    rdma: str | None
    interface: IPv4Interface | None


@dataclass(frozen=True)
class Segment:
    """One subnet: the n-th halves of the ports of one link."""

    link: str
    half: int
    subnet: IPv4Network
    mtu: int
    members: tuple[Member, ...]
    switch: str | None = None
    nccl: bool = True  # False: slow, for weights and control alone
    at_once: int | None = None  # pairs that its switch carries at the same time; None: all

    @cached_property
    def hosts(self) -> frozenset[str]:
        return frozenset(member.host for member in self.members)

    def member(self, host: str) -> Member:
        return next(member for member in self.members if member.host == host)


@dataclass(frozen=True)
class Fabric:
    """All segments, those of one link together and in the order of its halves."""

    segments: tuple[Segment, ...]

    @cached_property
    def _by_host(self) -> dict[str, dict[int, Segment]]:
        """Host → its segments by their place in the order of all."""
        found: dict[str, dict[int, Segment]] = {}
        for place, segment in enumerate(self.segments):
            for host in segment.hosts:
                found.setdefault(host, {})[place] = segment
        return found

    def _of(self, host: str) -> Iterable[Segment]:
        return self._by_host.get(host, {}).values()

    @cached_property
    def _by_link(self) -> dict[str, tuple[Segment, ...]]:
        found: dict[str, list[Segment]] = {}
        for segment in self.segments:
            found.setdefault(segment.link, []).append(segment)
        return {link: tuple(segments) for link, segments in found.items()}

    def of_link(self, link: str) -> tuple[Segment, ...]:
        """The segments of one link, in the order of its halves."""
        return self._by_link.get(link, ())

    @cached_property
    def for_nccl(self) -> Fabric:
        """The same without the links that are for weights and control alone."""
        return Fabric(tuple(one for one in self.segments if one.nccl))

    @cached_property
    def at_once(self) -> dict[str, int]:
        """Switch → pairs that it carries at the same time, over all of its links; without those that carry all."""
        return {one.switch: one.at_once for one in self.segments if one.switch and one.at_once}

    def of_host(self, host: str) -> tuple[tuple[Segment, Member], ...]:
        """The segments that a host is in, each with its place in it."""
        return tuple((one, one.member(host)) for one in self._of(host))

    def common(self, hosts: Iterable[str]) -> tuple[Segment, ...]:
        """Segments that reach all of these hosts directly."""
        wanted = frozenset(hosts)
        if not wanted:
            return ()
        return tuple(one for one in self._of(min(wanted)) if wanted <= one.hosts)

    def between(self, hosts: Iterable[str]) -> tuple[Segment, ...]:
        """Segments that join at least two of these hosts."""
        wanted = frozenset(hosts)
        near = {place: one for host in wanted for place, one in self._by_host.get(host, {}).items()}
        return tuple(one for _, one in sorted(near.items()) if len(wanted & one.hosts) > 1)

    def kind_of(self, hosts: Iterable[str]) -> FabricKind:
        """What the cables between these hosts look like; "none" where some can't be reached over them."""
        wanted = frozenset(hosts)
        shared = self.common(wanted)
        if len(wanted) < 2:
            return "none"
        if any(one.switch is not None for one in shared):
            return "switch"
        if shared:
            return "pair"
        return _shape(_neighbours(wanted, self.between(wanted)))


def _neighbours(hosts: frozenset[str], segments: Iterable[Segment]) -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {host: set() for host in hosts}
    for segment in segments:
        inside = segment.hosts & hosts
        for host in inside:
            found[host] |= inside - {host}
    return {host: frozenset(others) for host, others in found.items()}


def _shape(neighbours: dict[str, frozenset[str]]) -> FabricKind:
    start = next(iter(neighbours))
    reached, todo = {start}, [start]
    while todo:
        for other in neighbours[todo.pop()] - reached:
            reached.add(other)
            todo.append(other)
    if reached != neighbours.keys():
        return "none"
    degrees = sorted(len(others) for others in neighbours.values())
    if degrees[0] == degrees[-1] == 2:
        return "ring"
    return "chain" if degrees[-1] == 2 else "mesh"
