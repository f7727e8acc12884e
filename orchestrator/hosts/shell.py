"""One `sh` on a host, kept open: a script costs one round trip, and rc files are paid for once."""

from __future__ import annotations

import time
from collections.abc import Callable

import paramiko

from orchestrator.errors import ScriptTimeout
from orchestrator.framing import SHELL
from orchestrator.reply import Reply

PIECE = 1024 * 1024  # paramiko copies what is left of a buffer for each packet
GLANCE = 5.0  # seconds without a word, then stderr, which shares flow control with stdout, and sshd are looked at


class Lost(Exception):
    """The connection or the shell ended. `sent`: the whole program had been handed over."""

    def __init__(self, why: str, *, sent: bool) -> None:
        super().__init__(why)
        self.sent = sent


class Shell:
    """A channel with a shell that waits for programs on its stdin."""

    def __init__(self, transport: paramiko.Transport, timeout: float) -> None:
        try:
            self._channel = transport.open_session(timeout=timeout)
            self._channel.settimeout(timeout)
            self._channel.exec_command(SHELL)
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise Lost(f"no session: {error or type(error).__name__}", sent=False) from error
        self._stderr = b""

    @property
    def usable(self) -> bool:
        return not (
            self._channel.closed or self._channel.eof_received or self._channel.exit_status_ready()
        )

    def close(self) -> None:
        self._channel.close()

    def run(
        self,
        program: bytes,
        reply: Reply,
        answers: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Send a program and collect its reply until it is whole. Raises Lost, ScriptTimeout.

        `answers`: whether sshd does, however long the program may be at work.
        """
        self._stderr = b""
        self._send(program)
        heard = clock()
        until = heard + reply.patience()
        while not reply.finished:
            left = until - clock()
            if left <= 0:
                raise ScriptTimeout(
                    f"no answer to command {reply.frames + 1} in {reply.patience():g} s",
                    results=reply.results_so_far(),
                    hint="the host is very busy, or frozen; what was sent may still run there",
                )
            frames = reply.frames
            data = self._receive(min(left, GLANCE))
            if data is not None:
                heard = clock()
                reply.feed(data)
            elif not answers():
                since = time.strftime("%H:%M:%S", time.localtime(time.time() - (clock() - heard)))
                raise Lost(f"its sshd has said nothing since {since}", sent=True)
            if reply.frames != frames:
                until = clock() + reply.patience()

    def _send(self, program: bytes) -> None:
        """Until the last piece is handed over, the host can't run any of it."""
        pieces = [program[at : at + PIECE] for at in range(0, len(program), PIECE)]
        self._channel.settimeout(60.0)
        for number, piece in enumerate(pieces, start=1):
            last = number == len(pieces)
            try:
                self._channel.sendall(piece)
            except (OSError, paramiko.SSHException) as error:
                raise Lost(f"the connection ended ({error})", sent=last) from error

    def _receive(self, seconds: float) -> bytes | None:
        self._channel.settimeout(seconds)
        data: bytes | None
        try:
            data = self._channel.recv(65_536)
        except TimeoutError:
            data = None
        except OSError as error:
            raise Lost(f"the connection ended ({error})", sent=True) from error
        while self._channel.recv_stderr_ready():
            self._stderr = (self._stderr + self._channel.recv_stderr(65_536))[-2000:]
        if data == b"":
            said = self._stderr.decode(errors="replace").strip().splitlines()
            raise Lost(f"the shell ended: {said[-1]}" if said else "it ended", sent=True)
        return data
