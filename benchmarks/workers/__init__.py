"""Contestants that measure twice in one process: cold, then over the connections that are open."""

from __future__ import annotations

import sys
from collections.abc import Callable


def speak(once: Callable[[], int]) -> None:
    """Do it once, say `done CHANGED`; again for each line that comes in, until the input ends."""
    print(f"done {once()}", flush=True)
    for _ in sys.stdin:
        print(f"done {once()}", flush=True)
