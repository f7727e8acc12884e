"""Leases: the lock on each host that a run changes, kept on the host and judged by its clock.

A lease is a small file beside the lock file that every mutating script holds (`framing.PLACE`). Its
token fences: a script that carries another one does nothing. Each script here locks by itself and
has the same effect when it is sent twice, so none of them is marked as mutating. An account that
can't be root there has a lease of its own, and takes none while root's is held.
"""

from __future__ import annotations

import getpass
import hashlib
import os
import secrets
import socket
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.facts.lease import LOAD
from orchestrator.framing import MADE, PLACE
from orchestrator.script import Raw, Sh, sh

SECONDS = 300  # how long a lease lasts if nobody renews it
WAIT = 30  # seconds for a script that still runs


@dataclass(frozen=True)
class Holder:
    """Who asks for leases: one run of one client."""

    owner: str  # tom@laptop
    run: str
    client: str  # tells this machine, and this boot of it, from others
    pid: int
    token: str = field(default_factory=lambda: secrets.token_hex(16))


def myself(run: str) -> Holder:
    """This process, asking for leases."""
    return Holder(
        owner=f"{getpass.getuser()}@{socket.gethostname()}",
        run=run,
        client=_client(),
        pid=os.getpid(),
    )


def _client() -> str:
    """Differs between machines, boots and containers, so that a pid means something."""
    parts = [socket.gethostname()]
    for path in ("/etc/machine-id", "/proc/sys/kernel/random/boot_id"):
        try:
            parts.append(Path(path).read_text())
        except OSError:
            parts.append("")
    try:
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    except OSError:
        parts.append("")
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


# --- scripts ------------------------------------------------------------------------------------

_STATE = sh(
    """{}
true 2>/dev/null >>"$S/lease.lock" || { echo "$S can't be written by $(id -un)" >&2; exit 5; }
""",
    Raw(Sh(PLACE + MADE)),
)
# The file of the lease has a lock of its own, so that it can be renewed while a long script runs.
_EDIT = sh("""
exec 8<"$S/lease.lock"
i=0; until flock -n 8; do i=$((i+1)); [ "$i" -le 50 ] || exit 4; sleep 0.2 || sleep 1; done
""")
# Whoever takes a host waits for what still runs there, like a ghost of a lost connection.
_QUIET = sh(
    """
exec 9<"$S/lock"
i=0; until flock -n 9; do i=$((i+1)); [ "$i" -le {} ] || exit 4; sleep 0.2 || sleep 1; done
""",
    WAIT * 5,
)
HELD, BUSY, UNWRITABLE, LOST = 3, 4, 5, 6  # exit codes of the scripts below


def _write(holder: Holder, seconds: int) -> Sh:
    return sh(
        """
( umask 022; printf 'token %s\\nsince %s\\nuntil %s\\nowner %s\\nrun %s\\nclient %s\\npid %s\\n' \
{} "$s" "$((now + {}))" {} {} {} {} >"$S/lease.new" ) && mv -f "$S/lease.new" "$S/lease" || exit 1
show
""",
        holder.token,
        seconds,
        _word(holder.owner),
        _word(holder.run),
        holder.client,
        holder.pid,
    )


def acquire(holder: Holder, seconds: int = SECONDS, over: str = "") -> Sh:
    """Take the lease if it is free, expired, ours already, or has the token `over` (a dead run)."""
    free = sh(
        '{}[ -z "$t" ] || [ "$u" -lt "$now" ] || [ "$t" = {} ] || [ "$t" = {} ] || { show; exit 3; }',
        Raw(LOAD),
        holder.token,
        over,
    )
    return sh(
        """{}
[ "$R" = "$S" ] || ( S=$R
{}
) || exit 3
{}
{}{}{}
if [ "$t" = {} ]; then :
elif [ -z "$t" ]; then s=$now
elif [ "$u" -lt "$now" ]; then past expired ""; s=$now
elif [ "$t" = {} ]; then past 'taken over' 'its process has ended'; s=$now
else show; exit 3; fi
{}""",
        Raw(_STATE),
        Raw(free),
        Raw(free),  # who is told of another's lease need not wait for what the other runs
        Raw(_QUIET),
        Raw(_EDIT),
        Raw(LOAD),
        holder.token,
        over,
        Raw(_write(holder, seconds)),
    )


def renew(holder: Holder, seconds: int = SECONDS) -> Sh:
    """Move the lease's end; only while it is still ours, expired or not.

    Where neither a lease is left nor a word of who took it, the host was rebooted: it is ours again.
    """
    return sh(
        """{}{}{}
[ "$t" = {} ] || [ -z "$t$(cat "$S/history" 2>/dev/null)" ] || { show; exit 6; }
s=${s:-$now}
{}""",
        Raw(_STATE),
        Raw(_EDIT),
        Raw(LOAD),
        holder.token,
        Raw(_write(holder, seconds)),
    )


def release(holder: Holder) -> Sh:
    """Give the lease back if it is ours; if it is not, there is nothing to do."""
    return sh(
        """{}{}{}
[ "$t" != {} ] || rm -f "$S/lease"
""",
        Raw(_STATE),
        Raw(_EDIT),
        Raw(LOAD),
        holder.token,
    )


def break_lease(by: str, reason: str) -> Sh:
    """Remove whoever's lease there is, and keep who, when and why in the host's history."""
    return sh(
        """{}{}{}
show
[ -z "$t" ] || { past {} {}; rm -f "$S/lease"; }
""",
        Raw(_STATE),
        Raw(_EDIT),
        Raw(LOAD),
        _word(f"broken by {by}"),
        _word(reason),
    )


def _word(text: str) -> str:
    """One line without tabs: what the files' format can hold."""
    return " ".join(text.split())
