"""Whether something that orch put on a host is there; its folder may be root's alone."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.errors import Unknown
from orchestrator.facts.probe import good, host_path, probe, script
from orchestrator.question import question
from orchestrator.script import Raw, Result, Script, sh


@question
class ReadPresent:
    """Does the path exist? `sudo`: asked as root."""

    path: str
    sudo: bool = False

    def ask(self) -> Script:
        body = sh('{}\nif [ -e "$p" ]; then echo yes; else echo no; fi', Raw(host_path(self.path)))
        return script(present=probe(body, sudo=self.sudo))

    def parse(self, results: Mapping[str, Result]) -> bool:
        said = good(results, "present", self.path).text.strip()
        if said not in ("yes", "no"):
            raise Unknown(f"{self.path}: the answer can't be read")
        return said == "yes"
