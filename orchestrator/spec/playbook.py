"""Playbooks: which stages there are, in which order, for which hosts. YAML in, frozen stages out.

A playbook orders stages; what a stage does is code (a builder in steps/) or the user's own shell. There is no
expression language: `when` names a predicate of plan/predicates.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import Field, model_validator

from orchestrator.spec.models import Duration, Name, Strict


class ShellEntry(Strict):
    """A user's own step: `check` exits 0 when nothing is to do, `apply` makes it so."""

    check: str
    apply: str
    undo: str | None = Field(default=None, description="only for `orch run --undo`")
    sudo: bool = False
    timeout: Duration = 60


class StageEntry(Strict):
    stage: Name | None = Field(default=None, description="a builder, see `orch run --list`")
    shell: ShellEntry | None = None
    name: Name | None = Field(default=None, description="default: the builder's name")
    needs: tuple[Name, ...] | None = Field(default=None, description="default: the stage before")
    when: str | None = Field(default=None, description="a predicate, e.g. unified-memory, not-lab")
    on: str | tuple[str, ...] | None = Field(default=None, description="a group or hosts")
    retry: str | None = Field(
        default=None, description="a policy: none, connect, transfer, pull, apply"
    )
    deadline: Duration | None = Field(default=None, description="total time of each step")
    stall: Duration | None = Field(default=None, description="time without progress")
    barrier: bool = Field(
        default=False, description="all stages before must have passed everywhere"
    )
    with_: Mapping[str, Any] = Field(default={}, alias="with", description="options of the builder")

    @model_validator(mode="after")
    def _one_kind(self) -> StageEntry:
        if (self.stage is None) == (self.shell is None):
            raise ValueError("needs exactly one of `stage` and `shell`")
        if self.shell is not None and self.name is None:
            raise ValueError("a shell stage needs a `name`")
        return self

    @property
    def id(self) -> str:
        return self.name or self.stage or ""


class PlaybookFile(Strict):
    version: Literal[1]
    name: Name
    description: str = ""
    stages: tuple[StageEntry, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _names(self) -> PlaybookFile:
        seen: set[str] = set()
        for entry in self.stages:
            if entry.id in seen:
                raise ValueError(f"two stages are called {entry.id!r}; give one a `name`")
            for need in entry.needs or ():
                if need not in seen:
                    raise ValueError(f"{entry.id!r} needs {need!r}, which is not a stage before it")
            seen.add(entry.id)
        return self


def hooked(
    playbook: PlaybookFile,
    before: Mapping[str, Sequence[PlaybookFile]],
    after: Mapping[str, Sequence[PlaybookFile]],
) -> PlaybookFile:
    """The playbook with other playbooks' stages put in before and after named stages."""
    stages: list[StageEntry] = []
    for entry in playbook.stages:
        for extra in before.get(entry.id, ()):
            stages.extend(extra.stages)
        stages.append(entry)
        for extra in after.get(entry.id, ()):
            stages.extend(extra.stages)
    return PlaybookFile(
        version=1, name=playbook.name, description=playbook.description, stages=tuple(stages)
    )
