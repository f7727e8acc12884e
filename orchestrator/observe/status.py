"""What runs, whether it answers, what runs that the files do not know. Pure: answers → values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

from orchestrator.contracts import Query, World
from orchestrator.errors import OrchError, unasked
from orchestrator.facts import Identify, ReadGpus, ReadListening
from orchestrator.facts.answers import Container, Gpus, Identity, ListeningPort
from orchestrator.facts.jobs import ReadJobs, RunningJob
from orchestrator.facts.kept_services import Kept, ReadKept
from orchestrator.facts.lease import Lease, LeaseState
from orchestrator.ranks.build import container_name
from orchestrator.ranks.context import subject
from orchestrator.runtimes import runtime
from orchestrator.spec.derived import placed
from orchestrator.spec.models import Cluster, Deployment, Host
from orchestrator.spec.services import UNRANKED, listens
from orchestrator.steps.service import placed_services

Reads = frozenset[tuple[str, Query[Any]]]
# a desktop and the driver's own contexts take a few hundred MiB; a model takes more than this
GPU_TAKEN_BYTES = 1 << 30
State = (
    Literal["answers", "silent", "starting", "partly", "down", "unknown"]
    | Literal["running", "done", "failed"]  # of a job
)
OWN = UNRANKED | {"job"}  # engines whose state is not that of a container
OWN_STATES: Mapping[str, State] = {
    **{"running": "running", "done": "done", "failed": "failed"},
    **{"missing": "down", "inactive": "down"},
}
HOLDING = frozenset({"running", "restarting", "paused"})


@dataclass(frozen=True)
class Wanted:
    """A rank that the files place on a host."""

    deployment: str
    index: int
    role: str
    host: str
    name: str


def wanted_ranks(cluster: Cluster) -> list[Wanted]:
    """One rank a host, the head first."""
    found = []
    for name, deployment in cluster.deployments.items():
        roles = ["head", *["worker"] * (len(deployment.hosts) - 1)]
        for index, (host, role) in enumerate(zip(deployment.hosts, roles, strict=True)):
            container = container_name(cluster.name, name, index)
            found.append(Wanted(name, index, role, host, container))
    return found


@dataclass(frozen=True)
class RankStatus:
    """A wanted rank; `state` is its container's, or missing, or unknown."""

    rank: Wanted
    state: str
    detail: str = ""  # exit code, killed for memory, why unknown
    restarts: int = 0
    up_seconds: float | None = None
    health: str = ""


@dataclass(frozen=True)
class DeploymentStatus:
    """`answers` is None where it was not asked: its head does not run, or its host is unknown."""

    name: str
    model: str
    url: str
    state: State
    answers: bool | None
    why: str = ""
    ranks: tuple[RankStatus, ...] = ()


@dataclass(frozen=True)
class Stranger:
    """Something on a host that the files do not know."""

    host: str
    what: str


@dataclass(frozen=True)
class Status:
    cluster: str
    deployments: tuple[DeploymentStatus, ...]
    strangers: tuple[Stranger, ...]
    unreachable: Mapping[str, OrchError] = field(default_factory=dict)  # host → why
    unread: tuple[
        str, ...
    ] = ()  # answers that could not be had, so that nothing passes for checked
    leases: Mapping[str, LeaseState] = field(default_factory=dict)  # by host
    jobs: Mapping[str, Sequence[RunningJob]] = field(default_factory=dict)  # by host

    @property
    def exit_code(self) -> int:
        """0 only if all answer: silence and not knowing are not success."""
        if all(one.answers for one in self.deployments):
            return 0
        used = {rank.rank.host for one in self.deployments for rank in one.ranks}
        lost = [error for host, error in self.unreachable.items() if host in used]
        return unasked(lost) if lost else 1


@dataclass(frozen=True)
class Reply:
    """What a deployment said when it was asked."""

    answered: bool
    why: str = ""
    state: str = ""  # of a job: running, done, failed


def narrowed(cluster: Cluster, only: frozenset[str] | None) -> Cluster:
    """The deployments that touch these hosts, with all of their hosts: half a gang tells nothing."""
    if only is None:
        return cluster
    kept = {name: one for name, one in cluster.deployments.items() if only & set(one.hosts)}
    names = only.union(*(one.hosts for one in kept.values()))
    hosts = {name: one for name, one in cluster.hosts.items() if name in names}
    return cluster.model_copy(update={"deployments": kept, "hosts": hosts})


