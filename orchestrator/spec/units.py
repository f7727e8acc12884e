"""Sizes and durations as people write them (`16GiB`, `90m`), read in one place."""

from __future__ import annotations

import re

_SIZE = re.compile(r"(?P<number>[0-9]+(?:\.[0-9]+)?)\s*(?P<unit>[a-z]*)", re.IGNORECASE)
_DURATION = re.compile(r"(?:[0-9]+(?:\.[0-9]+)?(?:ms|s|m|h|d))+")
_DURATION_PART = re.compile(r"(?P<number>[0-9]+(?:\.[0-9]+)?)(?P<unit>ms|s|m|h|d)")

# Bare letters are binary, as docker reads them; KB, MB, GB are decimal, as SI says.
_SIZE_UNITS = {"": 1, "b": 1}
for _power, _letter in enumerate("kmgt", start=1):
    _SIZE_UNITS[_letter] = _SIZE_UNITS[_letter + "ib"] = 1024**_power
    _SIZE_UNITS[_letter + "b"] = 1000**_power
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_MAX_SIZE = 2**63 - 1  # what a kernel counts bytes in
_MAX_SECONDS = 366 * 86400.0
_MAX_TEXT = 40  # nobody writes a longer one; keeps the number parser out of trouble


def parse_size(value: str | int) -> int:
    """Bytes.

    >>> parse_size("768MiB")
    805306368
    """
    if isinstance(value, str):
        match = _SIZE.fullmatch(value.strip()) if len(value) <= _MAX_TEXT else None
        factor = _SIZE_UNITS.get(match["unit"].lower()) if match else None
        if match is None or factor is None:
            raise ValueError(f"{value[:_MAX_TEXT]!r} is not a size: write 512MiB, 16GiB, 1.5TiB")
        number = match["number"]
        size = int(float(number) * factor) if "." in number else int(number) * factor
    else:
        size = value
    if not 0 <= size <= _MAX_SIZE:
        raise ValueError(f"a size lies between 0 and {_MAX_SIZE} bytes")
    return size


def parse_duration(value: str | float) -> float:
    """Seconds.

    >>> parse_duration("1h30m")
    5400.0
    """
    if isinstance(value, str):
        text = value.strip()
        if len(text) > _MAX_TEXT or not _DURATION.fullmatch(text):
            raise ValueError(f"{value[:_MAX_TEXT]!r} is not a duration: write 20s, 90m, 1h30m")
        seconds = sum(
            float(part["number"]) * _SECONDS[part["unit"]] for part in _DURATION_PART.finditer(text)
        )
    else:
        seconds = float(value)
    if not 0 <= seconds <= _MAX_SECONDS:
        raise ValueError("a duration lies between 0 and one year")
    return seconds


def show_size(size: int) -> str:
    """Bytes for a reader: the largest binary unit that keeps it above one."""
    number = float(size)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024:
            return f"{number:.4g} {unit}"
        number /= 1024
    return f"{number:.4g} TiB"
