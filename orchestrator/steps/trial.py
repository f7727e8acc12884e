"""One trial between two hosts: a server, a client once it is heard, and nobody left behind. No stage of its own.

What a tool could not do is data for the verdict, not a failed step; a step fails only if its host is lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.contracts import Change, Patience, Query, Step, World
from orchestrator.facts.accepting import ReadAccepting
from orchestrator.facts.fabric_left import Left, ReadLeft
from orchestrator.facts.identity import Identify
from orchestrator.facts.job import Job
from orchestrator.facts.network import ReadNetwork
from orchestrator.facts.pcie import ReadPcie
from orchestrator.facts.rdma import ReadRdma
from orchestrator.facts.tools import ReadTools
from orchestrator.rdma import iperf, perftest
from orchestrator.rdma.answers import NOTHING, Test, Way
from orchestrator.rdma.failing import failure
from orchestrator.rdma.trials import (
    TOOL_VERSIONS,
    Rail,
    Trial,
    fingerprint,
    unmeasured,
)
from orchestrator.script import Script
from orchestrator.spec.models import Cluster, Host
from orchestrator.steps.job import end_job, job_name, job_script, watched
from orchestrator.steps.measure_job import Part, program

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

    def measured(self, world: World, attempt: int = 1) -> bool:
        """Whether the client has left all that it is to leave, in this attempt or a later one."""
        found = self.found(world, client=True)
        return all(one is not None and one.attempt >= attempt for one in found)

    def turned_away(self, world: World, attempt: int) -> str:
        """What a client said that was refused although its server waited, and went on waiting.

        perftest's server listens anew between its two handshakes; a client that is faster finds nobody.
        """
        both = zip(self.found(world, client=True), self.found(world, client=False), strict=True)
        for client, server in both:
            if (
                client is None
                or server is not None
                or (client.way, client.attempt) != ("rdma", attempt)
            ):
                continue
            failed = failure(client.said, NOTHING)
            if failed is not None and failed.kind == "no-server":
                return failed.said
        return ""

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
        if self.run:
            return None not in left
        now = world[self.trial.server].get(Identify()).clock_epoch_s
        return all(one is not None and now - one.at < JUST_S for one in left)

    def clock(self, host: str) -> Reads:
        """What tells the age of a result; those of a run of its own need none, and a read costs time."""
        return frozenset() if self.run else frozenset({(host, Identify())})

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
        return bool(self.going.blocked(world)) or self.going.measured(world, self.attempt)

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
                self.attempt,
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
        if world[self.trial.server].get(self.going.job(client=False)).state in ("done", "lost"):
            return None  # nobody to ask: its own words tell why
        ended = job.state in ("done", "lost")
        if self.going.run and ended and None in self.going.found(world, client=True):
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

    def missed(self, world: World) -> str:
        said = self.going.turned_away(world, self.attempt)
        return f"its client was refused while its server waited ({said})" if said else ""


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
    told = one.reads(client=True) | one.clock(client)
    serving = one.clock(server) | one.reads(client=False) | {(server, one.job(client=False))}
    server_s, client_s = limits(one.trial)
    serve = Serve(
        id=f"{at}/serve",
        host=server,
        needs=needs,
        turns=turns,
        reads=told | serving | facts,
        going=one,
        **more,
    )
    heard = Heard(
        id=f"{at}/heard",
        role="wait",
        host=server,
        needs=frozenset({serve.id}),
        reads=told | serving | {(server, ReadAccepting(one.sudo[1]))},
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
        reads=serving,
        redo=frozenset({serve.id, heard.id, ask.id, f"{at}/reaped"}),
        patience=Patience(total=60, stall=60, retry="measure"),
        going=one,
        **more,
    )
    return serve, heard, ask, reaped
