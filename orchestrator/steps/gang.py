"""What all steps of one deployment share: its ranks as they should be, and its containers as they are.

No stage of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from orchestrator.contracts import Change, Proof, Query, Rank, Step, World
from orchestrator.engines import engine
from orchestrator.errors import Failed
from orchestrator.facts import ReadImage
from orchestrator.facts.answers import Container
from orchestrator.facts.processes import held
from orchestrator.facts.rank_log import RankLog, ReadRankLog
from orchestrator.ranks.build import container_hosts, container_name
from orchestrator.ranks.context import image_of
from orchestrator.ranks.patched import patch_reads
from orchestrator.ranks.spec import digest
from orchestrator.spec.derived import once_each
from orchestrator.spec.models import Cluster, Deployment
from orchestrator.spec.services import UNRANKED
from orchestrator.tidy import telling

Reads = frozenset[tuple[str, Query[Any]]]

EXITS = {
    2: "its arguments are wrong",
    126: "its program can't be executed",
    127: "its program is not in the image",
    137: "it was killed, most often for want of memory",
    139: "it crashed",
    143: "it was stopped",
}
JOB = "job"  # the role of a rank that runs to its end
LAST_LINES = 12
LINE = 400  # of a line that a rank wrote; some are whole configurations


def ours(cluster: Cluster, host: str) -> Query[tuple[Container, ...]]:
    """This cluster's ranks on a host, in whatever it runs them in."""
    return held(cluster.hosts[host].runtime, cluster.name)


def log_read(cluster: Cluster, host: str, name: str, lines: int = 40) -> ReadRankLog:
    return ReadRankLog(name, lines, cluster.hosts[host].runtime)


def image_read(cluster: Cluster, deployment: Deployment, host: str) -> ReadImage:
    return ReadImage(cluster.hosts[host].runtime, image_of(deployment))


@once_each
def names(cluster: Cluster, deployment: Deployment) -> dict[str, str]:
    """Container name → host, for each rank."""
    return {
        container_name(cluster.name, deployment.name, index): host
        for index, host in enumerate(deployment.hosts)
    }


@once_each
def container_reads(cluster: Cluster, deployment: Deployment) -> Reads:
    return frozenset((host, ours(cluster, host)) for host in deployment.hosts)


def log_reads(cluster: Cluster, deployment: Deployment, lines: int = 40) -> Reads:
    return frozenset(
        (host, log_read(cluster, host, name, lines))
        for name, host in names(cluster, deployment).items()
    )


@once_each
def rank_reads(cluster: Cluster, deployment: Deployment) -> Reads:
    """What it takes to know the wanted ranks, and to compare them with what runs."""
    boxed = container_hosts(cluster, deployment)
    images = frozenset((host, image_read(cluster, deployment, host)) for host in boxed)
    return gang_reads(cluster, deployment) | images | container_reads(cluster, deployment)


@once_each
def gang_reads(cluster: Cluster, deployment: Deployment) -> Reads:
    """What the wanted ranks depend on."""
    own = engine(deployment.profile.engine).reads(cluster, deployment)
    return own | patch_reads(cluster, deployment)


def found(world: World, cluster: Cluster, host: str, name: str) -> Container | None:
    """The container of that name, if it is ours."""
    return next((one for one in world[host].get(ours(cluster, host)) if one.name == name), None)


def own_proof(cluster: Cluster, deployment: Deployment) -> Query[Proof] | None:
    """What a service says that proves it; None of a model, which is asked a question."""
    own = getattr(engine(deployment.profile.engine), "proof", None)
    found: Query[Proof] | None = None if own is None else own(cluster, deployment)
    return found


def has_ranks(deployment: Deployment) -> bool:
    """Compose projects and units have none."""
    return deployment.profile.engine_key not in UNRANKED


@once_each
def engine_steps(cluster: Cluster, deployment: Deployment) -> Sequence[Step]:
    """All steps that the engine has of its own."""
    return tuple(engine(deployment.profile.engine).steps(cluster, deployment))


def own_steps(cluster: Cluster, deployment: Deployment, stage: str) -> Iterator[Step]:
    """What the engine has for that stage of `up`."""
    return (step for step in engine_steps(cluster, deployment) if step.stage == stage)


def after_all(cluster: Cluster, deployment: Deployment) -> frozenset[str]:
    """`after:` means that the other one has answered."""
    return frozenset(
        f"{other}/answer" for other in deployment.after if other in cluster.deployments
    )


