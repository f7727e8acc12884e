"""The history of the fabric: what is recorded is what is read, whoever writes at once, whatever lies there."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.errors import OrchError
from orchestrator.observe.fabric_history import MIGRATIONS, FabricHistory, history_path
from orchestrator.rdma.answers import (
    WORST_FIRST,
    End,
    Expected,
    FabricVerdict,
    Failure,
    Fingerprint,
    Lane,
    LaneVerdict,
    LinkVerdict,
    Measured,
    Reason,
)
from tests import fabrics


@pytest.fixture
def kept(tmp_path: Path) -> FabricHistory:
    return FabricHistory(tmp_path / "orch" / "fabric.sqlite")


def asides(kept: FabricHistory) -> list[Path]:
    return sorted(kept.path.parent.glob("*.aside"))


# rates and times of this world; texts that UTF-8 can write
TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
RATE = st.none() | st.floats(allow_nan=False, allow_infinity=False)
COUNT = st.none() | st.integers(0, 2**63)
STATE = st.sampled_from(WORST_FIRST)
WAY = st.sampled_from(["rdma", "tcp"])
REASONS = st.lists(st.builds(Reason, TEXT, TEXT, TEXT, TEXT), max_size=2).map(tuple)
EXPECTED = st.builds(Expected, RATE, TEXT, RATE, RATE)
END = st.builds(End, TEXT, TEXT, TEXT, st.none() | TEXT)
MEASURED = st.builds(
    Measured,
    TEXT,
    gbps=RATE,
    latency_us=RATE,
    iterations=COUNT,
    claimed_bytes=COUNT,
    moved=st.dictionaries(TEXT, COUNT, max_size=2),
    errors=st.dictionaries(TEXT, st.integers(0, 2**63), max_size=2),
    failure=st.none() | st.builds(Failure, TEXT, TEXT),
    tool=TEXT,
)
LANE = st.builds(
    LaneVerdict,
    st.builds(Lane, TEXT, st.integers(0, 1), END, END),
    WAY,
    st.sampled_from(["alone", "together", "both-ways"]),
    STATE,
    st.none() | MEASURED,
    EXPECTED,
    REASONS,
)
LANES = st.lists(LANE, max_size=3).map(tuple)
LINK = st.builds(
    LinkVerdict, TEXT, st.tuples(TEXT, TEXT), STATE, WAY, RATE, EXPECTED, LANES, RATE, REASONS
)
VERDICTS = st.builds(
    FabricVerdict,
    at=st.floats(0, 4e9),
    run=TEXT,
    links=st.lists(LINK, max_size=3).map(tuple),
    fingerprint=st.builds(Fingerprint, st.dictionaries(TEXT, TEXT, max_size=4)),
    notes=st.lists(TEXT, max_size=2).map(tuple),
)


@settings(max_examples=30, deadline=None)
@given(st.lists(VERDICTS, max_size=3, unique_by=lambda one: one.run))
def test_what_is_recorded_is_what_is_read(verdicts: list[FabricVerdict]) -> None:
    with TemporaryDirectory() as folder:
        kept = FabricHistory(Path(folder) / "fabric.sqlite")
        for one in verdicts:
            kept.record(one)
        assert [kept.read(one.run) for one in verdicts] == verdicts
        assert kept.notes == []


def test_trend_last_and_slower(kept: FabricHistory) -> None:
    verdict = fabrics.ring()
    runs = [*fabrics.earlier(verdict), verdict]
    for one in reversed(runs):  # in whatever order they come
        kept.record(one)
    name = verdict.links[1].name
    points = kept.trend(name)
    assert [one.run for one in points] == [one.run for one in runs]
    assert [one.run for one in kept.trend(name, limit=2)] == [one.run for one in runs[-2:]]
    last = kept.last(name)
    assert last is not None
    assert last[1] == verdict.links[1]
    assert last[0].run == verdict.run
    found = kept.slower(name)
    assert found is not None
    assert found.changed == ("spark-3 kernel: 6.11 → 6.14",)
    assert kept.slower(verdict.links[0].name) is None
    assert kept.newest() == verdict
    assert set(kept.links()) == {one.name for one in verdict.links}


def test_what_was_never_measured_is_none(kept: FabricHistory) -> None:
    assert kept.trend("x") == ()
    assert kept.last("x") is None
    assert kept.slower("x") is None
    assert kept.read("x") is None
    assert kept.newest() is None


def test_a_run_recorded_again_takes_its_own_place(kept: FabricHistory) -> None:
    verdict = fabrics.ring()
    kept.record(verdict)
    fewer = replace(verdict, links=verdict.links[:1])
    kept.record(fewer)
    assert kept.read(verdict.run) == fewer
    assert kept.runs() == (verdict.run,)


def test_people_can_ask_with_sqlite_alone(kept: FabricHistory) -> None:
    kept.record(fabrics.ring())
    with closing(sqlite3.connect(kept.path)) as file:
        rows = file.execute("SELECT name, state, gbps FROM links ORDER BY place").fetchall()
        tests = file.execute("SELECT count(*), max(gbps) FROM lanes WHERE link = 0").fetchone()
    assert rows[1] == ("spark-2.p1~spark-3.p0", "failed", 13.1)
    assert tests == (9, 98.2)


def test_only_its_owner_reads_it(kept: FabricHistory) -> None:
    kept.record(fabrics.ring())
    assert stat.S_IMODE(kept.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(kept.path.parent.stat().st_mode) == 0o700


def test_it_lies_beside_the_journals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert history_path() == tmp_path / "orch" / "fabric.sqlite"


@pytest.mark.parametrize("damage", ["text", "cut", "garbled"])
def test_a_broken_file_is_said_and_moved_aside(kept: FabricHistory, damage: str) -> None:
    for one in fabrics.earlier(fabrics.ring(), 8):
        kept.record(one)
    whole = kept.path.read_bytes()
    broken = {
        "text": b"this is no database\n" * 300,
        "cut": whole[: len(whole) // 2],
        "garbled": whole[:4096] + bytes(reversed(whole[4096:])),
    }[damage]
    kept.path.write_bytes(broken)
    verdict = fabrics.ring()
    kept.record(verdict)
    (aside,) = asides(kept)
    assert aside.read_bytes() == broken
    assert len(kept.notes) == 1
    assert aside.name in kept.notes[0]
    assert kept.runs() == (verdict.run,)


def test_another_programs_database_is_left_whole(kept: FabricHistory) -> None:
    kept.path.parent.mkdir()
    with closing(sqlite3.connect(kept.path)) as file:
        file.execute("CREATE TABLE runs (theirs)")
        file.execute("INSERT INTO runs VALUES ('precious')")
        file.commit()
    kept.record(fabrics.ring())
    (aside,) = asides(kept)
    with closing(sqlite3.connect(aside)) as file:
        assert file.execute("SELECT theirs FROM runs").fetchone() == ("precious",)
    assert "a database of something else" in kept.notes[0]


def test_a_newer_form_is_refused_and_left_alone(kept: FabricHistory) -> None:
    kept.record(fabrics.ring())
    with closing(sqlite3.connect(kept.path)) as file:
        file.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    before = kept.path.read_bytes()
    with pytest.raises(OrchError, match="form 2, this orch knows 1") as caught:
        kept.record(fabrics.ring())
    assert "newer orch" in caught.value.hint
    assert kept.path.read_bytes() == before
    assert asides(kept) == []


def test_an_older_form_gets_what_it_lacks(
    kept: FabricHistory, monkeypatch: pytest.MonkeyPatch
) -> None:
    verdict = fabrics.ring()
    kept.record(verdict)
    newer = (*MIGRATIONS, ("ALTER TABLE runs ADD COLUMN who TEXT NOT NULL DEFAULT 'nobody'",))
    monkeypatch.setattr("orchestrator.observe.fabric_history.MIGRATIONS", newer)
    assert kept.read(verdict.run) == verdict
    with closing(sqlite3.connect(kept.path)) as file:
        assert file.execute("SELECT who FROM runs").fetchone() == ("nobody",)
        assert file.execute("PRAGMA user_version").fetchone() == (2,)


def test_a_write_that_is_cut_leaves_nothing_of_it(
    kept: FabricHistory, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, verdict = fabrics.earlier(fabrics.ring(), 1)[0], fabrics.ring()
    kept.record(first)

    def torn(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("orchestrator.observe.fabric_history._insert", torn)
    with pytest.raises(KeyboardInterrupt):
        kept.record(verdict)
    assert kept.runs() == (first.run,)


def test_a_folder_that_cant_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "orch").write_text("a file where the folder should be")
    with pytest.raises(OrchError, match="the history of the fabric can't be used") as caught:
        FabricHistory(tmp_path / "orch" / "fabric.sqlite").record(fabrics.ring())
    assert caught.value.hint


def test_nobody_else_looks_while_a_file_is_judged_and_moved(
    kept: FabricHistory, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[str] = []

    def look(path: Path) -> str:
        with path.with_suffix(".lock").open("w") as lock, pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        looks.append(path.name)
        return ""

    monkeypatch.setattr("orchestrator.observe.fabric_history._wrong_with", look)
    kept.record(fabrics.ring())
    assert looks == ["fabric.sqlite"]


WRITER = """
import sys
from dataclasses import replace
from pathlib import Path
from orchestrator.observe.fabric_history import FabricHistory
from tests import fabrics
kept = FabricHistory(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
for number in range(10):
    kept.record(replace(fabrics.ring(), run=f"{sys.argv[2]}-{number}"))
print(len(kept.notes))
"""


@pytest.mark.parametrize("there", ["nothing", "rubbish"])
def test_several_processes_at_once_lose_nothing(kept: FabricHistory, there: str) -> None:
    """Also where all find the same broken file: one moves it, nobody moves what the others made."""
    kept.path.parent.mkdir()
    if there == "rubbish":
        kept.path.write_bytes(b"rubbish" * 1000)
    root = Path(__file__).parents[2]
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, kept.path, name],
            env={**os.environ, "PYTHONPATH": str(root)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for name in "abc"
    ]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write(b"go\n")
        writer.stdin.flush()
    said = [writer.communicate(timeout=50)[0].split() for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0, 0]
    assert len(kept.runs()) == 30
    moved = 1 if there == "rubbish" else 0
    assert sum(int(one[-1]) for one in said) == moved
    assert len(asides(kept)) == moved
