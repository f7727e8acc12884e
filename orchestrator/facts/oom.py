"""Why here: user-space OOM killers end a rank without a word in its log; a gang must know of them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from orchestrator.facts.probe import fields, listed, probe, reading, script
from orchestrator.question import question
from orchestrator.script import Raw, Result, Script, argv, sh

UNITS = ("earlyoom", "systemd-oomd", "nohang", "nohang-desktop")
BODY = sh(
    """names=$(cat /proc/[0-9]*/comm 2>/dev/null)
for unit in {}; do
  state=
  if [ -d /run/systemd/system ]; then state=$(systemctl is-active "$unit.service" 2>/dev/null); fi
  case "
$names
" in *"
$unit
"*) state=active ;; esac
  printf '%s %s\\n' "$unit" "${state:-inactive}"
done
echo end""",
    Raw(argv(*UNITS)),
)


@question
class ReadOomKillers:
    """The OOM killers that run, by unit name."""

    def ask(self) -> Script:
        return script(oom=probe(BODY))

    def parse(self, results: Mapping[str, Result]) -> tuple[str, ...]:
        with reading("OOM killers"):
            found = fields(listed(results, "oom", "OOM killers"))
            states = [found[unit] for unit in UNITS]
            if any(not re.fullmatch(r"[a-z]+", state) for state in states):
                raise ValueError("systemd does not say whether they run")
            return tuple(
                unit for unit, state in zip(UNITS, states, strict=True) if state == "active"
            )
