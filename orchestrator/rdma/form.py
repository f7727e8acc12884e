"""The versioned JSON of a fabric's verdict, docs/json.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from orchestrator.rdma.answers import FabricVerdict, LaneVerdict, LinkVerdict
from orchestrator.rdma.flow import Flow, flows, grid, is_latency, share
from orchestrator.rdma.past import Slower

VERSION = 1


def form(verdict: FabricVerdict, fallen: Mapping[str, Slower] | None = None) -> dict[str, Any]:
    """The document; `fallen`: link's name → since when it is slower than it was."""
    fallen = fallen or {}
    return {
        "version": VERSION,
        "run": verdict.run,
        "at": verdict.at,
        "state": verdict.state,
        "notes": list(verdict.notes),
        "hosts": list(grid(verdict.links).hosts),
        "links": [_link(one, fallen.get(one.name)) for one in verdict.links],
        "fingerprint": dict(verdict.fingerprint.parts),
    }


def _link(link: LinkVerdict, fallen: Slower | None) -> dict[str, Any]:
    return {
        "name": link.name,
        "link": link.link,
        "hosts": list(link.hosts),
        "state": link.state,
        "way": link.way,
        "gbps": link.gbps,
        "share": share(link.gbps, link.expected),
        "expected": asdict(link.expected),
        "latency_us": link.latency_us,
        "directions": [_direction(one) for one in flows(link)],
        "reasons": [asdict(one) for one in link.reasons],
        "lanes": [_lane(one) for one in link.lanes],
        "slower": _slower(fallen),
    }


def _direction(flow: Flow) -> dict[str, Any]:
    return {
        "from": flow.source,
        "to": flow.target,
        "gbps": flow.gbps,
        "of": flow.how or None,
        "state": flow.state,
    }


def _lane(one: LaneVerdict) -> dict[str, Any]:
    return {
        "name": one.lane.name,
        "half": one.lane.half + 1,
        "client": asdict(one.lane.client),
        "server": asdict(one.lane.server),
        "metric": "latency" if is_latency(one) else "bandwidth",
        "load": one.load,
        "way": one.way,
        "state": one.state,
        "expected": asdict(one.expected),
        "measured": asdict(one.measured) if one.measured else None,
        "reasons": [asdict(reason) for reason in one.reasons],
    }


def _slower(one: Slower | None) -> dict[str, Any] | None:
    if one is None:
        return None
    return {
        "since": one.since.at,
        "run": one.since.run,
        "was_gbps": one.was_gbps,
        "now_gbps": one.now_gbps,
        "changed": list(one.changed),
    }
