"""The executor keeps the order, keeps failures apart, and touches nothing that is as it should be."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import pytest

from orchestrator.contracts import Change, Patience, Step, World
from orchestrator.errors import Failed, NoPatience, Refused
from orchestrator.plan.graph import ordered
from orchestrator.run.converge import survey
from orchestrator.run.executor import Clock, Executor, Outcome
from orchestrator.script import Script
from tests.unit.toy import ToyHosts, set_step


def run(hosts: ToyHosts, *steps: Step, clock: Clock | None = None) -> Outcome:
    world = hosts.world()
    graph = ordered(steps)
    decision = survey(graph, world)
    return Executor(
        graph, world, hosts.apply, hosts.bus(), skip=decision.plan.pruned, clock=clock
    ).run()


def test_order_is_kept_and_all_is_done() -> None:
    hosts = ToyHosts({"a": {}, "b": {}})
    first, second = set_step("a", "x"), set_step("b", "y", needs=frozenset({"a/x"}))
    outcome = run(hosts, second, first)
    assert hosts.applied == ["a/x", "b/y"]
    assert outcome.states == {"a/x": "changed", "b/y": "changed"}


def test_second_run_changes_nothing_and_reads_once() -> None:
    hosts = ToyHosts({"a": {"x": 1}, "b": {"y": 1}})
    outcome = run(hosts, set_step("a", "x"), set_step("b", "y", needs=frozenset({"a/x"})))
    assert hosts.applied == []
    assert len(hosts.reads) == 1
    assert set(outcome.states.values()) == {"unchanged"}


def test_failure_on_one_host_leaves_the_other_alone() -> None:
    hosts = ToyHosts({"a": {}, "b": {}}, broken={"a/x": Failed("no")})
    outcome = run(
        hosts,
        set_step("a", "x"),
        set_step("a", "z", needs=frozenset({"a/x"})),
        set_step("b", "y"),
    )
    assert outcome.states == {"a/x": "failed", "a/z": "skipped", "b/y": "changed"}


def test_on_demand_step_runs_only_for_a_change_below() -> None:
    def steps() -> tuple[Step, ...]:
        return (
            set_step("a", "caches", on_demand=True),
            set_step("a", "rank", needs=frozenset({"a/caches"})),
        )

    idle = ToyHosts({"a": {"rank": 1}})
    assert run(idle, *steps()).states == {"a/caches": "not-needed", "a/rank": "unchanged"}
    assert idle.applied == []
    busy = ToyHosts({"a": {}})
    run(busy, *steps())
    assert busy.applied == ["a/caches", "a/rank"]


def test_on_demand_is_decided_again_after_an_ancestor_changed() -> None:
    hosts = ToyHosts({"a": {"rank": 1}})
    outcome = run(
        hosts,
        set_step("a", "swap"),
        set_step("a", "caches", on_demand=True, needs=frozenset({"a/swap"})),
        set_step("a", "rank", needs=frozenset({"a/caches"})),
    )
    assert outcome.states == {"a/swap": "changed", "a/caches": "not-needed", "a/rank": "unchanged"}


@dataclass(frozen=True, kw_only=True)
class Gate(Step):
    def check(self, world: World) -> Change | None:
        return Change("13 Gb/s, wanted 90")


def test_gate_refuses_and_nothing_behind_it_starts() -> None:
    hosts = ToyHosts({"a": {}})
    gate = Gate(id="gate", role="gate", host="a")
    outcome = run(hosts, gate, set_step("a", "rank", needs=frozenset({"gate"})))
    assert isinstance(outcome.errors["gate"], Refused)
    assert outcome.states["a/rank"] == "skipped"
    assert hosts.applied == []


@dataclass(frozen=True, kw_only=True)
class Slow(Step):
    """Satisfied after `polls` reads; progress moves while `moving`."""

    polls: int
    moving: bool
    seen: list[int]

    def check(self, world: World) -> Change | None:
        self.seen.append(1)
        if len(self.seen) > self.polls:
            return None
        return Change("loading", progress=str(len(self.seen)) if self.moving else "")

    def apply(self, change: Change, world: World) -> Script:
        raise AssertionError


class FakeClock(Clock):
    def __init__(self) -> None:
        self.time = 0.0
        super().__init__(now=lambda: self.time, pause=self._tick)

    def _tick(self, cancel: threading.Event, seconds: float) -> bool:
        self.time += seconds
        return cancel.is_set()


@pytest.mark.parametrize(("moving", "polls", "ends"), [(True, 200, True), (False, 200, False)])
def test_patience_follows_progress(moving: bool, polls: int, ends: bool) -> None:
    hosts = ToyHosts({"a": {}})
    slow = Slow(
        id="load",
        role="wait",
        host="a",
        polls=polls,
        moving=moving,
        seen=[],
        patience=Patience(total=1000, stall=30, poll=1),
    )
    outcome = run(hosts, slow, clock=FakeClock())
    if ends:
        assert outcome.states["load"] == "unchanged"
    else:
        assert isinstance(outcome.errors["load"], NoPatience)
        assert "nothing moved for 30 s" in str(outcome.errors["load"])


def test_apply_that_does_not_stick_is_a_failure() -> None:
    hosts = ToyHosts({"a": {}})
    world = hosts.world()
    graph = ordered([set_step("a", "x")])
    survey(graph, world)
    outcome = Executor(graph, world, lambda step, script: None, hosts.bus()).run()
    assert "still not so after it was applied" in str(outcome.errors["a/x"])
