"""An image without `ray` is found before the start, not by a container that dies with 127.

What was found is kept on the host by image id and mounts, because looking takes a container.
"""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.facts.engine_words import spoken
from orchestrator.facts.probe import listed, probe, script
from orchestrator.question import question
from orchestrator.script import Raw, Result, Script, Sh, sh

FOLDER = sh('"${HOME:-/root}"/.cache/orch/programs')
MARK = "looked for NCCL and RPC too"


def kept_at(runtime: str, reference: str, mark: str) -> Sh:
    """Shell that sets `f` to where it is kept for the image that has this name now; "" without one."""
    return sh(
        """f=$({} image inspect --format '{{.Id}}' -- {} 2>/dev/null) || f=
[ -z "$f" ] || f={}/{}-${f#sha256:}""",
        spoken(runtime),
        reference,
        Raw(FOLDER),
        mark,
    )


@question
class ReadPrograms:
    """Program → found there; None where nobody has looked yet. `mark`: what else it depends on."""

    runtime: str
    reference: str
    mark: str

    def ask(self) -> Script:
        body = sh(
            '{}\nif [ -n "$f" ] && [ -e "$f" ]; then cat "$f"; fi\necho end',
            Raw(kept_at(self.runtime, self.reference, self.mark)),
        )
        return script(programs=probe(body))

    def parse(self, results: Mapping[str, Result]) -> Mapping[str, bool] | None:
        lines = listed(results, "programs", f"programs in {self.reference}")
        if not lines or lines[-1] != MARK:
            return None
        pairs = (line.split(" ", 1) for line in lines[:-1])
        return {name: found == "yes" for found, name in pairs}
