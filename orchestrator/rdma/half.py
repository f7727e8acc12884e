"""What is looked at on one end of a half: each check gives one finding, with cause and remedy."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Interface

from orchestrator.contracts import World
from orchestrator.facts.answers import Netdev, Network, PcieLink
from orchestrator.facts.identity import Identify
from orchestrator.facts.ip_settings import ReadIpSettings, in_force
from orchestrator.facts.network import ReadNetwork
from orchestrator.facts.pcie import ReadPcie
from orchestrator.facts.ping import Ping
from orchestrator.network.fabric import Member, Segment
from orchestrator.rdma.gid import gid_index
from orchestrator.rdma.reports import Answered, Found, HalfReport
from orchestrator.rdma.roce import device_of, look_at_device
from orchestrator.spec.models import Cluster, PortSpec


def look(
    cluster: Cluster, segment: Segment, member: Member, facts: Answered, world: World
) -> HalfReport:
    """The report of one end: where there is no netdev, nothing else is looked at."""
    network = facts.get(ReadNetwork())
    netdev = network.netdevs.get(member.netdev) if network is not None else None
    device = device_of(facts, member.netdev)
    address = _address(member, netdev)
    index = gid_index(device, address) if device is not None and address is not None else None
    findings = [_present(member, facts, network)]
    if network is not None and netdev is not None:
        port = cluster.hosts[member.host].ports[member.port]
        findings += _cable(member, netdev)
        findings.append(_speed(member, netdev, port, facts))
        findings.append(_pcie(cluster, member, netdev, port, facts))
        findings.append(_mtu(segment, member, netdev, world))
        findings.append(_addressed(member, netdev))
        findings.append(_subnet(member, network, address, facts))
        findings += look_at_device(segment, member, netdev, device, address, index, facts, world)
        findings.append(_ping(segment, member, facts))
    return HalfReport(
        link=segment.link,
        half=segment.half,
        host=member.host,
        port=member.port,
        netdev=member.netdev,
        rdma=device.name if device is not None else None,
        address=address,
        gid_index=index,
        findings=tuple(findings),
    )


def _v4(netdev: Netdev) -> list[IPv4Interface]:
    return [IPv4Interface(text) for text in netdev.addresses if ":" not in text]


def _address(member: Member, netdev: Netdev | None) -> str | None:
    """The planned address, or the link-local one that the host has."""
    if member.interface is not None:
        return str(member.interface.ip)
    found = _v4(netdev) if netdev is not None else []
    return next((str(one.ip) for one in found if one.is_link_local), None)


def _present(member: Member, facts: Answered, network: Network | None) -> Found:
    if network is None:
        return Found("present", "unknown", f"not read: {facts.why(ReadNetwork())}")
    if member.netdev in network.netdevs:
        return Found("present", "ok", member.netdev)
    known = ", ".join(sorted(network.netdevs))
    return Found(
        "present",
        "bad",
        f"there is no {member.netdev}",
        f"the host has {known}",
        f"correct `ports:` of {member.host} or its kind; `lspci` on the host shows whether the card is seen",
    )


def _cable(member: Member, netdev: Netdev) -> Iterator[Found]:
    if not netdev.up:
        remedy = f"`orch up`, or on {member.host}: ip link set {netdev.name} up"
        yield Found("up", "bad", f"{netdev.name} is down", "nobody has set it up", remedy)
        return
    yield Found("up", "ok", "up")
    if netdev.carrier:
        yield Found("cable", "ok", "carrier")
        return
    yield Found(
        "cable",
        "bad",
        f"{netdev.name} has no carrier",
        "no cable, or the other end is off or down",
        f"plug the cable of {member.host}.{member.port} in until it clicks, at both ends",
    )


def _speed(member: Member, netdev: Netdev, port: PortSpec, facts: Answered) -> Found:
    identity = facts.get(Identify())
    if identity is not None and identity.in_lab:
        return Found("speed", "ok", "a lab's cable has no speed of its own")
    if netdev.speed_mbps is None:
        return Found(
            "speed", "unknown", "the speed can't be read", "no carrier, or the driver says none"
        )
    speed = netdev.speed_mbps / 1000
    if speed >= port.gbps:
        return Found("speed", "ok", f"{speed:g} Gb/s")
    return Found(
        "speed",
        "bad",
        f"{speed:g} Gb/s, not {port.gbps:g}",
        "a switch that negotiated less, or another cable",
        f"set the speed at the switch without negotiation, or say `gbps: {speed:g}` for"
        f" {member.host}.{member.port}",
    )


def _pcie(
    cluster: Cluster, member: Member, netdev: Netdev, port: PortSpec, facts: Answered
) -> Found:
    """Lanes against what the half should carry: the card's own maximum says nothing on a Spark (x4 of x16)."""
    links = facts.get(ReadPcie())
    if links is None:
        return Found("pcie", "unknown", f"not read: {facts.why(ReadPcie())}")
    link = links.get(member.netdev)
    if link is None and not netdev.pci:
        return Found("pcie", "ok", "no PCIe function (virtual)")
    if link is None or link.gbps is None:
        return Found("pcie", "unknown", "the kernel does not say how it is attached")
    kind = cluster.hosts[member.host].kind
    wanted = kind.expect_half_gbps or port.gbps / len(port.halves)
    said = f"PCIe {link.speed_gts:g} GT/s x{link.width} ({link.gbps:.0f} Gb/s){_at_most(link)}"
    if link.gbps >= wanted:
        return Found("pcie", "ok", said)
    return Found(
        "pcie",
        "bad",
        f"{said}, less than the {wanted:g} Gb/s that this half should carry",
        "fewer or slower lanes than the machine has: an old BIOS, or a card that is not seated well",
        "update the BIOS (fwupdmgr update), then shut down and unplug both ends;"
        f" lspci -s {netdev.pci} -vv shows LnkSta",
    )


