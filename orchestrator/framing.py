"""The wire form of a script: one POSIX program in, framed results out. Pure: hosts/ sends it.

The program is one subshell, so that the host's shell must have read all of it before it runs any
of it: a program that was cut does nothing, and no command can read the rest of it. The reply starts
at a random marker (what an rc file prints comes before it), has one frame per command, and ends
with an end marker.

    <marker> start
    <marker> frame <index> <exit code> <uptime before> <uptime after> <flags>
    …stdout…
    <marker> err
    …stderr…
    <marker> done
    <marker> end
"""

from __future__ import annotations

import base64
import math
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from orchestrator.script import Command, Script, quote
from orchestrator.shared import FUNCTIONS, begin, shared

SHELL = "/bin/sh"
NO_SUDO = 126  # exit code of a command that needed root and could not have it; see `no_sudo`
NO_SUDO_TEXT = b"orch: no root here: "
LOCK_WAIT = 30.0  # seconds that a mutating script waits for a ghost of a lost connection
GRACE = 5  # seconds between TERM and KILL of a command that ran out of its time
FLOOD_BYTES = 64 * 1024 * 1024  # output beyond this is thrown away while the command still runs
TOGETHER = 120.0  # seconds that commands may take in all whose frames are sent together
QUOTES = 200  # bash takes a time for a quoted word that grows with the square of its quotes
NOISE_BYTES = 1024 * 1024  # what rc files may print before we say that this is no reply


@dataclass(frozen=True)
class Held:
    """A lease that we hold: its fencing token, and the folder on the host where it is kept."""

    token: str
    directory: str


@dataclass(frozen=True)
class Become:
    """How a command with `sudo=True` becomes root."""

    mode: Literal["sudo", "never"] = "sudo"
    password: str | None = field(default=None, repr=False)


def new_marker() -> str:
    """A marker that no command can know."""
    return secrets.token_hex(16)


# Where the state is, S: root's folder R, or of an account that can't be root one of its own. Not
# XDG_RUNTIME_DIR: it goes away with the last session. A home may be shared between hosts.
PLACE = """
S=$ORCH_STATE R=${ORCH_ROOT_STATE:-${ORCH_STATE:-/run/orch}}
if [ -z "$S" ]; then S=$R
[ "$(id -u)" = 0 ] || { read -r h </proc/sys/kernel/hostname; S=$HOME/.cache/orch/$h; }; fi
"""
# A lock can be held by whoever reads it: one of root's is one for all accounts.
_SHARED = """
[ ! -r "$R/lock" ] || S=$R
"""
MADE = """
[ -e "$S/lock" ] || ( umask 022; mkdir -p "$S" && : >>"$S/lock" )
"""

# d: scratch folder; c: the command's text; o, e: its output; x: output was thrown away; n: no root (those of
# reads that share a shell end in their index, the variable n);
# r: frames to be sent: each write of its own would be a packet of its own.
_PRELUDE = """
[ "$m" ] || exit 97
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin LC_ALL=C; export PATH LC_ALL
printf '\\n%s start\\n' "$m"
Z() { printf '%s %s\\n' "$m" "$1"; printf '\\n%s end\\n' "$m"; exit 0; }
d=
for b in /dev/shm "$XDG_RUNTIME_DIR" /tmp "$TMPDIR"; do
[ -d "$b" ] && d=$(mktemp -d "$b/orch.XXXXXXXX" 2>/dev/null) || { d=; continue; }
{ printf 'x\\n' >"$d/c"; } 2>/dev/null && break
rm -rf "$d"; d=
done
[ "$d" ] || Z scratch
trap 'rm -rf "$d"' EXIT
if command -v timeout >/dev/null 2>&1; then T=1; else T=; fi
B() { { printf '%s\\n' "$1" >"$d/c" && true >"$d/o" && true >"$d/e"; } 2>/dev/null || f=w
read -r a _ </proc/uptime; [ "$f" != w ]; }
X() { ${T:+timeout -k @grace@ "$1"} /bin/sh "$d/c$n" >>"$d/o$n" 2>>"$d/e$n" 9>&-; }
E() { r=$3; [ "$b" ] || { b=0; read -r b _ </proc/uptime; }
[ ! -e "$d/x$n" ] || { f=t; rm -f "$d/x$n"; }
[ ! -e "$d/n" ] || { f=n; rm -f "$d/n"; }
[ "$f" != w ] || r=125
{ printf '%s frame %s %s %s %s %s\\n' "$m" "$1" "$r" "$a" "$b" "$f" &&
{ [ ! -s "$d/o$n" ] || [ "$f" = w ] || tail -c "$2" "$d/o$n"; } && printf '\\n%s err\\n' "$m" &&
{ [ ! -s "$d/e$n" ] || [ "$f" = w ] || tail -c "$2" "$d/e$n"; } && printf '\\n%s done\\n' "$m"
} >>"$d/r" || Z broken
f=- b=; return "$r"; }
q= n= f=- a=0 b=
read -r p _ </proc/self/stat
{ while sleep 0.3 && [ -d "$d" ]; do
kill -0 "$p" || { rm -rf "$d"; exit; }
find "$d" -name '[oe]*' -size +@flood@ | while read -r l; do : >"$l"; : >"$d/x${l##*/?}"; done
done; } </dev/null >/dev/null 2>&1 9>&- &
"""

