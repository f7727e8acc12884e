"""Which tests a link gets, from the files alone; what they are exactly (address, device, tool) hosts decide.

A trial is what starts together: one half of a link, or all of its halves. A pair of hosts runs its trials
one after another, and a host is in one pair at a time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Interface
from itertools import combinations, pairwise

from orchestrator.contracts import World
from orchestrator.facts.answers import Netdev
from orchestrator.facts.identity import Identify
from orchestrator.facts.network import ReadNetwork
from orchestrator.facts.packages import ReadPackages
from orchestrator.facts.rdma import ReadRdma
from orchestrator.network.fabric import Fabric, Member, Segment
from orchestrator.rdma.answers import Effort, End, Lane, Load, Metric, Test, Way

PORT = 18515  # perftest's own; the second half gets the next one
TOOL_VERSIONS = ReadPackages(("perftest", "iperf3"))
FULL = Effort()
QUICK = Effort(seconds=2, alone=False, latency=False)  # all halves at once, there and back


@dataclass(frozen=True, order=True)
class Pair:
    """Two hosts on one link; tests begin with data from the first to the second."""

    link: str
    first: str
    second: str

    @property
    def name(self) -> str:
        return f"{self.link}/{self.first}-{self.second}"


@dataclass(frozen=True)
class Rail:
    """One half of a link between two hosts."""

    half: int
    client: Member
    server: Member


@dataclass(frozen=True)
class Trial:
    """Tests between two hosts that start together."""

    link: str
    rails: tuple[Rail, ...]
    metric: Metric
    load: Load
    effort: Effort

    @property
    def client(self) -> str:
        return self.rails[0].client.host

    @property
    def server(self) -> str:
        return self.rails[0].server.host

    @cached_property
    def name(self) -> str:
        """The same in every run."""
        halves = "+".join(str(rail.half + 1) for rail in self.rails)
        what = self.load if self.metric == "bandwidth" else self.metric
        return f"{self.link}/{self.client}>{self.server}/h{halves}/{what}"

    def key(self, rail: Rail) -> str:
        """The name of the file that a test of it leaves on either host."""
        told = f"{self.name}/{rail.half}"
        return hashlib.sha256(told.encode()).hexdigest()[:16]

    def tests(self, world: World) -> tuple[Test, ...]:
        """What is run, as the hosts are now. An end without an address has "" there."""
        ends = [
            (rail, end_of(rail.client, world), end_of(rail.server, world)) for rail in self.rails
        ]
        way: Way = "rdma" if all(a.rdma and b.rdma for _, a, b in ends) else "tcp"
        return tuple(
            Test(
                lane=Lane(self.link, rail.half, client, server),
                way=way,
                metric=self.metric,
                load=self.load,
                effort=self.effort,
                port=PORT + rail.half,
                group=self.name if len(self.rails) > 1 else "",
            )
            for rail, client, server in ends
        )


def unmeasured(test: Test) -> bool:
    """Latency is measured by RDMA's own tool alone."""
    return test.metric == "latency" and test.way == "tcp"


def end_of(member: Member, world: World) -> End:
    """One half of a host as it is now; the RDMA device is the one that the host has for the netdev."""
    facts = world[member.host]
    netdev = facts.get(ReadNetwork()).netdevs.get(member.netdev)
    devices = {one.netdev: one.name for one in facts.get(ReadRdma()).devices}
    address = address_of(member, netdev) if netdev is not None else ""
    return End(member.host, member.netdev, address, devices.get(member.netdev))


def address_of(member: Member, netdev: Netdev) -> str:
    """The address that the files give it, where it has it; a link-local one where they give none."""
    have = [IPv4Interface(text) for text in netdev.addresses if ":" not in text]
    if member.interface is not None:
        return str(member.interface.ip) if member.interface in have else ""
    return next((str(one.ip) for one in have if one.is_link_local), "")


def pairs(
    fabric: Fabric,
    hosts: frozenset[str] | None = None,
    links: frozenset[str] | None = None,
    all_pairs: bool = False,
) -> tuple[Pair, ...]:
    """Both ends of each cable; behind a switch neighbours in a circle, or everybody with everybody."""
    found: dict[Pair, None] = {}
    for segment in fabric.segments if hosts is None else fabric.between(hosts):
        if links is not None and segment.link not in links:
            continue
        inside = [one.host for one in segment.members if hosts is None or one.host in hosts]
        for first, second in _joined(inside, all_pairs):
            found[Pair(segment.link, first, second)] = None
    return tuple(found)


def _joined(hosts: list[str], all_pairs: bool) -> Iterable[tuple[str, str]]:
    if all_pairs or len(hosts) < 3:
        return combinations(hosts, 2)
    return [*pairwise(hosts), (hosts[-1], hosts[0])]


def trials(fabric: Fabric, pair: Pair, effort: Effort, soak: bool = False) -> tuple[Trial, ...]:
    """All trials of a pair, in the order in which they run; a soak is all halves at once, and no more."""
    segments = [one for one in fabric.of_link(pair.link) if {pair.first, pair.second} <= one.hosts]
    there = tuple(_rail(one, pair.first, pair.second) for one in segments)
    back = tuple(_rail(one, pair.second, pair.first) for one in segments)
    if soak:
        return (Trial(pair.link, there, "bandwidth", "together" if there[1:] else "alone", effort),)
    return tuple(_of_pair(pair.link, there, back, effort))


def _of_pair(
    link: str, there: tuple[Rail, ...], back: tuple[Rail, ...], effort: Effort
) -> Iterator[Trial]:
    ways = (there, back) if effort.both_ways else (there,)
    several = effort.together and len(there) > 1
    for rails in ways if effort.alone or not several else ():
        for rail in rails:
            yield Trial(link, (rail,), "bandwidth", "alone", effort)
    for rail in there if effort.alone and effort.both_ways else ():
        yield Trial(link, (rail,), "bandwidth", "both-ways", effort)
    if several:
        for rails in ways:
            yield Trial(link, rails, "bandwidth", "together", effort)
    if effort.latency:
        for rail in there:
            yield Trial(link, (rail,), "latency", "alone", effort)


def _rail(segment: Segment, client: str, server: str) -> Rail:
    return Rail(segment.half, segment.member(client), segment.member(server))


def fingerprint(trial: Trial, world: World) -> Mapping[str, str]:
    """What a trial's numbers stand on, by host: kernel, driver, firmware, MTU, speed, card, tool versions."""
    found: dict[str, str] = {}
    for member in (one for rail in trial.rails for one in (rail.client, rail.server)):
        facts, host = world[member.host], member.host
        identity = facts.get(Identify())
        found[f"{host} kernel"] = identity.kernel
        found[f"{host} boot"] = identity.boot_id
        netdev = facts.get(ReadNetwork()).netdevs.get(member.netdev)
        if netdev is not None:
            found[f"{host} {member.netdev} card"] = netdev.mac
            found[f"{host} {member.netdev} MTU"] = str(netdev.mtu)
            found[f"{host} {member.netdev} driver"] = netdev.driver or "none"
            found[f"{host} {member.netdev} Mb/s"] = str(netdev.speed_mbps or "unknown")
        for device in facts.get(ReadRdma()).devices:
            if device.netdev == member.netdev:
                found[f"{host} {device.name} firmware"] = device.firmware or "none"
        versions = facts.get(TOOL_VERSIONS).versions
        found |= {f"{host} {name}": versions[name] or "none" for name in versions}
    return found
