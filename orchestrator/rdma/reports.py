"""What a look at the halves of links found: values, from single findings up to a report."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from orchestrator.contracts import Facts, Query
from orchestrator.errors import OrchError

T = TypeVar("T")
Grade = Literal["ok", "warn", "bad", "unknown"]
WORST_FIRST: tuple[Grade, ...] = ("bad", "unknown", "warn", "ok")


@dataclass(frozen=True)
class Found:
    """One thing that was looked at on a half."""

    name: str  # present, up, cable, speed, pcie, device, mtu, roce-mtu, address, subnet, gid, firmware, ping, counters
    grade: Grade
    said: str  # what is so: "200 Gb/s"
    cause: str = ""  # why that is wrong, or what it comes from
    remedy: str = ""  # what to do or type


@dataclass(frozen=True)
class HalfReport:
    """All that was looked at on one end of one half of a link."""

    link: str
    half: int
    host: str
    port: str
    netdev: str
    rdma: str | None  # the device that is there, whatever the kind says
    address: str | None
    gid_index: int | None  # RoCE v2, of that address, now
    findings: tuple[Found, ...]

    @property
    def grade(self) -> Grade:
        return worst(one.grade for one in self.findings)

    @property
    def wrong(self) -> tuple[Found, ...]:
        """What is not ok, the worst first."""
        bad = (one for one in self.findings if one.grade != "ok")
        return tuple(sorted(bad, key=lambda one: WORST_FIRST.index(one.grade)))


def worst(grades: Iterator[Grade]) -> Grade:
    """Of several; of none it is unknown."""
    found = set(grades)
    return next((one for one in WORST_FIRST if one in found), "unknown")


@dataclass(frozen=True)
class Answered:
    """One host's facts, with what could not be read as None and a reason."""

    facts: Facts

    def get(self, query: Query[T]) -> T | None:
        try:
            return self.facts.get(query)
        except OrchError:
            return None

    def why(self, query: Query[Any]) -> str:
        """Why there is no answer."""
        try:
            self.facts.get(query)
        except OrchError as error:
            return error.message
        return ""
