"""The table that perftest prints: one header, one row, one rule below it. Anything else is no number."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

TITLE = re.compile(
    r"(?:BW |[\d.]+% )?\S+"
)  # "#bytes", "BW average[Gb/sec]", "99.9% percentile[usec]"
WHOLE = re.compile(r"\d{1,18}")
REAL = re.compile(r"\d{1,12}\.\d{2,9}")  # perftest prints two decimals or six
RULE = re.compile(r"-{20,}")
NOISE = re.compile(r"^ ?(?:WARNING|Conflicting CPU)")
GBITS = {"Gb/sec": 1.0, "MiB/sec": 2**20 * 8 / 1e9}
MTU = re.compile(r"^ Mtu\s+: (\d+)\[B\]", re.MULTILINE)
BY_CM = re.compile(r"^ rdma_cm QPs\s*: ON", re.MULTILINE)


@dataclass(frozen=True)
class Bandwidth:
    bytes: int  # of a message
    iterations: int
    gbps: float  # average

    @property
    def moved(self) -> int:
        return self.bytes * self.iterations


@dataclass(frozen=True)
class Latency:
    bytes: int
    iterations: int
    average_us: float


def bandwidth(out: str) -> Bandwidth | None:
    """The row of a bandwidth test, if it is whole and its columns agree with each other."""
    cells = _cells(out)
    unit = next(
        (u for u in GBITS if f"BW average[{u}]" in cells and f"BW peak[{u}]" in cells), None
    )
    if unit is None or "MsgRate[Mpps]" not in cells:
        return None
    counted = _counted(cells)
    real = _reals(cells, f"BW average[{unit}]", f"BW peak[{unit}]", "MsgRate[Mpps]")
    if counted is None or real is None:
        return None
    size, iterations = counted
    gbps = real[0] * GBITS[unit]
    one_message = size * 8 / 1000  # Gb/s that a million messages a second make
    rounding = _half_step(cells[f"BW average[{unit}]"]) * GBITS[unit]
    rounding += _half_step(cells["MsgRate[Mpps]"]) * one_message
    if abs(gbps - real[2] * one_message) > rounding + 0.002 * gbps:
        return None
    return Bandwidth(size, iterations, gbps)


def latency(out: str) -> Latency | None:
    """The row of a latency test, if it is whole and its columns are in order."""
    cells = _cells(out)
    names = ("t_min", "t_typical", "t_avg", "t_max")
    counted = _counted(cells)
    real = _reals(cells, *(f"{name}[usec]" for name in names))
    if counted is None or real is None:
        return None
    least, typical, average, most = real
    if not least <= typical <= most or not least <= average <= most:
        return None
    return Latency(*counted, average)


def mtu(out: str) -> int | None:
    """RoCE MTU, as the tool's heading says it."""
    found = MTU.search(out)
    return int(found[1]) if found else None


def by_rdma_cm(out: str) -> bool:
    """Whether the ends met by rdma_cm, which goes over the path that is measured."""
    return BY_CM.search(out) is not None


def is_write(out: str) -> bool:
    """A write is counted at one end, and both print the same row; whoever sends counts for itself."""
    return "RDMA_Write BW Test" in out


def has_table(out: str) -> bool:
    return "#bytes" in out


def _cells(out: str) -> Mapping[str, str]:
    """Title → cell; empty unless there is one header, one row, and the rule that ends it."""
    lines = out.split("\n")
    heads = [number for number, line in enumerate(lines) if "#bytes" in line]
    if len(heads) != 1:
        return {}
    titles = TITLE.findall(lines[heads[0]])
    rows: list[str] = []
    for line in lines[heads[0] + 1 :]:
        if RULE.fullmatch(line.rstrip()):
            break
        if not NOISE.match(line):
            rows.append(line)
    else:
        return {}
    cells = rows[0].split() if len(rows) == 1 else []
    if len(cells) != len(titles) or len(set(titles)) != len(titles):
        return {}
    return dict(zip(titles, cells, strict=True))


def _counted(cells: Mapping[str, str]) -> tuple[int, int] | None:
    words = [cells.get("#bytes", ""), cells.get("#iterations", "")]
    if not all(WHOLE.fullmatch(word) for word in words):
        return None
    return int(words[0]), int(words[1])


def _reals(cells: Mapping[str, str], *names: str) -> tuple[float, ...] | None:
    words = [cells.get(name, "") for name in names]
    return tuple(map(float, words)) if all(REAL.fullmatch(word) for word in words) else None


def _half_step(word: str) -> float:
    """By how much a printed number may be off."""
    return 0.5 * 10.0 ** -len(word.partition(".")[2])
