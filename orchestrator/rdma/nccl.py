"""nccl-tests: argv of a collective, its table, and which network NCCL says it took."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from orchestrator.knowledge.fabric import failures, recognised
from orchestrator.rdma.answers import Failure, Reason, Said
from orchestrator.rdma.failing import KILLED, NOT_FOUND, TIMED_OUT, telling_line

Collective = Literal["all_gather", "all_reduce"]
Network = Literal["rdma", "sockets", "unknown"]

MOST_BYTES = (
    2 * 2**30
)  # 16 GB takes 32 GB of a Spark's unified memory and has frozen nodes (playbooks issue 102)
WARM_UPS, TIMES = 5, 20
INFO = "NCCL INFO"  # NCCL writes among the table's lines
TOOL = re.compile(
    r"^# (?:(nccl-tests) version (\d[\w.]{0,30})|(torch \d[\w.+]{0,40}, NCCL \d[\d.]{0,20})$)",
    re.MULTILINE,
)
AVERAGE = re.compile(
    r"^# Avg bus bandwidth\s*: (\d{1,9}(?:\.\d{1,9})?)\s*(?:OK)?\s*$", re.MULTILINE
)
IN_BOUNDS = re.compile(r"^# Out of bounds values\s*: (\d{1,18}) (OK|FAILED)\s*$", re.MULTILINE)
NUMBER = re.compile(r"\d{1,18}(?:\.\d{1,9})?")
SOCKETS = re.compile(r"Using network Socket|via NET/Socket|NET/IB : No device found")
RDMA = re.compile(r"Using network IB|via NET/IB")
DEVICES = re.compile(r"NET/IB : Using ((?:\[\d+\]\S+ )+)")
DEVICE = re.compile(r"\[\d+\]([^\s/]+)/\S+")
ROUNDING = 0.02


@dataclass(frozen=True)
class Chosen:
    """What NCCL's own log says of the network; sockets wherever one rank took them."""

    network: Network
    devices: tuple[str, ...] = ()  # "rocep1s0f1:1"
    said: str = ""


@dataclass(frozen=True)
class Busbw:
    """What one collective gave; GB/s (10^9 bytes), as nccl-tests prints it."""

    collective: Collective
    bytes: int | None = None
    gbytes_per_s: float | None = None  # average bus bandwidth, out of place and in place
    wrong: int | None = None
    chosen: Chosen = Chosen("unknown")
    failure: Failure | None = None
    tool: str = ""  # "nccl-tests 2.17.6", "torch 2.9.0, NCCL 2.28.9"

    @property
    def reason(self) -> Reason | None:
        """Why it is no pass: a failure, sockets, or a network that nobody named."""
        failure = self.failure
        if failure is None and self.chosen.network != "rdma":
            kind = "sockets" if self.chosen.network == "sockets" else "unknown-network"
            failure = Failure(kind, self.chosen.said)
        if failure is None:
            return None
        entry = failures()[failure.kind]
        return Reason(failure.kind, entry.cause, entry.remedy, failure.said)


def command(collective: Collective, bytes_: int = 2**30) -> tuple[str, ...]:
    """argv for one GPU in each rank, values checked; more than 2 GB is refused."""
    if not 0 < bytes_ <= MOST_BYTES:
        raise ValueError(f"{bytes_} bytes: NCCL is tested with 2 GB at most")
    size = ("-b", str(bytes_), "-e", str(bytes_), "-g", "1")
    return (f"{collective}_perf", *size, "-w", str(WARM_UPS), "-n", str(TIMES), "-c", "1")


def chosen(log: str) -> Chosen:
    """From NCCL_DEBUG=INFO lines of all ranks together."""
    lines = [line for line in log.splitlines() if INFO in line]
    found = [name for line in lines if (m := DEVICES.search(line)) for name in DEVICE.findall(m[1])]
    devices = tuple(dict.fromkeys(found))
    for network, pattern in (("sockets", SOCKETS), ("rdma", RDMA)):
        said = next((line for line in lines if pattern.search(line)), None)
        if said is not None:
            text = said.partition(INFO)[2].strip()[:300]
            return Chosen("sockets" if network == "sockets" else "rdma", devices, text)
    return Chosen("unknown", devices)


