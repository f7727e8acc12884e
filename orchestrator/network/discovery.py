"""Which port is cabled to which, from what the hosts saw of each other; and where the inventory says otherwise.

Ports, not interfaces: what one half of a port sends arrives at both halves of the other end. Two ports that see
only each other are a cable; more are a switch, and so are two where LLDP names one between them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from orchestrator.facts.answers import LldpNeighbour, Neighbour, Sighting
from orchestrator.network.cabling import natural
from orchestrator.spec.models import Cluster, Link, PortRef

Ports = Mapping[str, Mapping[str, tuple[str, ...]]]  # host → port → its netdevs


@dataclass(frozen=True)
class Seen:
    """What one host is and saw. `ways` names what could be tried there; empty: nothing tells."""

    macs: Mapping[str, str]  # of its own netdevs
    hostname: str = ""
    frames: tuple[Sighting, ...] = ()
    neighbours: tuple[Neighbour, ...] = ()
    lldp: tuple[LldpNeighbour, ...] = ()
    ways: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plugged:
    """Ports that reach each other, in order."""

    ends: tuple[PortRef, ...]
    switch: str | None = None  # its name over LLDP, or one made up where more than two ports meet

    @property
    def is_cable(self) -> bool:
        return self.switch is None


@dataclass(frozen=True)
class Discovery:
    """What the cables are, as far as the hosts can tell."""

    plugged: tuple[Plugged, ...]
    silent: tuple[PortRef, ...]  # listened to, and nobody was seen
    blind: tuple[str, ...] = ()  # hosts where nothing could be tried

    def partners(self, end: PortRef) -> tuple[PortRef, ...]:
        """Who else is on the wire of a port."""
        for one in self.plugged:
            if end in one.ends:
                return tuple(other for other in one.ends if other != end)
        return ()


@dataclass(frozen=True)
class Difference:
    """Where the inventory and the cables disagree, or can't be compared."""

    grade: Literal["wrong", "unknown"]
    message: str
    path: str = ""  # of the link in the inventory


def discover(ports: Ports, seen: Mapping[str, Seen]) -> Discovery:
    """Who is plugged to whom."""
    places = _Places(ports, seen)
    joined = _Joined()
    switches: dict[PortRef, str] = {}
    for host, one in seen.items():
        for netdev, other in _sightings(host, one, places):
            here = places.port(host, netdev)
            if here is not None and other.host != host:
                joined.join(here, other)
        for told in one.lldp:
            here = places.port(host, told.netdev)
            if here is not None and places.of_lldp(told) is None:
                switches[here] = told.system or told.chassis
    for name in set(switches.values()):
        on_it = [end for end, other in switches.items() if other == name]
        for end in on_it[1:]:
            joined.join(on_it[0], end)
    return _told(ports, seen, joined, switches)


def _told(
    ports: Ports, seen: Mapping[str, Seen], joined: _Joined, switches: Mapping[PortRef, str]
) -> Discovery:
    plugged: list[Plugged] = []
    for ends in joined.groups():
        names = sorted({switches[end] for end in ends if end in switches})
        made_up = "s" if len(ends) > 2 else None
        plugged.append(Plugged(ends, names[0] if names else made_up))
    plugged = _numbered(sorted(plugged, key=lambda one: natural(str(one.ends[0]))))
    heard = {end for one in plugged for end in one.ends}
    every = [PortRef(host=host, port=port) for host, each in ports.items() for port in each]
    blind = tuple(host for host in ports if host not in seen or not seen[host].ways)
    silent = tuple(end for end in every if end not in heard and end.host not in blind)
    return Discovery(tuple(plugged), silent, blind)


def _numbered(plugged: Sequence[Plugged]) -> list[Plugged]:
    """Switches without a name of their own: s1, s2, …"""
    count = 0
    found = []
    for one in plugged:
        if one.switch == "s":
            count += 1
            found.append(Plugged(one.ends, f"s{count}"))
        else:
            found.append(one)
    return found


def _sightings(host: str, seen: Seen, places: _Places) -> Iterator[tuple[str, PortRef]]:
    """Our netdev, and the port that was seen over it."""
    for frame in seen.frames:
        other = places.of_mac(frame.mac) or places.port(frame.host, frame.sender)
        if other is not None:
            yield frame.netdev, other
    for neighbour in seen.neighbours:
        other = places.of_mac(neighbour.mac)
        if other is not None:
            yield neighbour.netdev, other
    for told in seen.lldp:
        other = places.of_lldp(told)
        if other is not None:
            yield told.netdev, other


