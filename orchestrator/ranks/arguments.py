"""What a program is called with: its own words, and `args:` of a profile, nothing lost, nothing reordered."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.flags import flags
from orchestrator.spec.models import Deployment, Profile

_json = json.JSONEncoder(ensure_ascii=False).encode


def program(profile: Profile, name: str, usual: str = "") -> tuple[str, ...]:
    """The words that call a program: `commands: {NAME: /opt/x/name}`, or what it is called elsewhere."""
    return tuple(profile.commands.get(name, usual or name).split())


def host_and_port(deployment: Deployment) -> tuple[str, ...]:
    """Where an API that others are to reach listens."""
    host = deployment.endpoint.bind or "0.0.0.0"  # noqa: S104
    return ("--host", host, "--port", str(deployment.port))


def name_of(key: str) -> str:
    """Both spellings are one flag: gpu_memory_utilization, gpu-memory-utilization."""
    return key.lstrip("-").replace("_", "-")


def option(key: str) -> str:
    """As the user wrote it, with its dashes."""
    if key.startswith("-"):
        return key
    return f"-{key}" if len(key) == 1 else f"--{key}"


def word(value: Any) -> str:
    """A value as one word: text as it is, everything else as JSON (true, 0.7, {"video": 0})."""
    return value if isinstance(value, str) else _json(value)


def words(engine: str, args: Mapping[str, Any]) -> tuple[str, ...]:
    """All arguments in the order of the file; how lists are written is the engine's (flags/)."""
    table = flags(engine)
    negated = table.get("negated")
    shown = {key: value for key, value in args.items() if _is_said(negated, key, value)}
    return tuple(one for key, value in shown.items() for one in _flag(table["lists"], key, value))


def _is_said(negated: list[str] | None, key: str, value: Any) -> bool:
    """Where `negated:` lists the switches that have a --no-…, others that are false are left out."""
    return value is not False or negated is None or name_of(key) in negated


def _flag(forms: Mapping[str, Any], key: str, value: Any) -> Iterator[str]:
    flag = option(key)
    if value is None:
        return
    if isinstance(value, bool):
        yield flag if value else f"--no-{name_of(key)}"
    elif isinstance(value, (list, tuple)):
        yield from _list(forms, flag, name_of(key), list(value))
    else:
        yield from _single(flag, word(value))


def _single(flag: str, value: str) -> Iterator[str]:
    """A value that looks like a flag must be glued to its own."""
    if value.startswith("-") and not _number(value) and flag.startswith("--"):
        yield f"{flag}={value}"
    else:
        yield from (flag, value)


def _number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _list(forms: Mapping[str, Any], flag: str, name: str, values: list[Any]) -> Iterator[str]:
    form = next((form for form, names in forms.items() if name in names), forms["others"])
    if form == "json":
        yield from (flag, _json(values))
    elif form == "repeated":
        for value in values:
            yield from _single(flag, word(value))
    elif form == "joined":
        yield from _single(flag, ",".join(map(word, values)))
    elif values:
        yield flag
        yield from map(word, values)
