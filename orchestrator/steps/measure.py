"""Measures links, a pair of hosts at a time: a server, a client once it is heard, and nobody left behind.

What a tool could not do is data for the verdict, not a failed step; a step fails only if its host is lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from orchestrator.contracts import Change, Patience, Query, Step, World
from orchestrator.errors import Refused
from orchestrator.facts.accepting import ReadAccepting
from orchestrator.facts.fabric_left import Left, ReadLeft
from orchestrator.facts.identity import Identify
from orchestrator.facts.network import ReadNetwork
from orchestrator.facts.packages import ReadPackages
from orchestrator.facts.pcie import ReadPcie
from orchestrator.facts.rdma import ReadRdma
from orchestrator.facts.tools import ReadTools
from orchestrator.network.topology import Fabric, plan_fabric
from orchestrator.rdma import iperf, perftest
from orchestrator.rdma.answers import Effort, Test, Way
from orchestrator.rdma.rounds import Pair as Couple
from orchestrator.rdma.rounds import rounds
from orchestrator.rdma.trials import (
    FULL,
    TOOL_VERSIONS,
    Pair,
    Rail,
    Trial,
    fingerprint,
    pairs,
    trials,
    unmeasured,
)
from orchestrator.script import Script
from orchestrator.spec.models import Cluster, Host
from orchestrator.steps.job import Job, end_job, job_name, job_script, watched
from orchestrator.steps.measure_job import Part, program
from orchestrator.steps.packages import names_for

HEARD_S = 120  # between a server's start and its client's; a busy host takes its time
SLACK_S = 30  # what a client may take beyond the test itself
MARGIN_S = 60  # to write down what it said
JUST_S = 20  # a server that ended within that is this very trial's
TOOL: Mapping[Way, tuple[str, str]] = {
    "rdma": ("ib_write_bw", "perftest"),
    "tcp": ("iperf3", "iperf3"),
}
FACTS: tuple[Query[Any], ...] = (
    ReadNetwork(),
    ReadRdma(),
    ReadPcie(),
    Identify(),
    TOOL_VERSIONS,
)
TOOLS = ReadTools(("ib_write_bw", "iperf3", "ss"))
Reads = frozenset[tuple[str, Query[Any]]]


def limits(trial: Trial) -> tuple[int, int]:
    """Seconds that the server and the client may take at most."""
    client = trial.effort.seconds + SLACK_S
    return HEARD_S + client, client


@dataclass(frozen=True)
class Going:
    """How the results of one trial are told from others: by this run, or by their age for whoever takes any."""

    trial: Trial
    sudo: tuple[bool, bool]  # at the client, at the server
    run: str = ""  # "": a result of any run that is fresh
    fresh_s: float = 0.0

    def read(self, rail: Rail, client: bool) -> ReadLeft:
        return ReadLeft(self.trial.key(rail), self.sudo[0 if client else 1])

    def reads(self, client: bool) -> Reads:
        host = self.trial.client if client else self.trial.server
        return frozenset((host, self.read(rail, client)) for rail in self.trial.rails)

    def job(self, client: bool) -> Job:
        what = "fabric-ask" if client else "fabric-serve"
        return Job(job_name(what, self.trial.name, self.run), sudo=self.sudo[0 if client else 1])

    def found(self, world: World, client: bool) -> list[Left | None]:
        """What its client (or server) left for each half, where it is of this run, or fresh."""
        host = self.trial.client if client else self.trial.server
        found = [world[host].get(self.read(rail, client)) for rail in self.trial.rails]
        return [one if one is not None and self._holds(one, world, host) else None for one in found]

    def measured(self, world: World) -> bool:
        """Whether the client has left all that it is to leave."""
        return None not in self.found(world, client=True)

    def _holds(self, left: Left, world: World, host: str) -> bool:
        if self.run:
            return left.run == self.run
        age = world[host].get(Identify()).clock_epoch_s - left.at
        wanted, had = self.trial.effort, left.effort
        return (
            abs(age) <= self.fresh_s
            and (had.bytes, had.qps) == (wanted.bytes, wanted.qps)
            and had.seconds >= wanted.seconds
            and left.fingerprint == fingerprint(self.trial, world)
        )

    def gave_up(self, world: World) -> bool:
        """Whether its server has just ended, and not because its client had come."""
        left = self.found(world, client=False)
        now = world[self.trial.server].get(Identify()).clock_epoch_s
        return all(one is not None and (self.run or now - one.at < JUST_S) for one in left)

    def blocked(self, world: World) -> str:
        """Why no test can be run, "" if one can: the verdict has the cause from the interfaces themselves."""
        for test in self.trial.tests(world):
            if unmeasured(test):
                return "iperf3 measures no latency"
            for end in (test.lane.client, test.lane.server):
                if not end.address:
                    return f"{end.netdev} of {end.host} has no address"
                if not world[end.host].get(TOOLS)[TOOL[test.way][0]]:
                    return f"{end.host} has no {TOOL[test.way][0]}"
        return ""


@dataclass(frozen=True, kw_only=True)
class GoingStep(Step):
    """What the steps of a trial share."""

    going: Going

    @property
    def trial(self) -> Trial:
        return self.going.trial

    def over(self, world: World) -> bool:
        """There is a result, or can't be one."""
        return bool(self.going.blocked(world)) or self.going.measured(world)

    def parts(self, world: World, client: bool) -> list[Part]:
        stands = fingerprint(self.trial, world)
        return [
            Part(
                test,
                self.trial.key(rail),
                test.lane.client if client else test.lane.server,
                words(test, client),
                self.going.run or "any",
                stands,
            )
            for rail, test in zip(self.trial.rails, self.trial.tests(world), strict=True)
        ]


