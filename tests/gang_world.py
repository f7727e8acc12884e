"""A cluster, its steps, and hosts whose answers a test writes down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar, cast

from orchestrator.contracts import Query, Rank, Step
from orchestrator.engines import engine
from orchestrator.errors import NotRead
from orchestrator.facts import ReadContainers, ReadImage, ReadListening, ReadMemory, ReadPath
from orchestrator.facts.answers import Container, Image, Memory, PathInfo
from orchestrator.facts.assumed import assumed_world
from orchestrator.facts.completion import Completion
from orchestrator.facts.embedding import Embedding
from orchestrator.facts.help import ReadHelp
from orchestrator.facts.job import Job, JobState
from orchestrator.facts.programs import ReadPrograms
from orchestrator.facts.rank_log import RankLog, ReadRankLog
from orchestrator.facts.rank_mark import ReadRankMark
from orchestrator.plan.decide import decide
from orchestrator.plan.graph import ordered
from orchestrator.ranks.spec import canonical, digest
from orchestrator.spec.models import Cluster
from orchestrator.steps.answer import answer_steps
from orchestrator.steps.down import down_steps
from orchestrator.steps.image import image_steps
from orchestrator.steps.join import join_steps
from orchestrator.steps.memory_gate import memory_gate_steps
from orchestrator.steps.programs import program_steps
from orchestrator.steps.room import room_steps
from orchestrator.steps.start import start_steps
from orchestrator.steps.stop import stop_steps
from orchestrator.steps.supervise import supervise_steps
from orchestrator.steps.weights import weights_steps
from tests.gangs import LAB, cluster_of

T = TypeVar("T")
TINY = "tiny: {profile: lab-vllm, hosts: [spark-1, spark-2], parallel: {tensor: 2}, port: 8000}"
IMAGE = Image("orch-lab/host-tree:latest", True, "sha256:" + "a" * 64, ())
BUILDERS = (
    image_steps,
    program_steps,
    weights_steps,
    room_steps,
    stop_steps,
    memory_gate_steps,
    start_steps,
    join_steps,
    answer_steps,
    supervise_steps,
)


@dataclass
class Told:
    """A host's answers as the test tells them; what its kind says stands in for the network."""

    assumed: Any
    containers: dict[str, Container] = field(default_factory=dict)
    answers: dict[Any, Any] = field(default_factory=dict)

    def get(self, query: Query[T]) -> T:
        kind: type[Any] = type(query)
        if isinstance(query, ReadContainers):
            known = self.containers.values()
            return cast("T", tuple(one for one in known if query.name in (None, one.name)))
        if isinstance(query, ReadRankLog) and query.name not in self.containers:
            return cast("T", RankLog(False))
        if query in self.answers:
            return cast("T", self.answers[query])
        if kind in self.answers:
            return cast("T", self.answers[kind])
        if kind in (Completion, Embedding, ReadHelp, ReadPrograms):
            raise NotRead(kind.__name__)
        return cast("T", self.assumed.get(query))


class Site:
    """A cluster, its steps, and what its hosts say."""

    def __init__(self, folder: Path, deployments: str = TINY, inventory: str = LAB) -> None:
        self.cluster: Cluster = cluster_of(folder, deployments, inventory)
        found = [step for builder in BUILDERS for step in builder(self.cluster, {})]
        self.steps: Mapping[str, Step] = ordered(found)
        self.down: Mapping[str, Step] = ordered(down_steps(self.cluster, {}))
        assumed = assumed_world(self.cluster)
        self.world = {name: Told(assumed[name]) for name in self.cluster.hosts}
        for told in self.world.values():
            told.answers |= {
                ReadImage: IMAGE,
                ReadListening: (),
                ReadRankLog: RankLog(True, ("loading shard 1",), "t1"),
                ReadRankMark: True,
                ReadPath: PathInfo("/models/tiny-llama", True, True, 10, 3, "f"),
                ReadMemory: Memory(2**37, 2**36, 0, 0),
                Job: JobState("image", "absent"),
            }

    def ranks(self, name: str = "tiny") -> list[Rank]:
        one = self.cluster.deployments[name]
        return list(engine(one.profile.engine).ranks(self.cluster, one, self.world))

    def run(self, *ranks: Rank, **more: Any) -> None:
        """These ranks run, as they should."""
        for rank in ranks:
            self.world[rank.host].containers[rank.name] = container(rank, **more)

    def check(self, step: str) -> Any:
        return self.steps[step].check(self.world)

    def changes(self) -> dict[str, str]:
        decision = decide(self.steps, self.world)
        assert decision.problems == {}
        return {one: change.summary for one, change in decision.plan.changes.items()}


def container(rank: Rank, **more: Any) -> Container:
    made = Container(
        name=rank.name,
        id="1",
        image=rank.image,
        image_id=IMAGE.id,
        state="running",
        exit_code=None,
        oom_killed=False,
        restart_count=0,
        restart_policy=rank.restart,
        started_at="",
        labels={
            "orch.cluster": rank.cluster,
            "orch.deployment": rank.deployment,
            "orch.hash": digest(rank),
            "orch.spec": canonical(rank),
        },
    )
    return replace(made, **more)
