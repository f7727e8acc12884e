"""Shell as values: quoted by construction, many commands to one program. The only place that makes shell.

`sh("mkdir -p {}", path)` quotes every value; `raw` shell is only ever another `Sh`. A `Script` is one round
trip: a frame per command, each with its own exit code (see `framing` for the wire form).
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import LiteralString, NewType

Sh = NewType("Sh", str)  # quoted shell; made here and nowhere else

Value = str | int | float


def quote(value: Value | Sh) -> str:
    """One value as one shell word, ints too."""
    return shlex.quote(str(value))


class Raw:
    """A piece of `Sh` to be put into a template unquoted."""

    def __init__(self, piece: Sh) -> None:
        self.piece = piece


def sh(template: LiteralString, *values: Value | Raw) -> Sh:
    """Fill each `{}` of a literal template with a quoted value (`Raw(sh)` goes in as it is).

    >>> sh("test -e {} && echo {}", "/a b", 3)
    "test -e '/a b' && echo 3"
    """
    parts = template.split("{}")
    if len(parts) != len(values) + 1:
        raise ValueError(f"{len(parts) - 1} places, {len(values)} values: {template}")
    filled = parts[0]
    for value, rest in zip(values, parts[1:], strict=True):
        filled += (value.piece if isinstance(value, Raw) else quote(value)) + rest
    return Sh(filled)


def argv(*words: Value) -> Sh:
    """A command line from words, each quoted."""
    return Sh(" ".join(quote(word) for word in words))


def user_shell(text: str) -> Sh:
    """Shell that the user wrote in a playbook, as it is: theirs to get right."""
    return Sh(text)


def seq(commands: Iterable[Sh]) -> Sh:
    """One after another, whatever each returns."""
    return Sh("\n".join(commands))


def all_of(*commands: Sh) -> Sh:
    """Each only if the one before succeeded."""
    return Sh(" && ".join(f"{{ {command}\n}}" for command in commands))


def pipe(*commands: Sh) -> Sh:
    """Output of each into the next; the exit code is the last one's."""
    return Sh(" | ".join(f"{{ {command}\n}}" for command in commands))


@dataclass(frozen=True)
class Command:
    """One command of a script. `timeout` in seconds is enforced on the host as well."""

    sh: Sh
    stdin: bytes = field(default=b"", repr=False)
    sudo: bool = False
    timeout: float = 30
    keep: int = 65_536  # bytes of stdout, and of stderr, that come back: the last ones

    @cached_property
    def word(self) -> str:
        """Its shell as one word of a program: the same command goes to many hosts."""
        return quote(self.sh)


@dataclass(frozen=True)
class Script:
    """One round trip to one host.

    `mutates`: holds the host's flock and compares the lease token inside it.
    `fresh`: over a new connection (netplan confirm).
    `stop_on_error`: commands after the first non-zero exit are not run and have no frame.
    `once`: holds no lock and yet is never sent a second time when a connection is lost.
    `then`: run after them whatever they did (fresh reads after an apply); never stops.
    """

    commands: Mapping[str, Command]
    mutates: bool = False
    fresh: bool = False
    stop_on_error: bool = False
    once: bool = False
    then: Mapping[str, Command] = field(default_factory=dict)

    @cached_property
    def every(self) -> Mapping[str, Command]:
        """All commands in the order of their frames."""
        both = {**self.commands, **self.then}
        if len(both) != len(self.commands) + len(self.then):
            raise ValueError("a name is in both `commands` and `then`")
        return both


@dataclass(frozen=True)
class Request:
    """HTTP to a port of the host, streamed, through the same SSH connection. `timeout` in seconds."""

    port: int
    path: str
    body: bytes = b""
    address: str = "127.0.0.1"
    headers: tuple[tuple[str, str], ...] = ()
    timeout: float = 30


@dataclass(frozen=True)
class Result:
    """What one command did: exit code, bytes, seconds. 124 and 137 mean that its timeout ended it."""

    rc: int
    out: bytes
    err: bytes
    seconds: float
    truncated: bool = False
    sent_epoch_s: float = field(
        default=0.0, compare=False
    )  # our clock when the script went out; 0: not known

    @property
    def text(self) -> str:
        return self.out.decode(errors="replace")


SECRET_MARK = "\x02secret:{}\x03"  # noqa: S105  a placeholder, not a secret


def secret_mark(name: str) -> str:
    """A placeholder for a secret in `Command.stdin`; hosts/ fills it as it sends, nobody before."""
    return SECRET_MARK.format(name)
