"""What a journal keeps, also after a kill, and what is derived from it."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from orchestrator.contracts import Plan
from orchestrator.errors import Failed, FilesWrong
from orchestrator.run.events import Bus
from orchestrator.run.journal import Journal, find_run, list_runs, new_run_id, read_run, runs_folder
from orchestrator.run.record import Record, critical_path, fold, span
from tests.synthetic import Clock, Kept, Story, plan_of, step

RUN = "20260101T000000-abcd"
Open = Callable[[str], Journal]


@pytest.fixture
def journals(tmp_path: Path) -> Iterator[Open]:
    """Opens journals in a folder of its own and closes them after the test."""
    with ExitStack() as stack:

        def open_one(run: str) -> Journal:
            return stack.enter_context(closing(Journal(run, tmp_path)))

        yield open_one


def test_it_is_private_and_has_all_lines_while_the_run_goes_on(journals: Open) -> None:
    journal = journals(RUN)
    Story(2, [journal]).until("image")
    assert stat.S_IMODE(journal.path.stat().st_mode) == 0o600
    run = read_run(journal.path)
    assert (run.alive, run.outcome, run.damaged) == (True, "running", 0)
    assert run.record.steps["vl/image/spark-1"].state == "changed"
    assert run.record.steps["vl/image/spark-2"].state == "running"
    assert run.record.steps["vl/start/spark-2"].state == "waiting"


def test_a_run_that_ended_is_told_in_full(journals: Open) -> None:
    journal = journals(RUN)
    Story(2, [journal]).fail()
    journal.close()
    run = read_run(journal.path)
    assert (run.outcome, run.record.exit_code, run.alive) == ("failed", 1, False)
    (failure,) = run.record.failures
    assert failure.id == "vl/image/spark-2"
    assert failure.hint == "look at `image:` in profiles/vl.yaml"
    assert run.record.running[0]["name"] == "orch-duo-fast-0"


def test_cut_at_any_byte_it_is_still_read(journals: Open, tmp_path: Path) -> None:
    journal = journals(RUN)
    Story(1, [journal]).until("prepare")
    whole = journal.path.read_bytes()
    assert whole.count(b"\n") > 15
    cut = tmp_path / "20260101T000001-cut0.jsonl"
    for end in range(len(whole)):
        cut.write_bytes(whole[:end])
        run = read_run(cut)
        assert run.damaged <= 1
        assert run.outcome == "cut short"
        assert len(run.record.steps) in {0, 12}


@pytest.mark.parametrize(
    "line",
    [
        '{"v": 1, "at": 1e300, "run": "r", "kind": "step-started", "step": "a"}',
        '{"v": 1, "at": Infinity, "run": "r", "kind": "note"}',
        '{"v": 1, "at": 1, "run": "r", "kind": "plan", "data": {"steps": 3}}',
        '{"v": 1, "at": 1, "run": "r", "kind": "plan", "data": {"steps": [{}]}}',
        '{"v": 1, "at": 1, "run": "r", "kind": "run-done", "data": {"served": 1}}',
        '{"v": 1, "at": 1, "run": "r", "kind": "step-skipped", "step": "a", "data": {"because": 1}}',
        "[]",
    ],
)
def test_a_line_that_holds_something_else_is_counted_and_the_rest_is_told(
    journals: Open, tmp_path: Path, line: str
) -> None:
    journal = journals(RUN)
    Story(2, [journal]).fail()
    journal.close()
    with journal.path.open("a") as file:
        file.write(line + "\n")
    run = read_run(journal.path)
    assert (run.outcome, run.damaged) == ("failed", 1)
    assert [one.id for one in list_runs(tmp_path)] == [RUN]


def test_a_second_run_never_writes_into_the_first(journals: Open) -> None:
    journals(RUN)
    with pytest.raises(FileExistsError):
        journals(RUN)


def test_runs_are_listed_newest_first_from_first_and_last_line(
    journals: Open, tmp_path: Path
) -> None:
    for name, tell in (("20260101T000000-aaaa", "succeed"), ("20260102T000000-bbbb", "fail")):
        getattr(Story(2, [journals(name)]), tell)()
    runs = list_runs(tmp_path)
    assert [(run.id, run.outcome) for run in runs] == [
        ("20260102T000000-bbbb", "failed"),
        ("20260101T000000-aaaa", "done"),
    ]
    assert runs[0].record.verb == "up"
    assert runs[0].record.cluster == "duo"
    assert runs[1].record.seconds == read_run(runs[1].path).record.seconds
    assert list_runs(tmp_path / "none") == []


def test_a_last_line_longer_than_the_glance_is_found(journals: Open, tmp_path: Path) -> None:
    bus = Bus(RUN, [journals(RUN)])
    bus.run_started("up", "duo")
    bus.run_done(1, text="x" * 100_000)
    assert list_runs(tmp_path)[0].outcome == "failed"


def test_a_run_is_found_by_last_by_id_and_by_its_start(journals: Open, tmp_path: Path) -> None:
    for name in ("20260101T000000-aaaa", "20260102T000000-bbbb"):
        journals(name)
    assert find_run("last", tmp_path).stem == "20260102T000000-bbbb"
    assert find_run("20260101", tmp_path).stem == "20260101T000000-aaaa"
    with pytest.raises(FilesWrong, match="2 runs"):
        find_run("2026", tmp_path)
    with pytest.raises(FilesWrong, match="no run"):
        find_run("1999", tmp_path)
    with pytest.raises(FilesWrong, match="no run"):
        find_run("last", tmp_path / "empty")


def test_run_ids_sort_by_time_and_differ() -> None:
    assert len({new_run_id() for _ in range(20)}) > 1
    assert len(new_run_id()) == len(RUN)


def test_the_folder_follows_xdg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert runs_folder() == Path("/state/orch/runs")
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    assert runs_folder() == Path.home() / ".local/state/orch/runs"


def _timed(*told: tuple[str, float, float]) -> Record:
    """A run of (stage, start, end) on one host each; each stage needs the one before it."""
    kept, clock = Kept(), Clock(0.0)
    bus = Bus("r", [kept], clock=clock)
    bus.run_started("up", "duo")
    bus.planned(plan_of(2, ("image", "weights", "start")))
    moves = sorted(
        [(start, False, name) for name, start, _ in told]
        + [(end, True, name) for name, _, end in told]
    )
    for at, ended, name in moves:
        clock.now = at
        stage, host = name.split("@")
        one = step(stage, host)
        if ended:
            bus.done(one, changed=True)
        else:
            bus.started(one)
    return fold(kept.events)


def test_the_critical_path_is_the_chain_that_ended_last() -> None:
    record = _timed(
        ("image@spark-1", 0, 5),
        ("image@spark-2", 0, 30),
        ("weights@spark-1", 30, 40),
        ("weights@spark-2", 30, 35),
        ("start@spark-1", 42, 60),
        ("start@spark-2", 41, 50),
    )
    path = critical_path(record)
    assert [(hop.step.id, hop.step.seconds, hop.idle) for hop in path] == [
        ("vl/image/spark-2", 30, 0),
        ("vl/weights/spark-1", 10, 0),
        ("vl/start/spark-1", 18, 2),
    ]


def test_the_critical_path_passes_through_steps_that_had_nothing_to_do() -> None:
    record = _timed(("image@spark-2", 0, 30), ("start@spark-1", 31, 60))
    assert [hop.step.id for hop in critical_path(record)] == [
        "vl/image/spark-2",
        "vl/start/spark-1",
    ]


def test_no_times_no_path() -> None:
    assert critical_path(Record()) == []


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0.0s"), (9.94, "9.9s"), (9.96, "10s"), (59.6, "1:00"), (192, "3:12"), (3723, "1:02:03")],
)
def test_durations_read_well(seconds: float, shown: str) -> None:
    assert span(seconds) == shown


def test_what_was_skipped_through_others_is_blamed_on_the_failure() -> None:
    kept = Kept()
    bus = Bus("r", [kept])
    bus.planned(plan_of(1, ("image", "start", "ready")))
    image, start, ready = (step(stage, "spark-1") for stage in ("image", "start", "ready"))
    bus.failed(image, Failed("gone"))
    bus.skipped(start, "needs vl/image/spark-1, which failed", because=[image.id])
    bus.skipped(ready, "needs vl/start/spark-1, which was skipped", because=[start.id])
    (blamed,) = fold(kept.events).blamed().values()
    assert [one.id for one in blamed] == [start.id, ready.id]


def test_what_is_wrong_already_does_not_pass_for_fine() -> None:
    kept = Kept()
    plan = Plan(plan_of(1, ("image", "start")).steps, {}, frozenset())
    Bus("r", [kept]).planned(plan, {"vl/image/spark-1": Failed("no docker")})
    image, start = fold(kept.events).steps.values()
    assert (image.state, image.why) == ("pending", "no docker")
    assert start.state == "unchanged"
    assert kept.events[0].text.endswith("1 wrong already")
