"""Why here: whether this user may do what needs root, before a step finds out half-way."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.facts.answers import Privilege
from orchestrator.facts.probe import answered, count, good, probe, reading, script
from orchestrator.question import question
from orchestrator.script import Result, Script, argv


@question
class ReadPrivilege:
    """`sudo=False` for a host with `become: never`: sudo would report our try to its owner."""

    sudo: bool = True

    def ask(self) -> Script:
        if self.sudo:
            return script(uid=probe(argv("id", "-u")), root=probe(argv("id", "-u"), sudo=True))
        return script(uid=probe(argv("id", "-u")))

    def parse(self, results: Mapping[str, Result]) -> Privilege:
        with reading("privilege"):
            root = count(good(results, "uid", "privilege").text.strip()) == 0
            if not self.sudo:
                return Privilege(root=root, sudo=root)
            became = answered(results, "root", "sudo")
            return Privilege(root=root, sudo=became.rc == 0 and count(became.text.strip()) == 0)
