"""What fabrics gave in earlier runs: an SQLite file beside the journals, one row a run, a link and a test.

A row keeps its value whole as JSON; the columns that one asks by are made from that, so they can't differ.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from pydantic import TypeAdapter

from orchestrator.errors import OrchError
from orchestrator.rdma.answers import FabricVerdict, LaneVerdict, LinkVerdict
from orchestrator.rdma.past import Past, Slower, past, slower
from orchestrator.run.journal import runs_folder

APPLICATION = 0x6F726368  # "orch", in the file's header: a file without it is not ours
PATIENCE = 20.0  # seconds that another orch may hold the file
LIMIT = 200  # runs of a trend
# one list of statements for each version of the form; a file of an older one gets what it lacks
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE runs (
             run TEXT PRIMARY KEY, at REAL NOT NULL, told TEXT NOT NULL CHECK (json_valid(told)),
             state TEXT NOT NULL)""",
        "CREATE INDEX runs_by_time ON runs (at)",
        """CREATE TABLE links (
             run TEXT NOT NULL REFERENCES runs ON DELETE CASCADE, place INTEGER NOT NULL,
             name TEXT NOT NULL, told TEXT NOT NULL CHECK (json_valid(told)),
             past TEXT NOT NULL CHECK (json_valid(past)),
             state TEXT AS (json_extract(told, '$.state')),
             way TEXT AS (json_extract(told, '$.way')),
             gbps REAL AS (json_extract(told, '$.gbps')),
             PRIMARY KEY (run, place)) WITHOUT ROWID""",
        "CREATE INDEX links_by_name ON links (name)",
        """CREATE TABLE lanes (
             run TEXT NOT NULL, link INTEGER NOT NULL, place INTEGER NOT NULL,
             told TEXT NOT NULL CHECK (json_valid(told)),
             test TEXT AS (json_extract(told, '$.measured.test')),
             load TEXT AS (json_extract(told, '$.load')),
             state TEXT AS (json_extract(told, '$.state')),
             gbps REAL AS (json_extract(told, '$.measured.gbps')),
             PRIMARY KEY (run, link, place),
             FOREIGN KEY (run, link) REFERENCES links ON DELETE CASCADE) WITHOUT ROWID""",
    ),
)
_RUN = TypeAdapter(FabricVerdict)
_LINK = TypeAdapter(LinkVerdict)
_LANE = TypeAdapter(LaneVerdict)
_PAST = TypeAdapter(Past)


def history_path() -> Path:
    """Beside the folder of the journals."""
    return runs_folder().parent / "fabric.sqlite"


class FabricHistory:
    """Opens the file for each call. `notes` has what a person must be told: a broken file was moved aside."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or history_path()
        self.notes: list[str] = []

    def record(self, verdict: FabricVerdict) -> None:
        """Keep a run; the same run again takes the place of what was kept of it."""
        bare = replace(verdict, links=())
        with self._changing() as file:
            file.execute("DELETE FROM runs WHERE run = ?", (verdict.run,))
            file.execute(
                "INSERT INTO runs (run, at, told, state) VALUES (?, ?, ?, ?)",
                (verdict.run, verdict.at, _RUN.dump_json(bare).decode(), verdict.state),
            )
            for place, link in enumerate(verdict.links):
                _insert(file, verdict, place, link)

    def read(self, run: str) -> FabricVerdict | None:
        """A whole run, as it was recorded."""
        with self._open() as file:
            row = file.execute("SELECT told FROM runs WHERE run = ?", (run,)).fetchone()
            if row is None:
                return None
            links = file.execute(
                "SELECT told, place FROM links WHERE run = ? ORDER BY place", (run,)
            )
            found = tuple(_whole(file, run, place, told) for told, place in links.fetchall())
            return replace(_RUN.validate_json(row[0]), links=found)

    def newest(self) -> FabricVerdict | None:
        """The last run."""
        runs = self.runs(1)
        return self.read(runs[0]) if runs else None

    def runs(self, limit: int = LIMIT) -> tuple[str, ...]:
        """Their ids, newest first."""
        with self._open() as file:
            rows = file.execute("SELECT run FROM runs ORDER BY at DESC, run DESC LIMIT ?", (limit,))
            return tuple(run for (run,) in rows)

    def links(self) -> tuple[str, ...]:
        """Names of all links that were ever measured."""
        with self._open() as file:
            return tuple(
                name for (name,) in file.execute("SELECT DISTINCT name FROM links ORDER BY name")
            )

    def trend(self, link: str, limit: int = LIMIT) -> tuple[Past, ...]:
        """A link (LinkVerdict.name) in the newest runs that measured it, oldest first."""
        with self._open() as file:
            rows = file.execute(
                "SELECT past FROM links JOIN runs USING (run) WHERE name = ?"
                " ORDER BY at DESC, run DESC, place DESC LIMIT ?",
                (link, limit),
            ).fetchall()
        return tuple(_PAST.validate_json(told) for (told,) in reversed(rows))

    def last(self, link: str) -> tuple[Past, LinkVerdict] | None:
        """The newest verdict on a link, with when it was and what it stood on."""
        with self._open() as file:
            row = file.execute(
                "SELECT links.run, place, links.told, past FROM links JOIN runs USING (run)"
                " WHERE name = ? ORDER BY at DESC, run DESC, place DESC LIMIT 1",
                (link,),
            ).fetchone()
            if row is None:
                return None
            run, place, told, kept = row
            return _PAST.validate_json(kept), _whole(file, run, place, told)

    def slower(self, link: str) -> Slower | None:
        """Since when a link is slower than it was, and what was changed then."""
        return slower(self.trend(link))

    @contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        """All of it or nothing; others wait."""
        with self._open() as file:
            file.execute("BEGIN IMMEDIATE")
            try:
                yield file
            except BaseException:
                file.execute("ROLLBACK")
                raise
            file.execute("COMMIT")

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """The file, checked and in its newest form."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with _alone(self.path.with_suffix(".lock")):
                self._set_aside_if_broken()
                file = _connect(self.path)
            with closing(file):
                yield file
        except (
            OSError,
            sqlite3.Error,
            ValueError,
        ) as error:  # pydantic's errors are of the last kind
            raise OrchError(
                f"the history of the fabric can't be used: {self.path}: {error}",
                hint="free the disk or the rights, or move the file away; no host was touched",
            ) from error

    def _set_aside_if_broken(self) -> None:
        """A file that is not ours, or damaged, is kept under another name."""
        why = _wrong_with(self.path)
        if not why:
            return
        stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}"
        aside = self.path.with_name(f"{self.path.name}.{stamp}.aside")
        for suffix in ("-journal", "-wal", "-shm"):
            side = self.path.with_name(self.path.name + suffix)
            if side.exists():
                side.rename(f"{aside}{suffix}")
        self.path.rename(aside)
        self.notes.append(
            f"{self.path} {why}: it is now {aside.name} beside it, and a new history begins"
        )