def measured(collective: Collective, said: Said) -> Busbw:
    """The table's average, proven by its rows; wrong values or an unreadable table are no number."""
    took = chosen(f"{said.out}\n{said.err}")
    spoke = TOOL.search(said.out)
    tool = " ".join(filter(None, spoke.groups())) if spoke else ""
    failure = _failure(said)
    rows = _rows(_uninformed(said).out)
    average, bounds = AVERAGE.findall(said.out), IN_BOUNDS.findall(said.out)
    wrong = sum(row.wrong for row in rows)
    if failure is None and (wrong or any(word != "OK" or count != "0" for count, word in bounds)):
        failure = Failure("wrong-values", f"{wrong} wrong values")
    if failure is None and not _proven(rows, average, bounds):
        failure = Failure("unreadable", telling_line(_uninformed(said)))
    if failure is None and float(average[0]) == 0:
        failure = Failure("nothing-moved", "Avg bus bandwidth: 0")
    if failure is not None:
        return Busbw(collective, wrong=wrong or None, chosen=took, failure=failure, tool=tool)
    return Busbw(collective, rows[-1].bytes, float(average[0]), wrong, took, None, tool)


@dataclass(frozen=True)
class _Row:
    bytes: int
    busbw: tuple[float, ...]  # out of place, in place
    wrong: int


def _proven(rows: Sequence[_Row], average: Sequence[str], bounds: Sequence[object]) -> bool:
    """One average, that of the rows."""
    values = [value for row in rows for value in row.busbw]
    if not values or len(average) != 1 or len(bounds) != 1:
        return False
    return abs(sum(values) / len(values) - float(average[0])) <= ROUNDING


def _failure(said: Said) -> Failure | None:
    if said.rc == 0:
        return None
    said = _uninformed(said)
    known = recognised([*said.err.splitlines(), *said.out.splitlines()])
    if known is not None:
        return Failure(*known)
    if said.rc in NOT_FOUND:
        return Failure("no-tool", telling_line(said))
    if said.rc == TIMED_OUT:
        return Failure("timed-out", telling_line(said))
    if said.rc in KILLED:
        return Failure("client-killed", telling_line(said))
    return Failure("tool-failed", telling_line(said))


def _uninformed(said: Said) -> Said:
    """Without NCCL's running commentary, which speaks of failures that are none."""
    out, err = (
        "\n".join(line for line in text.splitlines() if INFO not in line)
        for text in (said.out, said.err)
    )
    return replace(said, out=out, err=err)


def _rows(out: str) -> tuple[_Row, ...]:
    """Rows below the header; none at all where one of them can't be read.

    A row begins with a number. What else stands there is NCCL's or torch's: warnings, and lines that a full buffer has
    cut in two; a row that such a line has swallowed is missed by the average.
    """
    titles: list[str] = []
    rows: list[_Row] = []
    for line in out.splitlines():
        words = line.split()
        if "busbw" in words and "size" in words:
            if titles:
                return ()
            titles = words[words.index("size") :]
        elif titles and words and words[0][0].isdecimal():
            row = _row(titles, words)
            if row is None:
                return ()
            rows.append(row)
    return tuple(rows)


def _row(titles: Sequence[str], words: Sequence[str]) -> _Row | None:
    """Time, algorithm's bandwidth and size of a row must fit together; values must have been checked."""
    if len(words) != len(titles) or not words[0].isdecimal() or len(words[0]) > 18:
        return None
    size = int(words[0])
    at = [number for number, title in enumerate(titles) if title == "time"]
    halves = [words[number : number + 4] for number in at]
    if len(halves) != 2 or not all(NUMBER.fullmatch(word) for half in halves for word in half):
        return None
    for half in halves:
        time, algbw = float(half[0]), float(half[1])
        if time <= 0 or abs(size / time / 1000 - algbw) > ROUNDING + 0.01 * algbw:
            return None
    return _Row(
        size, tuple(float(half[2]) for half in halves), sum(int(float(half[3])) for half in halves)
    )
