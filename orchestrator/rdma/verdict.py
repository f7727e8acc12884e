"""From what trials left on the hosts, and how the hosts are, to a verdict on every link. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from orchestrator.contracts import World
from orchestrator.errors import OrchError
from orchestrator.facts.answers import Netdev, PcieLink
from orchestrator.facts.fabric_left import Left
from orchestrator.facts.identity import Identify
from orchestrator.facts.network import ReadNetwork
from orchestrator.facts.pcie import ReadPcie
from orchestrator.facts.rdma import ReadRdma
from orchestrator.facts.rdma_counters import ERRORS
from orchestrator.network.fabric import Fabric, Member
from orchestrator.rdma import iperf, perftest
from orchestrator.rdma.answers import (
    NOTHING,
    End,
    Expected,
    FabricVerdict,
    Failure,
    Fingerprint,
    Lane,
    LinkVerdict,
    Load,
    Measured,
    Test,
    Way,
)
from orchestrator.rdma.condition import Condition, Pcie
from orchestrator.rdma.diagnose import Material, judge
from orchestrator.rdma.expect import Reach, expected, reach
from orchestrator.rdma.trials import Pair, Rail, Trial, address_of, unmeasured
from orchestrator.spec.models import Cluster

WORD = 4  # bytes that one of the port counters stands for
NO_RDMA = "no RDMA; TCP measured"
MANY = 10  # messages that no handshake and no retry makes up
LOADS: tuple[Load, ...] = ("alone", "together", "both-ways")
NETDEV_ERRORS = frozenset(("rx_dropped", "tx_dropped", "rx_errors", "tx_errors"))
Lefts = Callable[[Trial, bool], Sequence[Left | None]]  # what client (or server) left, a rail each


@dataclass(frozen=True)
class Seen:
    """What only a look after the tests tells of an end: (host, netdev) → the other answers, firewalls."""

    ping: bool | None = None
    ping_full: bool | None = None
    firewall: tuple[str, ...] = ()


def link_verdict(
    cluster: Cluster,
    fabric: Fabric,
    pair: Pair,
    trials: Sequence[Trial],
    world: World,
    lefts: Lefts,
    seen: Mapping[tuple[str, str], Seen] | None = None,
) -> LinkVerdict:
    """How one link between two hosts is."""
    ends = [member for rail in _rails(trials) for member in (rail.client, rail.server)]
    conditions = tuple(condition(one, world, (seen or {})) for one in ends)
    tests, measured = _results(trials, world, lefts, conditions)
    way: Way = "tcp" if "tcp" in {test.way for test in tests} else "rdma"
    hosts = (pair.first, pair.second)
    reaches = [reach_of(cluster, fabric, pair.link, host, conditions) for host in hosts]
    cables = [None if each.expect.relative else each.gbps for each in reaches]
    return judge(
        Material(
            link=pair.link,
            hosts=hosts,
            tests=tests,
            measured=measured,
            expected=expectations(way, reaches),
            conditions=conditions,
            cable_gbps=None if None in cables else min(one for one in cables if one is not None),
            halves=min(each.halves for each in reaches),
        )
    )


def _results(
    trials: Sequence[Trial], world: World, lefts: Lefts, conditions: Sequence[Condition]
) -> tuple[tuple[Test, ...], Mapping[str, Measured]]:
    """All tests that are to be run, and what was measured of them."""
    at = {(one.host, one.netdev): one for one in conditions}
    tests: list[Test] = []
    measured: dict[str, Measured] = {}
    for trial in trials:
        sides = lefts(trial, True), lefts(trial, False)
        for test, client, server in zip(_tests(trial, world), *sides, strict=True):
            if unmeasured(test):
                continue
            tests.append(test)
            told = measurement(test, client, server, at)
            if told is not None:
                measured[test.id] = told
    return tuple(tests), measured


def expectations(way: Way, reaches: Sequence[Reach]) -> Mapping[Load, Expected]:
    return {load: expected(way, load, reaches) for load in LOADS}


def _rails(trials: Sequence[Trial]) -> tuple[Rail, ...]:
    """All halves, each once and from the same end."""
    found = {rail.half: rail for trial in reversed(trials) for rail in trial.rails}
    return tuple(found[half] for half in sorted(found))


def _tests(trial: Trial, world: World) -> tuple[Test, ...]:
    """What was to be run; with a host that can't be read, as the files have it."""
    try:
        return trial.tests(world)
    except OrchError:
        return tuple(
            Test(
                Lane(trial.link, rail.half, _unread(rail.client), _unread(rail.server)),
                "rdma" if rail.client.rdma and rail.server.rdma else "tcp",
                trial.metric,
                trial.load,
                trial.effort,
                0,
            )
            for rail in trial.rails
        )


def _unread(member: Member) -> End:
    address = str(member.interface.ip) if member.interface is not None else ""
    return End(member.host, member.netdev, address, member.rdma)


def measurement(
    test: Test,
    client: Left | None,
    server: Left | None,
    conditions: Mapping[tuple[str, str], Condition],
) -> Measured | None:
    """What both ends left, as one measurement, the counters of both beside the tool's own number.

    None where nobody ran it, and the interfaces do not tell why.
    """
    if client is None and server is None:
        failure = _unrun(test, conditions)
        return Measured(test.id, failure=failure) if failure is not None else None
    read = perftest.measured if test.way == "rdma" else iperf.measured
    said = [one.said if one is not None else NOTHING for one in (client, server)]
    told = read(test, *said)
    sides = {test.lane.client: client, test.lane.server: server}
    through = {end.host: moved(end, left) for end, left in sides.items()}
    return replace(
        told,
        failure=_in_time(test, told.failure, through),
        moved=through,
        errors={
            f"{end.host} {name}": by for end, left in sides.items() for name, by in errors(left)
        },
    )


