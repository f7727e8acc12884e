"""Speaks to a virtual machine past its network: to QEMU itself (QMP), and to the agent inside."""

from __future__ import annotations

import base64
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from orchestrator.errors import CommandFailed, NoPatience

SYNC = (
    0x6F726368  # any number: the agent sends it back after what was left of an earlier conversation
)
LOOK_SECONDS = 0.05


class Line:
    """One JSON message a line over a unix socket."""

    def __init__(self, connection: socket.socket, what: str) -> None:
        self._connection, self._what = connection, what
        self._rest = b""

    def send(self, message: dict[str, Any], before: bytes = b"") -> None:
        self._connection.sendall(before + json.dumps(message).encode() + b"\n")

    def receive(self) -> dict[str, Any]:
        while b"\n" not in self._rest:
            more = self._connection.recv(65536)
            if not more:
                raise CommandFailed(f"{self._what}: the connection ended")
            self._rest += more
        line, _, self._rest = self._rest.partition(b"\n")
        try:
            return dict(json.loads(line.lstrip(b"\xff")))
        except ValueError as wrong:
            raise CommandFailed(f"{self._what}: not JSON: {line[:80]!r}") from wrong

    def __call__(self, command: str, **arguments: Any) -> Any:
        """Run a command and return its answer; what QEMU tells unasked is passed over."""
        self.send({"execute": command, "arguments": arguments})
        while True:
            answer = self.receive()
            if "error" in answer:
                raise CommandFailed(f"{self._what}: {command}: {answer['error'].get('desc')}")
            if "return" in answer:
                return answer["return"]


@contextmanager
def _connected(path: Path, seconds: float, what: str) -> Iterator[Line]:
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(seconds)
            connection.connect(str(path))
            yield Line(connection, what)
    except TimeoutError as late:
        raise NoPatience(f"{what}: no answer within {seconds:.0f} s") from late
    except OSError as gone:
        raise CommandFailed(f"{what}: {gone}") from gone


@contextmanager
def qemu(folder: Path, seconds: float = 60) -> Iterator[Line]:
    """QEMU's own line: cables, power, saved states."""
    with _connected(folder / "qmp", seconds, "QEMU") as line:
        line.receive()
        line("qmp_capabilities")
        yield line


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str


def inside(folder: Path, *argv: str, stdin: bytes = b"", seconds: float = 60) -> Done:
    """Run a command in a machine as root, through its agent: needs no network and no sshd."""
    with _connected(folder / "agent", seconds, "the agent inside") as line:
        line.send({"execute": "guest-sync-delimited", "arguments": {"id": SYNC}}, before=b"\xff")
        while line.receive().get("return") != SYNC:
            pass
        given = {"input-data": base64.b64encode(stdin).decode()} if stdin else {}
        started = line(
            "guest-exec", path=argv[0], arg=list(argv[1:]), **given, **{"capture-output": True}
        )
        asking = Retrying(
            stop=stop_after_delay(seconds),
            wait=wait_fixed(LOOK_SECONDS),
            retry=retry_if_result(lambda status: not status["exited"]),
            retry_error_callback=lambda state: None,
        )
        status = asking(line, "guest-exec-status", pid=started["pid"])
    if status is None:
        raise NoPatience(f"{' '.join(argv[:3])}: not done after {seconds:.0f} s")
    return Done(
        int(status.get("exitcode", 128 + int(status.get("signal", 0)))),
        _text(status.get("out-data", "")),
        _text(status.get("err-data", "")),
    )


def _text(data: str) -> str:
    return base64.b64decode(data).decode(errors="replace")


def checked(folder: Path, *argv: str, stdin: bytes = b"", seconds: float = 60) -> str:
    """The same for a command that has to succeed."""
    done = inside(folder, *argv, stdin=stdin, seconds=seconds)
    if done.code != 0:
        said = " | ".join((done.err or done.out).strip().splitlines()[-3:])
        raise CommandFailed(f"{' '.join(argv[:3])}: exit code {done.code}: {said[:600]}")
    return done.out


def answers(folder: Path) -> bool:
    """Whether the agent inside is there."""
    try:
        return inside(folder, "/bin/true", seconds=5).code == 0
    except (CommandFailed, NoPatience):
        return False
