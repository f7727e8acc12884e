"""The image is on every host of a gang, and it is the same one: a name can mean two images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.contracts import Change, Patience, Step, World
from orchestrator.errors import Failed
from orchestrator.facts.answers import Image
from orchestrator.script import Script, Sh, all_of, argv
from orchestrator.spec.models import Cluster, Deployment
from orchestrator.steps.gang import GangStep, image_read
from orchestrator.steps.job import Job, job_name, job_script, watched

PULL_S = 4 * 3600.0
STALL_S = 900.0


@dataclass(frozen=True, kw_only=True)
class ImageHere(GangStep):
    """Pulled as a detached job; where the head has another digest, by that digest."""

    def _image(self, world: World, host: str) -> Image:
        return world[host].get(image_read(self.cluster, self.deployment, host))

    @property
    def _runtime(self) -> str:
        return self.cluster.hosts[self.host or ""].runtime

    @property
    def _job(self) -> Job:
        return _job(self.deployment)

    def _model(self, world: World) -> Image | None:
        """The image that all should have: that of the first host, head first, that has one."""
        images = (self._image(world, host) for host in self.deployment.hosts)
        return next((image for image in images if image.present), None)

    def check(self, world: World) -> Change | None:
        host = self.host or ""
        here, model = self._image(world, host), self._model(world)
        if here.present and (model is None or model.id == here.id):
            return None
        job = world[host].get(self._job)
        if here.present:
            if model is None or not model.digests:
                raise self._can_not_copy(host, "has another image of this name than the head")
            return watched(Change(f"pull {model.digests[0]}: it has another {here.reference}"), job)
        if job.failed and model is not None:
            raise self._can_not_copy(host, f"can't pull it ({job.last_line})")
        image = self.deployment.profile.image
        hint = (
            f"is {image} spelt right (`image:` of {self.deployment.profile.name}), can {host} reach its"
            f" registry, does it need `{self._runtime} login` there? on {host}: {self._runtime} pull {image}"
        )
        return watched(Change(f"pull {here.reference}", hint=hint), job)

    def _can_not_copy(self, host: str, why: str) -> Failed:
        image = self.deployment.profile.image
        source = next(one for one in self.deployment.hosts if one != host)
        return Failed(
            f"image {image}: {host} {why}, and it was not pulled from a registry elsewhere",
            host=host,
            step=self.id,
            hint=f"ssh {source} docker save {image} | ssh {host} docker load",
        )

    def apply(self, change: Change, world: World) -> Script:
        model = self._model(world)
        return job_script(self._job.name, self._pull(model), limit=PULL_S)

    def _pull(self, model: Image | None) -> Sh:
        image = self.deployment.profile.image or ""
        if model is None or not model.digests:
            return argv(self._runtime, "pull", image)
        exact = model.digests[0]
        return all_of(argv(self._runtime, "pull", exact), argv(self._runtime, "tag", exact, image))


def _job(deployment: Deployment) -> Job:
    return Job(job_name("image", deployment.profile.image or ""))


def image_steps(cluster: Cluster, options: Mapping[str, Any]) -> Iterable[Step]:
    for name, deployment in cluster.deployments.items():
        everywhere = frozenset(
            (host, image_read(cluster, deployment, host)) for host in deployment.hosts
        )
        for host in deployment.hosts:
            yield ImageHere(
                id=f"{name}/image/{host}",
                host=host,
                scope=name,
                stage="image",
                reads=everywhere | {(host, _job(deployment))},
                patience=Patience(total=PULL_S, stall=STALL_S, poll=2),
                cluster=cluster,
                deployment=deployment,
            )


STAGES = {"image": image_steps}
