"""Why here: which TCP ports are taken and by whom, before something of ours wants one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address

from orchestrator.facts.answers import ListeningPort
from orchestrator.facts.probe import answered, count, listed, probe, reading, script
from orchestrator.question import question
from orchestrator.script import Result, Script, sh

BODY = sh(
    """if command -v ss >/dev/null; then echo ss; ss -H -l -t -n -p && echo end
else echo proc; cat /proc/net/tcp && { cat /proc/net/tcp6 2>/dev/null; echo end; }; fi"""
)
LISTEN = "0A"
OWNER = re.compile(r'users:\(\("(.*?)",pid=(\d+)')


@question
class ReadListening:
    """TCP ports that are listened on. `sudo` also shows the owners of other users' ports."""

    sudo: bool = True

    def ask(self) -> Script:
        if self.sudo:
            return script(own=probe(BODY), all=probe(BODY, sudo=True))
        return script(own=probe(BODY))

    def parse(self, results: Mapping[str, Result]) -> tuple[ListeningPort, ...]:
        with reading("listening ports"):
            seen = self.sudo and answered(results, "all", "listening ports").rc == 0
            first, *lines = listed(results, "all" if seen else "own", "listening ports") or [""]
            if first not in ("ss", "proc"):
                raise ValueError("neither of ss nor of /proc")
            read = from_ss if first == "ss" else from_proc
            ports = {port for line in lines for port in read(line)}
            return tuple(sorted(ports, key=lambda one: (one.port, one.address, one.pid or 0)))


def from_ss(line: str) -> list[ListeningPort]:
    """`LISTEN 0 128 [::]:22 [::]:* users:(("sshd",pid=7,fd=3))`"""
    state, _, _, local, *rest = line.split(None, 5)
    if state != "LISTEN":
        raise ValueError(f"not a listening socket: {line[:80]!r}")
    address, _, port = local.rpartition(":")
    owner = OWNER.search(rest[1]) if len(rest) == 2 else None
    where = re.sub(r"%[^\]]*", "", address).strip("[]")
    return [
        ListeningPort(
            port=count(port),
            address="::" if where == "*" else where,
            process=owner[1] if owner else "",
            pid=int(owner[2]) if owner else None,
        )
    ]


def from_proc(line: str) -> list[ListeningPort]:
    """`0: 0100007F:1F90 00000000:0000 0A …`: addresses are words of the host's byte order."""
    words = line.split()
    if words[0] == "sl":
        return []
    if words[3] != LISTEN:
        return []
    address, port = words[1].split(":")
    packed = b"".join(bytes.fromhex(address[at : at + 8])[::-1] for at in range(0, len(address), 8))
    where = IPv4Address(packed) if len(packed) == 4 else IPv6Address(packed)
    return [ListeningPort(port=int(port, 16), address=str(where), process="", pid=None)]