def after_jobs(cluster: Cluster, deployment: Deployment) -> frozenset[str]:
    """The ends of the jobs that it comes after: they may bring the files that gates look for."""
    return frozenset(
        f"{other}/answer"
        for other in deployment.after
        if other in cluster.deployments and cluster.deployments[other].profile.engine_key == JOB
    )


Known = tuple[Cluster, Sequence[Any], Sequence[Rank]]
_known: dict[str, Known] = {}  # every step of a gang asks, before and after; answers seldom differ


def wanted_ranks(cluster: Cluster, deployment: Deployment, world: World) -> Sequence[Rank]:
    """The ranks as they should be, made anew only when something that they depend on is otherwise."""
    answers = [world[host].get(query) for host, query in gang_reads(cluster, deployment)]
    known = _known.get(deployment.name)
    if known is not None and known[0] is cluster and known[1] == answers:
        return known[2]
    ranks = tuple(engine(deployment.profile.engine).ranks(cluster, deployment, world))
    _known[deployment.name] = (cluster, answers, ranks)
    return ranks


def exit_words(container: Container) -> str:
    """How it ended, for a person."""
    if container.oom_killed:
        return f"ended with code {container.exit_code}: out of memory"
    meaning = EXITS.get(container.exit_code or 0, "")
    return f"ended with code {container.exit_code}" + (f": {meaning}" if meaning else "")


def last_words(log: RankLog) -> list[str]:
    """What a rank said last, as far as it tells something."""
    return [line[:LINE] for line in telling(log.lines, LAST_LINES)]


def state_words(container: Container) -> str:
    ended = container.state in ("exited", "dead", "stopped") and container.exit_code is not None
    return exit_words(container) if ended else f"is {container.state}"


@dataclass(frozen=True, kw_only=True)
class GangStep(Step):
    """A step of one deployment."""

    cluster: Cluster = field(repr=False, compare=False)
    deployment: Deployment = field(repr=False, compare=False)

    @property
    def names(self) -> Mapping[str, str]:
        return names(self.cluster, self.deployment)

    def ranks(self, world: World) -> Sequence[Rank]:
        return wanted_ranks(self.cluster, self.deployment, world)

    def why_different(self, world: World, rank: Rank) -> str:
        """Why what runs is not this rank; "" if it is."""
        container = found(world, self.cluster, rank.host, rank.name)
        if self.done(world, rank):
            return ""
        if container is None:
            return "is not there"
        if container.labels.get("orch.hash") != digest(rank):
            return "has another specification"
        if rank.host in container_hosts(self.cluster, self.deployment):
            image = world[rank.host].get(image_read(self.cluster, self.deployment, rank.host))
            if image.present and image.id != container.image_id:
                return f"runs an older {rank.image}"
        return "" if container.state == "running" else state_words(container)

    def done(self, world: World, rank: Rank) -> bool:
        """Whether a rank that has an end is over, and well: nothing has to run then."""
        if rank.role != JOB:
            return False
        query = own_proof(self.cluster, self.deployment)
        return query is not None and world[rank.host].get(query).answered

    def log(self, world: World, name: str) -> RankLog:
        host = self.names[name]
        return world[host].get(log_read(self.cluster, host, name))

    def watch(self, world: World) -> None:
        """Raises Failed as soon as a rank has ended: no wait helps then."""
        for name, host in self.names.items():
            container = found(world, self.cluster, host, name)
            if container is None:
                raise Failed(f"rank {name} is gone", host=host, step=self.id, hint="orch up")
            if container.state in ("exited", "dead", "stopped", "created"):
                self._ended(world, container, host)

    def _ended(self, world: World, container: Container, host: str) -> None:
        try:
            lines = last_words(self.log(world, container.name))
        except LookupError:  # a step that does not read logs; the evidence has them
            lines = []
        told = "".join(f"\n    {line}" for line in lines)
        raise Failed(
            f"rank {container.name} {state_words(container)}{told}",
            host=host,
            step=self.id,
            hint=f"orch logs {self.deployment.name}",
        )

    def moving(self, world: World) -> str:
        """Differs when a rank has written something, or read a good part of a model."""
        logs = (self.log(world, name) for name in self.names)
        return " ".join(f"{log.stamp} {log.loaded}" for log in logs)

    def not_yet(self, world: World, what: str) -> Change:
        """Not yet, with the last thing that a rank said."""
        logs = {name: self.log(world, name) for name in self.names}
        last = {name: telling(log.lines, 1) for name, log in logs.items()}
        newest = max(logs, key=lambda name: (bool(last[name]), logs[name].stamp))
        said = "".join(last[newest])[:LINE]
        host = self.names[newest] if said else ""
        return Change(what, progress=self.moving(world), log=said, rank=host)
