"""Why here: a half on too few or too slow PCIe lanes gives half of its rate, and everything else looks right."""

from __future__ import annotations

import re
from collections.abc import Mapping

from orchestrator.facts.answers import PcieLink
from orchestrator.facts.probe import count, listed, probe, reading, script
from orchestrator.question import question
from orchestrator.script import Result, Script, sh

# Of the function behind each netdev: width, widest, speed, fastest. No `lspci`, which hides this without root.
BODY = sh(
    """for dev in /sys/class/net/*/device; do
  if [ -e "$dev/current_link_speed" ]; then
    name=${dev%/device} width= most= speed= fastest=
    { read -r width <"$dev/current_link_width"
    read -r most <"$dev/max_link_width"
    read -r speed <"$dev/current_link_speed"
    read -r fastest <"$dev/max_link_speed"; } 2>/dev/null
    printf '%s\\n' "${name##*/} ${width:--} ${most:--} ${speed:--}|${fastest:--}"
  fi
done
echo end"""
)
SPEED = re.compile(r"(\d+(?:\.\d+)?) GT/s(?: PCIe)?")  # the word PCIe since kernel 5.6
UNKNOWN_SPEED = ("-", "Unknown", "Unknown speed")
NO_WIDTH = (0, 255)  # what the kernel prints where there is no link


@question
class ReadPcie:
    """Netdev → its PCIe link. Netdevs that hang on no PCIe function have none."""

    def ask(self) -> Script:
        return script(pcie=probe(BODY))

    def parse(self, results: Mapping[str, Result]) -> Mapping[str, PcieLink]:
        with reading("PCIe"):
            found: dict[str, PcieLink] = {}
            for line in listed(results, "pcie", "PCIe"):
                name, width, most, speeds = line.split(" ", 3)
                speed, bar, fastest = speeds.partition("|")
                if not bar or name in found:
                    raise ValueError(f"not a link's line: {line[:80]!r}")
                found[name] = PcieLink(
                    speed_of(speed), width_of(width), speed_of(fastest), width_of(most)
                )
            return found


def speed_of(text: str) -> float | None:
    """GT/s of a lane; None where the kernel does not know."""
    if text in UNKNOWN_SPEED:
        return None
    found = SPEED.fullmatch(text)
    if found is None:
        raise ValueError(f"not a speed: {text[:40]!r}")
    return float(found[1])


def width_of(text: str) -> int | None:
    """Lanes; None where the kernel does not know."""
    number = 0 if text == "-" else count(text)
    return None if number in NO_WIDTH else number
