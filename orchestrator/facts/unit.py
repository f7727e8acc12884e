"""How a unit of systemd stands, of the system or of the user that we are on the host."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.facts.probe import fields, listed, probe, reading, script
from orchestrator.facts.visit import Visited
from orchestrator.question import question
from orchestrator.script import Raw, Result, Script, Sh, sh

PROPERTIES = ("LoadState", "ActiveState", "SubState", "Result")
STARTING = frozenset({"activating", "reloading", "refreshing"})
STATES = STARTING | {"active", "inactive", "failed", "deactivating", "maintenance"}


@dataclass(frozen=True)
class UnitState:
    """`lingers`: the user's manager goes on when nobody is logged in."""

    load: str  # loaded, not-found, masked …
    active: str
    sub: str
    result: str
    lingers: bool

    @property
    def running(self) -> bool:
        return self.active == "active" or self.active in STARTING


def systemctl(user: bool) -> Sh:
    """Shell that calls the right manager; over SSH the user's is found by its folder."""
    if not user:
        return sh("systemctl")
    return sh('XDG_RUNTIME_DIR="${XDG_RUNTIME_DIR:-/run/user/$(id -u)}" systemctl --user')


@question
class ReadUnit:
    unit: str
    user: bool

    def ask(self) -> Script:
        body = sh(
            """shown=$({} show --property={} -- {}) || exit 1
printf '%s\\n' "$shown" | sed 's/=/ /'
if [ -e "/var/lib/systemd/linger/$(id -un)" ]; then echo linger yes; else echo linger no; fi
echo end""",
            Raw(systemctl(self.user)),
            ",".join(PROPERTIES),
            self.unit,
        )
        return script(unit=probe(sh("(\n{}\n)", Raw(body))))

    def parse(self, results: Mapping[str, Result]) -> UnitState:
        what = f"unit {self.unit}"
        with reading(what):
            found = fields(listed(results, "unit", what))
            if found["ActiveState"] not in STATES:
                raise ValueError(f"not a unit's state: {found['ActiveState'][:40]!r}")
            load, active, sub, result = (found[name] for name in PROPERTIES)
            return UnitState(load, active, sub, result, lingers=found["linger"] == "yes")


@question
class UnitActive:
    """Is it active? See contracts.Proof."""

    unit: str
    user: bool

    def ask(self) -> Script:
        return ReadUnit(self.unit, self.user).ask()

    def parse(self, results: Mapping[str, Result]) -> Visited:
        found = ReadUnit(self.unit, self.user).parse(results)
        if found.active == "active":
            return Visited(True, state="active")
        why = f"{self.unit} is {found.active} ({found.sub})"
        return Visited(False, why, state=found.active, hopeless=found.active == "failed")
