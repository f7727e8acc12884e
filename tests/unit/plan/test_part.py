"""The part of a plan that is about one deployment: its own steps, its hosts' preparation, nobody else's."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.cli.playbooks import cluster_playbook
from orchestrator.contracts import Step
from orchestrator.plan.build import build
from orchestrator.plan.graph import ancestors, ordered
from orchestrator.plan.part import part, renamed
from orchestrator.spec.models import Cluster
from orchestrator.spec.playbook import PlaybookFile
from tests.gangs import cluster_of
from tests.unit.toy import set_step

TWO = """
one: {profile: lab-llama, hosts: [spark-1], port: 8000}
two: {profile: lab-llama, hosts: [spark-2], port: 8001, after: [one]}
"""


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return cluster_of(tmp_path, TWO)


def chosen(cluster: Cluster, name: str) -> dict[str, Step]:
    book = cluster_playbook(cluster, "up")
    return dict(part(build(cluster, book), cluster, frozenset({name}), book))


def test_nothing_of_others_and_nothing_that_clears_away(cluster: Cluster) -> None:
    steps = chosen(cluster, "two")
    assert {"two/stop/spark-2", "two/rank/0", "two/answer", "two/weights"} <= steps.keys()
    assert {step.scope for step in steps.values()} <= {None, "two"}
    assert not [one for one in steps if one.startswith("one/") or one.startswith("spark-1/")]
    whole = build(cluster, cluster_playbook(cluster, "up"))
    assert "spark-2/stale" in whole
    assert "spark-2/stale" not in steps
    assert "spark-2/packages" in steps


def test_the_order_is_as_in_the_whole(cluster: Cluster) -> None:
    """What is left out hands on what it waited for: weights and image before the old ranks are stopped."""
    whole = ancestors(build(cluster, cluster_playbook(cluster, "up")))
    steps = chosen(cluster, "two")
    for one, above in ancestors(steps).items():
        assert above == whole[one] & steps.keys(), one
    assert {"two/weights", "two/image/spark-2", "two/room/spark-2"} <= ancestors(steps)[
        "two/stop/spark-2"
    ]


def test_a_step_between_that_goes_leaves_no_gap(cluster: Cluster) -> None:
    first = set_step("spark-2", "first")
    between = set_step("spark-2", "between", scope="one", needs=frozenset({first.id}))
    last = set_step("spark-2", "last", scope="two", needs=frozenset({between.id}))
    book = PlaybookFile.model_validate({"version": 1, "name": "x", "stages": [{"stage": "start"}]})
    found = part(ordered([first, between, last]), cluster, frozenset({"two"}), book)
    assert found[last.id].needs == {first.id}


def test_what_serves_others_only_is_left_out(cluster: Cluster) -> None:
    mine = set_step("spark-1", "mine", serves=frozenset({"two"}))
    other = set_step("spark-2", "other", serves=frozenset({"one"}))
    book = cluster_playbook(cluster, "up")
    assert part(ordered([mine, other]), cluster, frozenset({"two"}), book).keys() == {mine.id}


def test_other_names_and_the_same_edges() -> None:
    steps = ordered([set_step("a", "x"), set_step("a", "y", needs=frozenset({"a/x"}))])
    again = renamed(steps, "back/")
    assert again["back/a/y"].needs == {"back/a/x"}
    assert [step.id for step in again.values()] == ["back/a/x", "back/a/y"]
