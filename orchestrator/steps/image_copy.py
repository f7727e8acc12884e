"""An image that no registry has goes from the host that has it to the others of its gang, host to host.

A job on the source listens for as long as it takes, a job on each target takes. The word that the two share
is made of the source's boot id: only who may read there knows it. The stage is `image`'s.
"""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass

from orchestrator.contracts import World
from orchestrator.data import read_template
from orchestrator.errors import Unknown
from orchestrator.facts import Identify, ReadNetwork
from orchestrator.facts.answers import Image
from orchestrator.facts.engine_words import spoken
from orchestrator.facts.job import Job
from orchestrator.flags import flags
from orchestrator.ranks.build import container_hosts
from orchestrator.ranks.context import image_of
from orchestrator.script import Sh, all_of, argv, pipe, sh
from orchestrator.spec.models import Cluster, Deployment
from orchestrator.steps.gang import Reads, image_read
from orchestrator.steps.job import job_name

WAIT_S = 120  # for the other end to be there
COPY_S = 2 * 3600


@dataclass(frozen=True)
class Copy:
    """From where to whom, and what."""

    cluster: Cluster
    deployment: Deployment
    image: Image
    source: str
    targets: tuple[str, ...]

    @property
    def port(self) -> int:
        """One for each deployment, so that two can copy at once."""
        row = flags("docker")["image_copy"]
        name = f"{self.cluster.name}/{self.deployment.name}"
        return int(row["first"]) + zlib.crc32(name.encode()) % int(row["count"])

    def word(self, world: World) -> str:
        known = world[self.source].get(Identify()).boot_id
        return hashlib.sha256(f"{known}\0{self.image.id}".encode()).hexdigest()

    def address(self, world: World) -> str:
        """The source's management address: the fabric may not be there yet."""
        network = world[self.source].get(ReadNetwork())
        host = self.cluster.hosts[self.source]
        if network.ssh_address or not host.local:
            return network.ssh_address or host.address
        netdev = network.netdevs.get(network.default_netdev)
        own = [one.split("/")[0] for one in netdev.addresses if ":" not in one] if netdev else []
        if not own:
            raise Unknown(f"{self.source}: no address that others could reach", host=self.source)
        return own[0]

    def offer(self, world: World) -> Sh:
        runtime = self.cluster.hosts[self.source].runtime
        line = argv(
            *("python3", "-c", read_template("image-offer.py", self.cluster.root)),
            *(self.address(world), self.port, COPY_S, len(self.targets), runtime),
            self.image.reference,
        )
        return pipe(argv("echo", self.word(world)), line)

    def take(self, world: World, runtime: str) -> Sh:
        line = argv(
            *("python3", "-c", read_template("image-take.py", self.cluster.root)),
            *(self.address(world), self.port, WAIT_S),
        )
        called = spoken(runtime)
        taken = pipe(argv("echo", self.word(world)), line, sh("{} load", called))
        name = sh("{} tag {} {}", called, self.image.id, self.image.reference)
        return all_of(taken, name)  # what podman gives is named localhost/…


def pull_job(deployment: Deployment) -> Job:
    return Job(job_name("image", image_of(deployment)))


def offer_job(cluster: Cluster, deployment: Deployment) -> Job:
    return Job(job_name("image-offer", cluster.name, deployment.name))


def take_job(cluster: Cluster, deployment: Deployment) -> Job:
    return Job(job_name("image-take", cluster.name, deployment.name))


def copy_reads(cluster: Cluster, deployment: Deployment) -> Reads:
    """What it takes to say who has the image, who lacks it, and how they reach each other."""
    return frozenset(
        (host, query)
        for host in container_hosts(cluster, deployment)
        for query in (
            image_read(cluster, deployment, host),
            pull_job(deployment),
            offer_job(cluster, deployment),
            take_job(cluster, deployment),
            Identify(),
            ReadNetwork(),
        )
    )


def image_on(cluster: Cluster, deployment: Deployment, host: str, world: World) -> Image:
    return world[host].get(image_read(cluster, deployment, host))


def model_image(cluster: Cluster, deployment: Deployment, world: World) -> tuple[str, Image] | None:
    """The image that all should have: that of the first host, head first, that has one."""
    for host in container_hosts(cluster, deployment):
        image = image_on(cluster, deployment, host, world)
        if image.present:
            return host, image
    return None


def copy_of(cluster: Cluster, deployment: Deployment, world: World) -> Copy | None:
    """Who gives to whom: those that lack an image that no registry has, or could not pull it."""
    found = model_image(cluster, deployment, world)
    if found is None:
        return None
    source, model = found
    ours = deployment.profile.build is not None or not model.digests
    lacking = tuple(
        host
        for host in container_hosts(cluster, deployment)
        if image_on(cluster, deployment, host, world).id != model.id
        and (ours or world[host].get(pull_job(deployment)).failed)
    )
    return Copy(cluster, deployment, model, source, lacking) if lacking else None
