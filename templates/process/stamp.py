"""Puts the time before each line that a rank writes, and keeps its log short. Argument: the log."""

import datetime
import os
import signal
import sys

MOST = 50_000_000  # bytes; then the log is log.1, and log.1 is log.2
LINE = 65_536

for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(each, signal.SIG_IGN)
path = sys.argv[1]
log = open(path, "ab", buffering=0)
for line in iter(lambda: sys.stdin.buffer.readline(LINE), b""):
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    try:
        if log.tell() > MOST:
            log.close()
            if os.path.exists(path + ".1"):
                os.replace(path + ".1", path + ".2")
            os.replace(path, path + ".1")
            log = open(path, "ab", buffering=0)
        log.write(now.encode() + b" " + line.rstrip(b"\n") + b"\n")
    except (OSError, ValueError):
        pass  # a full disk must not end the rank
