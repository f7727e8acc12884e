"""Why here: which programs a host has, wherever they lie (sbin folders are looked into as well)."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.facts.probe import fields, listed, probe, reading, script
from orchestrator.question import question
from orchestrator.script import Raw, Result, Script, argv, sh


@question
class ReadTools:
    """Name → path, "" where it is missing; the bare name for what the shell itself has (busybox)."""

    names: tuple[str, ...]

    def ask(self) -> Script:
        body = sh(
            """for tool in {}; do printf '%s %s\\n' "$tool" "$(command -v -- "$tool")"; done
echo end""",
            Raw(argv(*self.names)),
        )
        return script(tools=probe(body))

    def parse(self, results: Mapping[str, Result]) -> Mapping[str, str]:
        with reading("tools"):
            found = fields(listed(results, "tools", "tools"))
            if set(found) != set(self.names):
                raise ValueError("other tools than were asked for")
            return found
