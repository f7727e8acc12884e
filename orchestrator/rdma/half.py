"""What is looked at on one end of a half: each check gives one finding, with cause and remedy."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Interface

from orchestrator.contracts import World
from orchestrator.facts.answers import Netdev, Network, PcieLink, RdmaDevice
from orchestrator.facts.assumed import ROCE_HEADERS, ROCE_MTUS
from orchestrator.facts.identity import Identify
from orchestrator.facts.ip_settings import ReadIpSettings, in_force
from orchestrator.facts.network import ReadNetwork
from orchestrator.facts.pcie import ReadPcie
from orchestrator.facts.rdma import ReadRdma
from orchestrator.facts.rdma_counters import ReadRdmaCounters, errors_of
from orchestrator.network.topology import Member, Segment
from orchestrator.rdma.gid import gid_index
from orchestrator.rdma.preflight import Answered, Found, HalfReport, ping_of
from orchestrator.spec.models import Cluster, PortSpec


def look(
    cluster: Cluster, segment: Segment, member: Member, facts: Answered, world: World
) -> HalfReport:
    """The report of one end: where there is no netdev, nothing else is looked at."""
    network = facts.get(ReadNetwork())
    netdev = network.netdevs.get(member.netdev) if network is not None else None
    device = _device(facts, member.netdev)
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
        findings += _rdma(segment, member, netdev, device, address, index, facts, world)
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


def _device(facts: Answered, netdev: str) -> RdmaDevice | None:
    rdma = facts.get(ReadRdma())
    devices = rdma.devices if rdma is not None else ()
    return next((one for one in devices if one.netdev == netdev), None)


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


def _rdma(
    segment: Segment,
    member: Member,
    netdev: Netdev,
    device: RdmaDevice | None,
    address: str | None,
    index: int | None,
    facts: Answered,
    world: World,
) -> Iterator[Found]:
    if facts.get(ReadRdma()) is None:
        yield Found("device", "unknown", f"not read: {facts.why(ReadRdma())}")
        return
    if device is None:
        yield _no_device(member)
        return
    yield _device_state(device)
    yield _roce_mtu(netdev, device)
    yield _gid(device, address, index)
    yield _firmware(segment, member, device, world)
    yield _counted(device, facts)


def _no_device(member: Member) -> Found:
    if member.rdma is None:
        return Found(
            "device", "warn", "no RDMA device", "the kind has none here", "TCP is measured instead"
        )
    return Found(
        "device",
        "bad",
        f"no RDMA device for {member.netdev} ({member.rdma} is expected)",
        "its driver is not loaded",
        f"on {member.host}: modprobe mlx5_ib; `rdma link show` lists the devices",
    )


def _device_state(device: RdmaDevice) -> Found:
    if device.link_layer != "Ethernet":
        return Found(
            "device",
            "bad",
            f"{device.name} speaks {device.link_layer or 'nothing'}, not Ethernet",
            "the port is set to InfiniBand",
            "mlxconfig set LINK_TYPE_P1=2 (P2 likewise), then a reboot",
        )
    if device.state != "ACTIVE":
        return Found(
            "device",
            "bad",
            f"{device.name} is {device.state or 'in no state'}",
            "its interface is down or has no carrier",
            f"ip link set {device.netdev} up; is the cable in at both ends?",
        )
    return Found("device", "ok", f"{device.name} ACTIVE")


def _roce_mtu(netdev: Netdev, device: RdmaDevice) -> Found:
    fits = next((one for one in ROCE_MTUS if one + ROCE_HEADERS <= netdev.mtu), None)
    active = device.active_mtu
    if active is None:
        return Found(
            "roce-mtu",
            "unknown",
            "RoCE's MTU can't be read",
            "ibv_devinfo is not on the host, and sysfs does not have it",
            "apt install ibverbs-utils",
        )
    if fits is not None and active < fits:
        return Found(
            "roce-mtu",
            "bad",
            f"RoCE uses {active} where MTU {netdev.mtu} gives {fits}",
            "the device took its MTU before the interface got its own",
            f"ip link set {netdev.name} down, then up",
        )
    if active < ROCE_MTUS[0]:
        return Found(
            "roce-mtu",
            "warn",
            f"RoCE uses {active}",
            f"MTU {netdev.mtu} has no room for {ROCE_MTUS[0]}: a few per cent are lost",
            "`mtu: 9000` under `network:` (4200 is enough)",
        )
    return Found("roce-mtu", "ok", f"RoCE uses {active}")


def _gid(device: RdmaDevice, address: str | None, index: int | None) -> Found:
    if address is None:
        return Found("gid", "unknown", "no address to look a GID up for")
    if index is not None:
        return Found("gid", "ok", f"index {index} is RoCE v2 of {address}")
    told = ", ".join(f"{place} {gid} {kind}" for place, gid, kind in device.gids) or "none"
    return Found(
        "gid",
        "bad",
        f"no RoCE v2 GID of {address} on {device.name}",
        f"its GIDs: {told}",
        f"the address must be on {device.netdev}; down and up again makes the table anew",
    )


def _firmware(segment: Segment, member: Member, device: RdmaDevice, world: World) -> Found:
    """Two of one kind with unlike firmware: not wrong, and the first thing to look at when one is slow."""
    others = {
        one.host: other.firmware
        for one in segment.members
        if one.host != member.host
        and one.rdma == member.rdma
        and (other := _device(Answered(world[one.host]), one.netdev)) is not None
    }
    unlike = sorted(host for host, other in others.items() if other != device.firmware)
    said = device.firmware or "none (software)"
    if not unlike:
        return Found("firmware", "ok", said)
    return Found(
        "firmware",
        "warn",
        f"firmware {said} here, {others[unlike[0]] or 'none'} at {unlike[0]}",
        "one of them was updated alone",
        "fwupdmgr update on both, then shut down and unplug",
    )


def _counted(device: RdmaDevice, facts: Answered) -> Found:
    """What went wrong since the boot is no fault by itself; a measurement looks whether it goes up."""
    ports = facts.get(ReadRdmaCounters())
    counters = ports.get((device.name, device.port)) if ports is not None else None
    if counters is None or not (counters.counters or counters.hw_counters):
        why = facts.why(ReadRdmaCounters()) or "the device has none"
        return Found("counters", "unknown", f"not read: {why}")
    errors = errors_of(counters)
    told = ", ".join(f"{name} {count}" for name, count in errors.items())
    return Found("counters", "ok", f"since the boot: {told}" if told else "no errors counted")


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
