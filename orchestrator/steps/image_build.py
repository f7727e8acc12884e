"""An image that is built (`build:`): on one host of the gang, the head, as a detached job. The stage is `image`'s.

Its name holds the sum of what it is made of: the same content is never built twice, and the other hosts get
it from the one that has it. The context lies on the host while it is built, and no longer.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from orchestrator.contracts import Change, Patience, World
from orchestrator.errors import Failed
from orchestrator.facts.engine_words import spoken
from orchestrator.facts.job import Job
from orchestrator.ranks.build import USER_STATE, container_hosts
from orchestrator.ranks.context import FILE, FOLDER, Context, context, image_of
from orchestrator.ranks.files import Word, on_host, words
from orchestrator.script import Command, Raw, Script, Sh, sh
from orchestrator.spec.models import Build, Cluster, Deployment
from orchestrator.steps.gang import LINE, GangStep, Reads
from orchestrator.steps.image_copy import model_image
from orchestrator.steps.job import job_name, job_script, watched

BUILD_S = 4 * 3600.0
STALL_S = 1800.0  # a compiler may say nothing for long
SEND_S = 600.0
LAST_LINES = 15  # of a builder that failed


def build_job(deployment: Deployment) -> Job:
    """By what is built: two deployments of one image share it."""
    return Job(job_name("image-build", image_of(deployment)))


def build_words(runtime: str, image: str, dockerfile: str, folder: str) -> Sh:
    """The command; with a Dockerfile that need not lie in its context."""
    build: list[Word] = ["build", "--tag", image, "-f", on_host(dockerfile), on_host(folder)]
    return words([spoken(runtime), *build])


@dataclass(frozen=True, kw_only=True)
class ImageBuilt(GangStep):
    """Some host of the gang has the image; else this one builds it."""

    @property
    def _build(self) -> Build:
        build = self.deployment.profile.build
        if build is None:
            raise Failed("nothing is said about how it is built", step=self.id)
        return build

    @property
    def _context(self) -> Context:
        return context(self._build)

    @property
    def _place(self) -> str:
        """Where the context lies on the host."""
        return f"{USER_STATE}/build/{build_job(self.deployment).name}"

    def check(self, world: World) -> Change | None:
        if model_image(self.cluster, self.deployment, world) is not None:
            return None
        image, made_of = image_of(self.deployment), self._context
        wrong = made_of.wrong[1]
        if wrong:
            raise Failed(wrong, step=self.id, hint=f"`build:` of {self.deployment.profile.name}")
        change = Change(
            f"build {image} from {made_of.dockerfile} ({len(made_of.files)} files in {made_of.folder})",
            hint=f"`build:` of {self.deployment.profile.name}: each line above is the builder's own",
        )
        job = world[self.host or ""].get(build_job(self.deployment))
        if not job.failed:
            return watched(change, job)
        how = f"exit code {job.rc}" if job.rc is not None else "it ended without a result"
        told = "\n".join(line[:LINE] for line in job.last_lines(LAST_LINES))
        return replace(change, summary=f"{change.summary} (the last try failed, {how})", log=told)

    def apply(self, change: Change, world: World) -> Script:
        """What it is made of goes along on stdin; the job takes it away when it ends."""
        place = on_host(self._place)
        text = sh("umask 077 && rm -rf {} && mkdir -p {} && tar -xf - -C {}", place, place, place)
        runtime = self.cluster.hosts[self.host or ""].runtime
        build = build_words(
            runtime,
            image_of(self.deployment),
            f"{self._place}/{FILE}",
            f"{self._place}/{FOLDER}",
        )
        program = sh(
            "mkdir -p {}/{}\n{}\nrc=$?\nrm -rf {}\nexit $rc", place, FOLDER, Raw(build), place
        )
        send = Command(text, stdin=self._context.packed(), timeout=SEND_S)
        job = job_script(build_job(self.deployment).name, program, limit=BUILD_S)
        return Script({"context": send, **job.commands}, mutates=True, stop_on_error=True)


def build_reads(cluster: Cluster, deployment: Deployment) -> Reads:
    return frozenset({(container_hosts(cluster, deployment)[0], build_job(deployment))})


def build_steps(cluster: Cluster, deployment: Deployment, reads: Reads) -> Iterable[ImageBuilt]:
    """One for a deployment whose profile says `build:`."""
    if deployment.profile.build is None:
        return
    builder = container_hosts(cluster, deployment)[0]
    yield ImageBuilt(
        id=f"{deployment.name}/image-build/{builder}",
        host=builder,
        scope=deployment.name,
        stage="image",
        reads=reads | build_reads(cluster, deployment),
        patience=Patience(total=BUILD_S, stall=STALL_S, poll=2),
        cluster=cluster,
        deployment=deployment,
    )
