"""A lab of virtual machines as a value: which slot each host is in, how its cards are wired. No I/O."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.errors import FilesWrong
from orchestrator.lab.layout import (
    MANAGEMENT,
    SPARK_PORTS,
    LabHost,
    Layout,
    Network,
    Nic,
    Segment,
    check_shape,
)

MOST_VMS = 32
ADDRESS = "127.0.0.1"  # where their sshds are reached, each at a port of its own
BASE = (
    "10.0.96.0/19"  # of it each has a /24 that leads to this machine alone; no route here knows it
)
MANAGEMENT_SLOT = 3  # PCI slots; 1 and 2 may be taken by what the machine type has itself
RAILS = tuple(netdev for port in sorted(SPARK_PORTS) for netdev in SPARK_PORTS[port])
RAIL_SLOTS = {netdev: 4 + number for number, netdev in enumerate(RAILS)}


def lay_out_vms(
    name: str, hosts: Sequence[str], segments: Sequence[Segment], ports: Sequence[int]
) -> Layout:
    """Every cable half is a wire named c1h1; `ports` are where this machine reaches each host's sshd."""
    check_shape(name, hosts, segments, dict.fromkeys(hosts, SPARK_PORTS))
    if len(hosts) > MOST_VMS:
        raise FilesWrong(f"a lab of virtual machines has at most {MOST_VMS} hosts")
    nics = {host: [Nic(MANAGEMENT, "", ADDRESS)] for host in hosts}
    wires = []
    for number, segment in enumerate(segments, start=1):
        for half in range(2):
            wires.append(Network(f"c{number}h{half + 1}", "", 9000))
            for end in segment.ends:
                netdev = SPARK_PORTS[end.port][half]
                nics[end.host].append(Nic(netdev, wires[-1].name, "", end))
    made = tuple(
        LabHost(host, "", tuple(nics[host]), port) for host, port in zip(hosts, ports, strict=True)
    )
    return Layout(name, BASE, made, tuple(wires), tuple(segments))


def slot_of(layout: Layout, host: LabHost) -> int:
    """Which of the saved machines a host is: they differ in their hardware addresses."""
    return layout.hosts.index(host) + 1


def subnet(slot: int) -> str:
    """Of the way from this machine into one host."""
    return f"10.0.{96 + slot - 1}"


def mac(slot: int, card: int) -> str:
    return f"52:54:00:0c:{slot:02x}:{card:02x}"


def wire_of(host: LabHost, netdev: str) -> str | None:
    """What hangs on a card; None where no cable is in."""
    return next((nic.network for nic in host.nics if nic.netdev == netdev and nic.end), None)


def far_end(layout: Layout, host: LabHost, wire: str) -> LabHost | None:
    """The host at a cable's other end; None at a switch."""
    number = int(wire[1:].partition("h")[0])
    segment = layout.segments[number - 1]
    if segment.switch is not None:
        return None
    return next(layout.host(end.host) for end in segment.ends if end.host != host.name)


def switched(layout: Layout) -> dict[str, list[LabHost]]:
    """The wires that a switch joins, with the hosts on each."""
    found: dict[str, list[LabHost]] = {}
    for host in layout.hosts:
        for nic in host.nics:
            if nic.end is not None and far_end(layout, host, nic.network) is None:
                found.setdefault(nic.network, []).append(host)
    return found
