"""pyinfra's command line with one change: its SSH sockets do not wait for acknowledgements (Nagle)."""

from __future__ import annotations

from gevent import monkey  # type: ignore[import-untyped,import-not-found,unused-ignore]

monkey.patch_all()

import socket  # noqa: E402  gevent has to patch first
from typing import Any  # noqa: E402

import paramiko  # noqa: E402
from pyinfra_cli.main import main  # type: ignore[import-not-found,unused-ignore]  # noqa: E402

original = paramiko.Transport.__init__


def without_nagle(self: Any, sock: Any, *args: Any, **options: Any) -> None:
    original(self, sock, *args, **options)
    self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


paramiko.Transport.__init__ = without_nagle  # type: ignore[method-assign]
main()
