"""The executor keeps the order, keeps failures apart, and touches nothing that is as it should be."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from orchestrator.contracts import Change, Patience, Query, Step, World
from orchestrator.errors import Failed, NoPatience, Refused
from orchestrator.plan.decide import futile
from orchestrator.plan.graph import ordered
from orchestrator.run.converge import Toolbox, converge, exit_code, hosts_to_hold
from orchestrator.run.executor import Clock, Executor, Outcome
from orchestrator.run.survey import survey
from orchestrator.run.world import Reads
from orchestrator.script import Script
from tests.unit.toy import Get, Set, ToyHosts, set_step


class Remarking(Set):
    """Passes, with a word."""

    def remarks(self, world: World) -> Sequence[str]:
        return ("odd",)


class Failing(Set):
    """Applied in vain, and tells what was said."""

    def check(self, world: World) -> Change | None:
        return Change("builds it", log="Step 2/2\nno such file")


class Dying(Set):
    """Started, and ended before anybody looked."""

    def check(self, world: World) -> Change | None:
        return Change(
            "starts it", log="no such flag", unmet="it ended with code 2", hint="orch logs it"
        )


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


def test_what_a_gate_remarks_is_a_warning_of_the_run_and_of_the_plan() -> None:
    hosts = ToyHosts({"a": {"g": 1}})
    gate = Remarking(id="a/g", host="a", role="gate", key="g", reads=frozenset({("a", Get("g"))}))
    assert survey(ordered([gate]), hosts.world()).remarks == ("odd",)
    assert run(hosts, gate).states == {"a/g": "unchanged"}
    notes = [one for one in hosts.events if one.kind == "note"]
    assert [(one.text, one.data["severity"]) for one in notes] == [("odd", "warning")]


def test_what_failed_shows_its_last_lines() -> None:
    hosts = ToyHosts({"a": {}})
    step = Failing(id="a/g", host="a", key="g", reads=frozenset({("a", Get("g"))}))
    error = run(hosts, step).errors["a/g"]
    assert error.message.endswith("applied: builds it\n    Step 2/2\n    no such file")


def test_what_was_applied_in_vain_says_what_is_the_matter_and_counts_as_sent() -> None:
    hosts = ToyHosts({"a": {}})
    step = Dying(id="a/g", host="a", key="g", reads=frozenset({("a", Get("g"))}))
    outcome = run(hosts, step, set_step("a", "y", needs=frozenset({"a/g"})))
    assert outcome.errors["a/g"].message == "it ended with code 2\n    no such flag"
    assert outcome.errors["a/g"].hint == "orch logs it"
    assert outcome.sent == {"a/g"}
    assert outcome.changed == []


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


@dataclass(frozen=True, kw_only=True)
class Memory(Step):
    """Refuses for `polls` looks."""

    polls: int
    seen: list[int]

    def check(self, world: World) -> Change | None:
        self.seen.append(1)
        if len(self.seen) > self.polls:
            return None
        raise Refused("85 GiB needed, 60 are available")


@pytest.mark.parametrize(
    ("behind", "polls", "passes"), [(1, 30, True), (1, 99, False), (0, 2, False)]
)
def test_a_gate_behind_a_change_gets_a_moment(behind: int, polls: int, passes: bool) -> None:
    """What was stopped gives its memory back late; where nothing was, the refusal is at once."""
    hosts = ToyHosts({"a": {}})
    needs = frozenset({"a/stop"} if behind else ())
    gate = Memory(
        id="memory",
        role="gate",
        host="a",
        needs=needs,
        polls=polls,
        seen=[],
        patience=Patience(settle=60),
    )
    steps = ordered([set_step("a", "stop"), gate])
    outcome = Executor(steps, hosts.world(), hosts.apply, hosts.bus(), clock=FakeClock()).run()
    assert (outcome.states["memory"] == "unchanged") is passes
    assert passes or isinstance(outcome.errors["memory"], Refused)
    assert len(gate.seen) == (polls + 1 if passes else 61 if behind else 1)


def test_apply_that_does_not_stick_is_a_failure() -> None:
    hosts = ToyHosts({"a": {}})
    world = hosts.world()
    graph = ordered([set_step("a", "x")])
    survey(graph, world)
    outcome = Executor(graph, world, lambda step, script: None, hosts.bus()).run()
    assert "still not so after it was applied" in str(outcome.errors["a/x"])


@dataclass(frozen=True, kw_only=True)
class Never(Step):
    """Refused while `key` is not 1."""

    key: str = "ok"

    def check(self, world: World) -> Change | None:
        if world[self.host or ""].get(Get(self.key)) != 1:
            raise Refused("no", host=self.host)
        return None


def never(host: str, **more: Any) -> Never:
    return Never(
        id=f"{host}/never", role="gate", host=host, reads=frozenset({(host, Get("ok"))}), **more
    )


def gang() -> Mapping[str, Step]:
    """Host b can't take its part in the gang of a and b; `solo` on a needs only a."""
    return ordered(
        [
            set_step("a", "network"),
            set_step("a", "image"),
            never("b"),
            set_step("b", "network", needs=frozenset({"b/never"})),
            set_step("a", "rank", needs=frozenset({"a/network", "b/network"})),
            set_step("a", "solo", needs=frozenset({"a/image"})),
        ]
    )


