"""Cables → subnets and addresses, from the files alone, the same on every machine and in every run.

One subnet per link and half: two interfaces of a host in one subnet is what RoCE can't do (the kernel
answers for either on both). A link's place in the pool comes from a hash of its name, so that adding or
removing a link moves no other, except in a collision: of two links that hash to one place the one with the
lower hash keeps it, and the other goes to a place of its own hash's choosing. Pin `subnets:` to rule that out.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Interface, IPv4Network
from typing import Literal

from orchestrator.errors import FilesWrong
from orchestrator.network.allocate import host_numbers, pick_subnets
from orchestrator.network.cabling import Cable, cables, natural
from orchestrator.spec.derived import once, placed
from orchestrator.spec.models import Cluster, Finding

FabricKind = Literal["pair", "switch", "ring", "chain", "mesh", "none"]
LINK_LOCAL = IPv4Network("169.254.0.0/16")


def spanning(cluster: Cluster, host: str) -> tuple[str, ...]:
    """Deployments that need the fabric of this host: those that share it with other hosts."""
    here = placed(cluster).get(host, ())
    return tuple(one.name for one in here if len(set(one.hosts)) > 1)


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


@once
def plan_fabric(cluster: Cluster) -> Fabric:
    """Subnets and addresses for every link of the inventory. Raises FilesWrong with all that is wrong."""
    fabric, findings = survey_fabric(cluster)
    errors = tuple(one for one in findings if one.severity == "error")
    if errors:
        raise FilesWrong(errors[0].message, findings=errors, hint=errors[0].suggestion)
    return fabric


@once
def survey_fabric(cluster: Cluster) -> tuple[Fabric, tuple[Finding, ...]]:
    """The fabric as far as it can be planned, and everything that is wrong with it (`orch check`)."""
    from orchestrator.network.advice import advice  # which looks at fabrics

    found, findings = cables(cluster)
    if cluster.addresses == "link-local":
        subnets = {cable.name: (LINK_LOCAL,) * cable.halves for cable in found}
    else:
        subnets, wrong = pick_subnets(cluster, found)
        findings += wrong
    segments: list[Segment] = []
    for cable in sorted(found, key=lambda one: natural(one.name)):
        for half, subnet in enumerate(subnets.get(cable.name, ())):
            made = _segment(cluster, cable, half, subnet)
            if isinstance(made, Finding):
                findings += (made,)
            else:
                segments.append(made)
    fabric = Fabric(tuple(segments))
    return fabric, (*findings, *advice(cluster, found, fabric))


def _segment(cluster: Cluster, cable: Cable, half: int, subnet: IPv4Network) -> Segment | Finding:
    ends = [end for end in cable.ends if half < len(end.halves)]
    numbers: dict[str, int] | None = None
    if cluster.addresses == "static":
        numbers = host_numbers(cluster, cable, subnet)
        if numbers is None:
            return Finding(
                message=f"{subnet} has no room for the {len(cable.ends)} ports of {cable.name}",
                path=cable.path,
                suggestion="pin a wider subnet, or make two links of it",
            )
    members = tuple(
        Member(
            host=end.host,
            port=end.port,
            netdev=end.halves[half].netdev,
            rdma=end.halves[half].rdma,
            interface=None
            if numbers is None
            else IPv4Interface((subnet.network_address + numbers[end.host], subnet.prefixlen)),
        )
        for end in ends
    )
    kinds = (cluster.hosts[end.host].kind.mtu for end in ends)
    mtu = cluster.mtu if cluster.mtu is not None else min(kinds)
    nccl = all(cluster.hosts[end.host].ports[end.port].nccl for end in ends)
    return Segment(cable.name, half, subnet, mtu, members, cable.switch, nccl, cable.at_once)
