"""A run that never was: real steps, a real plan, told to a real Bus by a clock that tests move."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from orchestrator.contracts import Change, Event, Observer, Plan, Step, World
from orchestrator.errors import Failed, Refused
from orchestrator.run.events import Bus, Running, Served

STAGES = (
    "reach",
    "prepare",
    "packages",
    "network",
    "confirm",
    "image",
    "weights",
    "links",
    "bandwidth",
    "start",
    "ready",
    "answer",
)


@dataclass(frozen=True, kw_only=True)
class Pretend(Step):
    """A step that only exists to be told about."""

    def check(self, world: World) -> Change | None:
        return Change(f"{self.stage} {self.host}")


@dataclass
class Clock:
    """Seconds since the epoch, moved by hand."""

    now: float = 1_767_225_600.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Kept:
    """Observer that keeps all."""

    events: list[Event] = field(default_factory=list)

    def on(self, event: Event) -> None:
        self.events.append(event)


def step(stage: str, host: str, needs: Iterable[str] = (), **more: Any) -> Pretend:
    return Pretend(
        id=f"vl/{stage}/{host}", stage=stage, host=host, needs=frozenset(needs), scope="vl", **more
    )


def plan_of(hosts: int, stages: Iterable[str] = STAGES) -> Plan:
    """Each stage on each host, a barrier between stages."""
    steps: dict[str, Step] = {}
    before: list[str] = []
    for stage in stages:
        made = [step(stage, f"spark-{n}", before) for n in range(1, hosts + 1)]
        steps.update({one.id: one for one in made})
        before = [one.id for one in made]
    changes = {name: Change(f"{one.stage} on {one.host}") for name, one in steps.items()}
    return Plan(steps, changes, provisional=frozenset())


class Story:
    """Tells a whole run to the observers: `until` stages are done, the next one is under way."""

    def __init__(self, hosts: int, observers: Iterable[Observer]) -> None:
        self.clock = Clock()
        self.plan = plan_of(hosts)
        self.bus = Bus("20260101T000000-abcd", observers, clock=self.clock)

    def begin(self) -> None:
        self.bus.run_started("up", "duo", argv=["orch", "up"])
        self.clock.now += 0.4
        self.bus.planned(self.plan)

    def finish_stage(self, stage: str, seconds: float = 2.0) -> None:
        mine = [one for one in self.plan.steps.values() if one.stage == stage]
        for one in mine:
            self.bus.started(one, self.plan.changes[one.id])
        for number, one in enumerate(mine):
            self.clock.now += seconds / len(mine)
            self.bus.done(one, changed=number % 2 == 0)

    def until(self, stage: str) -> None:
        """All stages before `stage` are done; it runs on all hosts but the first, which is done."""
        self.begin()
        for name in STAGES[: STAGES.index(stage)]:
            self.finish_stage(name)
        mine = [one for one in self.plan.steps.values() if one.stage == stage]
        for one in mine:
            self.bus.started(one, self.plan.changes[one.id])
            self.bus.progress(one, Change(f"{stage}: 3.2 of 11.4 GB", progress="3200000000"))
            self.bus.log_line(one, "Loading safetensors checkpoint shards:  40% | 2/5")
        self.clock.now += 31
        self.bus.done(mine[0], changed=True)
        for one in (one for one in self.plan.steps.values() if one.stage in STAGES_AFTER[stage]):
            self.bus.waiting(one, sorted(one.needs))

    def succeed(self) -> None:
        self.begin()
        for name in STAGES:
            self.finish_stage(name)
        self.bus.run_done(
            0, served=[Served("vl", "http://192.168.102.11:8000", "qwen3-vl", answer="Hello!")]
        )

    def fail(self, stage: str = "image") -> None:
        self.until(stage)
        mine = [one for one in self.plan.steps.values() if one.stage == stage]
        self.bus.failed(
            mine[1],
            Failed(
                "manifest for vllm/none:1 not found",
                host=mine[1].host,
                hint="look at `image:` in profiles/vl.yaml",
            ),
            evidence="/state/orch/evidence/vl",
        )
        if len(mine) > 2:
            self.bus.failed(mine[2], Refused("12.1 Gb/s, 160 expected", host=mine[2].host))
        for one in self.plan.steps.values():
            if STAGES.index(one.stage) > STAGES.index(stage):
                self.bus.skipped(one, "needs an image", because=[mine[1].id])
        self.bus.run_done(
            1, running=[Running("fast", "spark-1", "orch-duo-fast-0")], then=["orch up"]
        )


STAGES_AFTER = {name: STAGES[STAGES.index(name) + 1 :] for name in STAGES}
