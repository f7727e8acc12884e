"""Unquoted YAML words as values, by the YAML 1.2 core rules: `no` and `12:30` are text, not traps.

YAML 1.1, which PyYAML resolves by, reads `no` as false, `0755` as 493 and `22:22` as 1342.
"""

from __future__ import annotations

import math
import re

_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_PREFIXED = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_MAX_DIGITS = 20
_LIMIT = 2**63

OLD_BOOLEANS = {"yes": True, "on": True, "no": False, "off": False}  # what YAML 1.1 made of them

Scalar = str | int | float | bool | None


def plain(text: str) -> Scalar:
    """The value of an unquoted word. ValueError for a number that no program could hold."""
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text) or _PREFIXED.fullmatch(text):
        return _integer(text)
    if _FLOAT.fullmatch(text):
        number = float(text)
        if not math.isfinite(number):
            raise ValueError(f"{text[:40]!r} is too large for a number; quote it if it is text")
        return number
    return text


def tagged(tag: str, text: str) -> Scalar:
    """The value of a word with a tag (`!!str 8000`). ValueError where the tag can't be kept."""
    if tag in ("!", "tag:yaml.org,2002:str"):
        return text
    wanted = {"int": int, "float": float, "bool": bool, "null": type(None)}
    name = tag.removeprefix("tag:yaml.org,2002:")
    if name not in wanted:
        raise ValueError(f"the tag {tag[:60]!r} is not supported: these files hold plain values")
    value = plain(text)
    if name == "float" and type(value) is int:
        return float(value)
    if type(value) is not wanted[name]:
        raise ValueError(f"{text[:40]!r} is not of the tag {tag[:60]!r}")
    return value


def _integer(text: str) -> int:
    number = int(text, 0) if len(text) <= _MAX_DIGITS else _LIMIT
    if not -_LIMIT <= number < _LIMIT:
        raise ValueError(f"{text[:40]!r} is too large for a number; quote it if it is text")
    return number
