"""Puts the time before each line that a rank writes, and keeps its log short. Argument: the log."""

import signal
import sys
from datetime import datetime, timezone
from pathlib import Path

MOST = 50_000_000  # bytes; then the log is log.1, and log.1 is log.2
LINE = 65_536


def write(log: Path, text: bytes) -> None:
    """One line; where the log is full, into a new one."""
    if log.exists() and log.stat().st_size > MOST:
        first = log.with_name(log.name + ".1")
        if first.exists():
            first.replace(log.with_name(log.name + ".2"))
        log.replace(first)
    with log.open("ab") as file:
        file.write(text)


for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(each, signal.SIG_IGN)
for line in iter(lambda: sys.stdin.buffer.readline(LINE), b""):
    now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")  # noqa: UP017  (older Python)
    try:
        write(Path(sys.argv[1]), now.encode() + b" " + line.rstrip(b"\n") + b"\n")
    except OSError as full:  # a full disk must not end the rank
        print(full, file=sys.stderr)  # noqa: T201
