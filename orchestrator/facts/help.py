"""What an engine's own `--help` says that it takes: the last word on arguments, whatever tables say.

Kept on the host by image id, mounts and the age of a mounted program, because reading it takes a container, and vLLM
many seconds. Of a program without an image, by its path, its age, and that of the Python packages beside it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from orchestrator.facts.host_programs import looking_in
from orchestrator.facts.probe import host_path, listed, probe, script
from orchestrator.facts.programs import FOLDER, kept_at
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

    @property
    def nowhere(self) -> str:
        """Why there is no place for it."""
        return f"image {self.reference} is not on this host"

    def ask(self) -> Script:
        return _ask(self.place)

    def parse(self, results: Mapping[str, Result]) -> Options | None:
        return _kept(results, f"--help in {self.reference}")


@question
class ReadHostHelp:
    """The same of a program that a process calls, found as the rank finds it: in these folders, then in PATH."""

    program: str
    mark: str
    folders: tuple[str, ...] = ()

    @property
    def place(self) -> Sh:
        """A package that is installed anew changes the folder that it is in, and not the `python3` that runs it."""
        return sh(
            """p=$(
{}
command -v {})
case $p in
/*) f={}/{}-$(stat -L -c %n.%Y.%s -- "$p" "${p%/*}"/../lib/python3*/site-packages 2>/dev/null | cksum | tr " " -) ;;
*) f= ;;
esac""",
            Raw(looking_in(self.folders)),
            self.program,
            Raw(FOLDER),
            self.mark,
        )

    @property
    def nowhere(self) -> str:
        return f"there is no {self.program} in {' and '.join([*self.folders, 'PATH'])}"

    def ask(self) -> Script:
        return _ask(self.place)

    def parse(self, results: Mapping[str, Result]) -> Options | None:
        return _kept(results, f"--help of {self.program}")


Help = ReadHelp | ReadHostHelp


def _ask(place: Sh) -> Script:
    body = sh('{}\nif [ -n "$f" ] && [ -e "$f" ]; then cat "$f"; fi\necho end', Raw(place))
    return script(help=probe(body))


def _kept(results: Mapping[str, Result], what: str) -> Options | None:
    lines = listed(results, "help", what)
    if not lines or lines[-1] != MARK:
        return None
    return options(lines[:-1])
