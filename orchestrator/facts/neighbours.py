"""Why here: who answers over an interface tells where its cable goes, with nothing set up and no right needed.

Every IPv6 kernel answers a ping to all nodes of the link, if the interface is up and has its link-local
address; the neighbour table then has the MACs of those who did.
"""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.errors import Unknown
from orchestrator.facts.answers import Neighbour
from orchestrator.facts.probe import (
    json_of,
    listed,
    mapping,
    probe,
    reading,
    said,
    script,
    sections,
    text_of,
)
from orchestrator.question import question
from orchestrator.script import Raw, Result, Script, seq, sh


@question
class ReadNeighbours:
    """Neighbours over these interfaces, once all nodes of each link were called. Two seconds at most."""

    netdevs: tuple[str, ...]

    def ask(self) -> Script:
        calls = [
            sh("ping -6 -n -q -c 2 -i 0.5 -W 1 -I {} ff02::1 >/dev/null 2>&1 &", one)
            for one in self.netdevs
        ]
        body = sh(
            """{}
wait
echo @table
ip -j neigh show || echo failed
echo end""",
            Raw(seq([*calls, sh(":")])),
        )
        return script(neighbours=probe(body, keep=1_048_576))

    def parse(self, results: Mapping[str, Result]) -> tuple[Neighbour, ...]:
        with reading("neighbours"):
            (table,) = sections(listed(results, "neighbours", "neighbours"), "table")
            if table[-1:] == ["failed"]:
                raise Unknown(f"neighbours: ip: {said(results['neighbours'])}")
            rows = [mapping(one) for one in json_of("\n".join(table) or "[]")]
            return tuple(
                Neighbour(
                    netdev=text_of(one["dev"]),
                    address=text_of(one["dst"]),
                    mac=text_of(one["lladdr"]).lower(),
                    state=" ".join(text_of(word) for word in one.get("state", [])),
                )
                for one in rows
                if "lladdr" in one and one.get("dev") in self.netdevs
            )
