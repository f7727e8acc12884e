"""What a profile says of services that are no models: a container's ports, a compose project, a unit of systemd.

And what is special to them where the files are read: they need no model, take no GPU that is not asked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from orchestrator.spec.fields import Strict

if TYPE_CHECKING:
    from orchestrator.spec.models import Deployment

SERVICES = frozenset(
    {"container", "job", "compose", "unit"}
)  # engines that serve no model of orch's
UNRANKED = frozenset({"compose", "unit"})  # and those that start no container of orch's own
PORT = re.compile(r"(\d{1,5})(?::(\d{1,5}))?")
UNIT = r"^[A-Za-z0-9:_.@\\-]{1,200}\.(service|target|socket)$"
PROJECT = r"^[a-z0-9][a-z0-9_-]{0,62}$"


def _port_word(value: str | int) -> str | int:
    found = PORT.fullmatch(str(value))
    if found is None or not all(1 <= int(one) <= 65535 for one in found.groups() if one):
        raise ValueError(f"{value!r} is neither a port nor HOST:CONTAINER")
    return value


PortWord = Annotated[
    str | int,
    AfterValidator(_port_word),
    Field(description="a port, or HOST:CONTAINER"),
]


class Compose(Strict):
    """A docker compose project on a host: its file is there already, or on the user's machine and is sent."""

    file: Annotated[str, StringConstraints(pattern=r"^(/|~/)[^\n]+$")] | None = None
    send: str | None = None
    project: Annotated[str, StringConstraints(pattern=PROJECT)] | None = None

    @model_validator(mode="after")
    def _one(self) -> Compose:
        if (self.file is None) == (self.send is None):
            raise ValueError("a compose project has a `file:` on the host, or one to `send:`")
        return self


class Unit(Strict):
    """A unit of systemd that exists on the host."""

    name: Annotated[str, StringConstraints(pattern=UNIT)]
    user: bool = False


def port_pairs(words: tuple[str | int, ...]) -> Iterator[tuple[int, int]]:
    """Port of the host and port in the container, for each word of `ports:`."""
    for word in words:
        outer, _, inner = str(word).partition(":")
        yield int(outer), int(inner or outer)


def listens(one: Deployment) -> tuple[int, ...]:
    """The ports of its head that a deployment takes, as far as the files say. A job takes none by itself."""
    profile = one.profile
    more = tuple(outer for outer, _ in port_pairs(profile.ports))
    silent = profile.engine_key == "job"
    silent |= profile.engine_key in UNRANKED and profile.ready.http is None
    return more if silent else (one.port, *more)