def toolbox(hosts: ToyHosts, leased: list[frozenset[str]]) -> Toolbox:
    @contextmanager
    def leases(names: frozenset[str], reads: Reads) -> Iterator[None]:
        leased.append(names)
        hosts.live.read(reads)
        yield

    return Toolbox(world=hosts.world(), apply=hosts.apply, bus=hosts.bus(), leases=leases)


def test_what_serves_only_what_is_wrong_already_is_not_begun() -> None:
    hosts, leased = ToyHosts({"a": {}, "b": {}}), list[frozenset[str]]()
    tools = toolbox(hosts, leased)
    decision = survey(gang(), tools.world)
    assert futile(decision) == {"a/network"}
    outcome, _ = converge(gang(), decision, tools, lambda again: None)
    assert leased == [{"a"}]
    assert sorted(hosts.applied) == ["a/image", "a/solo"]
    assert outcome.states["a/network"] == outcome.states["a/rank"] == "skipped"
    assert outcome.errors.keys() == {"b/never"}


def test_nothing_is_held_where_nothing_can_be_done() -> None:
    hosts, leased = ToyHosts({"b": {}}), list[frozenset[str]]()
    tools = toolbox(hosts, leased)
    steps = ordered([never("b"), set_step("b", "rank", needs=frozenset({"b/never"}))])
    outcome, _ = converge(steps, survey(steps, tools.world), tools, lambda again: None)
    assert not leased
    assert not hosts.applied
    assert outcome.states == {"b/never": "failed", "b/rank": "skipped"}


def test_what_is_possible_after_all_is_held_too() -> None:
    """The host that was in the way is as it should be once the leases of the others are there."""
    hosts, leased = ToyHosts({"a": {}, "b": {}}), list[frozenset[str]]()
    tools = toolbox(hosts, leased)
    decision = survey(gang(), tools.world)
    assert hosts_to_hold(decision) == {"a"}
    hosts.values["b"]["ok"] = 1
    outcome, _ = converge(gang(), decision, tools, lambda again: None)
    assert leased == [{"a"}, {"a", "b"}]
    assert set(outcome.states.values()) == {"changed", "unchanged"}


def test_a_gate_on_demand_refuses_before_anything_is_done() -> None:
    hosts = ToyHosts({"b": {}})
    steps = ordered(
        [never("b", on_demand=True), set_step("b", "rank", needs=frozenset({"b/never"}))]
    )
    assert survey(steps, hosts.world()).problems.keys() == {"b/never"}
    hosts.values["b"]["rank"] = 1
    assert survey(steps, hosts.world()).problems == {}  # nothing demands it


