"""Faults as a decorator over any Hosts: the same fault on scripted hosts and on real ones."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from orchestrator.contracts import Hosts
from orchestrator.errors import AuthRefused, NoAnswer, OutcomeUnknown, ScriptTimeout, Unreachable
from orchestrator.script import Request, Result, Script
from tests.scripted.hosts import cut

Kind = Literal[
    "refuse",  # no connection; nothing happened
    "auth",  # the key is refused; nothing happened
    "hang",  # it took the script, ran it, and says nothing
    "drop-before",  # the connection ends before the script has an effect
    "drop-after",  # … after it had its effect, and before the reply
    "truncate",  # … in the middle of the reply, at byte `at`
    "garbage",  # the commands' output is not what anybody expects
    "slow",  # it answers after `seconds`
]


@dataclass(frozen=True)
class Fault:
    """What goes wrong, where, and at which calls (`skip` matching ones first, then `times` of them)."""

    kind: Kind
    host: str | None = None
    when: Callable[[Script | Request], bool] = lambda sent: True
    skip: int = 0
    times: int = 1_000_000
    at: int = 0
    seconds: float = 0.0


def mutating(sent: Script | Request) -> bool:
    """For `Fault.when`: scripts that change the host."""
    return isinstance(sent, Script) and sent.mutates


class FaultyHosts:
    """`contracts.Hosts` with faults. `struck` lists those that happened."""

    def __init__(
        self, inner: Hosts, *faults: Fault, sleep: Callable[[float], None] = lambda seconds: None
    ) -> None:
        self.inner = inner
        self.faults = list(faults)
        self.struck: list[tuple[str, Fault]] = []
        self._seen: dict[int, int] = {}
        self._sleep = sleep
        self._lock = threading.Lock()

    def run(self, host: str, script: Script) -> Mapping[str, Result]:
        fault = self._next(host, script)
        if fault is None:
            return self.inner.run(host, script)
        if fault.kind == "drop-before":
            raise OutcomeUnknown("the connection was lost", host=host)
        self._never_there(host, fault)
        if fault.kind == "slow":
            self._sleep(fault.seconds)
        results = self.inner.run(host, script)
        return self._after(host, script, fault, results)

    def _after(
        self, host: str, script: Script, fault: Fault, results: Mapping[str, Result]
    ) -> Mapping[str, Result]:
        if fault.kind == "drop-after":
            raise OutcomeUnknown("the connection was lost", host=host)
        if fault.kind == "hang":
            raise ScriptTimeout("no answer to command 1", host=host)
        if fault.kind == "truncate":
            return cut(results, script, fault.at)
        if fault.kind == "garbage":
            return {
                name: Result(result.rc, b"\xff\x00garbage\n" * 3, b"", result.seconds)
                for name, result in results.items()
            }
        return results

    def http(self, host: str, request: Request) -> Iterator[bytes]:
        fault = self._next(host, request)
        if fault is not None:
            self._never_there(host, fault)
            if fault.kind == "slow":
                self._sleep(fault.seconds)
            elif fault.kind == "garbage":
                return iter([b"\xff\x00garbage"])
            else:
                raise NoAnswer(f"port {request.port} gave no HTTP answer (lost)", host=host)
        return self.inner.http(host, request)

    def _never_there(self, host: str, fault: Fault) -> None:
        if fault.kind == "refuse":
            raise Unreachable(f"{host} port 22 refused the connection", host=host)
        if fault.kind == "auth":
            raise AuthRefused(f"{host} port 22 refused the keys offered", host=host)

    def _next(self, host: str, sent: Script | Request) -> Fault | None:
        with self._lock:
            for number, fault in enumerate(self.faults):
                if fault.host not in (None, host) or not fault.when(sent):
                    continue
                seen = self._seen[number] = self._seen.get(number, 0) + 1
                if fault.skip < seen <= fault.skip + fault.times:
                    self.struck.append((host, fault))
                    return fault
        return None

    def __getattr__(self, name: str) -> object:
        return getattr(self.inner, name)  # counters, `held`, `close` of what is inside
