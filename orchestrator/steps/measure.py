"""Measures links, each host in one pair at a time; `orch verify-rdma` is this stage."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from orchestrator.contracts import Change, Query, Step, World
from orchestrator.errors import Refused
from orchestrator.facts.packages import ReadPackages
from orchestrator.facts.rdma import ReadRdma
from orchestrator.network.fabric import Fabric
from orchestrator.network.topology import plan_fabric
from orchestrator.rdma.answers import Effort, Way
from orchestrator.rdma.rounds import Pair as Couple
from orchestrator.rdma.rounds import rounds
from orchestrator.rdma.trials import (
    FULL,
    Pair,
    pairs,
    trials,
)
from orchestrator.spec.models import Cluster, Host
from orchestrator.steps.packages import names_for
from orchestrator.steps.trial import FACTS, TOOL, TOOLS, going, steps_of


@dataclass(frozen=True, kw_only=True)
class ToolsThere(Step):
    """A host that is to be measured has the tool for it."""

    host: str
    netdevs: frozenset[str]
    install: bool

    def check(self, world: World) -> Change | None:
        facts = world[self.host]
        devices = {one.netdev for one in facts.get(ReadRdma()).devices}
        tools = facts.get(TOOLS)
        ways: list[Way] = []
        if self.netdevs & devices:
            ways.append("rdma")
        if self.netdevs - devices:
            ways.append("tcp")
        missing = [TOOL[way] for way in ways if not tools[TOOL[way][0]]]
        if not missing:
            return None
        manager = facts.get(ReadPackages(("rdma-core",))).manager or "apt"
        names = " ".join(names_for(manager, tuple(package for _, package in missing)))
        typed = {"apt": "apt-get install -y", "pacman": "pacman -S"}.get(
            manager, f"{manager} install -y"
        )
        raise Refused(
            f"{self.host} has no {', '.join(tool for tool, _ in missing)}",
            host=self.host,
            step=self.id,
            hint=f"set `install_packages: true` for {self.host} in the inventory, and orch installs"
            f" {names}; or on {self.host}: sudo {typed} {names}",
        )


def turns_of(wanted: Sequence[Pair], fabric: Fabric) -> Iterator[tuple[Pair, tuple[Pair, ...]]]:
    """Each pair with those that go before it: on its hosts, and on a switch that carries no more at once.

    Nobody waits for a whole round.
    """
    switched = {one.link: (one.switch,) for one in fabric.segments if one.switch}
    couples = {
        Couple(one.first, one.second, one.link, switched.get(one.link, ())): one for one in wanted
    }
    last: dict[str, Pair] = {}
    through: dict[str, list[Pair]] = {switch: [] for switch in fabric.at_once}
    for each in rounds(couples, fabric.at_once):
        for couple in each:
            pair = couples[couple]
            before = {last[host] for host in (pair.first, pair.second) if host in last}
            for switch in fabric.at_once.keys() & couple.switches:
                most, earlier = fabric.at_once[switch], through[switch]
                before |= {earlier[-most]} if len(earlier) >= most else set()
                earlier.append(pair)
            yield pair, tuple(sorted(before))
            last[pair.first] = last[pair.second] = pair


@dataclass(frozen=True)
class Wanted:
    """What is to be measured. As the `with:` of a stage these are `run`, `hosts`, `links`, `all_pairs`, `effort`."""

    run: str = ""
    hosts: frozenset[str] | None = None
    links: frozenset[str] | None = None
    all_pairs: bool = False
    effort: Effort = field(default=FULL)
    soak: bool = False

    @staticmethod
    def of(options: Mapping[str, Any]) -> Wanted:
        """From a playbook's `with:`, or from the command line."""
        known = {name: options[name] for name in Wanted.__dataclass_fields__ if name in options}
        if isinstance(known.get("effort"), Mapping):
            known["effort"] = Effort(**known["effort"])
        for name in ("hosts", "links"):
            if known.get(name) is not None:
                known[name] = frozenset(known[name])
        return Wanted(**known)

    def pairs(self, fabric: Fabric) -> tuple[Pair, ...]:
        return pairs(fabric, self.hosts, self.links, self.all_pairs)


def measure_steps(cluster: Cluster, options: Mapping[str, Any]) -> Iterable[Step]:
    """Every pair's trials, in rounds; results are this run's alone."""
    wanted = Wanted.of(options)
    fabric = plan_fabric(cluster)
    chosen = wanted.pairs(fabric)
    last: dict[Pair, frozenset[str]] = {}
    for pair, before in turns_of(chosen, fabric):
        turns = frozenset().union(*(last[one] for one in before))
        needs = frozenset(f"{host}/fabric-tools" for host in (pair.first, pair.second))
        ids: set[str] = set()
        for trial in trials(fabric, pair, wanted.effort, wanted.soak):
            four = steps_of(going(cluster, trial, wanted.run), needs, turns, serves=frozenset())
            yield from four
            ids.update(step.id for step in four)
            needs, turns = frozenset({four[2].id, four[3].id}), frozenset()
        last[pair] = frozenset(ids)


def tools_steps(cluster: Cluster, options: Mapping[str, Any]) -> Iterable[Step]:
    """A gate for each host that is measured: what it is asked there is what all trials go by."""
    fabric = plan_fabric(cluster)
    netdevs: dict[str, set[str]] = {}
    for pair in Wanted.of(options).pairs(fabric):
        for trial in trials(fabric, pair, FULL):
            for rail in trial.rails:
                for member in (rail.client, rail.server):
                    netdevs.setdefault(member.host, set()).add(member.netdev)
    for host, mine in netdevs.items():
        yield tools_step(cluster.hosts[host], frozenset(mine))


def tools_step(host: Host, netdevs: frozenset[str], **more: Any) -> ToolsThere:
    """The gate of one host."""
    queries: tuple[Query[Any], ...] = (*FACTS, TOOLS, ReadPackages(("rdma-core",)))
    return ToolsThere(
        id=f"{host.name}/fabric-tools",
        role="gate",
        host=host.name,
        reads=frozenset((host.name, query) for query in queries),
        netdevs=netdevs,
        install=host.install_packages,
        **more,
    )


STAGES = {"fabric-tools": tools_steps, "measure": measure_steps}
OPTIONS = dict.fromkeys(STAGES, tuple(Wanted.__dataclass_fields__))
