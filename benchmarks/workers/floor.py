"""The least that an SSH client in Python can do: connect, send one program, read. Compare with this."""

from __future__ import annotations

import re
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import paramiko

from benchmarks.resources import RESOURCES
from benchmarks.workers import speak

STARTS = 32  # connections that are set up at once


class Floor:
    def __init__(self, root: Path, hosts: list[str], port: int, script: bytes) -> None:
        self._key = paramiko.Ed25519Key.from_private_key_file(str(root / "user_key"))
        line = (root / "host_key.pub").read_text().split()
        self._host_key = line[1]
        self._hosts, self._port, self._script = hosts, port, script
        self._open: dict[str, paramiko.Transport] = {}
        self._threads = ThreadPoolExecutor(STARTS)

    def once(self) -> int:
        return sum(self._threads.map(self._host, self._hosts))

    def _host(self, host: str) -> int:
        transport = self._open.get(host)
        if transport is None:
            transport = self._open[host] = self._connect(host)
        channel = transport.open_session()
        channel.exec_command("sh -s")
        channel.sendall(self._script)
        channel.shutdown_write()
        output = channel.makefile("rb").read()
        if channel.recv_exit_status() != 0:
            raise RuntimeError(f"{host}: {output!r}")
        return _changed(output)

    def _connect(self, host: str) -> paramiko.Transport:
        sock = socket.create_connection((host, self._port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        transport = paramiko.Transport(sock)
        transport.start_client()
        if transport.get_remote_server_key().get_base64() != self._host_key:
            raise RuntimeError(f"{host}: another host key")
        transport.auth_publickey("root", self._key)
        return transport


def _changed(output: bytes) -> int:
    """The hand-written program counts; in orch's program each check that is not met is one."""
    said = re.findall(rb"changed=(\d+)", output)
    if said:
        return int(said[0])
    codes = re.findall(rb"^\S+ frame \d+ (\d+) ", output, re.MULTILINE)
    if len(codes) != len(RESOURCES):
        raise RuntimeError(f"{len(codes)} frames: {output!r}")
    return len(codes) - codes.count(b"0")


if __name__ == "__main__":
    names = Path(sys.argv[2]).read_text().split()
    program = Path(sys.argv[2]).with_name("script.sh").read_bytes()
    speak(Floor(Path(sys.argv[1]), names, int(sys.argv[3]), program).once)
