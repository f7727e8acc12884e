"""Why here: where a rank that is a process lives on its host, and how it is known to be alive.

A process number may be another's by now: a rank's is believed only with the start time that the kernel gives
for it, and of this boot. A home may be shared by hosts, so the folder has the host's name.
"""

from __future__ import annotations

from orchestrator.script import Raw, Sh, Value, sh

RUNTIME = "process"
FOLDER = "/orch"  # what entrypoints call their folder; ranks/entrypoint.py
GONE = "no such container or process"

# Sets `all`, the folder of all ranks of this host, and XDG_RUNTIME_DIR, which a session may lack.
ALL = sh(
    """read -r node </proc/sys/kernel/hostname
all=${HOME:?}/.local/state/orch/processes/$node
[ -n "$XDG_RUNTIME_DIR" ] || export XDG_RUNTIME_DIR="/run/user/$(id -u)\""""
)

# `alive`: is the supervisor in the folder `d` there? Sets `token`.
KNOWN = sh(
    """started() {
  { read -r line <"/proc/$1/stat"; } 2>/dev/null || return 1
  set -- ${line##*) }
  [ "$1" != Z ] && echo "${20}"
}
alive() {
  { read -r pid born boot <"$d/pid" && read -r now </proc/sys/kernel/random/boot_id; } 2>/dev/null || return 1
  [ -n "$born" ] && [ "$boot" = "$now" ] && [ "$(started "$pid")" = "$born" ]
}
{ read -r token <"$d/token"; } 2>/dev/null || token="""
)


def placed(name: Value) -> Sh:
    """Shell that sets `d` to the folder of the rank of that name."""
    return sh("{}\nd=$all/{}", Raw(ALL), name)


def log_of(name: str, lines: int) -> Sh:
    """Shell that prints the last lines of a rank's log, with their times."""
    return sh(
        """(
{}
[ -d "$d" ] || { echo {}; exit 1; }
[ -e "$d/log" ] || exit 0
n={}
if [ -e "$d/log.1" ] && [ "$(tail -n "$n" "$d/log" | wc -l)" -lt "$n" ]; then
  { tail -n "$n" "$d/log.1"; cat "$d/log"; } | tail -n "$n"
else tail -n "$n" "$d/log"; fi
)""",
        Raw(placed(name)),
        f"{GONE}: {name}",
        lines,
    )


def mark_of(name: str, path: str) -> Sh:
    """Shell that prints whether a running rank has left a mark at a path below /orch."""
    return sh(
        """(
{}
{}
if alive && [ -e "$d"{} ]; then echo yes; else echo no; fi
)""",
        Raw(placed(name)),
        Raw(KNOWN),
        path,
    )


def marked(name: str, path: str) -> Sh:
    """Shell that leaves such a mark."""
    return sh(
        """(
{}
{}
alive || { echo {} >&2; exit 1; }
p=$d{}
mkdir -p "${p%/*}" && : >"$p"
)""",
        Raw(placed(name)),
        Raw(KNOWN),
        f"{name} does not run",
        path,
    )
