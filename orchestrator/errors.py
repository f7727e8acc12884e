"""The one error tree.

OrchError                     exit 1
├── FilesWrong (ValueError)   exit 2   files or usage: positions, all at once
├── Unreachable (ConnectionError) exit 3
│   ├── HostKeyWrong          the host answered with another key
│   ├── AuthRefused (PermissionError)  it answered and refused our key
│   ├── ConnectTimeout (TimeoutError)  nothing answered in time
│   └── AuthTimeout (TimeoutError)     it answered, and then kept us waiting
├── OutcomeUnknown            the connection ended before the end marker: look, never repeat blindly
│   └── ScriptTimeout (TimeoutError)   it is still open, and says nothing
├── NoAnswer (ConnectionError)   a port of the host refused HTTP, or ended it
│   └── HttpTimeout (TimeoutError)     it is connected, and says nothing
├── Unknown (LookupError)     an answer that can't be read; never a default
│   └── NotRead               the query was not asked yet (the planner asks for it)
├── Failed                    a step failed and no retry can help
│   ├── NoPatience (TimeoutError)   total or stall exceeded
│   └── CommandFailed         a command's exit code says so
├── Refused                   exit 4   by a gate
├── Locked                    exit 5   another holds the lease
│   └── Fenced                our lease was taken over meanwhile; nothing was done
└── Interrupted               exit 130
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.script import Result


class OrchError(Exception):
    """Base: a sentence, where it happened, and what to type next."""

    exit_code = 1

    def __init__(
        self, message: str, *, host: str | None = None, step: str | None = None, hint: str = ""
    ) -> None:
        super().__init__(message)
        self.message = message
        self.host = host
        self.step = step
        self.hint = hint

    def __str__(self) -> str:
        where = f"{self.host}: " if self.host and not self.message.startswith(self.host) else ""
        return where + self.message


class FilesWrong(OrchError, ValueError):
    """The user's files or the usage are wrong; nothing was touched. `findings` holds them all."""

    exit_code = 2

    def __init__(self, message: str, *, findings: tuple[object, ...] = (), hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.findings = findings


class Unreachable(OrchError, ConnectionError):
    """No SSH session could be had."""

    exit_code = 3


class HostKeyWrong(Unreachable):
    """The host answered with a key that is not the known or pinned one."""


class AuthRefused(Unreachable, PermissionError):
    """The host answered and refused every key we offered."""


class ConnectTimeout(Unreachable, TimeoutError):
    """No TCP connection in time."""


class AuthTimeout(Unreachable, TimeoutError):
    """Connected, but no SSH session in time."""


class OutcomeUnknown(OrchError):
    """The end marker did not arrive: what was sent may have happened, or not.

    `results` has the frames that did arrive.
    """

    def __init__(
        self,
        message: str,
        *,
        host: str | None = None,
        hint: str = "",
        results: Mapping[str, Result] | None = None,
    ) -> None:
        super().__init__(message, host=host, hint=hint)
        self.results: Mapping[str, Result] = results or {}


class ScriptTimeout(OutcomeUnknown, TimeoutError):
    """The host stopped talking in the middle of a script."""


class NoAnswer(OrchError, ConnectionError):
    """Nothing on that port of the host speaks HTTP with us."""


class HttpTimeout(NoAnswer, TimeoutError):
    """The port took the connection and then said nothing in time."""


class Unknown(OrchError, LookupError):
    """A fact that could not be read. Never a default, never a pass."""


class NotRead(Unknown):
    """The query has not been asked on this host yet."""


class Failed(OrchError):
    """A step failed, and repeating it does not help."""


class NoPatience(Failed, TimeoutError):
    """A wait ran out of its total, or nothing moved for its stall time."""


class CommandFailed(Failed):
    """A command on a host ended with an exit code that says failure."""


class Refused(OrchError):
    """A gate said no."""

    exit_code = 4


class Locked(OrchError):
    """Another run holds the lease on a host."""

    exit_code = 5


class Fenced(Locked):
    """Our lease was taken by another meanwhile: the script did nothing."""


class Interrupted(OrchError):
    """Ctrl-C or SIGTERM."""

    exit_code = 130


def unasked(errors: Iterable[OrchError]) -> int:
    """The exit code where hosts could not be asked: what the files do wrong is no host's silence."""
    wrong = all(isinstance(error, FilesWrong) for error in errors)
    return FilesWrong.exit_code if wrong else Unreachable.exit_code
