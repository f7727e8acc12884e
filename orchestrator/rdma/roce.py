"""What is looked at on the RDMA device of a half: is it there, in which state, and can RoCE be spoken over it?"""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.contracts import World
from orchestrator.facts.answers import Netdev, RdmaDevice
from orchestrator.facts.assumed import ROCE_HEADERS, ROCE_MTUS
from orchestrator.facts.rdma import ReadRdma
from orchestrator.facts.rdma_counters import ReadRdmaCounters, errors_of
from orchestrator.network.fabric import Member, Segment
from orchestrator.rdma.reports import Answered, Found


def device_of(facts: Answered, netdev: str) -> RdmaDevice | None:
    rdma = facts.get(ReadRdma())
    devices = rdma.devices if rdma is not None else ()
    return next((one for one in devices if one.netdev == netdev), None)


def look_at_device(
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
        and (other := device_of(Answered(world[one.host]), one.netdev)) is not None
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
