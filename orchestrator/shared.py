"""Quick reads of a script share one shell on the host: a process each instead of three. Pure.

They run one after another, each in a subshell of its own with its own output, and under one short limit.
What is not done when that has passed runs again, alone and with its own limit, as if nothing had been tried:
so a read still has all of its time, and what hangs is still told from what is slow.
"""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.script import Command, Script, quote

LIMIT = 10  # seconds for all of them together
QUICK = 60.0  # seconds; a command that asks for more is not expected to be quick

# For each command, since a loop around it would be seen by its `break`; the names are long for the same reason.
# k<index>: exit code, uptime before and after.
_ONE = """orch_a=0; read -r orch_a orch_b </proc/uptime
( . "${0%j}c$orch_i" ) >>"${0%j}o$orch_i" 2>>"${0%j}e$orch_i"
orch_r=$? orch_b=0; read -r orch_b orch_c </proc/uptime
printf '%s %s %s\\n' $orch_r "$orch_a" "$orch_b" >"${0%j}k$orch_i\""""

# w: the scratch folder is full; l: something ran alone since frames were sent; n: whose files X and E use.
FUNCTIONS = f"""
C() {{ {{ printf '%s\\n' "$2" >"$d/c$1" && true >"$d/o$1" && true >"$d/e$1"; }} 2>/dev/null || w=w; }}
J() {{ t=$1; shift
for i; do printf 'orch_i=%s\\n%s\\n' "$i" {quote(_ONE)} || w=w; done >"$d/j" || w=w
[ "$w" ] || ${{T:+timeout -k @grace@ "$t"}} /bin/sh "$d/j" </dev/null 9>&-; }} >/dev/null 2>&1
A() {{ n=$1
if [ "$w" ]; then f=w; E "$1" "$3" 125
elif {{ read -r r a b <"$d/k$1"; }} 2>/dev/null; then E "$1" "$3" "$r"
else [ "$l" ] || [ ! -s "$d/r" ] || G
l=1 b=; true >"$d/o$1"; true >"$d/e$1"
read -r a _ </proc/uptime
X "$2" </dev/null; E "$1" "$3" $?; fi
true >"$d/o$1"; true >"$d/e$1"; n=; }}
V() {{ [ -z "$l" ] || G; l=; }}
l=
"""


def shared(script: Script) -> list[list[int]]:
    """Indices of commands that share a shell, at least two each time, as they stand in the script."""
    if script.mutates or script.once or script.stop_on_error:
        return []
    runs: list[list[int]] = [[]]
    for index, command in enumerate(script.every.values()):
        if command.stdin or command.sudo or command.timeout > QUICK:
            runs.append([])
        else:
            runs[-1].append(index)
    return [run for run in runs if len(run) > 1]


def begin(run: Sequence[int], commands: Sequence[Command]) -> str:
    """Write the run's commands down and run them together."""
    limit = min(LIMIT, *(max(1, int(commands[index].timeout)) for index in run))
    texts = "".join(f"C {index} {commands[index].word}\n" for index in run)
    return f"w=\n{texts}J {limit} {' '.join(map(str, run))}\n"
