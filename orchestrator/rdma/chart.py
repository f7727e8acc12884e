"""A link's past as the points of a small drawing: where each run stands, and where something was changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.rdma.answers import State
from orchestrator.rdma.past import Past, Slower, changes, slower
from orchestrator.rdma.words import day, number

WIDTH, HEIGHT = 640, 120
LEFT, RIGHT, TOP, FLOOR = 44, 12, 20, 96  # where the drawing proper begins and ends
MOST = 60  # runs of one drawing


@dataclass(frozen=True)
class Dot:
    """One run."""

    x: float
    y: float
    state: State
    told: str
    number: bool  # else it stands on the floor


@dataclass(frozen=True)
class Mark:
    """The fingerprint was another one from here on."""

    x: float
    label: str
    when: str
    changed: tuple[str, ...]


@dataclass(frozen=True)
class Chart:
    name: str
    dots: tuple[Dot, ...]
    lines: tuple[str, ...]  # points of each unbroken stretch of runs with a number
    marks: tuple[Mark, ...]
    expected_y: float | None
    expected: float | None
    most: float
    first: str
    last: str
    fallen: Slower | None
    fallen_when: str


def chart(name: str, points: Sequence[Past]) -> Chart | None:
    """The newest runs, oldest first; None where there are none."""
    if not points:
        return None
    shown = points[-MOST:]
    expected = shown[-1].expected_gbps
    known = [one.gbps for one in shown if one.gbps is not None]
    most = max([*known, expected or 0.0]) * 1.05 or 1.0
    step = (WIDTH - LEFT - RIGHT) / max(1, len(shown) - 1)
    across = [round(LEFT + index * step, 1) for index in range(len(shown))]
    dots = tuple(_dot(one, x, most) for one, x in zip(shown, across, strict=True))
    fallen = slower(points)
    return Chart(
        name,
        dots,
        _stretches(dots),
        _marks(shown, across, step),
        _up(expected, most) if expected is not None else None,
        expected,
        most,
        day(shown[0].at),
        day(shown[-1].at),
        fallen,
        day(fallen.since.at) if fallen else "",
    )


def _up(gbps: float, most: float) -> float:
    return round(FLOOR - (FLOOR - TOP) * gbps / most, 1)


def _dot(one: Past, x: float, most: float) -> Dot:
    told = f"{day(one.at)}: {one.state}, {number(one.gbps)} Gb/s"
    y = float(FLOOR) if one.gbps is None else _up(one.gbps, most)
    return Dot(x, y, one.state, told, one.gbps is not None)


def _stretches(dots: Sequence[Dot]) -> tuple[str, ...]:
    found: list[list[str]] = [[]]
    for dot in dots:
        if dot.number:
            found[-1].append(f"{dot.x},{dot.y}")
        elif found[-1]:
            found.append([])
    return tuple(" ".join(one) for one in found if len(one) > 1)


def _marks(shown: Sequence[Past], across: Sequence[float], step: float) -> tuple[Mark, ...]:
    found: list[Mark] = []
    for one, x, changed in zip(shown, across, changes(shown), strict=True):
        if changed:
            label = str(len(found) + 1)
            found.append(Mark(round(x - step / 2, 1), label, day(one.at), changed))
    return tuple(found)