def _insert(
    file: sqlite3.Connection, verdict: FabricVerdict, place: int, link: LinkVerdict
) -> None:
    file.execute(
        "INSERT INTO links (run, place, name, told, past) VALUES (?, ?, ?, ?, ?)",
        (
            verdict.run,
            place,
            link.name,
            _LINK.dump_json(replace(link, lanes=())).decode(),
            _PAST.dump_json(past(verdict, link)).decode(),
        ),
    )
    file.executemany(
        "INSERT INTO lanes (run, link, place, told) VALUES (?, ?, ?, ?)",
        [
            (verdict.run, place, number, _LANE.dump_json(lane).decode())
            for number, lane in enumerate(link.lanes)
        ],
    )


def _whole(file: sqlite3.Connection, run: str, place: int, told: str) -> LinkVerdict:
    lanes = file.execute(
        "SELECT told FROM lanes WHERE run = ? AND link = ? ORDER BY place", (run, place)
    )
    return replace(
        _LINK.validate_json(told), lanes=tuple(_LANE.validate_json(lane) for (lane,) in lanes)
    )


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """One orch at a time looks whether the file is good, and moves it or makes it."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _connect(path: Path) -> sqlite3.Connection:
    """A rollback journal, not WAL: homes on NFS are common where GPUs are many, and runs are few."""
    if not path.exists():
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
    file = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None)
    try:
        file.execute("PRAGMA foreign_keys = ON")
        _migrate(file)
    except BaseException:
        file.close()
        raise
    return file


def _migrate(file: sqlite3.Connection) -> None:
    (version,) = file.execute("PRAGMA user_version").fetchone()
    if version > len(MIGRATIONS):
        raise OrchError(
            f"the history of the fabric has the form {version}, this orch knows {len(MIGRATIONS)}",
            hint="a newer orch wrote it: use that one, or set XDG_STATE_HOME to another folder",
        )
    for number in range(version, len(MIGRATIONS)):
        file.execute("BEGIN IMMEDIATE")
        try:
            for statement in MIGRATIONS[number]:
                file.execute(statement)
            file.execute(f"PRAGMA application_id = {APPLICATION}")
            file.execute(f"PRAGMA user_version = {number + 1}")
        except BaseException:
            file.execute("ROLLBACK")
            raise
        file.execute("COMMIT")


def _wrong_with(path: Path) -> str:
    """Why a file can't be our history; empty: it is, or there is none yet."""
    if not path.exists() or path.stat().st_size == 0:
        return ""
    try:
        with closing(sqlite3.connect(path, timeout=PATIENCE)) as file:
            (application,) = file.execute("PRAGMA application_id").fetchone()
            if application != APPLICATION:
                return "is a database of something else"
            (said,) = file.execute("PRAGMA quick_check(1)").fetchone()
            return "" if said == "ok" else f"is damaged ({said})"
    except sqlite3.OperationalError:
        raise  # locked, or no right to read it: that says nothing about what is in it
    except sqlite3.DatabaseError as error:
        return f"is damaged ({error})"
