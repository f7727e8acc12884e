"""Why here: what a rank would mount and is not there is told before anything is done for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from orchestrator.facts.probe import NEAREST, count, host_path, listed, probe, reading, script
from orchestrator.question import question
from orchestrator.script import Raw, Result, Script, seq, sh

Seen = Literal["there", "absent", "hidden"]  # hidden: below a folder that this user may not enter
STATES: Mapping[str, Seen] = {"there": "there", "absent": "absent", "hidden": "hidden"}


@question
class ReadSources:
    """Path → whether there is something, for all paths of one deployment on one host."""

    paths: tuple[str, ...]

    def ask(self) -> Script:
        lines = [
            sh(
                """{}
{}
if [ -e "$p" ]; then echo {} there
elif [ -d "$near" ] && [ ! -x "$near" ]; then echo {} hidden
else echo {} absent; fi""",
                Raw(host_path(path)),
                Raw(NEAREST),
                number,
                number,
                number,
            )
            for number, path in enumerate(self.paths)
        ]
        return script(sources=probe(seq([*lines, sh("echo end")])))

    def parse(self, results: Mapping[str, Result]) -> Mapping[str, Seen]:
        with reading("mount sources"):
            rows = [line.split(" ") for line in listed(results, "sources", "mount sources")]
            found = {self.paths[count(number)]: STATES[state] for number, state in rows}
            if len(rows) != len(self.paths) or set(found) != set(self.paths):
                raise ValueError("not one answer for each path")
            return found
