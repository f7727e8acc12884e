"""Why here: whether a program is there for a process, before it ends with 127: in these folders, then in PATH."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from orchestrator.facts.probe import host_path, listed, probe, reading, script
from orchestrator.question import question
from orchestrator.script import Raw, Result, Script, Sh, seq, sh


def looking_in(folders: Iterable[str]) -> Sh:
    """Shell that puts folders before those of PATH; for a subshell."""
    first = [sh("{}\nbefore=${before:+$before:}$p", Raw(host_path(one))) for one in folders]
    return sh("before=\n{}\nPATH=${before:+$before:}$PATH", Raw(seq(first)))


@question
class ReadHostPrograms:
    """Program → found. The PATH is that of a session over SSH, which is also the one that a process gets."""

    folders: tuple[str, ...]
    programs: tuple[str, ...]

    def ask(self) -> Script:
        looks = [
            sh(
                'if command -v {} >/dev/null 2>&1; then echo "yes "{}; else echo "no "{}; fi',
                one,
                one,
                one,
            )
            for one in self.programs
        ]
        body = sh("(\n{}\n{}\necho end\n)", Raw(looking_in(self.folders)), Raw(seq(looks)))
        return script(programs=probe(body))

    def parse(self, results: Mapping[str, Result]) -> Mapping[str, bool]:
        with reading("programs"):
            pairs = [line.partition(" ") for line in listed(results, "programs", "programs")]
            found = {name: word == "yes" for word, _, name in pairs}
            if set(found) != set(self.programs):
                raise ValueError("not the programs that were asked for")
            return found
