"""The inventory that a lab writes: a plain one, or a user's own with its hosts exchanged."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

import yaml

from orchestrator.errors import FilesWrong
from orchestrator.lab.layout import End, Layout, Segment

POOL = "10.20.0.0/16"
KEY, KNOWN_HOSTS = "id_ed25519", "known_hosts"
SSH = {"user": "orch", "key": f"./{KEY}", "known_hosts": f"./{KNOWN_HOSTS}"}
HEADER = "# written by `orch lab up`; `orch lab down --name {name}` removes it\n"


def document(layout: Layout) -> dict[str, Any]:
    """The inventory of a lab that was asked for by size and topology."""
    return {
        "version": 1,
        "defaults": {"ssh": dict(SSH)},
        "hosts": {host.name: {"kind": "lab", "address": host.address} for host in layout.hosts},
        "links": [link(segment) for segment in layout.segments],
        "network": {"pool": POOL, "mtu": 9000},
    }


def link(segment: Segment) -> list[str] | dict[str, Any]:
    ends = [str(end) for end in segment.ends]
    return ends if segment.switch is None else {"switch": segment.switch, "ports": ends}


def text(name: str, inventory: Mapping[str, Any]) -> str:
    body = yaml.safe_dump(dict(inventory), sort_keys=False, default_flow_style=None, width=110)
    return HEADER.format(name=name) + body


def hosts_of(inventory: Mapping[str, Any]) -> list[str]:
    """Host names of a user's inventory, in its order."""
    hosts = inventory.get("hosts")
    if not isinstance(hosts, dict) or not hosts:
        raise FilesWrong("the inventory names no hosts", hint="it needs a `hosts:` mapping")
    return [str(name) for name in hosts]


def segments_of(inventory: Mapping[str, Any]) -> tuple[Segment, ...]:
    """Cables and switches of a user's inventory."""
    links = inventory.get("links") or []
    if not isinstance(links, list):
        raise FilesWrong("`links:` of the inventory is not a list")
    return tuple(_segment(item, number) for number, item in enumerate(links))


def _segment(item: Any, number: int) -> Segment:
    if isinstance(item, list):
        return Segment(_ends(item, number))
    if isinstance(item, dict) and "ends" in item:
        return Segment(_ends(item["ends"], number))
    if isinstance(item, dict) and "ports" in item:
        return Segment(_ends(item["ports"], number), switch=str(item.get("switch", "s1")))
    raise FilesWrong(
        f"links[{number}] is neither a cable nor a switch",
        hint="[a.p1, b.p1], {ends: [...]} or {switch: s1, ports: [...]}",
    )


def _ends(items: Any, number: int) -> tuple[End, ...]:
    ends = []
    for item in items if isinstance(items, list) else [items]:
        host, dot, port = str(item).rpartition(".")
        if not dot:
            raise FilesWrong(f"links[{number}]: {item} is not HOST.PORT", hint="like spark-1.p1")
        ends.append(End(host, port))
    return tuple(ends)


def rehearsal_of(inventory: Mapping[str, Any], layout: Layout) -> dict[str, Any]:
    """The user's inventory with lab hosts of the same names and links in place of its hosts."""
    made = deepcopy(dict(inventory))
    defaults = dict(made.get("defaults") or {})
    made["defaults"] = {**defaults, "ssh": dict(SSH)}
    made["hosts"] = {host.name: {"kind": "lab", "address": host.address} for host in layout.hosts}
    made["network"] = {"pool": POOL, "mtu": 9000, **(made.get("network") or {})}
    return made


def not_rehearsed(inventory: Mapping[str, Any]) -> list[str]:
    """What of a user's inventory a lab host does not have, each as one sentence."""
    said = []
    for name, host in inventory.get("hosts", {}).items():
        keys: Sequence[str] = sorted(set(host or {}) - {"kind", "address"})
        if keys:
            said.append(f"{name}: {', '.join(keys)} of your inventory is not rehearsed")
    return said


def pool_of(inventory: Mapping[str, Any]) -> str:
    """The pool of rail subnets, checked, because the lab's own networks must keep clear of it."""
    pool = str((inventory.get("network") or {}).get("pool", POOL))
    try:
        return str(ipaddress.ip_network(pool, strict=False))
    except ValueError as wrong:
        raise FilesWrong(f"network.pool {pool}: {wrong}") from wrong
