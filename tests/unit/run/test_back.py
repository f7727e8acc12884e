"""The way back: the hosts are looked at with new eyes, and only what is needed is done."""

from __future__ import annotations

from contextlib import nullcontext

from orchestrator.errors import Failed
from orchestrator.plan.graph import ordered
from orchestrator.run.back import go_back
from orchestrator.run.converge import Toolbox
from tests.unit.toy import ToyHosts, set_step


def tools(hosts: ToyHosts) -> Toolbox:
    return Toolbox(hosts.world(), hosts.apply, hosts.bus(), lambda names, reads: nullcontext())


def test_what_is_gone_is_brought_back_under_other_names() -> None:
    hosts = ToyHosts({"a": {"old": 0, "net": 1}})
    steps = ordered([set_step("a", "net"), set_step("a", "old", needs=frozenset({"a/net"}))])
    back = go_back(steps, tools(hosts), lambda _: tools(hosts))
    assert (back.exit_code, back.touched) == (0, True)
    assert hosts.applied == ["back/a/old"]
    again = go_back(steps, tools(hosts), lambda _: tools(hosts))
    assert (again.exit_code, again.touched) == (0, False)


def test_answers_from_before_are_not_believed() -> None:
    """The world of the run that failed still knows the old ranks, which are gone."""
    hosts = ToyHosts({"a": {"old": 1}})
    seen = tools(hosts)
    step = set_step("a", "old")
    seen.world.read(step.reads)
    hosts.values["a"]["old"] = 0
    back = go_back(ordered([step]), seen, lambda _: tools(hosts))
    assert (back.touched, hosts.values["a"]["old"]) == (True, 1)


def test_what_can_t_be_brought_back_is_told() -> None:
    hosts = ToyHosts({"a": {"old": 0}}, broken={"back/a/old": Failed("no")})
    back = go_back(ordered([set_step("a", "old")]), tools(hosts), lambda _: tools(hosts))
    assert (back.exit_code, back.touched) == (1, True)


def test_after_ctrl_c_nothing_more_is_done() -> None:
    hosts = ToyHosts({"a": {"old": 0}})
    fresh = tools(hosts)
    fresh.cancel.set()
    back = go_back(ordered([set_step("a", "old")]), fresh, lambda given: given)
    assert back.exit_code == 130
    assert hosts.applied == []
