"""Hosts for tests behind the one seam: each really runs the rendered program, or answers from a function.

Either way the reply goes through the wire form, so round trips and bytes are counted as they would
be over SSH, and a reply can be cut anywhere.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from orchestrator.errors import NoAnswer, OrchError, OutcomeUnknown, Unreachable
from orchestrator.framing import Become, Held, new_marker, render
from orchestrator.reply import parse
from orchestrator.script import Command, Request, Result, Script

Reply = Callable[[str, Command], Result | None]


class ScriptedHost(Protocol):
    """What answers for one host."""

    def execute(self, script: Script, program: bytes, marker: str) -> bytes: ...


def encode(results: Mapping[str, Result], script: Script, marker: str) -> bytes:
    """Results as a host would have sent them."""
    parts = [f"\n{marker} start\n".encode()]
    middle, last = f"\n{marker} err\n".encode(), f"\n{marker} done\n".encode()
    for index, name in enumerate(script.every):
        if name not in results:
            continue
        result = results[name]
        flag = "t" if result.truncated else "-"
        head = f"{marker} frame {index} {result.rc} 0 {result.seconds:.2f} {flag}\n"
        parts += [head.encode(), result.out, middle, result.err, last]
    return b"".join(parts) + f"{marker} end\n".encode()


@dataclass
class ReplyHost:
    """Answers from a function of a command's name and the command; None means exit code 127."""

    reply: Reply
    asked: list[tuple[str, Command]] = field(default_factory=list)

    def execute(self, script: Script, program: bytes, marker: str) -> bytes:
        results: dict[str, Result] = {}
        for name, command in script.commands.items():
            results[name] = self._one(name, command)
            if script.stop_on_error and results[name].rc != 0:
                break
        results.update({name: self._one(name, command) for name, command in script.then.items()})
        return encode(results, script, marker)

    def _one(self, name: str, command: Command) -> Result:
        self.asked.append((name, command))
        return self.reply(name, command) or Result(127, b"", b"not found", 0.0)


@dataclass
class ShellHost:
    """Runs the program in a real `sh`, with its own home, lease folder and small fakes on PATH.

    A fake is the text of a shell script; it keeps its state below $STATE.
    """

    root: Path
    fakes: Mapping[str, str] = field(default_factory=dict)
    shell: tuple[str, ...] = ("/bin/sh",)
    env: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for folder in ("bin", "home", "state"):
            (self.root / folder).mkdir(parents=True, exist_ok=True)
        for name, text in self.fakes.items():
            fake = self.root / "bin" / name
            fake.write_text(f"#!/bin/sh\n{text}\n")
            fake.chmod(0o755)

    def execute(self, script: Script, program: bytes, marker: str) -> bytes:
        done = subprocess.run(
            self.shell,
            input=program,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=self.root / "home",
            env={
                "PATH": f"{self.root}/bin:{os.environ['PATH']}",
                "HOME": f"{self.root}/home",
                "STATE": f"{self.root}/state",
                "ORCH_STATE": f"{self.root}/orch",
                **self.env,
            },
            check=False,
        )
        return done.stdout


HttpReply = Callable[[Request], tuple[int, list[bytes]]]


class ScriptedAnswer(Iterator[bytes]):
    """The body of an HTTP answer, with its status."""

    def __init__(self, status: int, pieces: list[bytes]) -> None:
        self.status = status
        self._pieces = iter(pieces)

    def __next__(self) -> bytes:
        return next(self._pieces)


class ScriptedHosts:
    """`contracts.Hosts` over scripted hosts. A host that is not there is unreachable."""

    def __init__(
        self,
        hosts: Mapping[str, ScriptedHost],
        http: Mapping[tuple[str, int], HttpReply] | None = None,
        become: Become | None = None,
    ) -> None:
        self.hosts = dict(hosts)
        self.answers = dict(http or {})
        self.held: dict[str, Held] = {}
        self.become = become
        self.round_trips: Counter[str] = Counter()
        self.sent: Counter[str] = Counter()
        self.received: Counter[str] = Counter()
        self.mutations: list[tuple[str, Script]] = []
        self.requests: list[tuple[str, Request]] = []

    def run(self, host: str, script: Script) -> Mapping[str, Result]:
        if host not in self.hosts:
            raise Unreachable(f"{host} port 22 refused the connection", host=host)
        marker = new_marker()
        sent = self.asked_at()
        program = render(
            script, marker=marker, held=self.held.get(host), become=self.become, lock_wait=5
        )
        self.round_trips[host] += 1
        self.sent[host] += len(program)
        if script.mutates:
            self.mutations.append((host, script))
        reply = self.hosts[host].execute(script, program, marker)
        self.received[host] += len(reply)
        try:
            return parse(reply, marker, script, sent)
        except OrchError as error:
            error.host = error.host or host
            raise

    def asked_at(self) -> float:
        """What results say of when they were asked for; 0: nothing."""
        return 0.0

    def http(self, host: str, request: Request) -> ScriptedAnswer:
        if host not in self.hosts:
            raise Unreachable(f"{host} port 22 refused the connection", host=host)
        self.round_trips[host] += 1
        self.requests.append((host, request))
        if (host, request.port) not in self.answers:
            raise NoAnswer(f"nothing listens on {request.address} port {request.port}", host=host)
        return ScriptedAnswer(*self.answers[host, request.port](request))

    def close(self) -> None:
        """Nothing is open."""


class TimelyHosts(ScriptedHosts):
    """As the real ones do, each result tells when it was asked for: a busy machine is no wrong clock."""

    def asked_at(self) -> float:
        return time.time()


def cut(results: Mapping[str, Result], script: Script, at: int) -> Mapping[str, Result]:
    """What a client makes of the reply's first `at` bytes."""
    marker = new_marker()
    return parse(encode(results, script, marker)[:at], marker, script)


__all__ = [
    "OutcomeUnknown",
    "ReplyHost",
    "ScriptedHosts",
    "ShellHost",
    "TimelyHosts",
    "cut",
    "encode",
]
