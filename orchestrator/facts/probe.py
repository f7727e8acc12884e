"""Why here: what every query shares, so that each file holds only its question and how its answer reads.

A probe is read-only POSIX shell (dash, bash, busybox). It leaves no `exit`, no `cd` and no `set` behind, so
that many of them can stand in one program. Reading ends in an answer or in `Unknown`, nothing between: lists
made by our own shell end with a line `end`, so that a cut answer is never taken for a short one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from orchestrator.errors import Unknown
from orchestrator.script import Command, Raw, Result, Script, Sh, sh

# A session over SSH often lacks the sbin folders, where ip, ss, rdma and swapon live on Debian.
PREAMBLE = sh('export LC_ALL=C PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"')
END = "end"
TIMED_OUT = (124, 137)
NOT_FOUND = 127


def probe(
    body: Sh, *, timeout: float = 20, keep: int = 262_144, sudo: bool = False, stdin: bytes = b""
) -> Command:
    """One read-only command with a known PATH and the C locale."""
    text = sh("{}\n{}", Raw(PREAMBLE), Raw(body))
    return Command(text, stdin=stdin, sudo=sudo, timeout=timeout, keep=keep)


def script(**commands: Command) -> Script:
    """The read-only script of a query."""
    return Script(commands)


def host_path(path: str) -> Sh:
    """Shell that sets `p` to a path of the host: `~` is the host's home; relative paths start there."""
    return sh(
        """p={}
case $p in
"~") p=${HOME:-/} ;;
"~/"*) p=${HOME:-}/${p#"~/"} ;;
/*) ;;
*) p=${HOME:-}/$p ;;
esac""",
        path,
    )


# Sets `near` to the nearest folder or file above `p` that exists; a search that stops for want of rights shows.
NEAREST = sh(
    """near=$p
while [ ! -e "$near" ] && [ "$near" != / ]; do near=${near%/*}; [ -n "$near" ] || near=/; done"""
)


def said(result: Result) -> str:
    """The last thing that a command said, for an error line."""
    text = result.err.decode(errors="replace").strip() or result.text.strip()
    return text.splitlines()[-1][:300] if text else f"exit code {result.rc}"


def answered(results: Mapping[str, Result], name: str, what: str) -> Result:
    """The result under a name, if it arrived whole; whatever its exit code."""
    result = results.get(name)
    if result is None:
        raise Unknown(f"{what}: no answer")
    if result.truncated:
        raise Unknown(f"{what}: the answer was longer than what comes back")
    if result.rc in TIMED_OUT:
        raise Unknown(f"{what}: no answer within {result.seconds:.0f} s")
    return result


def good(results: Mapping[str, Result], name: str, what: str) -> Result:
    """The result under a name, if the command also succeeded."""
    result = answered(results, name, what)
    if result.rc != 0:
        raise Unknown(f"{what}: {said(result)}")
    return result


def listed(results: Mapping[str, Result], name: str, what: str) -> list[str]:
    """The lines before `end`."""
    lines = good(results, name, what).text.splitlines()
    if not lines or lines[-1] != END:
        raise Unknown(f"{what}: the answer is cut")
    return lines[:-1]


def sections(lines: list[str], *names: str) -> list[list[str]]:
    """The lines below each of `@name`, which must all be there, in this order."""
    heads = [f"@{name}" for name in names]
    places = [at for at, line in enumerate(lines) if line in heads]
    if [lines[at] for at in places] != heads or places[0] != 0:
        raise ValueError("the parts of the answer are not those that were asked for")
    return [lines[at + 1 : to] for at, to in zip(places, [*places[1:], None], strict=True)]


def fields(lines: list[str]) -> dict[str, str]:
    """Lines `key value…` as a mapping; a key that comes twice is an answer that can't be read."""
    found: dict[str, str] = {}
    for line in lines:
        key, _, value = line.partition(" ")
        if key in found:
            raise ValueError(f"{key} twice")
        found[key] = value.strip()
    return found


def json_of(text: str) -> Any:
    """JSON, with nesting that is too deep for Python's parser as a plain error."""
    try:
        return json.loads(text)
    except RecursionError as deep:
        raise ValueError("nested too deep") from deep


def mapping(value: object) -> Mapping[str, Any]:
    """A JSON object, or an error."""
    if not isinstance(value, dict):
        raise TypeError(f"an object was expected, not {type(value).__name__}")
    return value


def text_of(value: object) -> str:
    """A JSON string, or an error: numbers and nulls are not silently made into text."""
    if not isinstance(value, str):
        raise TypeError(f"text was expected, not {type(value).__name__}")
    return value


def whole(value: object) -> int:
    """A JSON integer, or an error (true is not 1)."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"an integer was expected, not {type(value).__name__}")
    return value


def count(text: str) -> int:
    """Decimal digits, or an error: `int()` would also take '1_0' and ' +1'."""
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"not a count: {text[:40]!r}")
    return int(text)


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Whatever goes wrong while an answer is read becomes Unknown."""
    try:
        yield
    except Unknown:
        raise
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError) as wrong:
        raise Unknown(f"{what}: the answer can't be read ({wrong})") from wrong
