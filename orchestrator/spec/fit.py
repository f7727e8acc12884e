"""Does a model fit, and on which hosts: its weights against the memory of their GPUs. An estimate, from files alone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from orchestrator.spec.models import Host, Profile
from orchestrator.spec.units import parse_size

_BILLIONS = re.compile(r"(?<![A-Za-z0-9.])(\d+(?:\.\d+)?)[Bb](?![A-Za-z0-9])")  # 122B, not A10B
_SHARES = ("gpu-memory-utilization", "gpu_memory_utilization")
GIGA = 1_000_000_000


@dataclass(frozen=True)
class Weights:
    """Bytes of a model's files; `said` by its profile, or worked out from its name."""

    size: int
    said: bool


@dataclass(frozen=True)
class Place:
    """Hosts that are alike, how many of them it takes, and how many of their GPUs."""

    hosts: tuple[str, ...]
    count: int
    gpus: int
    sizes: str  # TP 2


@dataclass(frozen=True)
class Fit:
    """Where it fits, where not, and hosts whose GPU memory the files don't say."""

    places: tuple[Place, ...]
    small: tuple[str, ...]
    unknown: tuple[str, ...]


@cache
def _table() -> dict[str, Any]:
    text = files("orchestrator.knowledge").joinpath("weights.yaml").read_text(encoding="utf-8")
    table: dict[str, Any] = yaml.safe_load(text)
    return table


def weights(profile: Profile) -> Weights | None:
    """How large the model is; None where neither the profile nor the model's name tells."""
    if profile.weights is not None:
        return Weights(parse_size(profile.weights), said=True)
    name = profile.model.rsplit("/", 1)[-1]
    sizes = [float(found) for found in _BILLIONS.findall(name.replace("_", "-"))]
    if not sizes:
        return None
    return Weights(int(max(sizes) * GIGA * _bits(name.lower()) / 8), said=False)


def _bits(name: str) -> float:
    for row in _table()["formats"]:
        if any(word in name for word in row["words"]):
            return float(row["bits"])
    return float(_table()["unsaid_bits"])


def fit(profile: Profile, hosts: Iterable[Host], size: int) -> Fit:
    """The fewest GPUs for it, on one host or on several that are alike."""
    need = size * (1 + _table()["beside"])
    places: list[Place] = []
    small: list[str] = []
    unknown: list[str] = []
    for alike, cards in _alike(profile, hosts).items():
        if alike is None:
            unknown += cards
            continue
        place = _place(profile, tuple(cards), alike, need)
        if place is None:
            small += cards
        else:
            places.append(place)
    return Fit(tuple(places), tuple(small), tuple(unknown))


Cards = tuple[float, ...]  # bytes of each GPU that may be used


def _alike(profile: Profile, hosts: Iterable[Host]) -> Mapping[Cards | None, list[str]]:
    """Hosts by what their GPUs hold; those of which it is not known under None."""
    found: dict[Cards | None, list[str]] = {}
    for host in hosts:
        cards = _cards(profile, host)
        found.setdefault(cards, []).append(host.name)
    return found


def _cards(profile: Profile, host: Host) -> Cards | None:
    share = _share(profile)
    kind = host.kind.gpu_memory
    listed = host.gpus
    if listed is None:
        if kind is None or host.kind.gpu_count is None:
            return None
        return (parse_size(kind) * share,) * host.kind.gpu_count
    sizes = []
    for gpu in listed:
        own = gpu.memory if gpu.memory is not None else kind
        if own is None:
            return None
        kept = parse_size(gpu.reserve) if gpu.reserve is not None else 0
        sizes.append(min(parse_size(own) * share, parse_size(own) - kept))
    return tuple(sizes)


def _share(profile: Profile) -> float:
    """The part of a GPU that the engine may take."""
    for key in _SHARES:
        value = profile.args.get(key)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
    return 1.0


def _place(profile: Profile, hosts: tuple[str, ...], cards: Cards, need: float) -> Place | None:
    """One host's first GPUs, then more and more whole hosts."""
    one_host = profile.executor == "mp" or profile.task == "embed"
    for gpus in range(1, len(cards) + 1):
        sizes = _sizes(profile, gpus)
        if sizes is not None and _holds(profile, sorted(cards)[-gpus:], need):
            return Place(hosts, 1, gpus, sizes)
    for count in range(2, 1 if one_host or not cards else len(hosts) + 1):
        sizes = _sizes(profile, count * len(cards))
        if sizes is not None and _holds(profile, cards * count, need):
            return Place(hosts, count, count * len(cards), sizes)
    return None


def _holds(profile: Profile, cards: Iterable[float], need: float) -> bool:
    """llama.cpp gives each GPU as many layers as it can take; others give each the same."""
    cards = tuple(cards)
    if profile.engine_key == "llamacpp":
        return sum(cards) >= need
    return min(cards) * len(cards) >= need


def _sizes(profile: Profile, gpus: int) -> str | None:
    """How a model is cut into so many parts: tensors where they can be divided, else layers."""
    if gpus == 1:
        return ""
    if profile.engine_key == "llamacpp":
        return f"{gpus} GPUs"
    known = [size for size in (profile.heads, profile.intermediate_size) if size]
    divides = not any(size % gpus for size in known) if known else gpus & (gpus - 1) == 0
    return f"TP {gpus}" if divides else f"PP {gpus}"


def told(found: Fit) -> Iterator[str]:
    """For a person: `2 of spark-1, spark-2 (TP 2)`."""
    for place in found.places:
        names = ", ".join(place.hosts)
        where = names if place.count == 1 else f"{place.count} of {names}"
        yield where + (f" ({place.sizes})" if place.sizes else "")
