"""The history of runs: one JSONL file each, evidence and timing, never the truth about hosts."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from orchestrator.contracts import Event
from orchestrator.errors import FilesWrong
from orchestrator.run.events import from_json, to_json
from orchestrator.run.record import Record

TAIL_BYTES = 65_536  # enough for a last line in a listing; a longer one is read in full


def runs_folder() -> Path:
    """`$XDG_STATE_HOME/orch/runs`, by default below ~/.local/state."""
    base = os.environ.get("XDG_STATE_HOME", "")
    # the specification of XDG says that relative paths are to be ignored
    root = Path(base) if base.startswith("/") else Path.home() / ".local" / "state"
    return root / "orch" / "runs"


def new_run_id(now: datetime | None = None) -> str:
    """Sorts by time: 20260102T030405-1a2b."""
    at = (now or datetime.now(UTC)).astimezone(UTC)
    return f"{at:%Y%m%dT%H%M%S}-{secrets.token_hex(2)}"


class Journal:
    """Observer that appends each event as one line and flushes it; the lock says that it runs."""

    def __init__(self, run: str, folder: Path | None = None) -> None:
        folder = folder or runs_folder()
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.path = folder / f"{run}.jsonl"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        self._file = os.fdopen(os.open(self.path, flags, 0o600), "w", encoding="utf-8")
        fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def on(self, event: Event) -> None:
        self._file.write(json.dumps(to_json(event), ensure_ascii=False) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()


@dataclass(frozen=True)
class Run:
    """A past or present run as its journal tells it."""

    path: Path
    record: Record
    alive: bool  # its orch still holds the journal
    damaged: int = 0  # lines that could not be read, the cut last one included

    @property
    def id(self) -> str:
        return self.path.stem

    @property
    def outcome(self) -> str:
        """As run-done said; else "running", or "cut short" where its orch is gone."""
        return self.record.outcome or ("running" if self.alive else "cut short")


def read_events(path: Path) -> Iterator[Event | None]:
    """Each line's event; None for a line that is cut or is no event."""
    with path.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            yield _event(line)


def _event(line: str) -> Event | None:
    try:
        return from_json(json.loads(line))
    except (ValueError, KeyError, TypeError):
        return None


def read_run(path: Path) -> Run:
    """A whole run. Tolerates a cut last line, as `kill -9` leaves it."""
    record, damaged = fold_readable(read_events(path))
    return Run(path, record, held(path), damaged)


def fold_readable(events: Iterable[Event | None]) -> tuple[Record, int]:
    """What events tell, and how many were cut or hold something else than orch writes there."""
    record, damaged = Record(), 0
    for event in events:
        if event is None:
            damaged += 1
            continue
        try:
            record.add(event)
        except (ValueError, KeyError, TypeError, AttributeError):
            damaged += 1
    return record, damaged


def list_runs(folder: Path | None = None, limit: int | None = None) -> list[Run]:
    """Newest first, from the first and last lines alone: records without steps."""
    folder = folder or runs_folder()
    paths = sorted(folder.glob("*.jsonl"), reverse=True) if folder.is_dir() else []
    return [_glance(path) for path in paths[:limit]]


def _glance(path: Path) -> Run:
    with path.open("rb") as file:
        first = file.readline()
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - TAIL_BYTES))
        lines = file.read().splitlines() or [b""]
    last = lines[-1] if len(lines) > 1 or size <= TAIL_BYTES else _last_line(path)
    events = [_event(line.decode(errors="replace")) for line in dict.fromkeys((first, last))]
    return Run(path, fold_readable(events)[0], held(path))


def _last_line(path: Path) -> bytes:
    last = b""
    with path.open("rb") as lines:
        for line in lines:
            last = line
    return last


def held(path: Path) -> bool:
    """Whether an orch still writes to it."""
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def find_run(name: str, folder: Path | None = None) -> Path:
    """The journal of "last", of an id, or of the only id that starts with `name`."""
    folder = folder or runs_folder()
    paths = sorted(folder.glob("*.jsonl")) if folder.is_dir() else []
    found = paths[-1:] if name == "last" else [path for path in paths if path.stem.startswith(name)]
    exact = [path for path in paths if path.stem == name]
    if len(exact or found) == 1:
        return (exact or found)[0]
    if found:
        raise FilesWrong(
            f"{len(found)} runs start with {name!r}", hint=f"the newest is {found[-1].stem}"
        )
    raise FilesWrong(f"there is no run {name!r} under {folder}", hint="`orch runs` lists them all")
