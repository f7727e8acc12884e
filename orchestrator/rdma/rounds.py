"""Who is tested with whom when: rounds in which everybody works at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Pair:
    """Two ends that are busy while they are tested: hosts, or "host.port" where a host's ports are independent."""

    a: str
    b: str
    name: str = ""  # the link's, to tell two cables between the same hosts apart
    switches: tuple[str, ...] = ()  # that its traffic passes


def all_pairs(hosts: Sequence[str], switches: tuple[str, ...] = ()) -> tuple[Pair, ...]:
    """Everybody with everybody, each pair once."""
    raise NotImplementedError


def rounds(
    pairs: Iterable[Pair], at_once: Mapping[str, int] | None = None
) -> tuple[tuple[Pair, ...], ...]:
    """Rounds with each pair once and nobody twice in one; `at_once`: pairs that a switch bears at the same time."""
    raise NotImplementedError
