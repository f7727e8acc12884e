"""Who is tested with whom when: rounds in which everybody works at once.

Links are the edges of a graph, rounds its colours. Each connected part is coloured for itself: by the circle method
where that is within the bound (all-pairs: N-1 rounds for even N, N for odd), exactly where no odd ring is in it
(Kőnig: as many as the busiest end has links), else by Misra and Gries (one more at most).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from orchestrator.network.cabling import natural
from orchestrator.rdma.colouring import by_alternating_paths, by_fans


@dataclass(frozen=True, order=True)
class Pair:
    """Two ends that are busy while they are tested: hosts, or "host.port" where a host's ports are independent."""

    a: str
    b: str
    name: str = ""  # the link's, to tell two cables between the same hosts apart
    switches: tuple[str, ...] = ()  # that its traffic passes

    @property
    def ends(self) -> tuple[str, str]:
        return self.a, self.b


Round = tuple[Pair, ...]


def all_pairs(hosts: Sequence[str], switches: tuple[str, ...] = ()) -> tuple[Pair, ...]:
    """Everybody with everybody, each pair once."""
    return tuple(Pair(a, b, "", switches) for a, b in combinations(hosts, 2))


def rounds(
    pairs: Iterable[Pair], at_once: Mapping[str, int] | None = None
) -> tuple[tuple[Pair, ...], ...]:
    """Rounds with each pair once and nobody twice in one; `at_once`: pairs that a switch bears at the same time."""
    each = _in_order(pairs)
    for pair in each:
        if pair.a == pair.b:
            raise ValueError(f"{pair.a} can't be tested with itself")
    limits = dict(at_once or {})
    if any(limit < 1 for limit in limits.values()):
        raise ValueError("a switch bears at least one pair at a time")
    found: dict[int, list[Pair]] = defaultdict(list)
    for part in _connected(each):
        for number, members in enumerate(_coloured(part)):
            found[number] += members
    return tuple(one for number in sorted(found) for one in _within(found[number], limits))


def _in_order(pairs: Iterable[Pair]) -> list[Pair]:
    """Each once, spark-2 before spark-10: whoever asks, in whatever order, gets the same rounds."""
    each = set(pairs)
    words = {word for pair in each for word in (pair.a, pair.b, pair.name)}
    place = {
        word: number for number, word in enumerate(sorted(words, key=lambda w: (natural(w), w)))
    }
    return sorted(each, key=lambda p: (place[p.a], place[p.b], place[p.name], p.switches))


def _connected(pairs: Sequence[Pair]) -> list[list[Pair]]:
    """Parts of the graph that have no end in common."""
    leader: dict[str, str] = {}

    def find(end: str) -> str:
        while leader.setdefault(end, end) != end:
            leader[end] = end = leader[leader[end]]
        return end

    for pair in pairs:
        leader[find(pair.a)] = find(pair.b)
    parts: dict[str, list[Pair]] = defaultdict(list)
    for pair in pairs:
        parts[find(pair.a)].append(pair)
    return list(parts.values())


def _coloured(pairs: Sequence[Pair]) -> list[list[Pair]]:
    """Rounds for one part. Several cables between the same two ends: a layer each, where nothing better is known."""
    sides = _sides(pairs)
    busiest = max(Counter(end for pair in pairs for end in pair.ends).values())
    ends = sorted({end for pair in pairs for end in pair.ends}, key=lambda e: (natural(e), e))
    layers = _layers(pairs)
    whole = len(ends) - 1 + len(ends) % 2
    if len(layers) == 1 and whole <= busiest + (sides is None):
        return _circle(ends, pairs)
    if sides is not None:
        return by_alternating_paths(pairs, busiest, sides)
    return [one for layer in layers for one in by_fans(layer)]


def _circle(ends: Sequence[str], pairs: Iterable[Pair]) -> list[list[Pair]]:
    """One stands still, the others walk around it; for an odd number nobody stands there."""
    place = {end: number for number, end in enumerate(ends)}
    walkers = len(ends) - 1 + len(ends) % 2
    found: dict[int, list[Pair]] = defaultdict(list)
    for pair in pairs:
        a, b = place[pair.a], place[pair.b]
        still = max(a, b) == walkers
        found[2 * min(a, b) % walkers if still else (a + b) % walkers].append(pair)
    return [found[number] for number in sorted(found)]


def _sides(pairs: Iterable[Pair]) -> Mapping[str, bool] | None:
    """Ends on two sides with every link across; None where an odd ring forbids it."""
    near: dict[str, list[str]] = defaultdict(list)
    for pair in pairs:
        near[pair.a].append(pair.b)
        near[pair.b].append(pair.a)
    sides: dict[str, bool] = {}
    for start in near:
        if start in sides:
            continue
        sides[start] = False
        waiting = [start]
        while waiting:
            end = waiting.pop()
            for other in near[end]:
                if other not in sides:
                    sides[other] = not sides[end]
                    waiting.append(other)
                elif sides[other] == sides[end]:
                    return None
    return sides


def _layers(pairs: Iterable[Pair]) -> list[list[Pair]]:
    """The n-th cable between the same two ends goes into the n-th layer."""
    count: Counter[frozenset[str]] = Counter()
    layers: dict[int, list[Pair]] = defaultdict(list)
    for pair in pairs:
        both = frozenset(pair.ends)
        layers[count[both]].append(pair)
        count[both] += 1
    return [layers[number] for number in sorted(layers)]


def _within(members: Sequence[Pair], limits: Mapping[str, int]) -> list[Round]:
    """A round, parted where a switch would have to bear more than it may."""
    parts: list[tuple[list[Pair], Counter[str]]] = []
    for pair in members:
        passed = set(pair.switches)
        room = (
            part
            for part in parts
            if all(part[1][one] < limits.get(one, len(members)) for one in passed)
        )
        part = next(room, None)
        if part is None:
            part = ([], Counter())
            parts.append(part)
        part[0].append(pair)
        part[1].update(passed)
    return [tuple(part) for part, _ in parts]