def words(test: Test, client: bool) -> tuple[str, ...]:
    """The tool's command line."""
    if test.way == "rdma":
        return perftest.client(test) if client else perftest.server(test)
    return iperf.client(test) if client else iperf.server(test)


@dataclass(frozen=True, kw_only=True)
class Serve(GoingStep):
    """The server's tool runs, as a job that ends by itself."""

    host: str

    def check(self, world: World) -> Change | None:
        if self.over(world) or self.going.gave_up(world):
            return None
        if world[self.host].get(self.going.job(client=False)).state == "running":
            return None
        return Change(f"measure {self.trial.name}")

    def apply(self, change: Change, world: World) -> Script:
        limit, _ = limits(self.trial)
        sudo = self.going.sudo[1]
        text = program(self.parts(world, client=False), sudo, limit)
        return job_script(
            self.going.job(client=False).name, text, sudo=sudo, limit=limit + MARGIN_S
        )


@dataclass(frozen=True, kw_only=True)
class Heard(GoingStep):
    """The server can be called; or it has ended, and what it said tells why."""

    host: str

    @property
    def accepting(self) -> ReadAccepting:
        return ReadAccepting(self.going.sudo[1])

    def check(self, world: World) -> Change | None:
        if (
            self.over(world)
            or world[self.host].get(self.going.job(client=False)).state != "running"
        ):
            return None
        heard = {port for _, port in world[self.host].get(self.accepting)}
        missing = [str(one.port) for one in self.trial.tests(world) if one.port not in heard]
        if not missing:
            return None
        return Change(f"nothing listens on port {', '.join(missing)} yet")


@dataclass(frozen=True, kw_only=True)
class Ask(GoingStep):
    """The client has run against the server and has left what it said."""

    host: str

    def check(self, world: World) -> Change | None:
        if self.over(world):
            return None
        change = Change(f"measure {self.trial.name}, {self.trial.effort.seconds} s")
        job = world[self.host].get(self.going.job(client=True))
        if job.state == "running":
            return watched(change, job)
        if world[self.trial.server].get(self.going.job(client=False)).state != "running":
            return None if self.going.gave_up(world) else change  # its own words tell why
        if self.going.run and job.state in ("done", "lost"):
            return None  # it left nothing: the verdict says so
        return change

    def apply(self, change: Change, world: World) -> Script:
        _, limit = limits(self.trial)
        sudo = self.going.sudo[0]
        text = program(self.parts(world, client=True), sudo, limit)
        return job_script(self.going.job(client=True).name, text, sudo=sudo, limit=limit + MARGIN_S)


