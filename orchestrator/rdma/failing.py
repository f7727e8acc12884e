"""Why a tool measured nothing: by what either end said, else by how both of them ended."""

from __future__ import annotations

import re

from orchestrator.knowledge.fabric import recognised
from orchestrator.rdma.answers import Failure, Said

TIMED_OUT = 124  # timeout(1)
KILLED = frozenset((None, 129, 130, 137, 139, 143))  # by a signal, or nobody knows
COMPLAINT = re.compile("error|fail|unrecogni|invalid|cannot|can't|unable|not found", re.IGNORECASE)
UNCONNECTED = "Couldn't connect to"  # perftest without -R; by iperf3 the reason stands behind it
NOT_FOUND = (126, 127)
SYMMETRIC = ("-q", "-s", "-D", "-n", "-b")  # perftest waits for ever where they differ


def failure(client: Said, server: Said) -> Failure | None:
    """The failure of a test of two ends; None if both ended well and said nothing of one."""
    if client.rc == 0 and server.rc == 0:
        return None
    known = recognised([*_lines(server), *_lines(client)])
    if known is not None and UNCONNECTED in known[1]:
        return Failure(_unconnected(client, server), known[1])
    if known is not None:
        return Failure(*known)
    if client.rc in NOT_FOUND or server.rc in NOT_FOUND:
        return Failure("no-tool", telling_line(client) or telling_line(server))
    if client.rc == TIMED_OUT or client.rc in KILLED:
        return Failure(_silent(client, server), telling_line(client))
    if client.rc == 0:
        return Failure(_silent(client, server), telling_line(server))
    return Failure("tool-failed", telling_line(client) or f"exit code {client.rc}")


def telling_line(said: Said) -> str:
    """The first line that speaks of an error, else the last one; standard error before standard output."""
    told = [line.strip() for line in _lines(said) if line.strip(" -*\t")]
    wrong = [line for line in told if COMPLAINT.search(line)]
    return (wrong or told[-1:] or [""])[0][:300]


def _lines(said: Said) -> list[str]:
    return [*said.err.splitlines(), *said.out.splitlines()]


def _unconnected(client: Said, server: Said) -> str:
    """The client could not connect by TCP: was somebody there who waited?"""
    if client.argv and server.argv and ("-R" in client.argv) != ("-R" in server.argv):
        return "cm-mismatch"
    return "firewall" if server.rc == TIMED_OUT else "no-server"


def _silent(client: Said, server: Said) -> str:
    """Somebody was killed or waited in vain, and nobody said why."""
    connected = "local address:" in client.out
    if connected and server.rc in KILLED:
        return "server-killed"
    if client.rc in KILLED:
        return "client-killed"
    if client.rc == 0:
        return "server-killed" if server.rc in KILLED else "tool-failed"
    if not connected and all("ib_" in " ".join(end.argv) for end in (client, server)):
        return _waiting(client.argv, server.argv)
    return "timed-out"


def _waiting(client: tuple[str, ...], server: tuple[str, ...]) -> str:
    """Both ends wait for each other, and what they were called with is known."""
    if ("-R" in client) != ("-R" in server):
        return "cm-mismatch"
    if any(_value(client, flag) != _value(server, flag) for flag in SYMMETRIC):
        return "qp-mismatch"
    # by TCP alone a refused port is told at once: only a firewall says nothing
    return "timed-out" if "-R" in client else "firewall"


def _value(argv: tuple[str, ...], flag: str) -> str | None:
    if flag not in argv:
        return None
    place = argv.index(flag) + 1
    return argv[place] if flag != "-b" and place < len(argv) else ""
