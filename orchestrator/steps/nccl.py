"""NCCL's own bus bandwidth over the hosts of a deployment: a container a host, in the profile's image.

Only where the deployment does not run: on unified memory, buffers beside a loaded model have frozen hosts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from orchestrator.contracts import Change, Patience, Rank, Step, World
from orchestrator.data import read_template
from orchestrator.errors import Refused
from orchestrator.facts.answers import Container
from orchestrator.network.environment import environment_reads
from orchestrator.ranks.build import container_hosts, environment, member_addresses, rank
from orchestrator.ranks.spec import digest
from orchestrator.rdma.nccl import Collective, command
from orchestrator.runtimes import runtime
from orchestrator.script import Script
from orchestrator.spec.models import Cluster, Deployment
from orchestrator.steps.gang import GangStep, container_reads, image_read, log_read, ours

RANK, TEST = (
    "/orch/nccl_rank.py",
    "/orch/nccl_test.py",
)  # the first decides whether the second is run
PORT = 29_555  # torch's; the ranks agree on the next one
BYTES = 2**30
LINES = 2_000  # of each rank's log, NCCL's own words with it
TOTAL_S = 300.0
COLLECTIVES: tuple[Collective, ...] = ("all_gather", "all_reduce")


def nccl_name(cluster: str, deployment: str, collective: str, index: int) -> str:
    return f"orch-{cluster}-{deployment}-nccl-{collective.replace('_', '-')}-{index}"


def nccl_rank(
    cluster: Cluster,
    deployment: Deployment,
    index: int,
    collective: Collective,
    run: str,
    world: World,
) -> Rank:
    """One container of the test; `run` makes it another one in each run."""
    host = deployment.hosts[index]
    addresses = member_addresses(cluster, deployment, world)
    own = {
        "MASTER_ADDR": addresses[0],
        "MASTER_PORT": str(PORT),
        "NCCL_DEBUG": "INFO",
        "NCCL_DEBUG_SUBSYS": "INIT,ENV",
        "ORCH_HOSTS": ",".join(addresses),
        "ORCH_RUN": run,
        "PYTHONUNBUFFERED": "1",  # also C's output: NCCL's lines whole, and there if the rank is killed
        "RANK": str(index),
        "WORLD_SIZE": str(len(deployment.hosts)),
    }
    env = environment(cluster, deployment, host, world, {}) | own
    made = rank(
        cluster,
        deployment,
        index,
        world,
        role="nccl",
        entrypoint="python3",
        argv=(RANK, collective, str(BYTES), *command(collective, BYTES)),
        env={name: value for name, value in env.items() if name != "NCCL_DEBUG_FILE"},
        files={
            RANK: read_template("rdma/nccl_rank.py", cluster.root),
            TEST: read_template("rdma/nccl_test.py", cluster.root),
        },
        ports=frozenset({PORT, PORT + 1}) if index == 0 else frozenset(),
    )
    name = nccl_name(cluster.name, deployment.name, collective, index)
    return replace(
        made, name=name, deployment=f"{deployment.name}.nccl", secrets=frozenset(), mounts=()
    )


@dataclass(frozen=True, kw_only=True)
class NcclIdle(GangStep):
    """Nothing of the deployment runs on the host, and its image is there."""

    host: str

    def check(self, world: World) -> Change | None:
        for one in world[self.host].get(ours(self.cluster, self.host)):
            if one.labels.get("orch.deployment") == self.deployment.name and one.state == "running":
                raise Refused(
                    f"{self.deployment.name} runs there; NCCL's buffers beside a loaded model freeze hosts",
                    host=self.host,
                    step=self.id,
                    hint="orch down, then again; `orch verify-rdma --live` looks at what runs",
                )
        boxed = self.host in container_hosts(self.cluster, self.deployment)
        image = image_read(self.cluster, self.deployment, self.host)
        if boxed and not world[self.host].get(image).present:
            raise Refused(
                f"the image {self.deployment.profile.image} is not there",
                host=self.host,
                step=self.id,
                hint="`orch up` brings it",
            )
        return None


@dataclass(frozen=True, kw_only=True)
class NcclStep(GangStep):
    """One rank of one test."""

    host: str
    index: int
    collective: Collective
    run: str

    @property
    def name(self) -> str:
        return nccl_name(self.cluster.name, self.deployment.name, self.collective, self.index)

    def container(self, world: World) -> Container | None:
        """This run's, whatever its state."""
        rank = nccl_rank(
            self.cluster, self.deployment, self.index, self.collective, self.run, world
        )
        for one in world[self.host].get(ours(self.cluster, self.host)):
            if one.name == rank.name and one.labels.get("orch.hash") == digest(rank):
                return one
        return None