# A reader's shell ends with its client. One that changes the host goes on to its end, and holds the
# lock: half of a change is worse than all of it, and nobody else gets in before.
_READS = """
trap 'exit 129' HUP INT PIPE TERM
G() { cat "$d/r" || exit 129; true >"$d/r"; }
"""
_MUTATES = """
trap : HUP PIPE; trap 'exit 143' INT TERM
G() { cat "$d/r"; true >"$d/r"; }
"""

_LOCK = """
command -v flock >/dev/null 2>&1 || Z noflock
[ -r "$S/lock" ] || Z gone
exec 9<"$S/lock"
i=0
until flock -n 9; do i=$((i+1)); [ "$i" -le @tries@ ] || Z busy; sleep 0.2 || sleep 1; done
t= u=
[ ! -r "$S/lease" ] || { read -r _ t; read -r _ _; read -r _ u; } <"$S/lease"
F() { printf '%s fenced\\n' "$m"; cat "$S/lease" 2>/dev/null; printf '\\n%s end\\n' "$m"; exit 0; }
"""
_FENCE_OURS = '[ "$t" = "$k" ] || F\n'
_FENCE_NONE = '[ -z "$t" ] || [ "$u" -lt "$(date +%s)" ] || F\n'

# A printf that is no builtin would show its words in `ps`, and fail on long ones behind our back.
_FEEDS = """
[ "$(command -v printf)" = printf ] && command -v base64 >/dev/null 2>&1 || Z tools
"""

# Root's half of a command: says that it came to be root (s<index>), then is the command.
_ROOT_HALF = """true >"${0%w}s$2"
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin LC_ALL=C; export PATH LC_ALL
@skip@
if command -v timeout >/dev/null 2>&1; then exec timeout -k @grace@ "$1" /bin/sh "${0%w}c"; fi
exec /bin/sh "${0%w}c"
"""
# sudo reads the password line only when it wants one; what it left of it is thrown away.
_SKIP = 'while IFS= read -r l && [ "$l" != @sentinel@ ]; do :; done'
_SUDO = """
Y() { if [ "$u" = 0 ]; then @skip@
X "$1"; return; fi
sudo @flags@ -- /bin/sh "$d/w" "$1" "$2" >>"$d/o" 2>>"$d/e" 9>&-
r=$?; [ ! -e "$d/s$2" ] || return $r
true >"$d/n"; return 126; }
"""
_NEVER = """
Y() { if [ "$u" = 0 ]; then X "$1"; return; fi
printf '%s\\n' "the inventory says become: never" >>"$d/e"; true >"$d/n"; return 126; }
"""


def _fill(template: str, **values: object) -> str:
    for name, value in values.items():
        template = template.replace(f"@{name}@", str(value))
    return template


def render(
    script: Script,
    *,
    marker: str,
    held: Held | None = None,
    become: Become | None = None,
    lock_wait: float = LOCK_WAIT,
) -> bytes:
    """The program of a script. Secrets must have been put into stdin already (`hosts.secrets`)."""
    become = become or Become()
    commands = list(script.every.values())
    flood = max([FLOOD_BYTES, *(2 * command.keep for command in commands)]) // 512
    parts = [f"( m={marker}", _fill(_PRELUDE, grace=GRACE, flood=flood)]
    parts.append(_MUTATES if script.mutates else _READS)
    if script.mutates:
        parts.append(_lock(held, lock_wait))
    if any(command.stdin or command.sudo for command in commands):
        parts.append(_FEEDS)
    if any(command.sudo for command in commands):
        parts.append(_root(become, marker))
    runs = shared(script)
    if runs:
        parts.append(_fill(FUNCTIONS, grace=GRACE))
    parts += _body(script, runs, become, marker)
    parts.append('printf \'%s end\\n\' "$m" >>"$d/r"; G\n)\n')
    return "".join(parts).encode(errors="surrogateescape")


