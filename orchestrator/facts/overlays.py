"""Why here: which patched files a host has, each with its sum: a name alone proves no content."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.facts.probe import host_path, listed, probe, reading, script
from orchestrator.question import question
from orchestrator.script import Raw, Result, Script, sh


@question
class ReadOverlays:
    """Name → sha256 of each file in a folder of ours; a folder that is not there has none."""

    folder: str
    sudo: bool = False

    def ask(self) -> Script:
        body = sh(
            """{}
for f in "$p"/*; do
  if [ -f "$f" ]; then sum=$(sha256sum <"$f") && echo "${sum%% *} ${f##*/}" || echo unreadable; fi
done
echo end""",
            Raw(host_path(self.folder)),
        )
        return script(overlays=probe(body, sudo=self.sudo))

    def parse(self, results: Mapping[str, Result]) -> Mapping[str, str]:
        with reading(f"files in {self.folder}"):
            found = {}
            for line in listed(results, "overlays", f"files in {self.folder}"):
                total, _, name = line.partition(" ")
                if len(total) != 64 or not name:
                    raise ValueError(f"no sum: {line[:80]!r}")
                found[name] = total
            return found
