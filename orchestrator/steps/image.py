"""The image is on every host of a gang, and it is the same one: a name can mean two images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.contracts import Change, Patience, Step, World
from orchestrator.errors import Failed
from orchestrator.facts.answers import Image
from orchestrator.facts.engine_words import anywhere, spoken, typed
from orchestrator.ranks.build import container_hosts
from orchestrator.ranks.context import image_of
from orchestrator.script import Script, Sh, all_of, sh
from orchestrator.spec.models import Cluster
from orchestrator.steps.gang import GangStep, has_ranks
from orchestrator.steps.image_build import build_steps
from orchestrator.steps.image_copy import (
    COPY_S,
    Copy,
    copy_of,
    copy_reads,
    image_on,
    model_image,
    offer_job,
    pull_job,
    take_job,
)
from orchestrator.steps.job import job_script, watched

PULL_S = 4 * 3600.0
STALL_S = 900.0


@dataclass(frozen=True, kw_only=True)
class ImageStep(GangStep):
    def copy(self, world: World) -> Copy | None:
        return copy_of(self.cluster, self.deployment, world)


@dataclass(frozen=True, kw_only=True)
class ImageOffered(ImageStep):
    """This host gives its image to those that can't have it elsewhere: a job that ends by itself."""

    def check(self, world: World) -> Change | None:
        copy = self.copy(world)
        if copy is None or copy.source != self.host:
            return None
        job = world[copy.source].get(offer_job(self.cluster, self.deployment))
        if job.state == "running":
            return None
        taking = (world[one].get(take_job(self.cluster, self.deployment)) for one in copy.targets)
        if any(one.state == "running" for one in taking):
            return None  # it has given what it had; they are still unpacking
        return watched(Change(f"offer {copy.image.reference} to {', '.join(copy.targets)}"), job)

    def apply(self, change: Change, world: World) -> Script:
        copy = self.copy(world)
        if copy is None:
            raise Failed("nobody lacks the image any more", host=self.host, step=self.id)
        name = offer_job(self.cluster, self.deployment).name
        return job_script(name, copy.offer(world), limit=COPY_S + 60)


@dataclass(frozen=True, kw_only=True)
class ImageHere(ImageStep):
    """Pulled as a detached job (where the head has another digest, by that digest), or taken from a host."""

    def check(self, world: World) -> Change | None:
        host = self.host or ""
        here = image_on(self.cluster, self.deployment, host, world)
        model = model_image(self.cluster, self.deployment, world)
        if here.present and (model is None or model[1].id == here.id):
            return None
        copy = self.copy(world)
        if copy is not None and host in copy.targets:
            return self._copied(world, copy)
        if self.deployment.profile.build is not None:
            raise Failed(
                f"{here.reference} was built, and is gone", host=host, step=self.id, hint="orch up"
            )
        job = world[host].get(pull_job(self.deployment))
        if here.present and model is not None:
            exact = model[1].digests[0]
            return watched(Change(f"pull {exact}: it has another {here.reference}"), job)
        return watched(Change(f"pull {here.reference}", hint=self._hint(host)), job)

    def _hint(self, host: str) -> str:
        image, runtime = image_of(self.deployment), self.cluster.hosts[host].runtime
        program, whole = typed(runtime), anywhere(runtime, image)
        return (
            f"is {image} spelt right (`image:` of {self.deployment.profile.name}), can {host} reach its"
            f" registry, does it need `{program} login` there? on {host}: {program} pull {whole}"
        )

    def _copied(self, world: World, copy: Copy) -> Change:
        host = self.host or ""
        change = Change(f"copy {copy.image.reference} from {copy.source}")
        pulled = world[host].get(pull_job(self.deployment))
        if pulled.failed:
            said = (
                f"{change.summary}: it can't be pulled here ({pulled.last_line}); orch up copies it"
            )
            change = Change(said)
        return watched(change, world[host].get(take_job(self.cluster, self.deployment)))

    def apply(self, change: Change, world: World) -> Script:
        host = self.host or ""
        copy = self.copy(world)
        runtime = self.cluster.hosts[host].runtime
        if copy is not None and host in copy.targets:
            name = take_job(self.cluster, self.deployment).name
            return job_script(name, copy.take(world, runtime), limit=COPY_S)
        model = model_image(self.cluster, self.deployment, world)
        text = self._pull(runtime, model[1] if model else None)
        return job_script(pull_job(self.deployment).name, text, limit=PULL_S)

    def _pull(self, runtime: str, model: Image | None) -> Sh:
        image, called = anywhere(runtime, image_of(self.deployment)), spoken(runtime)
        if model is None or not model.digests:
            return sh("{} pull {}", called, image)
        exact = anywhere(runtime, model.digests[0])
        return all_of(sh("{} pull {}", called, exact), sh("{} tag {} {}", called, exact, image))


def image_steps(cluster: Cluster, options: Mapping[str, Any]) -> Iterable[Step]:
    for name, deployment in cluster.deployments.items():
        hosts = container_hosts(cluster, deployment) if has_ranks(deployment) else ()
        if not hosts:
            continue
        reads = copy_reads(cluster, deployment)
        built = tuple(build_steps(cluster, deployment, reads))
        yield from built
        common: dict[str, Any] = {
            "scope": name,
            "stage": "image",
            "reads": reads,
            "cluster": cluster,
            "deployment": deployment,
        }
        first = frozenset(one.id for one in built)
        several = len(hosts) > 1
        offers = {host: f"{name}/image-offer/{host}" for host in hosts if several}
        for host, offer in offers.items():
            yield ImageOffered(
                id=offer,
                host=host,
                needs=first,
                patience=Patience(total=60, stall=60),
                **common,
            )
        for host in hosts:
            yield ImageHere(
                id=f"{name}/image/{host}",
                host=host,
                needs=first.union(offers.values()),
                patience=Patience(total=PULL_S, stall=STALL_S, poll=2),
                **common,
            )


STAGES = {"image": image_steps}