class _Places:
    """Whose a MAC or a netdev is. A MAC that two hosts have tells nothing."""

    def __init__(self, ports: Ports, seen: Mapping[str, Seen]) -> None:
        self._by_netdev = {
            (host, netdev): PortRef(host=host, port=port)
            for host, each in ports.items()
            for port, netdevs in each.items()
            for netdev in netdevs
        }
        owners: dict[str, set[PortRef]] = defaultdict(set)
        for host, one in seen.items():
            for netdev, mac in one.macs.items():
                end = self._by_netdev.get((host, netdev))
                if end is not None:
                    owners[mac.lower()].add(end)
        self._by_mac = {mac: next(iter(ends)) for mac, ends in owners.items() if len(ends) == 1}
        self._hosts = {one.hostname: host for host, one in seen.items() if one.hostname}

    def port(self, host: str, netdev: str) -> PortRef | None:
        return self._by_netdev.get((host, netdev))

    def of_mac(self, mac: str) -> PortRef | None:
        return self._by_mac.get(mac.lower())

    def of_lldp(self, told: LldpNeighbour) -> PortRef | None:
        """lldpd names a port by its MAC and describes it by its name; networkd by its name."""
        host = self._hosts.get(told.system, told.system)
        words = (told.port, told.described)
        found = (self.of_mac(word) or self.port(host, word) for word in words if word)
        return next((one for one in found if one is not None), None)


class _Joined:
    """Ports into groups that reach each other."""

    def __init__(self) -> None:
        self._group: dict[PortRef, frozenset[PortRef]] = {}

    def join(self, one: PortRef, other: PortRef) -> None:
        group = self._group.get(one, frozenset({one})) | self._group.get(other, frozenset({other}))
        self._group.update(dict.fromkeys(group, group))

    def groups(self) -> list[tuple[PortRef, ...]]:
        return [
            tuple(sorted(group, key=lambda end: natural(str(end))))
            for group in set(self._group.values())
        ]


# --- against the inventory ---------------------------------------------------------------------------


def compare(cluster: Cluster, found: Discovery) -> tuple[Difference, ...]:
    """Every link that is plugged otherwise, every cable without a link, and what could not be seen."""
    differences: list[Difference] = []
    for index, link in enumerate(cluster.links):
        path = f"links.{index}"
        told = _switch(link, found) if link.switch is not None else _cable(link, found)
        differences += [Difference(grade, message, path) for grade, message in told]
    linked = {end for link in cluster.links for end in link.ends}
    differences += [
        Difference("wrong", f"{_and(one.ends)} are {_joined_by(one)}, your file has no link for it")
        for one in found.plugged
        if not linked & set(one.ends) and len({end.host for end in one.ends}) > 1
    ]
    return tuple(differences)


Told = tuple[Literal["wrong", "unknown"], str]


def _cable(link: Link, found: Discovery) -> Iterator[Told]:
    one, other = link.ends
    real = found.partners(one)
    if other in real:
        if len(real) > 1:
            others = _and(end for end in real if end != other)
            yield (
                "wrong",
                f"{one} and {other} are on a switch with {others}, your file says a cable",
            )
        return
    seen = False
    for end, said in ((one, other), (other, one)):
        real = found.partners(end)
        if real:
            seen = True
            yield "wrong", f"the cable of {end} goes to {_and(real)}, your file says {said}"
    if not seen:
        yield (
            "unknown",
            f"nothing was seen over the cable from {one} to {other}{_blind(link, found)}",
        )


def _switch(link: Link, found: Discovery) -> Iterator[Told]:
    groups = [one for one in found.plugged if set(one.ends) & set(link.ends)]
    if not groups:
        yield "unknown", f"nothing was seen over switch {link.switch}{_blind(link, found)}"
        return
    largest = max(groups, key=lambda one: len(set(one.ends) & set(link.ends)))
    for end in link.ends:
        if end in largest.ends:
            continue
        real = found.partners(end)
        if real:
            yield (
                "wrong",
                f"the cable of {end} goes to {_and(real)}, your file says switch {link.switch}",
            )
        else:
            yield "unknown", f"{end} was not seen on switch {link.switch}{_blind(link, found)}"


def _blind(link: Link, found: Discovery) -> str:
    blind = sorted({end.host for end in link.ends} & set(found.blind))
    return f" ({_and(blind)} can't look: no root or python3, no IPv6, no LLDP)" if blind else ""


def _joined_by(one: Plugged) -> str:
    return "cabled together" if one.is_cable else f"on a switch ({one.switch})"


def _and(words: Iterable[object]) -> str:
    each = [str(word) for word in words]
    return " and ".join([", ".join(each[:-1]), each[-1]] if len(each) > 1 else each)


# --- as links ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class WrittenLink:
    """A link as it is written into an inventory."""

    ends: tuple[PortRef, ...]
    switch: str | None = None
    notes: tuple[str, ...] = field(default=())


def links_of(found: Discovery) -> tuple[WrittenLink, ...]:
    """A cable each, and for a switch a link for each port of a host: two can't share a subnet."""
    written: list[WrittenLink] = []
    for one in found.plugged:
        if one.is_cable:
            written.append(WrittenLink(one.ends))
            continue
        by_host: dict[str, list[PortRef]] = defaultdict(list)
        for end in one.ends:
            by_host[end.host].append(end)
        for place in range(max(len(ends) for ends in by_host.values())):
            ends = tuple(each[place] for each in by_host.values() if place < len(each))
            if len(ends) > 1:
                written.append(WrittenLink(ends, one.switch))
    return tuple(written)
