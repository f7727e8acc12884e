"""Whether a gang's data goes over the fabric is told by counters around a request, not by settings.

What the ports of all of its hosts had counted before and after is kept on its head, so that it is asked once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from orchestrator.facts.answers import RdmaCounters
from orchestrator.facts.probe import count, listed, probe, reading, script
from orchestrator.facts.rdma_counters import Counters
from orchestrator.question import question
from orchestrator.script import Result, Script, sh

ByHost = Mapping[str, Counters]


@dataclass(frozen=True)
class Moved:
    """Counters around one question to the container `asked`; `after` is None until they were read again."""

    asked: str
    before: ByHost
    after: ByHost | None


def kept_line(when: Literal["before", "after"], counters: ByHost) -> str:
    """`counters` as ReadMoved reads them."""
    told = {
        host: {f"{device}:{port}": asdict(one) for (device, port), one in ports.items()}
        for host, ports in counters.items()
    }
    return f"{when} {json.dumps(told, sort_keys=True)}"


@question
class ReadMoved:
    """What was kept in this file; None where there is none."""

    path: str

    def ask(self) -> Script:
        body = sh('f="${HOME:-/root}"/{}; [ ! -e "$f" ] || cat "$f"; echo end', self.path)
        return script(moved=probe(body))

    def parse(self, results: Mapping[str, Result]) -> Moved | None:
        what = "counters that were kept"
        with reading(what):
            lines = listed(results, "moved", what)
            if not lines:
                return None
            found = dict(line.split(" ", 1) for line in lines)
            before, after = found["before"], found.get("after")
            return Moved(
                found["asked"], _by_host(before), None if after is None else _by_host(after)
            )


def _by_host(line: str) -> ByHost:
    return {
        host: {_port(name): _counters(one) for name, one in ports.items()}
        for host, ports in json.loads(line).items()
    }


def _port(name: str) -> tuple[str, int]:
    device, _, port = name.rpartition(":")
    return device, count(port)


def _counters(told: Mapping[str, Any]) -> RdmaCounters:
    counters, hw_counters = (
        {name: count(str(value)) for name, value in told[kind].items()}
        for kind in ("counters", "hw_counters")
    )
    return RdmaCounters(counters, hw_counters)
