"""README's picture is made from a journal: well-formed, complete, the same each time."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from pathlib import Path
from xml.dom import minidom

from orchestrator.run.journal import Journal
from tests.synthetic import Story

SCRIPT = Path(__file__).parents[2] / "scripts" / "picture.py"


def test_the_picture_of_a_run(tmp_path: Path) -> None:
    with closing(Journal("20260101T000000-aaaa", tmp_path)) as journal:
        Story(3, [journal]).succeed()
    made = []
    for name in ("one.svg", "two.svg"):
        output = tmp_path / name
        words = [sys.executable, str(SCRIPT), str(journal.path), str(output), "--frames", "4"]
        subprocess.run(words, check=True, capture_output=True, cwd=SCRIPT.parents[1])
        made.append(output.read_text())
    assert made[0] == made[1]
    texts = minidom.parseString(made[0]).getElementsByTagName("text")
    said = " ".join(text.firstChild.nodeValue or "" for text in texts if text.firstChild)
    for wanted in ("orch\xa0up\xa0duo", "http://192.168.102.11:8000", "24\xa0steps\xa0changed"):
        assert wanted in said
    assert str(tmp_path) not in made[0]
