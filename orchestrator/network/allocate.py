"""Which subnet a link gets, and which number a host has in it: by hash and by place, never by chance."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import AddressValueError, IPv4Address, IPv4Network
from itertools import combinations

from orchestrator.network.cabling import Cable
from orchestrator.spec.derived import once
from orchestrator.spec.models import Cluster, Finding

PREFIX = 24  # of every subnet from the pool
BLOCK = 2  # subnets that are handed out together: the two halves of a port lie side by side
FIRST_HOST = 10  # .1 to .9 stay free, as in NVIDIA's own files

Subnets = dict[str, tuple[IPv4Network, ...]]


def pick_subnets(cluster: Cluster, found: Sequence[Cable]) -> tuple[Subnets, tuple[Finding, ...]]:
    """Cable → one subnet per half: the pinned ones, the rest from the pool."""
    pinned = {cable.name: cable.pinned for cable in found if cable.pinned is not None}
    findings = [one for cable in found for one in _wrong_pins(cluster, cable)]
    findings += _overlapping_pins([cable for cable in found if cable.pinned is not None])
    free = [cable for cable in found if cable.pinned is None]
    taken = [subnet for subnets in pinned.values() for subnet in subnets]
    drawn = _draw(cluster.pool, free, taken, management_addresses(cluster))
    if drawn is None:
        wanted = sum(cable.halves for cable in free)
        findings.append(
            Finding(
                message=f"the pool {cluster.pool} has no room for {wanted} subnets of /{PREFIX}",
                path="network.pool",
                suggestion="a wider pool, like 10.20.0.0/16",
            )
        )
    return {**pinned, **(drawn or {})}, tuple(findings)


def management_addresses(cluster: Cluster) -> dict[IPv4Address, str]:
    """Addresses by which hosts are reached, as far as the files tell: no subnet may hold one."""
    found: dict[IPv4Address, str] = {}
    for host in cluster.hosts.values():
        try:
            found[IPv4Address(host.address)] = host.name
        except AddressValueError:
            continue  # a name: the host's own facts are compared before anything is changed
    return found


def _draw(
    pool: IPv4Network,
    free: Sequence[Cable],
    taken: Sequence[IPv4Network],
    management: Iterable[IPv4Address],
) -> Subnets | None:
    if not free:
        return {}
    blocks = _Blocks(pool)
    wanted = {
        (cable.name, part): _digest(f"{cable.name}#{part}")
        for cable in free
        for part in range(-(-cable.halves // BLOCK))
    }
    closed = blocks.closed([*taken, *(IPv4Network(address) for address in management)])
    places = _settle(wanted, len(blocks), closed)
    if places is None:
        return None
    drawn: Subnets = {}
    for cable in free:
        parts = range(-(-cable.halves // BLOCK))
        all_parts = [net for part in parts for net in blocks.subnets(places[cable.name, part])]
        drawn[cable.name] = tuple(all_parts[: cable.halves])
    return drawn


class _Blocks:
    """The pool as numbered blocks of neighbouring subnets."""

    def __init__(self, pool: IPv4Network) -> None:
        self._pool = pool
        subnets = 1 << max(0, PREFIX - pool.prefixlen) if pool.prefixlen <= PREFIX else 0
        self._count = subnets // BLOCK

    def __len__(self) -> int:
        return self._count

    def subnets(self, block: int) -> list[IPv4Network]:
        size = 1 << (32 - PREFIX)
        first = int(self._pool.network_address) + block * BLOCK * size
        return [IPv4Network((first + part * size, PREFIX)) for part in range(BLOCK)]

    def closed(self, taken: Iterable[IPv4Network]) -> set[int]:
        """Blocks that hold a part of these networks."""
        size = BLOCK << (32 - PREFIX)
        start, found = int(self._pool.network_address), set[int]()
        for one in taken:
            if one.overlaps(self._pool):
                low = max(0, (int(one.network_address) - start) // size)
                high = min(self._count - 1, (int(one.broadcast_address) - start) // size)
                found.update(range(low, high + 1))
        return found


def _settle(
    wanted: dict[tuple[str, int], int], count: int, closed: set[int]
) -> dict[tuple[str, int], int] | None:
    """Everyone's own place first, to the lowest hash; who lost goes on by steps of its own hash."""
    if len(wanted) > count - len(closed):
        return None
    homes: dict[int, list[tuple[str, int]]] = defaultdict(list)
    for key, digest in wanted.items():
        homes[digest % count].append(key)
    places: dict[tuple[str, int], int] = {}
    for home, keys in homes.items():
        if home not in closed:
            places[min(keys, key=lambda key: (wanted[key], key))] = home
    used = closed | set(places.values())
    for key in sorted(wanted.keys() - places.keys(), key=lambda key: (wanted[key], key)):
        places[key] = next(one for one in _probe(wanted[key], count) if one not in used)
        used.add(places[key])
    return places


