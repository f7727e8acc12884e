"""Hooks stand in the way: nobody passes a stage before what was put there is done."""

from __future__ import annotations

import pytest

from orchestrator.errors import FilesWrong
from orchestrator.spec.playbook import PlaybookFile, StageEntry, hooked


def book(*stages: StageEntry) -> PlaybookFile:
    return PlaybookFile(version=1, name="book", stages=stages)


def stage(name: str, *needs: str) -> StageEntry:
    return StageEntry(stage=name, needs=needs or None)


UP = book(stage("a"), stage("b"), stage("c", "a"), stage("d", "b", "c"), stage("e"))


def needs(playbook: PlaybookFile) -> dict[str, tuple[str, ...] | None]:
    return {entry.id: entry.needs for entry in playbook.stages}


def test_without_hooks_the_order_is_the_same() -> None:
    assert needs(hooked(UP, {}, {})) == {"a": (), "b": ("a",), "c": ("a",), "d": ("b", "c"), "e": ("d",)}  # fmt: skip


def test_before_a_stage_that_names_its_needs() -> None:
    found = hooked(UP, {"d": [book(stage("x"), stage("y"))]}, {})
    assert [entry.id for entry in found.stages] == ["a", "b", "c", "x", "y", "d", "e"]
    assert needs(found)["x"] == ("b", "c")
    assert needs(found)["y"] is None
    assert needs(found)["d"] == ("b", "c", "x", "y")


def test_after_a_stage_that_others_name() -> None:
    found = needs(hooked(UP, {}, {"b": [book(stage("x"))]}))
    assert found["x"] == ("b",)
    assert found["d"] == ("b", "x", "c") or found["d"] == ("b", "c", "x")
    assert found["c"] == ("a",)  # beside b, not after it


def test_several_playbooks_come_in_the_order_of_the_file() -> None:
    found = hooked(UP, {"a": [book(stage("x")), book(stage("y"))]}, {})
    assert [entry.id for entry in found.stages][:3] == ["x", "y", "a"]
    assert needs(found)["a"] == ("x", "y")


def test_one_name_twice_is_told() -> None:
    with pytest.raises(FilesWrong, match="hooks: two stages are called 'b'"):
        hooked(UP, {"d": [book(stage("b"))]}, {})
