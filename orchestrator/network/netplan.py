"""The text of orch's own netplan file, and what each interface shall have once it is applied."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from ipaddress import IPv4Interface
from typing import Literal

import jinja2
import yaml

from orchestrator.data import read_template
from orchestrator.network.fabric import Fabric
from orchestrator.spec.models import Cluster

NAME = "40-orch.yaml"
FOLDER = "/etc/netplan"
PATH = f"{FOLDER}/{NAME}"
MODE = 0o600
PRIORITY = 10  # of NetworkManager's profiles for our interfaces; a profile that says nothing has 0
Renderer = Literal["networkd", "NetworkManager"]


@dataclass(frozen=True)
class Wanted:
    """What one of our interfaces shall have. No address: link-local."""

    netdev: str
    port: str
    half: int
    mtu: int
    address: IPv4Interface | None
    ipv6: bool

    @property
    def link_local(self) -> tuple[str, ...]:
        return (("ipv4",) if self.address is None else ()) + (("ipv6",) if self.ipv6 else ())


def wanted_of(cluster: Cluster, fabric: Fabric, host: str) -> tuple[Wanted, ...]:
    """The interfaces of a host that links use, by port and half."""
    found = [
        Wanted(
            netdev=member.netdev,
            port=member.port,
            half=segment.half,
            mtu=segment.mtu,
            address=member.interface,
            ipv6=cluster.ipv6,
        )
        for segment, member in fabric.of_host(host)
    ]
    return tuple(sorted(found, key=lambda one: (one.port, one.half)))


def netplan_text(
    cluster: Cluster,
    fabric: Fabric,
    host: str,
    *,
    renderer: Renderer = "networkd",
    without: Iterable[str] = (),
) -> str:
    """The file for a host; "" where nothing is left to say. `without`: set by a file of the user's."""
    left_out = frozenset(without)
    wanted = [one for one in wanted_of(cluster, fabric, host) if one.netdev not in left_out]
    if not wanted:
        return ""
    text = read_template("netplan/40-orch.yaml.j2", cluster.root)
    return _compiled(text).render(interfaces=_rows(wanted), renderer=renderer, priority=PRIORITY)


def _rows(wanted: Sequence[Wanted]) -> list[dict[str, object]]:
    return [
        {
            "netdev": one.netdev,
            "port": one.port,
            "half": one.half,
            "mtu": one.mtu,
            "link_local": one.link_local,
            "address": str(one.address) if one.address is not None else "",
        }
        for one in wanted
    ]


@lru_cache(maxsize=8)
def _compiled(text: str) -> jinja2.Template:
    environment = jinja2.Environment(  # noqa: S701  YAML, not HTML: names go through yaml_key
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["yaml_key"] = _yaml_key
    return environment.from_string(text)


@cache
def _yaml_key(text: str) -> str:
    """A name as YAML writes it: `on` and `1e3` are interfaces too, if they are quoted."""
    return yaml.safe_dump(text, width=1000).splitlines()[0]
