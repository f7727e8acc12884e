"""The stage order becomes edges per host and scope; explicit needs add to them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import FilesWrong
from orchestrator.plan.decide import decide
from orchestrator.plan.graph import Frontier, ancestors, ordered
from tests.unit.toy import ToyHosts, set_step


def test_next_stage_waits_on_the_same_host_only() -> None:
    frontier = Frontier().after([set_step("a", "swap"), set_step("b", "swap")])
    assert frontier.before(set_step("a", "net")) == {"a/swap"}


def test_scopes_do_not_wait_for_each_other() -> None:
    frontier = Frontier().after([set_step("a", "swap")])
    frontier = frontier.after(
        [set_step("a", "one", scope="one"), set_step("a", "two", scope="two")]
    )
    assert frontier.before(set_step("a", "x", scope="one")) == {"a/swap", "a/one"}
    assert frontier.before(set_step("a", "y")) == {"a/swap", "a/one", "a/two"}


def test_a_stage_without_steps_on_a_host_is_passed_through() -> None:
    frontier = Frontier().after([set_step("a", "swap")]).after([set_step("b", "net")])
    assert frontier.before(set_step("a", "x")) == {"a/swap"}


def test_a_step_that_serves_some_deployments_holds_up_only_those() -> None:
    first = Frontier().after([set_step("a", "limits")])
    fabric = set_step("a", "network", serves=frozenset({"duo"}))
    after = first.after([fabric])
    assert after.before(set_step("a", "rank", scope="duo")) == {"a/limits", "a/network"}
    assert after.before(set_step("a", "rank", scope="solo")) == {"a/limits"}
    assert after.before(set_step("a", "later")) == {"a/limits", "a/network"}
    nobody = first.after([set_step("a", "network", serves=frozenset())])
    assert nobody.before(set_step("a", "rank", scope="solo")) == {"a/limits"}
    assert nobody.before(set_step("a", "later")) == {"a/limits", "a/network"}


def test_needs_that_are_not_in_the_plan_are_dropped() -> None:
    assert ordered([set_step("a", "x", needs=frozenset({"gone"}))])["a/x"].needs == frozenset()


def test_circle_is_named() -> None:
    with pytest.raises(FilesWrong, match=r"circle: .*a/x"):
        ordered(
            [
                set_step("a", "x", needs=frozenset({"a/y"})),
                set_step("a", "y", needs=frozenset({"a/x"})),
            ]
        )


@given(st.lists(st.tuples(st.integers(0, 20), st.sets(st.integers(0, 20))), max_size=20))
def test_order_puts_every_need_first(edges: list[tuple[int, set[int]]]) -> None:
    wanted = {n: {m for m in needs if m < n} for n, needs in edges}
    steps = ordered(
        set_step("a", str(n), needs=frozenset(f"a/{m}" for m in needs))
        for n, needs in wanted.items()
    )
    place = {one: i for i, one in enumerate(steps)}
    for one, above in ancestors(steps).items():
        assert all(place[need] < place[one] for need in above)


def test_what_follows_a_change_is_provisional_and_the_rest_is_not() -> None:
    hosts = ToyHosts({"a": {"z": 1}, "b": {"z": 1}})
    steps = ordered(
        [
            set_step("a", "x"),
            set_step("a", "z", needs=frozenset({"a/x"})),
            set_step("b", "z"),
        ]
    )
    world = hosts.world()
    world.read(frozenset(read for step in steps.values() for read in step.reads))
    plan = decide(steps, world).plan
    assert set(plan.changes) == {"a/x"}
    assert plan.provisional == {"a/z"}
