"""Why here: what a host gives to a user who starts processes that are to outlive the login."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.facts.probe import NEAREST, fields, listed, probe, reading, script
from orchestrator.facts.process_folder import ALL
from orchestrator.question import question
from orchestrator.script import Raw, Result, Script, Sh, sh

NEEDED = "setsid mkfifo mktemp timeout grep sed tail env"
SAFE = Sh("A-Za-z0-9_./@+,:=-")  # characters that a folder may have that is put into scripts

# Sets `manager` where the user's own service manager answers and outlives the login.
MANAGER = sh(
    """manager=
if command -v systemd-run >/dev/null && [ -e "/var/lib/systemd/linger/$(id -un)" ] &&
  timeout 10 systemctl --user show-environment >/dev/null 2>&1; then manager=1; fi"""
)
# logind's KillUserProcesses: "b true" where all that a login has started ends with it.
LOGIND = "org.freedesktop.login1 /org/freedesktop/login1 org.freedesktop.login1.Manager KillUserProcesses"


@dataclass(frozen=True)
class ProcessHost:
    """`manager`: ranks are units of the user's manager; else they have sessions of their own."""

    missing: tuple[str, ...]  # programs
    manager: bool
    ended_at_logout: bool  # logind ends what a login has started, in whatever session
    folder: str
    usable: bool  # the folder is there or can be made, under a name that scripts can carry


@question
class ReadProcessHost:
    """The user's service manager, logind's rule, the programs, the folder."""

    def ask(self) -> Script:
        body = sh(
            """(
{}
{}
missing=
for one in {}; do command -v "$one" >/dev/null || missing="$missing $one"; done
kills=
if [ "$(id -u)" != 0 ] && command -v busctl >/dev/null; then kills=$(timeout 10 busctl get-property {} 2>/dev/null); fi
p=$all
{}
usable=no
[ ! -d "$near" ] || [ ! -w "$near" ] || usable=yes
case $all in *[!{}]*) usable=no ;; esac
printf '%s\\n' "missing$missing" "manager $manager" "kills $kills" "folder $all" "usable $usable"
echo end
)""",
            Raw(ALL),
            Raw(MANAGER),
            Raw(Sh(NEEDED)),
            Raw(Sh(LOGIND)),
            Raw(NEAREST),
            Raw(SAFE),
        )
        return script(host=probe(body, timeout=40))

    def parse(self, results: Mapping[str, Result]) -> ProcessHost:
        with reading("processes"):
            told = fields(listed(results, "host", "what processes need"))
            if told["kills"] not in ("", "b true", "b false") or told["usable"] not in (
                "yes",
                "no",
            ):
                raise ValueError("not what was asked")
            return ProcessHost(
                missing=tuple(told["missing"].split()),
                manager=told["manager"] == "1",
                ended_at_logout=told["kills"] == "b true",
                folder=told["folder"],
                usable=told["usable"] == "yes",
            )
