"""Playbooks: which stages there are, in which order, for which hosts. YAML in, frozen stages out.

A playbook orders stages; what a stage does is code (a builder in steps/) or the user's own shell. There is no
expression language: `when` names a predicate of plan/predicates.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import Field, model_validator

from orchestrator.errors import FilesWrong
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
        default=None, description="a policy: none, connect, transfer, pull, apply, measure"
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
    """The playbook with other playbooks' stages put in before and after named stages.

    What is put in comes into the way of what is there: a stage waits for all that was put before it, and who
    needs a stage by name also waits for what was put after it.
    """
    stages: list[StageEntry] = []
    followed: dict[str, tuple[str, ...]] = {}  # stage → those that were put after it
    for entry in playbook.stages:
        previous = (stages[-1].id,) if stages else ()
        wanted = previous if entry.needs is None else entry.needs
        ahead = _chain(before.get(entry.id, ()), wanted)
        behind = _chain(after.get(entry.id, ()), (entry.id,))
        needs = [*wanted, *(one for need in wanted for one in followed.get(need, ())), *_ids(ahead)]
        stages += [*ahead, entry.model_copy(update={"needs": tuple(dict.fromkeys(needs))}), *behind]
        followed[entry.id] = _ids(behind)
    for name, count in Counter(_ids(stages)).items():
        if count > 1:
            raise FilesWrong(
                f"hooks: two stages are called {name!r}", hint="give one of them another `name`"
            )
    return PlaybookFile(
        version=1, name=playbook.name, description=playbook.description, stages=tuple(stages)
    )


def _chain(books: Sequence[PlaybookFile], needs: tuple[Name, ...] | None) -> list[StageEntry]:
    """The stages of some playbooks, one after the other; the first has these needs if it says none."""
    stages = [stage for book in books for stage in book.stages]
    if stages and stages[0].needs is None:
        stages[0] = stages[0].model_copy(update={"needs": needs})
    return stages


def _ids(stages: Sequence[StageEntry]) -> tuple[str, ...]:
    return tuple(stage.id for stage in stages)
