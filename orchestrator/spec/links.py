"""Links of the inventory → cables and switches between ports that exist, each port used once."""

from __future__ import annotations

from ipaddress import IPv4Network

from orchestrator.meant import did_you_mean
from orchestrator.spec.inventory import Inventory, Names
from orchestrator.spec.load import Files
from orchestrator.spec.models import Link, PinnedLink, PortRef, SwitchLink

Path = tuple[str | int, ...]


class LinkReader:
    """Reads links one after another and remembers which port is taken by which."""

    def __init__(self, files: Files, inventory: Inventory, names: Names) -> None:
        self._files = files
        self._inventory = inventory
        self._names = names
        self._taken: dict[PortRef, int] = {}
        self._pinned: dict[IPv4Network, int] = {}
        self._at_once: dict[str, tuple[int, int]] = {}  # switch → pairs, and the link that says so

    def read(self) -> tuple[Link, ...]:
        model = self._inventory.model
        if model is None or self._inventory.touched("links"):
            return ()
        links = (self._link(index, entry) for index, entry in enumerate(model.links))
        return tuple(link for link in links if link is not None)

    def _link(self, index: int, entry: tuple[str, ...] | SwitchLink | PinnedLink) -> Link | None:
        at: Path = ("links", index)
        switch = None
        subnets: tuple[str, ...] | None = None
        at_once = entry.at_once if isinstance(entry, SwitchLink) else None
        if isinstance(entry, SwitchLink):
            words, below, switch, subnets = entry.ports, "ports", entry.switch, entry.subnets
            self._check_at_once(entry, (*at, "at_once"), index)
        elif isinstance(entry, PinnedLink):
            words, below, subnets = entry.ends, "ends", entry.subnets
        else:
            words, below = entry, None
        base: Path = (*at, below) if below else at
        ends = [self._end(word, (*base, place), index) for place, word in enumerate(words)]
        ports = [end for end in ends if end is not None]
        if len({port.host for port in ports}) < len(ports) and switch is None:
            self._wrong(at, f"a cable from {ports[0].host} to itself", "name two hosts")
            return None
        networks = self._subnets(subnets, ports, (*at, "subnets"), index)
        if len(ports) < len(words):
            return None
        return Link(ends=tuple(ports), switch=switch, subnets=networks, at_once=at_once)

    def _check_at_once(self, entry: SwitchLink, at: Path, index: int) -> None:
        """It is the switch's, so its links must not disagree; one that says nothing has it too."""
        if entry.at_once is None:
            return
        said, first = self._at_once.setdefault(entry.switch, (entry.at_once, index))
        if said != entry.at_once:
            self._wrong(
                at,
                f"{entry.at_once} pairs at once, and links.{first} says {said} for the same switch",
                f"say it once for {entry.switch}: it holds for all of its links",
            )

    def _end(self, word: str, at: Path, index: int) -> PortRef | None:
        """`spark-2.p1` as a port of a host. Host names may have dots, port names have none."""
        host, dot, port = word.rpartition(".")
        if not dot:
            self._wrong(at, f"{word[:60]!r} names no port", "write HOST.PORT, like spark-1.p0")
            return None
        if host not in self._names.known:
            hint = did_you_mean(host, self._names.known)
            self._wrong(at, f"there is no host {host[:60]!r}", hint)
            return None
        if host not in self._names.hosts:
            return None  # what is wrong with the host has been said
        ports = self._names.hosts[host].ports
        if port not in ports:
            kind = self._names.hosts[host].kind.name
            hint = did_you_mean(port, tuple(ports)) or f"the kind {kind} has no ports"
            self._wrong(at, f"{host} has no port {port[:60]!r}", hint)
            return None
        end = PortRef(host=host, port=port)
        if end in self._taken:
            first = f"links.{self._taken[end]}"
            self._wrong(at, f"the port {end} is used twice; first in {first}")
            return None
        self._taken[end] = index
        return end

    def _subnets(
        self, texts: tuple[str, ...] | None, ports: list[PortRef], at: Path, index: int
    ) -> tuple[IPv4Network, ...] | None:
        if texts is None:
            return None
        halves = {len(self._names.hosts[end.host].ports[end.port].halves) for end in ports}
        if halves and len(texts) != min(halves):
            self._wrong(at, f"{len(texts)} subnets for {min(halves)} halves", "one for each half")
        found = [
            network(self._files, self._inventory, (*at, place), text)
            for place, text in enumerate(texts)
        ]
        for place, one in enumerate(found):
            if one is not None:
                self._check_subnet(one, len(ports), (*at, place), index)
        right = tuple(one for one in found if one is not None)
        return right if len(right) == len(texts) else None

    def _check_subnet(self, one: IPv4Network, ends: int, at: Path, index: int) -> None:
        for other, first in self._pinned.items():
            if one.overlaps(other) and first == index:
                self._wrong(
                    at,
                    f"both halves of a port in one subnet ({other}, {one}): the kernel answers for either"
                    " on both, and NCCL fails",
                    "give each half its own, like 192.168.100.0/24 and 192.168.101.0/24",
                )
            elif one.overlaps(other):
                self._wrong(at, f"{one} overlaps {other} of links.{first}", "each half its own")
        self._pinned[one] = index
        if one.num_addresses - 2 < ends:
            self._wrong(at, f"{one} has no room for {ends} ends", "a /24 is usual")

    def _wrong(self, at: Path, message: str, suggestion: str = "") -> None:
        self._files.add(self._inventory, at, message, suggestion)


def network(
    files: Files, inventory: Inventory, at: tuple[str | int, ...], text: str
) -> IPv4Network | None:
    """An IPv4 network that hosts may have addresses in; None after a finding."""
    try:
        found = IPv4Network(text, strict=False)
    except ValueError:
        files.add(inventory, at, f"{text[:60]!r} is no IPv4 network", "like 192.168.100.0/24")
        return None
    if "/" not in text or str(found.network_address) != text.split("/")[0]:
        hint = f"write {found}" if "/" in text else f"write {text}/24"
        files.add(inventory, at, f"{text[:60]!r} is no network but an address", hint)
        return None
    unfit = found.is_loopback or found.is_multicast or found.is_unspecified or found.is_reserved
    if unfit or found.is_link_local:
        files.add(inventory, at, f"{found} can't carry links", "take a private one, 10.20.0.0/16")
        return None
    return found