def questions(cluster: Cluster, hosts: Iterable[Host]) -> Reads:
    """What one script per host answers."""
    found: set[tuple[str, Query[Any]]] = set()
    for host in hosts:
        found.add((host.name, runtime(host.runtime).ours(None)))
        found.add((host.name, Identify()))
        found.update((host.name, one) for one in (ReadKept(cluster.name), Lease(), ReadJobs()))
        if host.name in placed(cluster):
            found.add((host.name, _listening(host)))
            if host.gpu_count != 0 and not host.kind.logical_gpus:
                found.add((host.name, ReadGpus()))
    return frozenset(found)


def _listening(host: Host) -> ReadListening:
    return ReadListening(sudo=host.become == "sudo")


@dataclass(frozen=True)
class Seen:
    """One host's answers, or why there are none."""

    host: str
    containers: Mapping[str, Container] | None
    clock: float | None
    listening: Sequence[ListeningPort]
    gpus: Gpus | None
    services: Mapping[str, Kept] = field(default_factory=dict)  # that orch has started
    lease: LeaseState | None = None
    jobs: Sequence[RunningJob] = ()
    unreachable: OrchError | None = None
    unread: tuple[str, ...] = ()


def seen(host: Host, wanted: Reads, world: World, error: OrchError | None = None) -> Seen:
    """Gather what was asked of one host; each answer fails for itself."""
    answers: dict[type, Any] = {}
    containers: Sequence[Container] | None = None
    unread: list[str] = []
    ours = runtime(host.runtime).ours(None)
    for query in (query for name, query in wanted if name == host.name):
        try:
            answer = world[host.name].get(query)
        except OrchError as why:
            unread.append(str(why))
            continue
        if query == ours:
            containers = answer
        answers[type(query)] = answer
    if error is not None and containers is None:
        return Seen(host.name, None, None, (), None, unreachable=error)
    identity: Identity | None = answers.get(Identify)
    return Seen(
        host.name,
        None if containers is None else {one.name: one for one in containers},
        identity.clock_epoch_s if identity else None,
        answers.get(ReadListening, ()),
        answers.get(ReadGpus),
        answers.get(ReadKept, {}),
        answers.get(Lease),
        answers.get(ReadJobs, ()),
        unread=tuple(sorted(unread)),
    )


def rank_status(rank: Wanted, at: Seen | None) -> RankStatus:
    """One wanted rank, as its host tells it."""
    if at is None or at.containers is None:
        why = (at.unreachable or "its containers could not be read") if at else "not asked"
        return RankStatus(rank, "unknown", str(why))
    one = at.containers.get(rank.name)
    if one is None:
        return RankStatus(rank, "missing")
    detail = "" if one.exit_code is None else f"exit {one.exit_code}"
    if one.oom_killed:
        detail = f"{detail}, killed for memory".lstrip(", ")
    up = _up_seconds(one, at.clock)
    return RankStatus(rank, one.state, detail, one.restart_count, up, one.health)


def _service_status(rank: Wanted, reply: Reply) -> RankStatus:
    """What has no container of ours is as it answers."""
    state = reply.state or ("running" if reply.answered else "silent")
    return RankStatus(replace(rank, role=""), state)


def _up_seconds(one: Container, clock: float | None) -> float | None:
    """By the host's own clock, which may be wrong but wrote both times."""
    if one.state != "running" or clock is None:
        return None
    try:
        started = datetime.fromisoformat(one.started_at).timestamp()
    except ValueError:
        return None
    return max(0.0, clock - started)


def to_ask(
    cluster: Cluster, ranks: Iterable[Wanted], found: Mapping[str, Seen]
) -> list[Deployment]:
    """Deployments whose head runs: the others can't answer. A job may be done, whatever is left of it.

    With a rank that is paused the head takes the question, and keeps whoever asks waiting.
    """
    heads: dict[str, str] = {}
    paused = set()
    for rank in ranks:
        state = rank_status(rank, found.get(rank.host)).state
        if rank.index == 0:
            heads[rank.deployment] = state
        if state == "paused":
            paused.add(rank.deployment)
    return [
        one
        for name, one in cluster.deployments.items()
        if (heads[name] == "running" and name not in paused)
        or (one.profile.engine_key in OWN and heads[name] != "unknown")
    ]


