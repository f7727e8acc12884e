"""`address: local`: the machine that orch runs on, with the same programs and the same replies."""

from __future__ import annotations

import os
import selectors
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from orchestrator.errors import FilesWrong, OrchError, ScriptTimeout
from orchestrator.framing import LOCK_WAIT, SHELL, Held, new_marker, render
from orchestrator.hosts.http import HttpStream, ask
from orchestrator.hosts.secrets import fill_request, fill_script
from orchestrator.hosts.ssh import become_of
from orchestrator.reply import Reply
from orchestrator.script import Request, Result, Script
from orchestrator.spec.models import Host


class LocalHosts:
    """`contracts.Hosts` without SSH."""

    def __init__(
        self,
        hosts: Mapping[str, Host],
        secrets: Callable[[str], str],
        *,
        held: Mapping[str, Held] | None = None,
        lock_wait: float = LOCK_WAIT,
        env: Mapping[str, str] | None = None,
        shell: tuple[str, ...] = (SHELL,),
    ) -> None:
        self._hosts = hosts
        self._secrets = secrets
        self._held = held if held is not None else {}
        self._lock_wait = lock_wait
        self._env = env
        self._shell = shell
        self._guard = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}
        self._running: set[subprocess.Popen[bytes]] = set()

    def run(self, host: str, script: Script) -> Mapping[str, Result]:
        """One script in one shell. Raises OutcomeUnknown, Fenced, Locked."""
        with self._guard:
            lock = self._locks.setdefault(host, threading.Lock())
        try:
            if not script.mutates:
                return self._run(host, script)
            with lock:
                return self._run(host, script)
        except OrchError as error:
            error.host = error.host or host
            raise

    def http(self, host: str, request: Request) -> HttpStream:
        """HTTP to a port of this machine. Raises NoAnswer."""

        def dial() -> socket.socket:
            return socket.create_connection((request.address, request.port), request.timeout)

        return ask(host, fill_request(request, self._secrets), dial)

    def close(self) -> None:
        """End the shells that only read; they clean up after themselves. A change goes on to its end."""
        with self._guard:
            running = list(self._running)
        for process in running:
            process.terminate()

    def _run(self, host: str, script: Script) -> Mapping[str, Result]:
        if host not in self._hosts:
            raise FilesWrong(f"host {host} is not in the inventory")
        filled = fill_script(script, self._secrets)
        marker = new_marker()
        become = become_of(self._hosts[host], self._secrets)
        program = render(
            filled,
            marker=marker,
            held=self._held.get(host),
            become=become,
            lock_wait=self._lock_wait,
        )
        reply = Reply(filled, marker, lock_wait=self._lock_wait)
        with subprocess.Popen(
            self._shell,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **(self._env or {})},
            start_new_session=True,  # Ctrl-C is for us; a mutating script goes on to its end
        ) as process:
            if not script.mutates:
                with self._guard:
                    self._running.add(process)
            try:
                _exchange(process, program, reply)
            finally:
                with self._guard:
                    self._running.discard(process)
        return reply.results()


def _exchange(process: subprocess.Popen[bytes], program: bytes, reply: Reply) -> None:
    """Feed the program and collect the reply; both at once, so that neither waits for the other."""
    if process.stdin is None or process.stdout is None:
        raise ValueError("the shell needs pipes")
    feeder = threading.Thread(target=_feed, args=(process, program), daemon=True)
    feeder.start()
    out = process.stdout.fileno()
    until = time.monotonic() + reply.patience()
    with selectors.DefaultSelector() as selector:
        selector.register(out, selectors.EVENT_READ)
        while not reply.finished:
            left = until - time.monotonic()
            if left <= 0 or not selector.select(left):
                process.terminate()
                raise ScriptTimeout(
                    f"no answer to command {reply.frames + 1} in time",
                    results=reply.results_so_far(),
                )
            frames = reply.frames
            data = os.read(out, 65_536)
            if not data:
                return  # ended early: `results` says that the outcome is unknown
            reply.feed(data)
            if reply.frames != frames:
                until = time.monotonic() + reply.patience()


def _feed(process: subprocess.Popen[bytes], program: bytes) -> None:
    if process.stdin is not None:
        with suppress(OSError):
            process.stdin.write(program)
            process.stdin.close()
