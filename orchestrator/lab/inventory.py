"""The inventory that a lab writes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from orchestrator.lab.layout import LabHost, Layout, Segment
from orchestrator.lab.records import MadeOf

POOL = "10.20.0.0/16"
KEY, KNOWN_HOSTS = "id_ed25519", "known_hosts"
SSH = {"user": "orch", "key": f"./{KEY}", "known_hosts": f"./{KNOWN_HOSTS}"}
KINDS: Mapping[MadeOf, str] = {"container": "lab", "vm": "lab-vm"}
HEADER = "# written by `orch lab up`; `orch lab down --name {name}` removes it\n"


def document(layout: Layout, made_of: MadeOf = "container") -> dict[str, Any]:
    """The inventory of a lab that was asked for by size and topology."""
    return {
        "version": 1,
        "defaults": {"ssh": dict(SSH)},
        "hosts": {host.name: entry(host, made_of) for host in layout.hosts},
        "links": [link(segment) for segment in layout.segments],
        "network": {"pool": POOL, "mtu": 9000},
    }


def entry(host: LabHost, made_of: MadeOf) -> dict[str, Any]:
    found: dict[str, Any] = {"kind": KINDS[made_of], "address": host.address}
    return found if host.port == 22 else found | {"ssh": {"port": host.port}}


def link(segment: Segment) -> list[str] | dict[str, Any]:
    ends = [str(end) for end in segment.ends]
    return ends if segment.switch is None else {"switch": segment.switch, "ports": ends}


def text(name: str, inventory: Mapping[str, Any]) -> str:
    body = yaml.safe_dump(dict(inventory), sort_keys=False, default_flow_style=None, width=110)
    return HEADER.format(name=name) + body
