"""Stands for the `ray` module in tests: nodes are the files that the `ray` command of the tests leaves."""

import contextlib
import json
import os
from pathlib import Path

SHIM = Path(os.environ["SHIM"])


def init(**_: object) -> None:
    if not nodes():
        raise ConnectionError("no Ray here")


def nodes() -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    for path in (SHIM / "nodes").glob("*"):
        if path.suffix != ".new":
            with contextlib.suppress(FileNotFoundError):
                found.append(json.loads(path.read_text()))
    return found
