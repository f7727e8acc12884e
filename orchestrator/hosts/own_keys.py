"""Our own keys: a key file is read once, however many hosts it opens."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import paramiko

from orchestrator.errors import Unreachable

KINDS = (paramiko.RSAKey, paramiko.ECDSAKey, paramiko.Ed25519Key)


class OwnKeys:
    """The key files that the inventory names. One that was changed is read anew."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._read: dict[tuple[Path, int], paramiko.PKey | None] = {}

    def offer(self, path: Path) -> dict[str, Any]:
        """What to give paramiko: the key, or the file where it has to say itself what is wrong with it."""
        try:
            written = path.stat().st_mtime_ns
        except FileNotFoundError:
            raise Unreachable(
                f"the key file {path} does not exist", hint="set ssh.key in the inventory"
            ) from None
        if path.is_dir():
            raise Unreachable(
                f"the key file {path} is a folder", hint="set ssh.key in the inventory"
            )
        with self._lock:
            if (path, written) not in self._read:
                self._read[path, written] = _load(path)
            key = self._read[path, written]
        return {"key_filename": [str(path)]} if key is None else {"pkey": key}


def _load(path: Path) -> paramiko.PKey | None:
    """The key with its certificate; None for one with a passphrase, or that is none."""
    certificate = path.with_name(f"{path.name}-cert.pub")
    for kind in KINDS:
        try:
            key = kind.from_private_key_file(str(path))
            if certificate.is_file():
                key.load_certificate(str(certificate))
        except (paramiko.SSHException, OSError, ValueError):
            continue
        return key
    return None
