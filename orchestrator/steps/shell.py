"""A user's own shell steps: `check` exits 0 when there is nothing to do, `apply` makes it so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.contracts import Change, Patience, Query, Step, World
from orchestrator.errors import Unknown
from orchestrator.question import question
from orchestrator.script import Command, Result, Script, user_shell
from orchestrator.spec.models import Cluster
from orchestrator.spec.playbook import ShellEntry
from orchestrator.spec.units import parse_duration


@question
class ShellCheck:
    """Does the user's check pass? True, False, or Unknown when it could not be run."""

    text: str
    sudo: bool
    timeout: float

    def ask(self) -> Script:
        command = Command(user_shell(self.text), sudo=self.sudo, timeout=self.timeout)
        return Script({"check": command})

    def parse(self, results: Mapping[str, Result]) -> bool:
        result = results.get("check")
        if result is None:
            raise Unknown("the check gave no answer")
        if result.rc in (124, 126, 127, 137):
            raise Unknown(f"the check could not be run (exit {result.rc}): {_tail(result)}")
        return result.rc == 0


@dataclass(frozen=True, kw_only=True)
class ShellStep(Step):
    entry: ShellEntry
    query: ShellCheck

    def check(self, world: World) -> Change | None:
        if world[self.host or ""].get(self.query):
            return None
        return Change(f"runs the shell of {self.stage or self.id}", diff=self.entry.apply.rstrip())

    def apply(self, change: Change, world: World) -> Script:
        command = Command(
            user_shell(self.entry.apply), sudo=self.entry.sudo, timeout=self.query.timeout
        )
        return Script({"apply": command}, mutates=True, stop_on_error=True)


@dataclass(frozen=True, kw_only=True)
class UndoStep(ShellStep):
    """The other way round, for `orch run --undo`: wanted is that the check fails."""

    def check(self, world: World) -> Change | None:
        if not world[self.host or ""].get(self.query):
            return None
        return Change(f"undoes {self.stage or self.id}", diff=(self.entry.undo or "").rstrip())

    def apply(self, change: Change, world: World) -> Script:
        command = Command(
            user_shell(self.entry.undo or "false"), sudo=self.entry.sudo, timeout=self.query.timeout
        )
        return Script({"undo": command}, mutates=True, stop_on_error=True)


def shell_steps(
    cluster: Cluster, name: str, entry: ShellEntry, undo: bool = False
) -> Iterable[Step]:
    """One step per host of the cluster; `on:` in the playbook narrows it."""
    timeout = parse_duration(entry.timeout)
    query: Query[Any] = ShellCheck(entry.check, entry.sudo, timeout)
    make = UndoStep if undo else ShellStep
    for host in cluster.used_hosts or tuple(cluster.hosts.values()):
        yield make(
            id=f"{host.name}/{name}",
            host=host.name,
            reads=frozenset({(host.name, query)}),
            patience=Patience(total=timeout),
            entry=entry,
            query=ShellCheck(entry.check, entry.sudo, timeout),
        )


def _tail(result: Result) -> str:
    return (result.err or result.out).decode(errors="replace").strip()[-200:]
