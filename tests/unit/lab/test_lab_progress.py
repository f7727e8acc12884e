"""What a terminal shows while a lab is made: lines that move while something goes on, and stay when it has ended."""

from __future__ import annotations

import io
import re
from pathlib import Path

import click
import pytest
from rich.console import Console

from orchestrator.cli.lab_progress import LiveProgress


@pytest.mark.parametrize(("encoding", "done", "failed"), [("utf-8", "✔", "✘"), ("ascii", "+", "x")])
def test_what_ended_stays_with_how_and_the_cursor_is_given_back(
    tmp_path: Path, encoding: str, done: str, failed: str
) -> None:
    raw = io.BytesIO()
    said = io.TextIOWrapper(raw, encoding=encoding, write_through=True)
    log = tmp_path / "log"
    log.write_text("Get:1 [abc] \x1b[2Jsystemd\n")
    progress = LiveProgress(Console(file=said, force_terminal=True, width=80))
    with progress.timed("host image [bookworm]"):
        with progress.timed("engine folder", log):
            pass
        progress.note("[a] note")
    with pytest.raises(RuntimeError), progress.timed("model"):
        raise RuntimeError
    text = raw.getvalue().decode(encoding)
    lines = [line.strip() for line in click.unstyle(text).replace("\r", "\n").splitlines()]
    kept = [line for line in lines if line.startswith((f"{done} ", f"{failed} ", "[a]"))]
    assert [re.sub(r"  \d+\.\ds$", "", line) for line in kept] == [
        f"{done} engine folder",
        "[a] note",
        f"{done} host image [bookworm]",
        f"{failed} model",
    ]
    assert "Get:1 [abc] systemd" in text, (
        "what the log said last, and nothing that moves the cursor"
    )
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") == 2, "hidden and shown again"
