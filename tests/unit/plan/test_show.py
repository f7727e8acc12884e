"""A plan for a person: what changes has its lines, what can't be known yet is counted."""

from __future__ import annotations

import pytest

from orchestrator.cli.drive import show
from orchestrator.contracts import Change, Plan
from orchestrator.errors import Unreachable
from orchestrator.plan.decide import Decision
from tests.synthetic import plan_of


def told(decision: Decision, capsys: pytest.CaptureFixture[str]) -> list[str]:
    show(decision)
    return capsys.readouterr().out.splitlines()


def test_what_is_decided_later_is_named_by_stage(capsys: pytest.CaptureFixture[str]) -> None:
    steps = plan_of(2, ("reachable", "image", "start")).steps
    gone, *later = steps
    plan = Plan(steps, {}, frozenset(later))
    wrong = Unreachable("no answer", host="spark-1", hint="is it on?")
    assert told(Decision(plan, frozenset(), {gone: wrong}), capsys) == [
        "reachable",
        f"  ! {gone}: spark-1: no answer",
        "        hint: is it on?",
        "decided after that",
        "    reachable, image, start (5 steps; -v lists them)",
        "5 decided later, 1 wrong",
    ]


def test_nothing_to_change_is_said_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    steps = plan_of(2, ("image",)).steps
    assert told(Decision(Plan(steps, {}, frozenset()), frozenset(), {}), capsys) == [
        "nothing to change, 2 as they should be"
    ]
    change = {next(iter(steps)): Change("pull it")}
    assert told(Decision(Plan(steps, change, frozenset()), frozenset(), {}), capsys)[-1] == (
        "1 to change, 1 as they should be"
    )
