"""What an engine's own `--help` says that it takes: the last word on arguments, whatever tables say.

Kept on the host by image id, mounts and the age of a mounted program, because reading it takes a container, and vLLM
many seconds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from orchestrator.facts.probe import host_path, listed, probe, script
from orchestrator.facts.programs import kept_at
from orchestrator.question import question
from orchestrator.script import Raw, Result, Script, Sh, sh

MARK = "that is all of it"
Options = Mapping[str, bool]  # name without dashes → whether it takes a value
# An option, and after one blank what it takes; its description stands further away, or on the next line.
OPTION = re.compile(r",?\s*(--?[A-Za-z][\w.-]*)((?:[ =](?!-)[^\s,]\S*?)+)?(?=,\s|\s\s|\s*\Z|\s-)")


def options(lines: list[str]) -> Options:
    """From the lines that begin with an option, as argparse, click and llama.cpp write them."""
    found: dict[str, bool] = {}
    for line in lines:
        names, valued, at = [], False, 0
        while match := OPTION.match(line, at):
            names.append(match[1].lstrip("-").replace("_", "-"))
            valued, at = valued or match[2] is not None, match.end()
        found |= dict.fromkeys(names, valued)
    return found


def help_at(runtime: str, reference: str, mark: str, program: str) -> Sh:
    """Shell that sets `f` to where it is kept; `program`: the host's own file that the image runs, or ""."""
    where = kept_at(runtime, reference, mark)
    if not program:
        return where
    return sh(
        '{}\n{}\n[ -z "$f" ] || f=$f-$(stat -L -c %Y.%s -- "$p" 2>/dev/null)',
        Raw(where),
        Raw(host_path(program)),
    )


@question
class ReadHelp:
    """The options; None where nobody has looked yet. `mark`: what else it depends on."""

    runtime: str
    reference: str
    mark: str
    program: str = ""

    @property
    def place(self) -> Sh:
        return help_at(self.runtime, self.reference, self.mark, self.program)

    def ask(self) -> Script:
        body = sh('{}\nif [ -n "$f" ] && [ -e "$f" ]; then cat "$f"; fi\necho end', Raw(self.place))
        return script(help=probe(body))

    def parse(self, results: Mapping[str, Result]) -> Options | None:
        lines = listed(results, "help", f"--help in {self.reference}")
        if not lines or lines[-1] != MARK:
            return None
        return options(lines[:-1])
