"""A switch between virtual machines: a process of this file, which learns who is where and passes frames on.

It is started with this machine's Python as a program of its own, so that it outlives `orch lab up`.
"""

from __future__ import annotations

import selectors
import socket
import sys
from collections.abc import Iterable
from pathlib import Path

FRAME_BYTES = 65536
MULTICAST = 1  # the lowest bit of a frame's first byte
LINK_LOCAL = bytes.fromhex("0180c20000")  # LLDP and its kind end at the next device: here
COMM = "orch-lab-switch"


class Port:
    """One cable into the switch: where its frames come in, and where those for it go."""

    def __init__(self, host: Path) -> None:
        self.host = str(host)
        own = host.with_name(f"{host.name}s")
        own.unlink(missing_ok=True)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(own))
        self.socket.setblocking(False)

    def send(self, frame: bytes) -> None:
        try:
            self.socket.sendto(frame, self.host)
        except OSError:  # the host is off, or does not keep up: a switch drops frames
            return


def run(hosts: Iterable[Path]) -> None:
    """Pass frames between the cables until the process is ended."""
    ports = [Port(host) for host in hosts]
    known: dict[bytes, Port] = {}
    with selectors.DefaultSelector() as waiting:
        for port in ports:
            waiting.register(port.socket, selectors.EVENT_READ, port)
        while True:
            for key, _ in waiting.select():
                source: Port = key.data
                forward(source, source.socket.recv(FRAME_BYTES), ports, known)


def forward(source: Port, frame: bytes, ports: Iterable[Port], known: dict[bytes, Port]) -> None:
    """One frame: to whom it is for, or to all others while that is not known."""
    to, sender = frame[:6], frame[6:12]
    if len(sender) < 6 or to.startswith(LINK_LOCAL):
        return
    known[sender] = source
    target = None if to[0] & MULTICAST else known.get(to)
    if target is not None:
        if target is not source:
            target.send(frame)
        return
    for port in ports:
        if port is not source:
            port.send(frame)


def main() -> None:
    Path("/proc/self/comm").write_text(COMM)
    run([Path(name) for name in sys.argv[1:]])


if __name__ == "__main__":
    main()
