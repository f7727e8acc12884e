"""Links of the inventory → cables with names that stay: what is plugged where, and what can't be so."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from ipaddress import IPv4Network

from orchestrator.spec.models import Cluster, Finding, Half, Link, PortRef


@dataclass(frozen=True)
class End:
    host: str
    port: str
    halves: tuple[Half, ...]


@dataclass(frozen=True)
class Cable:
    """A link with its ends in order. `name` is what its subnets are derived from."""

    name: str
    ends: tuple[End, ...]
    switch: str | None
    pinned: tuple[IPv4Network, ...] | None
    path: str  # where it stands in the inventory
    at_once: int | None = None  # pairs that its switch carries at the same time

    @property
    def halves(self) -> int:
        """Halves that at least two ends have."""
        counts = sorted((len(end.halves) for end in self.ends), reverse=True)
        return counts[1]


def natural(text: str) -> tuple[tuple[int, int | str], ...]:
    """A sort key with numbers as numbers: spark-2 before spark-10."""
    parts = re.split(r"(\d+)", text)
    return tuple((0, int(part)) if part.isdigit() else (1, part) for part in parts)


def cables(cluster: Cluster) -> tuple[tuple[Cable, ...], tuple[Finding, ...]]:
    """Every link whose ends exist, and what is wrong with the others."""
    findings: list[Finding] = []
    found: list[Cable] = []
    for index, link in enumerate(cluster.links):
        path = f"links.{index}"
        wrong = _wrong_ends(cluster, link, path)
        findings += wrong
        if not wrong:
            found.append(_cable(cluster, link, path))
    findings += _used_twice(found)
    return _unique(found), tuple(findings)


def _cable(cluster: Cluster, link: Link, path: str) -> Cable:
    ends = tuple(
        End(ref.host, ref.port, cluster.hosts[ref.host].ports[ref.port].halves)
        for ref in sorted(link.ends, key=lambda ref: natural(str(ref)))
    )
    return Cable(_name(link), ends, link.switch, link.subnets, path, link.at_once)


def _name(link: Link) -> str:
    """A direct cable is its two ends; a switch keeps its name when a host is added to it."""
    if link.switch is None:
        return "~".join(sorted((str(ref) for ref in link.ends), key=natural))
    ports = sorted({ref.port for ref in link.ends}, key=natural)
    return f"{link.switch}:{','.join(ports)}"


def _unique(found: list[Cable]) -> tuple[Cable, ...]:
    """Two links over one switch with the same port names: told apart by their first end."""
    names = [cable.name for cable in found]
    return tuple(
        replace(cable, name=f"{cable.name}@{cable.ends[0].host}")
        if cable.switch is not None and names.count(cable.name) > 1
        else cable
        for cable in found
    )


def _wrong_ends(cluster: Cluster, link: Link, path: str) -> list[Finding]:
    findings = [wrong for ref in link.ends if (wrong := _unknown(cluster, ref, path))]
    hosts = [ref.host for ref in link.ends]
    doubled = sorted({host for host in hosts if hosts.count(host) > 1})
    if len(hosts) < 2:
        findings.append(Finding(message="a cable with one end", path=path))
    elif doubled and link.switch is None:
        findings.append(Finding(message=f"{doubled[0]} is cabled to itself", path=path))
    elif doubled:
        findings.append(
            Finding(
                message=f"{doubled[0]} has two ports in one link of switch {link.switch}",
                path=path,
                suggestion="two interfaces of a host can't share a subnet: make a link per port",
            )
        )
    return findings


def _unknown(cluster: Cluster, ref: PortRef, path: str) -> Finding | None:
    host = cluster.hosts.get(ref.host)
    if host is None:
        return Finding(message=f"there is no host {ref.host!r}", path=path)
    if ref.port not in host.ports:
        known = ", ".join(sorted(host.ports)) or "none"
        return Finding(
            message=f"{ref.host} has no port {ref.port!r}", path=path, suggestion=f"ports: {known}"
        )
    management = {half.netdev for half in host.ports[ref.port].halves} & set(host.management)
    if management:
        return Finding(
            message=f"{ref} is {min(management)}, which is a management interface of {ref.host}",
            path=path,
            suggestion="links are for the fabric; the management interface is never changed",
        )
    return None


def _used_twice(found: Iterable[Cable]) -> list[Finding]:
    users: dict[tuple[str, str], list[Cable]] = defaultdict(list)
    for cable in found:
        for end in cable.ends:
            users[end.host, end.port].append(cable)
    return [
        Finding(
            message=f"{host}.{port} is in two links ({each[0].path} and {each[1].path})",
            path=each[1].path,
        )
        for (host, port), each in users.items()
        if len(each) > 1
    ]
