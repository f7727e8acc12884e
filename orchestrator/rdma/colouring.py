"""Edges of a graph in as few colours as can be proven: no two of a colour meet at an end."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol, TypeVar


class Edge(Protocol):
    """Two ends; hashable."""

    @property
    def ends(self) -> tuple[str, str]: ...


E = TypeVar("E", bound=Edge)
Colours = dict[str, dict[int, E]]  # end → colour → the edge that has it there


def by_alternating_paths(edges: Sequence[E], most: int, sides: Mapping[str, bool]) -> list[list[E]]:
    """Kőnig: a graph with two sides needs as many colours as its busiest end has edges; double edges included."""
    at: Colours[E] = defaultdict(dict)
    for edge in edges:
        left, right = edge.ends if sides[edge.ends[0]] else edge.ends[::-1]
        first, second = _free(at[left], most), _free(at[right], most)
        if first in at[right]:
            _swap(at, right, first, second)
        at[left][first] = at[right][first] = edge
    return _classes(at, edges)


def by_fans(edges: Sequence[E]) -> list[list[E]]:
    """Misra and Gries: at most one colour more than the busiest end of a simple graph has edges."""
    count: dict[str, int] = defaultdict(int)
    for edge in edges:
        for end in edge.ends:
            count[end] += 1
    most = max(count.values(), default=0) + 1
    at: Colours[E] = defaultdict(dict)
    for edge in edges:
        _add_with_fan(at, edge, most)
    return _classes(at, edges)


def _add_with_fan(at: Colours[E], edge: E, most: int) -> None:
    centre, leaf = edge.ends
    fan = _fan(at, centre, leaf, edge, most)
    free_here, free_there = _free(at[centre], most), _free(at[fan[-1][0]], most)
    if free_there in at[centre]:
        _swap(at, centre, free_there, free_here)
    for length, (end, _) in enumerate(fan):
        if free_there not in at[end] and _still_a_fan(at, centre, fan[: length + 1]):
            _rotate(at, centre, fan[: length + 1], free_there)
            return
    raise AssertionError("a fan that can't be turned")  # Misra and Gries prove that there is none


def _fan(at: Colours[E], centre: str, leaf: str, edge: E, most: int) -> list[tuple[str, E]]:
    """Neighbours of the centre, each edge's colour free at the one before; as long as it gets."""
    fan = [(leaf, edge)]
    seen = {leaf}
    coloured = sorted(at[centre].items())
    growing = True
    while growing:
        growing = False
        for colour, other in coloured:
            end = _across(other, centre)
            if end not in seen and colour not in at[fan[-1][0]]:
                fan.append((end, other))
                seen.add(end)
                growing = True
    return fan


def _still_a_fan(at: Colours[E], centre: str, fan: Sequence[tuple[str, E]]) -> bool:
    """After colours along a path were swapped."""
    colour_of = {edge: colour for colour, edge in at[centre].items()}
    return all(
        colour_of[fan[place][1]] not in at[fan[place - 1][0]] for place in range(1, len(fan))
    )


def _rotate(at: Colours[E], centre: str, fan: Sequence[tuple[str, E]], last: int) -> None:
    """Each edge of the fan takes the colour of the next, the last one the free colour."""
    colour_of = {edge: colour for colour, edge in at[centre].items()}
    wanted = [colour_of[edge] for _, edge in fan[1:]] + [last]
    for end, edge in fan[1:]:
        del at[centre][colour_of[edge]]
        del at[end][colour_of[edge]]
    for (end, edge), colour in zip(fan, wanted, strict=True):
        at[centre][colour] = at[end][colour] = edge


def _swap(at: Colours[E], start: str, first: int, second: int) -> None:
    """Along the path of these two colours from `start` on, each becomes the other."""
    path: list[tuple[E, int, int]] = []
    end, old, new = start, first, second
    while old in at[end]:
        edge = at[end][old]
        path.append((edge, old, new))
        end, old, new = _across(edge, end), new, old
    for edge, old, _ in path:
        for each in edge.ends:
            at[each].pop(old, None)
    for edge, _, new in path:
        for each in edge.ends:
            at[each][new] = edge


def _across(edge: E, end: str) -> str:
    a, b = edge.ends
    return b if end == a else a


def _free(used: Mapping[int, E], most: int) -> int:
    return next(colour for colour in range(most) if colour not in used)


def _classes(at: Colours[E], edges: Iterable[E]) -> list[list[E]]:
    """Edges by colour, in their own order."""
    colour_of = {edge: colour for each in at.values() for colour, edge in each.items()}
    found: dict[int, list[E]] = defaultdict(list)
    for edge in edges:
        found[colour_of[edge]].append(edge)
    return [found[colour] for colour in sorted(found)]
