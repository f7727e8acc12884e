"""What the files may say and nothing acts on is told, each time."""

from __future__ import annotations

from pathlib import Path

from orchestrator.spec.resolve import load

DESIGN = Path(__file__).parents[3] / "examples/design/cluster.yaml"


def test_each_such_key_is_a_warning_where_it_stands() -> None:
    sets = [
        "vl.supervision=watch",
    ]
    loaded = load(DESIGN, sets)
    assert loaded.errors == ()
    found = [one for one in loaded.findings if "not acted on" in one.message]
    told = {one.message.split("`")[1] for one in found}
    assert told >= {"notify", "tunnels", "supervision: watch"}
    assert all(one.line for one in found if one.path.startswith(("notify", "tunnels", "deploy")))


def test_files_that_use_none_of_them_hear_nothing() -> None:
    loaded = load(DESIGN.parents[1] / "two-sparks/cluster.yaml")
    assert loaded.findings == ()
