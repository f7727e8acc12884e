"""A unit that exists on the host is started if it does not run; one that runs already is nobody's to stop."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.contracts import Change, Patience, World
from orchestrator.errors import Refused
from orchestrator.facts.identity import Identify
from orchestrator.facts.kept_services import Kept, ReadKept, keep
from orchestrator.facts.unit import ReadUnit, systemctl
from orchestrator.script import Command, Raw, Script, sh
from orchestrator.spec.models import Cluster, Deployment
from orchestrator.spec.services import Unit
from orchestrator.steps.gang import GangStep
from orchestrator.steps.service import start_parts

START_S = 60.0


@dataclass(frozen=True, kw_only=True)
class UnitRuns(GangStep):
    """The unit is active, or on its way there."""

    unit: Unit

    @classmethod
    def of(cls, cluster: Cluster, deployment: Deployment, unit: Unit) -> UnitRuns:
        queries = (ReadUnit(unit.name, unit.user), ReadKept(cluster.name), Identify())
        return cls(
            **start_parts(cluster, deployment),
            reads=frozenset((deployment.head, query) for query in queries),
            patience=Patience(total=START_S, stall=START_S),
            unit=unit,
        )

    def check(self, world: World) -> Change | None:
        facts = world[self.host or ""]
        state = facts.get(ReadUnit(self.unit.name, self.unit.user))
        if state.load != "loaded":
            raise Refused(
                f"unit {self.unit.name} can't be started: it is {state.load}",
                host=self.host,
                step=self.id,
                hint=f"on {self.host}: {self._typed} cat {self.unit.name};"
                " `user: true` is for units of a user",
            )
        other = facts.get(ReadKept(self.cluster.name)).get(self.deployment.name)
        if other is not None and other.target != self.unit.name:
            raise Refused(
                f"{other.target}, which {self.deployment.name} was, is still started",
                host=self.host,
                step=self.id,
                hint="`orch down` first: it stops what it started",
            )
        if state.running:
            return None
        if self.unit.user and not state.lingers:
            user = facts.get(Identify()).user
            raise Refused(
                f"units of {user} stop when {user} logs out: there is no lingering",
                host=self.host,
                step=self.id,
                hint=f"on {self.host}: sudo loginctl enable-linger {user}",
            )
        return Change(f"start {self.unit.name}, which is {state.active}")

    @property
    def _typed(self) -> str:
        return "systemctl --user" if self.unit.user else "systemctl"

    def apply(self, change: Change, world: World) -> Script:
        """Written down first: what was started must be known, whatever happens next."""
        mark = Kept(self.deployment.name, "unit", self.unit.name, user=self.unit.user)
        start = sh("{} start --no-block -- {}", Raw(systemctl(self.unit.user)), self.unit.name)
        commands = {
            "keep": Command(keep(self.cluster.name, mark)),
            "start": Command(start, sudo=not self.unit.user, timeout=START_S),
        }
        return Script(commands, mutates=True, stop_on_error=True)
