"""How often a client waits for the host: counted in a proxy, so that a busy machine changes nothing."""

from __future__ import annotations

import selectors
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from orchestrator.facts.lease import Lease
from orchestrator.hosts.reader import read
from orchestrator.hosts.ssh import SshHosts
from orchestrator.script import Command, Request, Script, argv
from tests.sshd.conftest import Sshd, make_host, no_secrets

pytestmark = pytest.mark.sshd


class Turns:
    """A TCP proxy that counts how often the client speaks again after the host did."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.count = 0
        self._host_spoke = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def take(self) -> int:
        """The turns since the last call."""
        turns, self.count, self._host_spoke = self.count, 0, True
        return turns

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            ends: dict[socket.socket, tuple[socket.socket, bool]] = {}
            while not self._stop.is_set():
                for key, _ in selector.select(0.05):
                    if key.fileobj is self._listener:
                        self._accept(selector, ends)
                    elif isinstance(key.fileobj, socket.socket):
                        self._pass(key.fileobj, selector, ends)
            for end in ends:
                end.close()

    def _accept(
        self,
        selector: selectors.BaseSelector,
        ends: dict[socket.socket, tuple[socket.socket, bool]],
    ) -> None:
        client, _ = self._listener.accept()
        host = socket.create_connection(("127.0.0.1", self._target))
        self.count += 1  # the connection itself
        for end, other, is_client in ((client, host, True), (host, client, False)):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            ends[end] = (other, is_client)
            selector.register(end, selectors.EVENT_READ)

    def _pass(
        self,
        end: socket.socket,
        selector: selectors.BaseSelector,
        ends: dict[socket.socket, tuple[socket.socket, bool]],
    ) -> None:
        other, is_client = ends[end]
        try:
            data = end.recv(1 << 20)
        except ConnectionResetError:  # one side went without reading what the other said last
            data = b""
        if not data:
            selector.unregister(end)
            with suppress(OSError):
                other.shutdown(socket.SHUT_WR)
            return
        if is_client and self._host_spoke:
            self.count += 1
        self._host_spoke = not is_client
        with suppress(BrokenPipeError, ConnectionResetError):
            other.sendall(data)


@pytest.fixture
def turns(sshd: Sshd) -> Iterator[Turns]:
    made = Turns(sshd.port)
    yield made
    made.close()


TWENTY = Script({f"n{i}": Command(argv("echo", i)) for i in range(20)})


def test_round_trips(sshd: Sshd, turns: Turns) -> None:
    ssh = sshd.ssh(port=turns.port)
    hosts = SshHosts({"one": make_host("one", ssh)}, no_secrets)
    try:
        hosts.run("one", TWENTY)
        cold = turns.take()
        hosts.run("one", TWENTY)
        warm = turns.take()
        read(hosts, {("one", Lease())})
        reading = turns.take()
    finally:
        hosts.close()
    assert cold <= 8, f"cold: {cold}"
    assert warm == 1 and reading == 1, (warm, reading)


def test_round_trips_of_http(sshd: Sshd, turns: Turns) -> None:
    hosts = SshHosts({"one": make_host("one", sshd.ssh(port=turns.port))}, no_secrets)
    with socket.create_server(("127.0.0.1", 0)) as web:

        def answer() -> None:
            client, _ = web.accept()
            with client:
                client.recv(65_536)
                client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            hosts.run("one", TWENTY)
            turns.take()
            stream = hosts.http("one", Request(web.getsockname()[1], "/health"))
            asked = turns.take()  # the goodbye, of one message or two, is nothing that we wait for
            assert stream.read() == b"ok"
            assert asked == 2, "a channel, and the question"
        finally:
            thread.join()
            hosts.close()
