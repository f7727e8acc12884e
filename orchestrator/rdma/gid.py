"""Which entry of a device's GID table fits an address: looked up each time, because indices move with addresses."""

from __future__ import annotations

from ipaddress import AddressValueError, IPv4Address, IPv6Address

from orchestrator.facts.answers import RdmaDevice

ROCE_2 = "RoCE v2"


def gid_index(device: RdmaDevice, address: str) -> int | None:
    """The index of the RoCE v2 GID of an IPv4 address; None where the device has none."""
    wanted = IPv4Address(address)
    fitting = (
        index for index, gid, kind in device.gids if kind.strip() == ROCE_2 and _v4(gid) == wanted
    )
    return min(fitting, default=None)


def _v4(gid: str) -> IPv4Address | None:
    try:
        return IPv6Address(gid).ipv4_mapped
    except AddressValueError:
        return None
