"""`lab up --like`: the shape of a user's own inventory, and that inventory with lab hosts in place of its hosts."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from orchestrator.lab.inventory import POOL, SSH
from orchestrator.lab.layout import SPARK_PORTS, End, Layout, Ports, Segment
from orchestrator.spec.models import Cluster
from orchestrator.spec.resolve import load_inventory

# what a lab host has in the user's own way; the rest of a host's entry is the real machine's
KEPT = ("runtime", "become", "gpus", "env")


@dataclass(frozen=True)
class Model:
    """The inventory that a lab is built like."""

    raw: dict[str, Any]
    hosts: tuple[str, ...]
    segments: tuple[Segment, ...]
    ports: Ports
    networks: tuple[str, ...]  # what the lab's own must keep clear of


def read(path: Path) -> Model:
    """Read and check an inventory as every verb does: all errors at once, with their positions."""
    cluster = load_inventory(path)
    segments = tuple(
        Segment(tuple(End(end.host, end.port) for end in link.ends), link.switch)
        for link in cluster.links
    )
    pinned = (str(subnet) for link in cluster.links for subnet in link.subnets or ())
    raw = yaml.safe_load(path.read_text())
    return Model(
        {key: value for key, value in raw.items() if not str(key).startswith("x-")},
        tuple(cluster.hosts),
        segments,
        _ports(cluster),
        (str(cluster.pool), *pinned),
    )


def _ports(cluster: Cluster) -> Ports:
    """The netdevs of each host's ports, from its kind or its own entry."""
    return {
        host.name: {
            port: tuple(half.netdev for half in spec.halves) for port, spec in host.ports.items()
        }
        for host in cluster.hosts.values()
    }


def rehearsal(model: Model, layout: Layout) -> dict[str, Any]:
    """The user's inventory with lab hosts of the same names, ports and links in place of its hosts."""
    made = deepcopy(model.raw)
    made["defaults"] = {"ssh": dict(SSH)}
    defaults = model.raw.get("defaults") or {}
    made["hosts"] = {}
    for host in layout.hosts:
        own = {**defaults, **(model.raw["hosts"][host.name] or {})}
        entry: dict[str, Any] = {"kind": "lab", "address": host.address}
        entry |= {key: own[key] for key in KEPT if key in own}
        if model.ports[host.name] != SPARK_PORTS and model.ports[host.name]:
            entry["ports"] = _entry(model.ports[host.name])
        made["hosts"][host.name] = entry
    network = made.get("network") or {}
    made["network"] = {"pool": POOL, "mtu": 9000, **network}
    return made


def _entry(ports: Mapping[str, tuple[str, ...]]) -> dict[str, Any]:
    return {port: {"halves": [{"netdev": name} for name in names]} for port, names in ports.items()}


def not_rehearsed(model: Model) -> list[str]:
    """What of the user's inventory a lab host does not have, each as one sentence."""
    said = []
    for name, host in model.raw["hosts"].items():
        left = sorted(set(host or {}) - {"kind", "address", "ports", *KEPT})
        if left:
            said.append(f"{name}: {', '.join(left)} of your inventory")
    return said