@pytest.mark.parametrize(
    ("broken", "states"),
    [
        ("a/x", {"a/x": "failed", "a/y": "skipped", "b/z": "skipped"}),  # a's change went wrong
        ("a/y", {"a/x": "changed", "a/y": "failed", "b/z": "skipped"}),
        ("", {"a/x": "changed", "a/y": "changed", "b/z": "changed"}),
    ],
)
def test_who_goes_after_another_waits_and_stays_if_that_went_wrong(
    broken: str, states: dict[str, str]
) -> None:
    hosts = ToyHosts({"a": {}, "b": {}}, broken={broken: Failed("no")})
    outcome = run(
        hosts,
        set_step("b", "z", order=frozenset({"a/y"})),
        set_step("a", "x", stage="network"),
        set_step("a", "y", stage="network", needs=frozenset({"a/x"})),
    )
    assert outcome.states == states
    assert hosts.applied == [one for one in ("a/x", "a/y", "b/z") if states[one] == "changed"]


def test_who_goes_after_another_does_not_need_it() -> None:
    hosts = ToyHosts({"a": {}, "b": {}})
    outcome = run(
        hosts,
        never("a"),
        set_step("a", "x", stage="network", needs=frozenset({"a/never"})),
        set_step("b", "z", order=frozenset({"a/x"})),
    )
    assert outcome.states == {"a/never": "failed", "a/x": "skipped", "b/z": "changed"}


def test_nothing_done_and_nothing_wrong_is_no_success() -> None:
    assert exit_code(Outcome(states={"a/x": "skipped"})) != 0


def test_a_turn_waits_for_the_end_and_goes_on_whatever_came_of_it() -> None:
    hosts = ToyHosts({"a": {}, "b": {}}, broken={"a/x": Failed("no")})
    follower = set_step("b", "y", turns=frozenset({"a/x"}))
    behind = set_step("b", "z", turns=frozenset({"b/y"}))
    outcome = run(hosts, behind, follower, set_step("a", "x"))
    assert outcome.states == {"a/x": "failed", "b/y": "changed", "b/z": "changed"}
    assert hosts.applied == ["b/y", "b/z"]


@dataclass(frozen=True, kw_only=True)
class Asking(Set):
    """The second of two that are done over: it misses as often as its host says."""

    def check(self, world: World) -> Change | None:
        return None if world[self.host or ""].get(Get("tries")) >= self.attempt else Change("asks")

    def missed(self, world: World) -> str:
        facts = world[self.host or ""]
        return "too early" if facts.get(Get("tries")) <= facts.get(Get("early")) else ""


class CountingHosts(ToyHosts):
    """Counts what asks."""

    def apply(self, step: Step, script: Script) -> None:
        if isinstance(step, Asking):
            self.values["a"]["tries"] += 1
        super().apply(step, script)


@pytest.mark.parametrize(("early", "tries"), [(0, 1), (1, 2), (2, 3), (9, 3)])
def test_what_missed_is_done_over_as_often_as_its_policy_says(early: int, tries: int) -> None:
    hosts = CountingHosts({"a": {"tries": 0, "early": early}})
    reads: frozenset[tuple[str, Query[Any]]] = frozenset(
        ("a", Get(key)) for key in ("tries", "early")
    )
    serve = set_step("a", "serve")
    ask = Asking(
        id="a/ask",
        host="a",
        key="ask",
        needs=frozenset({"a/serve"}),
        reads=reads,
        redo=frozenset({"a/serve", "a/ask"}),
        patience=Patience(retry="measure"),
    )
    after = set_step("a", "after", needs=frozenset({"a/serve", "a/ask"}))
    outcome = run(hosts, serve, ask, after)
    assert hosts.applied.count("a/ask") == tries
    assert hosts.applied[-1] == "a/after" and hosts.applied.count("a/after") == 1
    assert outcome.states["a/after"] == "changed" and not outcome.errors
    again = [one for one in hosts.events if one.kind == "step-retry"]
    assert [(one.step, one.text) for one in again] == [("a/ask", "too early")] * (tries - 1)