def _at_most(link: PcieLink) -> str:
    most = (link.max_speed_gts, link.max_width)
    if None in most or most == (link.speed_gts, link.width):
        return ""
    return f", the card can x{link.max_width} at {link.max_speed_gts:g}"


def _mtu(segment: Segment, member: Member, netdev: Netdev, world: World) -> Found:
    others = {
        one.host: mtu
        for one in segment.members
        if one.host != member.host and (mtu := _mtu_of(world, one)) is not None
    }
    unlike = sorted(host for host, mtu in others.items() if mtu != netdev.mtu)
    if unlike:
        return Found(
            "mtu",
            "bad",
            f"MTU {netdev.mtu} here, {others[unlike[0]]} at {unlike[0]}",
            "the ends differ: large packets vanish, small ones pass",
            "one `mtu:` under `network:` for all, then `orch up`",
        )
    if netdev.mtu != segment.mtu:
        return Found(
            "mtu",
            "bad",
            f"MTU {netdev.mtu}, not {segment.mtu}",
            "it was not set, or something has changed it since",
            "`orch up` sets it; where another file of netplan's does, see `adopt:`",
        )
    return Found("mtu", "ok", f"MTU {netdev.mtu}")


def _mtu_of(world: World, member: Member) -> int | None:
    network = Answered(world[member.host]).get(ReadNetwork())
    netdev = network.netdevs.get(member.netdev) if network is not None else None
    return netdev.mtu if netdev is not None else None


def _addressed(member: Member, netdev: Netdev) -> Found:
    have = _v4(netdev)
    told = ", ".join(str(one) for one in have) or "none"
    if member.interface is None:
        right = any(one.is_link_local for one in have)
        wanted = "a link-local address"
    else:
        right, wanted = member.interface in have, str(member.interface)
    if right:
        return Found("address", "ok", told)
    return Found(
        "address",
        "bad",
        f"{netdev.name} has no {wanted}",
        f"it has {told}",
        "`orch up` sets it (stage `network`)",
    )


def _subnet(member: Member, network: Network, address: str | None, facts: Answered) -> Found:
    """Another interface in this half's subnet, and how the kernel then answers."""
    nets = [one.network for one in _v4(network.netdevs[member.netdev])]
    if member.interface is not None:
        nets.append(member.interface.network)
    same = sorted(
        name
        for name, other in network.netdevs.items()
        if name not in (member.netdev, "lo")
        and any(one.network.overlaps(net) for one in _v4(other) for net in nets)
    )
    settings = facts.get(ReadIpSettings())
    force = in_force(settings, member.netdev) if settings is not None else None
    if force is None:
        return Found("subnet", "unknown", f"ARP settings not read: {facts.why(ReadIpSettings())}")
    told = f"arp_ignore {force.arp_ignore}, arp_announce {force.arp_announce}, rp_filter {force.rp_filter}"
    if not same:
        return Found("subnet", "ok", f"alone in its subnet; {told}")
    answers_for_all = force.arp_ignore == 0 or force.arp_announce < 2 or force.rp_filter == 1
    return Found(
        "subnet",
        "bad" if answers_for_all else "warn",
        f"{member.netdev} and {', '.join(same)} are in one subnet; {told}",
        "the kernel answers for either address on both, and drops what comes in on the other one",
        "give each half its own subnet; if that can't be: sysctl net.ipv4.conf.all.arp_ignore=1"
        " arp_announce=2 rp_filter=2, and a routing rule for each source address",
    )


def ping_of(segment: Segment, member: Member) -> Ping | None:
    """The full-sized ping to the other members; None where their addresses are not known."""
    others = (one.interface for one in segment.members if one.host != member.host)
    addresses = tuple(str(interface.ip) for interface in others if interface is not None)
    return Ping(member.netdev, segment.mtu, addresses) if addresses else None


def _ping(segment: Segment, member: Member, facts: Answered) -> Found:
    ping = ping_of(segment, member)
    if ping is None:
        return Found("ping", "unknown", "the others' addresses are not known (link-local)")
    answers = facts.get(ping)
    if answers is None:
        return Found("ping", "unknown", f"not tried: {facts.why(ping)}")
    silent = {address: why for address, why in answers.items() if why}
    if not silent:
        return Found("ping", "ok", f"{len(answers)} answer in packets of {segment.mtu}")
    address, why = next(iter(silent.items()))
    return Found(
        "ping",
        "bad",
        f"{address} over {member.netdev}: {why}",
        "nothing comes back in packets of the full MTU that may not be cut: the other end is down or has"
        " another MTU, a switch port is at 1500, or a firewall drops ICMP",
        f"on {member.host}: ping -I {member.netdev} {address}; if small ones pass, it is the MTU on the way",
    )
