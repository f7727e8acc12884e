"""An entrypoint leaves marks in its container (joined, ready) that are seen from outside."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.facts.engine_words import spoken
from orchestrator.facts.probe import answered, probe, script
from orchestrator.facts.process_folder import RUNTIME, mark_of
from orchestrator.question import question
from orchestrator.script import Result, Script, sh


@question
class ReadRankMark:
    """Whether a file exists in a running container. A container that is not there has no marks."""

    name: str
    path: str
    runtime: str = "docker"

    def ask(self) -> Script:
        if self.runtime == RUNTIME:
            return script(mark=probe(mark_of(self.name, self.path)))
        text = sh(
            "if {} exec {} test -e {} 2>/dev/null; then echo yes; else echo no; fi",
            spoken(self.runtime),
            self.name,
            self.path,
        )
        return script(mark=probe(text))

    def parse(self, results: Mapping[str, Result]) -> bool:
        return answered(results, "mark", f"{self.path} in {self.name}").text.strip() == "yes"
