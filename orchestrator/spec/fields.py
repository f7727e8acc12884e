"""The field types of the files: names, ports, sizes; and the strictness that all models share."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
)

from orchestrator.flags.versions import Range, number
from orchestrator.spec.units import parse_duration, parse_size

VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


def _size(value: str | int) -> str | int:
    parse_size(value)
    return value


def _duration(value: str | float) -> str | float:
    parse_duration(value)
    return value


def _variable(name: str) -> str:
    if not VARIABLE.match(name):
        raise ValueError(
            f"{name[:60]!r} can't be an environment variable (letters, digits and underscore, no digit first)"
        )
    return name


def _version(value: object) -> object:
    if type(value) is not int or value != 1:
        raise ValueError(f"version {value!r} is not known; this orch reads version 1")
    return value


def _engine_version(text: str) -> str:
    number(text)
    return text


def _versions(text: str) -> str:
    Range.of(text)
    return text


EngineVersion = Annotated[str, AfterValidator(_engine_version)]
Versions = Annotated[str, AfterValidator(_versions)]
Version = Annotated[Literal[1], BeforeValidator(_version)]
Name = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9][a-zA-Z0-9._-]{0,62}$")]
Variable = Annotated[str, AfterValidator(_variable)]
Port = Annotated[int, Field(ge=1, le=65535)]
Size = Annotated[
    str | int,
    AfterValidator(_size),
    Field(description="bytes, or a number with KiB, MiB, GiB, TiB (k, m, g too)"),
]
Duration = Annotated[
    str | int | float,
    AfterValidator(_duration),
    Field(description="seconds, or a number with s, m, h"),
]
HttpPath = Annotated[str, StringConstraints(pattern=r"^/[!-~]*$")]
GpuIndex = Annotated[int, Field(ge=0, le=1023)]
Count = Annotated[int, Field(ge=1, le=4096)]
Netdev = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,15}$")]


class Strict(BaseModel):
    """Unknown keys are errors; values do not change."""

    may_be_empty: ClassVar[bool] = False  # a name with nothing behind it stands for all defaults

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        populate_by_name=True,
        # `x-` keys are free for anchors; the loader takes them out before this model sees them.
        json_schema_extra={"patternProperties": {"^x-": {}}},
    )


Scalar = str | int | float | bool | None
Supervision = Literal["entrypoint", "watch", "none"]
