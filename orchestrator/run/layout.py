"""A run's steps as stages of deployments: what belongs together, and what waits for what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property

from orchestrator.run.record import ENDED, Record, State, StepRecord

BAD: frozenset[State] = frozenset(("failed", "refused"))
NO_TIME = 0.5  # seconds of a step that found nothing to do


@dataclass(frozen=True)
class Group:
    """The steps of one stage of one deployment, as they are now."""

    title: str
    steps: list[StepRecord]

    @cached_property
    def counts(self) -> Counter[State]:
        return Counter(step.state for step in self.steps)

    @cached_property
    def over(self) -> bool:
        return self.counts.keys() <= ENDED

    @cached_property
    def state(self) -> State:
        found = self.counts
        order: tuple[State, ...] = ("failed", "refused")
        order += ("skipped", "changed", "unchanged") if self.over else ("running",)
        for state in order:
            if found[state]:
                return state
        return "waiting" if found.keys() <= {"pending", "waiting"} else "running"

    @cached_property
    def idle(self) -> bool:
        """All was as it should be, and no time was spent on it."""
        return all(
            step.state == "unchanged" and (step.seconds or 0) < NO_TIME for step in self.steps
        )

    @cached_property
    def under_way_alone(self) -> StepRecord | None:
        """The only step of its stage, while it runs: they share a line."""
        only = self.steps[0]
        return only if len(self.steps) == 1 and only.state == "running" else None

    def seconds(self, now: float) -> float | None:
        starts = [step.started for step in self.steps if step.started is not None]
        if not starts:
            return None
        ends = [step.ended for step in self.steps if step.ended is not None]
        return max(0.0, (max(ends, default=now) if self.over else now) - min(starts))


class Layout:
    """Which step belongs to which stage, and which stage needs which: as the plan says."""

    def __init__(self, record: Record) -> None:
        self.members: dict[str, list[StepRecord]] = {}
        self.homes: dict[str, str] = {}
        several = len({step.scope for step in record.steps.values() if step.scope}) > 1
        for step in record.steps.values():
            scope = step.scope if several and step.scope else ""
            title = f"{step.stage or step.id} {scope}".rstrip()
            self.members.setdefault(title, []).append(step)
            self.homes[step.id] = title
        self.hosts = len(record.hosts)
        self.needs = {
            title: self._stages({need for step in steps for need in step.needs}) - {title}
            for title, steps in self.members.items()
        }

    def _stages(self, steps: Iterable[str]) -> set[str]:
        return {self.homes[name] for name in steps if name in self.homes}

    def groups(self) -> list[Group]:
        """In the order of the plan, without steps that nobody demands."""
        found = (
            Group(title, [step for step in steps if step.state != "pruned"])
            for title, steps in self.members.items()
        )
        return [group for group in found if group.steps]


def idle(group: Group) -> str:
    """Nothing was to be done, or nothing was begun because of what failed before."""
    if group.counts.keys() == {"skipped"}:
        return "skipped"
    return "idle" if group.idle else ""


def quiet(group: Group) -> str:
    """Over without a failure, or not begun: nothing to look at."""
    if group.over and group.state not in BAD:
        return "over"
    return "ahead" if group.state == "waiting" else ""


def neighbours(groups: list[Group], kind_of: Callable[[Group], str]) -> list[list[Group]]:
    """Neighbours of one kind together; those of no kind alone."""
    found: list[list[Group]] = []
    last = ""
    for group in groups:
        kind = kind_of(group)
        if kind and kind == last:
            found[-1].append(group)
        else:
            found.append([group])
        last = kind
    return found
