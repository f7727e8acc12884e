"""All pairs: what is compared differs in who waits for whom alone, and rounds are counted from the plan itself."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.fabric import one_by_one
from benchmarks.report import markdown
from benchmarks.workers.fabric_plan import rounds_of
from orchestrator.plan.graph import ancestors, ordered
from orchestrator.steps.measure import measure_steps
from orchestrator.steps.trial import GoingStep
from tests.unit.network.clusters import cluster, names, switch


def all_pairs(count: int) -> Any:
    of = cluster(names(count), switch("s1", *(f"{one}.p0" for one in names(count))))
    return ordered(measure_steps(of, {"run": "r", "all_pairs": True, "soak": True}))


@pytest.mark.parametrize(("count", "rounds"), [(2, 1), (4, 3), (7, 7), (8, 7), (16, 15)])
def test_rounds_are_one_less_than_hosts(count: int, rounds: int) -> None:
    assert rounds_of(all_pairs(count)) == (count * (count - 1) // 2, rounds)


def test_one_by_one_is_the_same_steps_and_no_two_pairs_at_once() -> None:
    steps = all_pairs(6)
    chained = ordered(one_by_one(steps).values())
    assert chained.keys() == steps.keys()
    assert rounds_of(chained) == (15, 15)
    soft = {one: _hard(step) for one, step in chained.items()}
    above = ancestors(soft)
    serves = [one for one in chained if one.endswith("/serve")]
    for number, one in enumerate(serves):
        assert set(serves[:number]) <= above[one]


def _hard(step: Any) -> GoingStep:
    from dataclasses import replace

    found: GoingStep = replace(step, needs=step.needs | step.turns)
    return found


def test_the_table_tells_the_ratio_and_what_it_could_be_at_most() -> None:
    row = {"hosts": 8, "pairs": 28, "in rounds": 30.0, "one by one": 105.0}
    plan = dict.fromkeys(("load", "build", "survey", "total", "cpu", "peak_mib"), 1.5)
    plan |= {"hosts": 256, "pairs": 32640, "rounds": 255, "steps": 9, "scripts_a_host": 1.0}
    text = markdown({"machine": {"cpu": "2"}, "fabric": {"pairs": {"rows": [row]}, "plan": plan}})
    assert "| 8 | 28 | 7 | 30.0 | 105.0 | 3.5 | 4.0 |" in text
    assert "| 32640 pairs, 9 steps, 1 script a host | 255 rounds; goal: 255 |" in text
    missing = markdown({"machine": {}, "fabric": {"pairs": {"missing": "no root"}}})
    assert "not measured, no root" in missing
