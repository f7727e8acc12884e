"""No argument goes to an engine that does not know it: its `--help` is read before the old gang stops."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from orchestrator.contracts import Change, Patience, Rank, Step, World
from orchestrator.errors import Refused
from orchestrator.facts.help import MARK, Help, Options
from orchestrator.facts.programs import FOLDER
from orchestrator.flags import flags
from orchestrator.flags.versions import known
from orchestrator.meant import close
from orchestrator.ranks.arguments import name_of
from orchestrator.ranks.build import container_hosts
from orchestrator.ranks.context import image_of
from orchestrator.ranks.help import help_of
from orchestrator.runtimes import runtime
from orchestrator.script import Command, Raw, Script, Sh, argv, sh
from orchestrator.spec.models import Cluster, Deployment
from orchestrator.steps.gang import GangStep, own_steps, rank_reads

READ_S = 240.0  # vLLM imports torch for it, from a disk that may be cold
WORD = re.compile(r"(--?[A-Za-z][\w-]*)(?:[.=].*)?", re.DOTALL)  # --flag, --flag=value, --flag.part
Line = Callable[[Options | None], Sequence[str]]


@dataclass(frozen=True, kw_only=True)
class Arguments(GangStep):
    """Each argument of the head is one that its program knows."""

    query: Help
    program: tuple[str, ...]
    ways: tuple[tuple[str, ...], ...] = (("--help",),)  # of asking it; the first that works
    line: Line = field(compare=False)  # the words, as its options have them

    @classmethod
    def of(
        cls,
        cluster: Cluster,
        deployment: Deployment,
        program: tuple[str, ...],
        line: Line,
        **own: Any,
    ) -> Arguments:
        """`line`: what the head is called with, from the program on; who the workers are makes no difference."""
        name, host = deployment.name, deployment.head
        query = help_of(cluster, deployment, host, program)
        return cls(
            id=f"{name}/arguments/{host}",
            role="gate",
            host=host,
            scope=name,
            stage="arguments",
            on_demand=True,
            reads=rank_reads(cluster, deployment) | {(host, query)},
            patience=Patience(total=READ_S + 60, stall=READ_S + 60),
            query=query,
            program=program,
            line=line,
            cluster=cluster,
            deployment=deployment,
            **own,
        )

    def check(self, world: World) -> Change | None:
        options = world[self.host or ""].get(self.query)
        what = f"{self.program[0]} {self._where}"
        if options is None:
            return Change(
                f"read which arguments {what} takes",
                hint="a copy of playbooks/up.yaml without the stage `arguments` starts it unread",
            )
        engine_key = self.deployment.profile.engine_key
        after = self.line(options)[len(self.program) :]
        lacking = unknown(engine_key, after, options)
        if not lacking:
            return None
        raise Refused(
            f"{what} has no {', '.join(lacking)}: its own --help does not list it",
            host=self.host,
            step=self.id,
            hint=_instead(engine_key, lacking[0], options),
        )

    def apply(self, change: Change, world: World) -> Script:
        """Asked as the head would call it, for its list of options alone."""
        rank = next(one for one in self.ranks(world) if one.host == self.host)
        text = sh(
            """{}
[ -n "$f" ] || { echo {} >&2; exit 1; }
mkdir -p {}
if {} >"$f.new" 2>"$f.err"; then grep -E '^ *--?[A-Za-z]' "$f.new" | cut -c1-200 >"$f.read"
else tail -n 5 "$f.new" "$f.err" >&2; rm -f "$f.new" "$f.err"; exit 1; fi
rm -f "$f.new" "$f.err"
[ -s "$f.read" ] || { echo {} >&2; rm -f "$f.read"; exit 1; }
echo {} >>"$f.read" && mv "$f.read" "$f\"""",
            Raw(self.query.place),
            self.query.nowhere,
            Raw(FOLDER),
            Raw(self._asked_as(rank)),
            "its --help lists no options",
            MARK,
        )
        return Script({"read": Command(text, timeout=READ_S)}, mutates=True, stop_on_error=True)

    @property
    def _where(self) -> str:
        boxed = self.host in container_hosts(self.cluster, self.deployment)
        return f"in {image_of(self.deployment)}" if boxed else f"on {self.host}"

    def _asked_as(self, rank: Rank) -> Sh:
        ask = Sh(" || ".join(argv(*self.program, *way) for way in self.ways))
        return runtime(self.cluster.hosts[rank.host].runtime).question(rank, ask)


def unknown(engine_key: str, line: Sequence[str], options: Options) -> list[str]:
    """Arguments of a line that are in no list of options, as they were written."""
    table = flags(engine_key)
    found = (WORD.fullmatch(word) for word in line)
    written = dict.fromkeys(match[1] for match in found if match)
    return [one for one in written if not _known(table, one, options)]


def _known(table: Mapping[str, Any], written: str, options: Options) -> bool:
    name = name_of(written)
    always = any(re.fullmatch(rf"{re.escape(one)}\d*", name) for one in table.get("always", []))
    short = table.get("abbreviates", False) and written.startswith("--")
    return always or name in options or (short and any(one.startswith(name) for one in options))


def _instead(engine_key: str, written: str, options: Options) -> str:
    """What took its place, if that is known and there; else what it may have meant."""
    name, table = name_of(written), known(engine_key)
    by_hand = flags(engine_key).get("replaced", {}).get("flags", {})
    told = {**(table.replaced if table else {}), **by_hand}.get(name)
    near = close(name, options)
    return told or (f"did you mean --{near}?" if near else f"take {name} out of `args:`")


def argument_steps(cluster: Cluster, options: Mapping[str, Any]) -> Iterable[Step]:
    """Engines know what their ranks are started with."""
    for deployment in cluster.deployments.values():
        yield from own_steps(cluster, deployment, "arguments")


STAGES = {"arguments": argument_steps}
