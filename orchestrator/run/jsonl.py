"""A run as JSON lines on stdout: `--json` of the verbs that change something."""

from __future__ import annotations

import json
from typing import TextIO

from orchestrator.contracts import Event
from orchestrator.run.events import to_json


class JsonLines:
    """One line an event, flushed, so that a reader follows the run."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def on(self, event: Event) -> None:
        self._stream.write(json.dumps(to_json(event), ensure_ascii=False) + "\n")
        self._stream.flush()
