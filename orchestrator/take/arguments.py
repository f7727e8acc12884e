"""A server's words as `args:` of a profile, so that the same words come out again (ranks/arguments.py)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from orchestrator.flags import flags
from orchestrator.knowledge.servers import table
from orchestrator.ranks.arguments import name_of

NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,14})(?:\.[0-9]{1,12})?")
SIGNED = re.compile(r"-\.?[0-9]")


@dataclass
class Words:
    """Flags in their order, each with its values; words that belong to none."""

    flags: list[tuple[str, list[str]]] = field(default_factory=list)
    stray: list[str] = field(default_factory=list)


def scalar(text: str) -> Any:
    """A word as a value that is written as the same word: numbers, JSON mappings, else text."""
    if NUMBER.fullmatch(text):
        value = json.loads(text)
        same = json.dumps(value) == (text.rstrip("0") if "." in text else text)
        return (
            value if same or json.dumps(value) == text or text.rstrip("0").endswith(".") else text
        )
    if text.startswith("{"):
        try:
            value = json.loads(text)
            again = json.loads(json.dumps(value))
        except (ValueError, RecursionError):
            return text
        return value if isinstance(value, dict) and again == value and _plain(value) else text
    return text


def _plain(value: Any, depth: int = 0) -> bool:
    """Whether YAML keeps it: `null` in a mapping of a profile would take a key away."""
    if depth > 16 or value is None:
        return False
    if isinstance(value, dict):
        return all(_plain(one, depth + 1) for one in value.values())
    if isinstance(value, list):
        return all(_plain(one, depth + 1) for one in value)
    if isinstance(value, float):
        return value == value and abs(value) < 1e15
    return not isinstance(value, int) or abs(value) < 2**53


def is_flag(word: str) -> bool:
    return word.startswith("-") and len(word) > 1 and not SIGNED.match(word)


def switch(engine: str, name: str) -> bool:
    """Whether a flag takes no value, as its name tells."""
    one = table()["servers"].get(engine, {})
    return name in one.get("switches", ()) or name.startswith(tuple(table()["prefixes"]))


def grouped(words: Sequence[str]) -> Words:
    """Each flag with the words behind it, as they stand: so the same words come out again."""
    found = Words()
    open_ = found.stray
    for word in words:
        if is_flag(word):
            name, equals, value = word.partition("=")
            glued = word.startswith("--") and bool(equals)
            values = [value] if glued else []
            found.flags.append((name if glued else word, values))
            open_ = found.stray if glued else values
        else:
            open_.append(word)
    return found


def key_of(flag: str) -> str:
    """As a profile has it: without the two dashes, with the one."""
    return flag[2:] if flag.startswith("--") and len(flag) > 3 else flag


def value_of(values: Sequence[str]) -> Any:
    if not values:
        return True
    return scalar(values[0]) if len(values) == 1 else [scalar(one) for one in values]


def lists(engine: str) -> tuple[dict[str, Any], str]:
    """How this engine's lists are written, and how those that are not named."""
    try:
        forms = dict(flags(engine)["lists"])
    except (FileNotFoundError, KeyError):
        forms = {"others": "spread"}
    return forms, str(forms.get("others", "spread"))


def repeated(engine: str, name: str) -> bool:
    """Whether a flag that comes twice means both."""
    forms, others = lists(engine)
    for form, names in forms.items():
        if form != "others" and name in names:
            return bool(form == "repeated")
    return others == "repeated"


def spread(engine: str) -> bool:
    """Whether one flag may have several words behind it."""
    return lists(engine)[1] == "spread"


def merged(engine: str, pairs: Sequence[tuple[str, list[str]]]) -> Iterator[tuple[str, Any, bool]]:
    """(key, value, whether an earlier one was lost) of each flag, in order of first use."""
    together: dict[str, list[tuple[str, list[str]]]] = {}
    for flag, values in pairs:
        together.setdefault(name_of(flag), []).append((flag, values))
    for name, all_ in together.items():
        flag, last = all_[-1]
        if len(all_) > 1 and repeated(engine, name):
            yield key_of(flag), [scalar(one) for _, values in all_ for one in values], False
        else:
            yield key_of(flag), value_of(last), len(all_) > 1