def _probe(digest: int, count: int) -> Iterator[int]:
    """All places, in an order of the digest's own: the count is a power of two, the step odd."""
    step = (digest // count) | 1
    return ((digest + turn * step) % count for turn in range(count))


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:12], "big")


def _wrong_pins(cluster: Cluster, cable: Cable) -> Iterator[Finding]:
    if cable.pinned is None:
        return
    path = f"{cable.path}.subnets"
    if len(cable.pinned) != cable.halves:
        yield Finding(
            message=f"{len(cable.pinned)} subnets pinned, the ports have {cable.halves} halves",
            path=path,
            suggestion=f"give {cable.halves}, one per half",
        )
    for one, other in combinations(cable.pinned, 2):
        if one.overlaps(other):
            yield Finding(
                message=f"two halves of a port in one subnet ({one}, {other})",
                path=path,
                suggestion="the kernel then answers for either half on both: give each its own",
            )
    for address, host in management_addresses(cluster).items():
        for subnet in cable.pinned:
            if address in subnet:
                yield Finding(
                    message=f"{subnet} holds {address}, by which {host} is reached", path=path
                )


def _overlapping_pins(found: Sequence[Cable]) -> list[Finding]:
    """Pinned subnets of different links that overlap: neighbours in the order of their addresses."""
    pins = sorted(
        ((subnet, cable) for cable in found for subnet in cable.pinned or ()),
        key=lambda pin: (int(pin[0].network_address), pin[0].prefixlen, pin[1].path),
    )
    findings = []
    widest = pins[0] if pins else None
    for pin in pins[1:]:
        subnet, cable = pin
        if widest and subnet.overlaps(widest[0]) and cable.path != widest[1].path:
            findings.append(
                Finding(
                    message=f"{subnet} overlaps {widest[0]} of {widest[1].path}",
                    path=f"{cable.path}.subnets",
                    suggestion="every link and half needs its own subnet",
                )
            )
        if widest is None or subnet.broadcast_address > widest[0].broadcast_address:
            widest = pin
    return findings


@once
def _places(cluster: Cluster) -> dict[str, int]:
    """Host → its place in the inventory."""
    return {name: place for place, name in enumerate(cluster.hosts)}


def host_numbers(cluster: Cluster, cable: Cable, subnet: IPv4Network) -> dict[str, int] | None:
    """Host → its number in the subnet; None where it has no room.

    A cable's ends are .10 and .11. On a switch a host's number is its place in the inventory, so that it
    stays when ports are added or removed.
    """
    room = subnet.num_addresses - 2 if subnet.prefixlen < 31 else subnet.num_addresses
    if room < len(cable.ends):
        return None
    first = 1 if subnet.prefixlen < 31 else 0
    if room >= FIRST_HOST + len(cable.ends):
        first, room = FIRST_HOST, room - FIRST_HOST + 1
    if cable.switch is None:
        return {end.host: first + place for place, end in enumerate(cable.ends)}
    order = _places(cluster)
    numbers: dict[str, int] = {}
    used: set[int] = set()
    for end in sorted(cable.ends, key=lambda end: order[end.host]):
        place = order[end.host] % room
        while place in used:
            place = (place + 1) % room
        used.add(place)
        numbers[end.host] = first + place
    return numbers
