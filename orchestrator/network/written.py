"""The inventory that `orch init` writes: what was found, with a comment wherever a person should look."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from orchestrator.network.discovery import Discovery, WrittenLink, links_of
from orchestrator.network.recognise import Recognised

HEADER = """\
# Written by `orch init`: what the hosts say of themselves and of their cables. Change what you like; it is only
# written again with --force, and then a copy is kept. `orch init` without a host compares it with the cables.
version: 1
"""


@dataclass(frozen=True)
class WrittenHost:
    """A host as it stands in the file."""

    name: str
    address: str
    found: Recognised
    ssh: Mapping[str, Any] = field(default_factory=dict)  # beyond `defaults:`
    kernel: str = ""


def inventory_text(
    hosts: Sequence[WrittenHost], cabled: Discovery, defaults: Mapping[str, Any]
) -> str:
    """The whole file."""
    lines = [HEADER.rstrip()]
    if defaults:
        lines += ["defaults:", f"  ssh: {_flow(defaults)}"]
    lines.append("hosts:")
    for host in hosts:
        lines += _host(host)
    lines += _links(cabled)
    lines += [
        "# Subnets come from this pool, one for each half of each link; /etc/netplan/40-orch.yaml sets them.",
        "network: {pool: 10.20.0.0/16}",
    ]
    return "\n".join(lines) + "\n"


def _host(host: WrittenHost) -> Iterator[str]:
    entry: dict[str, Any] = {"kind": host.found.kind, "address": host.address}
    if host.ssh:
        entry["ssh"] = dict(host.ssh)
    also = f"; {' or '.join(host.found.also)} fits too" if host.found.also else ""
    yield f"  # {host.found.why}{also}"
    if host.found.ports is None and not host.found.gpus:
        yield f"  {_flow(host.name)}: {_flow(entry)}"
        return
    yield f"  {_flow(host.name)}:"
    for key, value in entry.items():
        yield f"    {key}: {_flow(value)}"
    if host.found.gpus:
        yield "    gpus:"
        for gpu in host.found.gpus:
            yield f"      - {_flow(gpu.model_dump(exclude_none=True))}"
    if host.found.ports:
        yield "    ports:                    # every card that is not the way to this host"
        for name, port in host.found.ports.items():
            halves = [half.model_dump(exclude_none=True) for half in port.halves]
            yield f"      {_flow(name)}: {_flow({'gbps': port.gbps, 'halves': halves})}"


def _links(cabled: Discovery) -> Iterator[str]:
    written = links_of(cabled)
    if written:
        yield "links:                        # as the hosts saw each other"
        for link in written:
            yield f"  - {link_text(link)}"
    else:
        yield "# No host saw another one over its ports: write the cables down, like - [spark-1.p1, spark-2.p1]"
        yield "links: []"
    for end in cabled.silent:
        yield f"  # {end}: nobody was seen"
    for host in cabled.blind:
        yield f"  # {host} could not look: it takes root and python3, or IPv6 on its ports, or LLDP"


def link_text(link: WrittenLink) -> str:
    """A link in one line of YAML."""
    ends = [str(end) for end in link.ends]
    return _flow(ends if link.switch is None else {"switch": link.switch, "ports": ends})


def _flow(value: object) -> str:
    """One line of YAML, with quotes where it needs them."""
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10_000)
    return text.removesuffix("\n...\n").strip()