@dataclass(frozen=True, kw_only=True)
class NcclStart(NcclStep):
    """It was started."""

    def check(self, world: World) -> Change | None:
        if self.container(world) is not None:
            return None
        boxed = self.host in container_hosts(self.cluster, self.deployment)
        where = f"in {self.deployment.profile.image}" if boxed else "as a process"
        return Change(f"run {self.collective} of {BYTES // 2**20} MiB {where}")

    def apply(self, change: Change, world: World) -> Script:
        rank = nccl_rank(
            self.cluster, self.deployment, self.index, self.collective, self.run, world
        )
        return runtime(self.cluster.hosts[self.host].runtime).start(rank)


@dataclass(frozen=True, kw_only=True)
class NcclEnded(NcclStep):
    """It has ended, well or not: its log tells."""

    def check(self, world: World) -> Change | None:
        container = self.container(world)
        if container is None or container.state in ("exited", "dead", "stopped"):
            return None
        log = world[self.host].get(log_read(self.cluster, self.host, self.name, LINES))
        return Change(f"{self.collective} runs", progress=log.stamp, log=log.last)


def nccl_steps(cluster: Cluster, options: Mapping[str, Any]) -> Iterable[Step]:
    """Each collective after the other, for each deployment over hosts."""
    run, hosts = str(options.get("run", "")), options.get("hosts")
    for deployment in cluster.deployments.values():
        if len(set(deployment.hosts)) < 2 or (
            hosts is not None and not set(deployment.hosts) <= hosts
        ):
            continue
        yield from _of(cluster, deployment, run)


def _of(cluster: Cluster, deployment: Deployment, run: str) -> Iterable[Step]:
    name = deployment.name
    reads = container_reads(cluster, deployment) | environment_reads(cluster, deployment)
    common: dict[str, Any] = {"cluster": cluster, "deployment": deployment, "scope": name}
    needs: set[str] = set()
    for host in deployment.hosts:
        boxed = host in container_hosts(cluster, deployment)
        image = frozenset({(host, image_read(cluster, deployment, host))} if boxed else ())
        idle = NcclIdle(
            id=f"{name}/nccl/idle/{host}", role="gate", host=host, reads=reads | image, **common
        )
        needs.add(idle.id)
        yield idle
    for collective in COLLECTIVES:
        ended: set[str] = set()
        for index, host in enumerate(deployment.hosts):
            rank: dict[str, Any] = {
                **common,
                "host": host,
                "index": index,
                "collective": collective,
            }
            at = f"{name}/nccl/{collective}/{index}"
            start = NcclStart(
                id=f"{at}/start",
                needs=frozenset(needs),
                reads=reads,
                run=run,
                patience=Patience(total=TOTAL_S, stall=TOTAL_S),
                **rank,
            )
            label = nccl_name(cluster.name, name, collective, index)
            log = (host, log_read(cluster, host, label, LINES))
            over = NcclEnded(
                id=f"{at}/ended",
                role="wait",
                needs=frozenset({start.id}),
                reads=reads | {log},
                patience=Patience(total=TOTAL_S, stall=TOTAL_S, poll=2),
                run=run,
                **rank,
            )
            ended.add(over.id)
            yield from (start, over)
        needs = ended


STAGES = {"nccl": nccl_steps}
OPTIONS = {"nccl": ("run", "hosts")}