def _in_time(
    test: Test, failure: Failure | None, through: Mapping[str, int | None]
) -> Failure | None:
    """A tool that counted no message, while both ports saw many: they came outside the seconds that it counts."""
    seen = min(-1 if one is None else one for one in through.values())
    if failure is None or failure.kind not in ("mtu-path", "nothing-moved"):
        return failure
    return replace(failure, kind="too-short") if seen >= MANY * test.effort.bytes else failure


def _unrun(test: Test, conditions: Mapping[tuple[str, str], Condition]) -> Failure | None:
    """Nobody ran it: the interfaces tell why."""
    ends = (test.lane.client, test.lane.server)
    for end in ends:
        now = conditions.get((end.host, end.netdev))
        if now is not None and (now.up is False or now.carrier is False):
            state = "is down" if now.up is False else "has no carrier"
            return Failure("link-down", f"{end.netdev} of {end.host} {state}")
    for end in ends:
        now = conditions.get((end.host, end.netdev))
        if now is not None and now.up is not None and not end.address:
            return Failure("wrong-address", f"{end.netdev} of {end.host} has not its address")
    return None


def moved(end: End, left: Left | None) -> int | None:
    """Bytes through an end: the device's port counters, else the netdev's (TCP, Soft-RoCE)."""
    if left is None:
        return None
    if end.rdma is not None:
        at = f"infiniband/{end.rdma}/ports/1/counters"
        words = [left.moved(f"{at}/{name}") for name in ("port_xmit_data", "port_rcv_data")]
        known = [one for one in words if one is not None]
        if known:
            return sum(known) * WORD
    at = f"net/{end.netdev}/statistics"
    each = [left.moved(f"{at}/{name}") for name in ("tx_bytes", "rx_bytes")]
    there = [one for one in each if one is not None]
    return sum(there) if there else None


def errors(left: Left | None) -> Iterable[tuple[str, int]]:
    """Counters of trouble that went up."""
    for name in left.counters if left is not None else ():
        short = name.rpartition("/")[2]
        by = left.moved(name) if left is not None else None
        if by and (short in ERRORS or short in NETDEV_ERRORS):
            yield short, by


def condition(member: Member, world: World, seen: Mapping[tuple[str, str], Seen]) -> Condition:
    """One end as its host shows it now; what can't be read stays unknown."""
    looked = seen.get((member.host, member.netdev), Seen())
    bare = Condition(
        member.host,
        member.netdev,
        ping=looked.ping,
        ping_full=looked.ping_full,
        firewall=looked.firewall,
    )
    try:
        netdev = world[member.host].get(ReadNetwork()).netdevs.get(member.netdev)
    except OrchError:
        return bare
    if netdev is None:
        return replace(bare, up=False)
    return _with_device(_of_netdev(bare, member, netdev, world), netdev, world)


def _of_netdev(bare: Condition, member: Member, netdev: Netdev, world: World) -> Condition:
    return replace(
        bare,
        up=netdev.up,
        carrier=netdev.carrier,
        speed_mbps=None if _in_lab(world, member.host) else netdev.speed_mbps,
        mtu=netdev.mtu,
        address=address_of(member, netdev),
    )


def _in_lab(world: World, host: str) -> bool:
    """A lab's cables say a speed that means nothing."""
    try:
        return world[host].get(Identify()).in_lab
    except OrchError:
        return False


def _with_device(found: Condition, netdev: Netdev, world: World) -> Condition:
    facts = world[found.host]
    try:
        pcie = facts.get(ReadPcie()).get(netdev.name)
        devices = [one for one in facts.get(ReadRdma()).devices if one.netdev == netdev.name]
    except OrchError:
        return found
    found = replace(found, pcie=_pcie(pcie))
    if not devices:
        return found
    device = devices[0]
    return replace(
        found,
        rdma=device.name,
        soft=not device.firmware,
        active_mtu=device.active_mtu,
        link_layer=device.link_layer,
        firmware=device.firmware or None,
        gids=device.gids,
    )


def _pcie(link: PcieLink | None) -> Pcie | None:
    if link is None:
        return None
    return Pcie(link.speed_gts, link.width, link.max_speed_gts, link.max_width)


def reach_of(
    cluster: Cluster, fabric: Fabric, link: str, host: str, conditions: Sequence[Condition]
) -> Reach:
    """What one end should be able to."""
    port = next(member.port for one, member in fabric.of_host(host) if one.link == link)
    mine = [one for one in conditions if one.host == host]
    widths = [one.pcie.max_gbps for one in mine if one.pcie is not None]
    known = [one for one in widths if one is not None]
    halves = sum(1 for one in fabric.segments if one.link == link and host in one.hosts)
    return reach(cluster.hosts[host], port, min(known) if known else None, halves)


def fabric_verdict(
    at: float,
    run: str,
    links: Sequence[LinkVerdict],
    stands: Mapping[str, str],
    notes: Sequence[str] = (),
) -> FabricVerdict:
    """All links of a run; boots are no part of what it stands on in the long run."""
    parts = {name: value for name, value in stands.items() if not name.endswith(" boot")}
    told = list(notes)
    if links and all(one.way == "tcp" for one in links):
        told.insert(0, NO_RDMA)
    elif any(one.way == "tcp" for one in links):
        named = ", ".join(sorted({one.link for one in links if one.way == "tcp"}))
        told.insert(0, f"{NO_RDMA} on {named}")
    return FabricVerdict(at, run, tuple(links), Fingerprint(parts), tuple(told))