def judge(
    cluster: Cluster,
    ranks: Sequence[Wanted],
    found: Mapping[str, Seen],
    replies: Mapping[str, Reply],
) -> Status:
    """All of it as one value."""
    deployments = []
    for name, deployment in cluster.deployments.items():
        mine = tuple(
            rank_status(rank, found.get(rank.host)) for rank in ranks if rank.deployment == name
        )
        if deployment.profile.engine_key in UNRANKED and name in replies:
            mine = tuple(_service_status(one.rank, replies[name]) for one in mine)
        deployments.append(_deployment(cluster, deployment, mine, replies.get(name)))
    names = {(rank.host, rank.name) for rank in ranks}
    strangers = [one for at in found.values() for one in _strangers(cluster, at, names)]
    return Status(
        cluster.name,
        tuple(deployments),
        tuple(strangers),
        {at.host: at.unreachable for at in found.values() if at.unreachable},
        tuple(text for at in found.values() for text in at.unread),
        {at.host: at.lease for at in found.values() if at.lease is not None},
        {at.host: at.jobs for at in found.values() if at.jobs},
    )


def _deployment(
    cluster: Cluster,
    deployment: Deployment,
    ranks: tuple[RankStatus, ...],
    reply: Reply | None,
) -> DeploymentStatus:
    states = {rank.state for rank in ranks}
    state: State
    if reply is not None and reply.state in OWN_STATES:
        state = OWN_STATES[reply.state]
    elif reply is not None:
        starting = any(rank.health == "starting" for rank in ranks)
        state = "answers" if reply.answered else "starting" if starting else "silent"
    elif "unknown" in states or not ranks:
        state = "unknown"
    else:
        state = "partly" if "running" in states else "down"
    return DeploymentStatus(
        deployment.name,
        subject(deployment),
        cluster.url(deployment) if deployment.port in listens(deployment) else "",
        state,
        reply.answered if reply else None,
        reply.why if reply else "",
        ranks,
    )


def _strangers(cluster: Cluster, at: Seen, wanted: set[tuple[str, str]]) -> Iterator[Stranger]:
    """Ours that the files don't want, and others on what the files want."""
    containers = at.containers or {}
    for one in containers.values():
        owner = one.labels.get("orch.cluster")
        if owner == cluster.name and (at.host, one.name) not in wanted:
            deployment = one.labels.get("orch.deployment", "?")
            what = f"{one.name} ({one.state}) of deployment {deployment}"
            yield Stranger(at.host, f"{what}, which the files do not place here")
        elif owner is not None and owner != cluster.name and one.state == "running":
            yield Stranger(at.host, f"{one.name} of the cluster {owner}")
        elif owner is None and one.serves and one.state in HOLDING:
            yield Stranger(at.host, _foreign(cluster, at.host, one))
    yield from _services_left(cluster, at)
    running = {
        one.labels.get("orch.deployment")
        for one in containers.values()
        if (at.host, one.name) in wanted and one.state in HOLDING
    }
    yield from _ports_taken(cluster, at, running)
    if not running:
        yield from _gpus_taken(at)


def _services_left(cluster: Cluster, at: Seen) -> Iterator[Stranger]:
    """Compose projects and units that orch has started, for deployments that the files have no more."""
    used = at.host in {one.name for one in cluster.used_hosts}
    here = placed_services(cluster, at.host)
    for name in sorted(at.services.keys() - here):
        what = f"{at.services[name].shown} of deployment {name}, started by orch"
        verb = "up" if used else "down"
        yield Stranger(
            at.host, f"{what}, which the files do not place here; `orch {verb}` stops it"
        )


def _foreign(cluster: Cluster, host: str, one: Container) -> str:
    """A model server that people started themselves, and what to type about it."""
    told = f"{one.name} ({one.state}) serves with {one.serves} ({one.image}), not started by orch"
    if one.name in cluster.takeover:
        return f"{told}; `orch up` takes it over"
    return f"{told}; `orch import --from-host {host} {one.name}` reads it into files"


def _ports_taken(cluster: Cluster, at: Seen, running: set[str | None]) -> Iterator[Stranger]:
    for deployment in cluster.deployments.values():
        if deployment.head != at.host or deployment.name in running:
            continue
        if deployment.profile.engine_key in UNRANKED:  # whoever listens there may be it
            continue
        for port in listens(deployment):
            holders = {one.process for one in at.listening if one.port == port}
            if holders:
                who = ", ".join(sorted(holders - {""})) or "a process of another user"
                yield Stranger(at.host, f"port {port} of {deployment.name} is taken by {who}")


def _gpus_taken(at: Seen) -> Iterator[Stranger]:
    for gpu in at.gpus.gpus if at.gpus else ():
        used = gpu.memory_used_bytes or 0
        if used > GPU_TAKEN_BYTES:
            total = f" of {gpu.memory_bytes / 2**30:.1f}" if gpu.memory_bytes else ""
            yield Stranger(
                at.host,
                f"GPU {gpu.index}: {used / 2**30:.1f}{total} GiB are taken, and no rank runs here",
            )
