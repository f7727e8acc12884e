"""The bus keeps its promises: all see the same order, secrets are gone, observers can't stop it."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.contracts import Change, Event, Plan
from orchestrator.errors import Unreachable
from orchestrator.run.events import Bus, Kind, from_json, redact_all, to_json
from tests.synthetic import Clock, Kept, Story, plan_of, step

TEXTS = st.text(max_size=20)
DATA = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


class Broken:
    """Observer that always raises."""

    def on(self, event: Event) -> None:
        raise OSError("no space left")


def test_an_observer_that_raises_stops_nothing_and_is_named_once() -> None:
    kept = Kept()
    bus = Bus("r", [Broken(), kept], clock=Clock())
    bus.note("one")
    bus.note("two")
    assert sorted(event.text for event in kept.events) == [
        "Broken is broken and may miss events: OSError: no space left",
        "one",
        "two",
    ]


def test_secrets_are_redacted_everywhere() -> None:
    kept = Kept()
    bus = Bus("r", [kept], redact=lambda text: text.replace("hunter2", "[REDACTED]"))
    one = step("image", "spark-1")
    bus.started(one, Change("pull with hunter2", diff="- a\n+ hunter2"))
    bus.log_line(one, "token=hunter2")
    bus.failed(one, Unreachable("no hunter2", hint="try hunter2"), evidence="/e/hunter2")
    bus.lease("spark-1", "refused", owner="hunter2", more={"hunter2": ["hunter2"]})
    bus.run_done(1, text="hunter2", then=["orch hunter2"])
    assert "hunter2" not in json.dumps([to_json(event) for event in kept.events])
    assert len(kept.events) == 5


def test_a_failure_on_another_host_than_the_steps_names_it() -> None:
    kept = Kept()
    bus = Bus("r", [kept])
    one = step("ports", "spark-2")
    for message in ("no answer", "spark-1: no answer"):
        bus.failed(one, Unreachable(message, host="spark-1"))
    bus.failed(one, Unreachable("no answer", host="spark-2"))
    told = [event.text for event in kept.events]
    assert told == ["spark-1: no answer", "spark-1: no answer", "no answer"]


@given(DATA)
def test_redaction_leaves_no_trace_in_any_shape(data: object) -> None:
    shown = json.dumps(redact_all({"x": data, "s3cret": [data]}, lambda _: "-"))
    assert "s3cret" not in shown


def test_all_threads_all_observers_one_order() -> None:
    first, second = Kept(), Kept()
    bus = Bus("r", [first, second])

    def talk(name: str) -> None:
        for number in range(50):
            bus.note(f"{name}{number}")

    threads = [threading.Thread(target=talk, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert first.events == second.events
    assert len(first.events) == 200
    assert [event.at for event in first.events] == sorted(event.at for event in first.events)


@given(TEXTS, TEXTS, st.none() | TEXTS, st.dictionaries(TEXTS, DATA, max_size=3))
def test_json_form_loses_nothing(
    run: str, text: str, host: str | None, data: dict[str, object]
) -> None:
    event = Event(12.5, run, "note", None, host or None, text, data)
    assert from_json({"run": "", **json.loads(json.dumps(to_json(event)))}) == event


def test_another_schema_is_refused() -> None:
    with pytest.raises(ValueError, match="schema 2"):
        from_json({"v": 2, "at": 1, "run": "r", "kind": "note"})


def test_a_plan_tells_needs_changes_and_what_is_decided_later() -> None:
    kept = Kept()
    plan = plan_of(2, ("image", "start"))
    first, *_ = plan.steps
    plan = Plan(
        plan.steps,
        {first: plan.changes[first]},
        provisional=frozenset(["vl/start/spark-1"]),
        pruned=frozenset(["vl/start/spark-2"]),
    )
    Bus("r", [kept]).planned(plan)
    steps = {item["id"]: item for item in kept.events[0].data["steps"]}
    assert steps["vl/image/spark-1"]["change"] == "image on spark-1"
    assert steps["vl/image/spark-2"]["change"] is None
    assert steps["vl/start/spark-1"]["provisional"]
    assert steps["vl/start/spark-2"]["pruned"]
    assert steps["vl/start/spark-1"]["needs"] == ["vl/image/spark-1", "vl/image/spark-2"]


def test_every_kind_is_documented() -> None:
    text = (Path(__file__).parents[2] / "docs" / "json.md").read_text()
    missing = [kind for kind in Kind if f"`{kind}`" not in text]
    assert not missing


def test_a_story_has_every_step_in_it() -> None:
    kept = Kept()
    Story(3, [kept]).succeed()
    assert sum(1 for event in kept.events if event.kind == Kind.STEP_DONE) == 36
