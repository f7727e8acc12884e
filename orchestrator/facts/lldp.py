"""Why here: where lldpd or networkd listens, a neighbour has already said who it is and which port it is on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.facts.answers import LldpNeighbour
from orchestrator.facts.probe import json_of, listed, mapping, probe, reading, script, sections
from orchestrator.question import question
from orchestrator.script import Result, Script, sh

# lldpcli's socket is root's; networkctl has JSON since systemd 257, and before shows a table whatever it is asked.
BODY = sh(
    """echo @lldpcli
if command -v lldpcli >/dev/null; then
  lldpcli -f json show neighbors 2>/dev/null || sudo -n lldpcli -f json show neighbors 2>/dev/null
fi
echo
echo @networkctl
if command -v networkctl >/dev/null; then networkctl lldp --json=short 2>/dev/null; fi
echo
echo end"""
)

TABLE = "LINK "  # the head of networkctl's table for people


@question
class ReadLldp:
    """Neighbours that were heard; None where nobody listens."""

    def ask(self) -> Script:
        return script(lldp=probe(BODY, keep=1_048_576))

    def parse(self, results: Mapping[str, Result]) -> tuple[LldpNeighbour, ...] | None:
        with reading("LLDP"):
            daemon, networkd = sections(listed(results, "lldp", "LLDP"), "lldpcli", "networkctl")
            said = "\n".join(daemon).strip()
            if said:
                return tuple(lldpd_neighbours(mapping(json_of(said))))
            said = "\n".join(networkd).strip()
            if said and not said.startswith(TABLE):
                return tuple(networkd_neighbours(mapping(json_of(said))))
            return None


def lldpd_neighbours(answer: Mapping[str, Any]) -> Iterator[LldpNeighbour]:
    """`lldpcli -f json`: what occurs once is an object, what occurs more often a list of them."""
    for interface in _many(mapping(answer["lldp"]).get("interface", [])):
        for netdev, one in interface.items():
            for system, chassis in _chassis(mapping(one).get("chassis", {})):
                port = mapping(mapping(one).get("port", {}))
                described = port.get("descr", "")
                yield LldpNeighbour(
                    netdev=netdev,
                    system=system,
                    chassis=_value(chassis.get("id", {})),
                    port=_value(port.get("id", {})),
                    described=described if isinstance(described, str) else "",
                )


def _chassis(value: object) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Name → what it says of itself; without a name the object stands alone."""
    found = mapping(value)
    if "id" in found:
        yield "", found
        return
    for name, one in found.items():
        yield name, mapping(one)


def _value(identifier: object) -> str:
    value = mapping(identifier).get("value", "")
    return value if isinstance(value, str) else ""


def _many(value: object) -> list[Mapping[str, Any]]:
    return [mapping(one) for one in value] if isinstance(value, list) else [mapping(value)]


def networkd_neighbours(answer: Mapping[str, Any]) -> Iterator[LldpNeighbour]:
    """`networkctl lldp --json`: neighbours by interface."""
    for interface in _many(answer.get("Neighbors", [])):
        netdev = interface["InterfaceName"]
        for one in _many(interface.get("Neighbors", [])):
            words = [
                one.get(name) for name in ("SystemName", "ChassisID", "PortID", "PortDescription")
            ]
            system, chassis, port, described = (
                word if isinstance(word, str) else "" for word in words
            )
            if not isinstance(netdev, str):
                raise TypeError("an interface without a name")
            yield LldpNeighbour(netdev, system, chassis, port, described)
