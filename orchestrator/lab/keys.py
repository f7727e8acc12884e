"""SSH keys of a lab, made here so that host keys are known before the first connection."""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)


@dataclass(frozen=True)
class KeyPair:
    private: bytes
    public: str


def new_key(comment: str) -> KeyPair:
    """An ed25519 key pair in OpenSSH's formats."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    return KeyPair(private, f"{public} {comment}\n")


def known_hosts_line(address: str, pair: KeyPair, port: int = 22) -> str:
    kind, key = pair.public.split()[:2]
    where = address if port == 22 else f"[{address}]:{port}"
    return f"{where} {kind} {key}\n"