@dataclass(frozen=True, kw_only=True)
class Reaped(GoingStep):
    """The server has ended: a tool whose client failed may wait for the next one for ever."""

    host: str

    def check(self, world: World) -> Change | None:
        if world[self.host].get(self.going.job(client=False)).state != "running":
            return None
        return Change("end its server")

    def apply(self, change: Change, world: World) -> Script:
        return end_job(self.going.job(client=False).name, sudo=self.going.sudo[1])


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


def needs_root(host: Host, netdevs: Iterable[str]) -> bool:
    """RDMA takes locked memory, and other users' listeners are root's to see; TCP takes nothing."""
    rdma = {half.netdev for port in host.ports.values() for half in port.halves if half.rdma}
    return host.become != "never" and bool(rdma & set(netdevs))


def going(cluster: Cluster, trial: Trial, run: str, fresh_s: float = 0.0) -> Going:
    """The trial with the rights that its hosts' kinds call for."""
    client = needs_root(cluster.hosts[trial.client], (one.client.netdev for one in trial.rails))
    server = needs_root(cluster.hosts[trial.server], (one.server.netdev for one in trial.rails))
    return Going(trial, (client, server), run, fresh_s)


def steps_of(
    one: Going,
    needs: frozenset[str],
    turns: frozenset[str],
    prefix: str = "fabric",
    facts: Reads = frozenset(),
    **more: Any,
) -> tuple[Step, ...]:
    """The four steps of a trial, each needing the one before. `facts`: what the first of them reads anew."""
    client, server = one.trial.client, one.trial.server
    at = f"{prefix}/{one.trial.name}"
    told = one.reads(client=True) | {(client, Identify())}
    serving: Reads = frozenset({(server, one.job(client=False)), (server, Identify())})
    server_s, client_s = limits(one.trial)
    serve = Serve(
        id=f"{at}/serve",
        host=server,
        needs=needs,
        turns=turns,
        reads=told | serving | facts | one.reads(client=False),
        going=one,
        **more,
    )
    heard = Heard(
        id=f"{at}/heard",
        role="wait",
        host=server,
        needs=frozenset({serve.id}),
        reads=told | serving | one.reads(client=False) | {(server, ReadAccepting(one.sudo[1]))},
        patience=Patience(total=server_s + 60, stall=server_s + 60, poll=0.2),
        going=one,
        **more,
    )
    ask = Ask(
        id=f"{at}/ask",
        host=client,
        needs=frozenset({heard.id}),
        reads=told | {(client, one.job(client=True))},
        patience=Patience(total=client_s + 60, stall=client_s + 60, poll=0.5),
        going=one,
        **more,
    )
    reaped = Reaped(
        id=f"{at}/reaped",
        host=server,
        needs=frozenset({serve.id}),
        turns=frozenset({ask.id}),
        reads=one.reads(client=False) | serving,
        patience=Patience(total=60, stall=60),
        going=one,
        **more,
    )
    return serve, heard, ask, reaped


def turns_of(wanted: Sequence[Pair], fabric: Fabric) -> Iterator[tuple[Pair, tuple[Pair, ...]]]:
    """Each pair with those that go before it on its hosts; nobody waits for a whole round."""
    switched = {one.link: (one.switch,) for one in fabric.segments if one.switch}
    couples = {
        Couple(one.first, one.second, one.link, switched.get(one.link, ())): one for one in wanted
    }
    last: dict[str, Pair] = {}
    for each in rounds(couples):
        for couple in each:
            pair = couples[couple]
            before = {last[host] for host in (pair.first, pair.second) if host in last}
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
