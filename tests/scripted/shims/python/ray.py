"""Stands for the `ray` module in tests: nodes are the files that the `ray` command of the tests leaves."""

import json
import os
from pathlib import Path

SHIM = Path(os.environ["SHIM"])


def init(**_):
    if not nodes():
        raise ConnectionError("no Ray here")


def nodes():
    found = []
    for path in (SHIM / "nodes").glob("*"):
        if path.suffix != ".new":
            try:
                found.append(json.loads(path.read_text()))
            except FileNotFoundError:
                pass
    return found