def _body(
    script: Script, runs: Sequence[Sequence[int]], become: Become, marker: str
) -> Iterator[str]:
    """The commands in their order, and where their frames are sent. `runs`: those that share a shell."""
    commands = list(script.every.values())
    begins = {run[0]: run for run in runs}
    joined = {index for run in runs for index in run}
    ends = {run[-1] for run in runs}
    last = flushes(script)
    for index, command in enumerate(commands):
        if index in begins:
            yield begin(begins[index], commands)
        if index in joined:
            yield f"A {index} {_seconds(command)} {command.keep + 1}\n"
        else:
            stops = script.stop_on_error and index < len(script.commands)
            yield _line(index, command, become, marker, stops=stops)
        if index == len(commands) - 1:
            return
        if index in ends or (last[index] == index and index not in joined):
            yield "G\n"
        elif last[index] == index:
            yield "V\n"


def flushes(script: Script) -> list[int]:
    """For each command, the index of the one after which its frame is sent.

    Frames of quick reads travel together; a frame of a change is sent at once, since it may be all
    that we learn.
    """
    last: list[int] = []
    group: list[int] = []
    seconds = 0.0
    for index, command in enumerate(script.every.values()):
        alone = script.mutates and index < len(script.commands)
        if group and (alone or seconds + command.timeout > TOGETHER):
            last += [group[-1]] * len(group)
            group, seconds = [], 0.0
        group.append(index)
        seconds += TOGETHER if alone else command.timeout
    return last + [group[-1]] * len(group) if group else last


def _lock(held: Held | None, lock_wait: float) -> str:
    lock = _fill(_LOCK, tries=max(0, math.ceil(lock_wait / 0.2)))
    if held is None:
        return PLACE + _SHARED + MADE + lock + _FENCE_NONE
    return f"S={quote(held.directory)} k={quote(held.token)}\n" + lock + _FENCE_OURS


def _root(become: Become, marker: str) -> str:
    skip = _fill(_SKIP, sentinel=_sentinel(marker)) if become.password is not None else ":"
    if become.mode == "never":
        return "u=$(id -u)\n" + _NEVER
    flags = "-n" if become.password is None else "-S -p ''"
    half = _fill(_ROOT_HALF, grace=GRACE, skip=skip)
    return f"u=$(id -u)\nprintf '%s\\n' {quote(half)} >\"$d/w\" || Z scratch\n" + _fill(
        _SUDO, skip=skip, flags=flags
    )


def _sentinel(marker: str) -> str:
    return f"orch{marker[::-1]}"


def _line(index: int, command: Command, become: Become, marker: str, *, stops: bool) -> str:
    seconds = _seconds(command)
    run = f"Y {seconds} {index}" if command.sudo else f"X {seconds}"
    password = become.password if command.sudo and become.mode == "sudo" else None
    feed = _feed(command.stdin)
    if password is not None:
        ask = f"printf '%s\\n%s\\n' {quote(password)} {quote(_sentinel(marker))}"
        run = f"{{ {ask}; {feed or ':'}; }} | {run}"
    else:
        run = f"{feed} | {run}" if feed else f"{run} </dev/null"
    line = f"B {command.word} && {run}; E {index} {command.keep + 1} $?"
    return f'[ "$q" ] || {{ {line} || q=1; }}\n' if stops else f"{line}\n"


def _seconds(command: Command) -> int:
    """Its time limit as `timeout` takes it."""
    return max(1, math.ceil(command.timeout))


def _feed(data: bytes) -> str:
    """Shell that prints the bytes; base64 where quoting can't carry them, or only slowly."""
    if not data:
        return ""
    if not data.isascii() or b"\0" in data or data.count(b"'") > QUOTES:
        return f"printf %s {base64.b64encode(data).decode()} | base64 -d"
    return f"printf %s {quote(data.decode())}"
