"""Says what the lab is doing, because building one takes minutes and silence looks like a hang."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

HEARTBEAT = 15.0  # seconds; long enough not to scroll, short enough to be believed


class Progress:
    """Passes one line at a time to `show`; safe to share between threads."""

    def __init__(self, show: Callable[[str], None]) -> None:
        self._show = show
        self._lock = threading.Lock()

    def note(self, text: str) -> None:
        with self._lock:
            self._show(text)

    @contextmanager
    def timed(self, text: str, log: Path | None = None) -> Iterator[None]:
        """Announce work, repeat it with the log's last line, say how long it took."""
        self.note(f"{text} …")
        started, done = time.monotonic(), threading.Event()
        beat = threading.Thread(target=self._beat, args=(text, started, done, log), daemon=True)
        beat.start()
        try:
            yield
        except BaseException:
            self.note(f"{text}: failed after {time.monotonic() - started:.0f} s")
            raise
        finally:
            done.set()
            beat.join()
        self.note(f"{text}: done in {time.monotonic() - started:.1f} s")

    def _beat(self, text: str, started: float, done: threading.Event, log: Path | None) -> None:
        while not done.wait(HEARTBEAT):
            self.note(f"{text} … {time.monotonic() - started:.0f} s  {last_line(log)}".rstrip())


def last_line(log: Path | None, keep: int = 100) -> str:
    """The last words of a log that is being written; empty when there is none yet."""
    if log is None or not log.exists():
        return ""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 4096))
        lines = file.read().decode(errors="replace").replace("\r", "\n").split("\n")
    return next((line.strip()[:keep] for line in reversed(lines) if line.strip()), "")
