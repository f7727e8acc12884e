"""Why here: whether the server of a measurement can be called now; its banner is buffered, so nobody sees it.

With rdma_cm there is no TCP port: its listeners are among the kernel's connection ids (`rdma resource`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from orchestrator.facts.probe import (
    count,
    json_of,
    listed,
    mapping,
    probe,
    reading,
    script,
    sections,
)
from orchestrator.question import question
from orchestrator.script import Result, Script, sh

BODY = sh(
    """echo @cm
if command -v rdma >/dev/null; then rdma -j resource show cm_id 2>/dev/null; echo; fi
echo @tcp
ss -H -l -t -n
echo end"""
)
LISTENS = re.compile(r"LISTEN\s+\d+\s+\d+\s+(\S+):(\d+)\s")


@question
class ReadAccepting:
    """Ports that a measurement's client can be pointed at: "rdma 18515", "tcp 5201"."""

    sudo: bool = True  # without root, other users' connection ids are not shown

    def ask(self) -> Script:
        return script(accepting=probe(BODY, sudo=self.sudo))

    def parse(self, results: Mapping[str, Result]) -> frozenset[tuple[str, int]]:
        with reading("listeners"):
            cm, tcp = sections(listed(results, "accepting", "listeners"), "cm", "tcp")
            found = set()
            for one in json_of("\n".join(cm).strip() or "[]"):
                each = mapping(one)
                if each.get("state") == "LISTEN" and "src-addr" in each:
                    found.add(("rdma", count(str(each["src-addr"]).rpartition(":")[2])))
            for line in tcp:
                listens = LISTENS.match(line)
                if listens is None:
                    raise ValueError(f"not a listening socket: {line[:80]!r}")
                found.add(("tcp", int(listens[2])))
            return frozenset(found)
