"""A compose project is brought up by compose itself, as a job: images are pulled, and a laptop may close meanwhile.

What runs already and was not started by orch is left as it is: it only has to be up.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from orchestrator.contracts import Change, Patience, World
from orchestrator.errors import Refused
from orchestrator.facts.compose import PROGRAM, ReadComposeProgram, ReadProject, ReadSum
from orchestrator.facts.job import Job
from orchestrator.facts.kept_services import Kept, ReadKept, keep
from orchestrator.network.environment import merge
from orchestrator.ranks.files import on_host
from orchestrator.ranks.local import ABSENT, digest, packed
from orchestrator.script import Command, Raw, Script, Sh, secret_mark, seq, sh
from orchestrator.spec.models import Cluster, Deployment
from orchestrator.spec.services import Compose
from orchestrator.spec.units import parse_duration
from orchestrator.steps.gang import GangStep
from orchestrator.steps.job import job_name, job_script, watched
from orchestrator.steps.service import start_parts

FILES = ("compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml")
SEND_S = 300.0


def home(cluster: Cluster, deployment: Deployment) -> str:
    """Where a project that is sent lies: one place, so that `./data` of its file stays where it is."""
    return f"~/.local/state/orch/compose/{cluster.name}/{deployment.name}"


def file_on_host(cluster: Cluster, deployment: Deployment, compose: Compose) -> str:
    if compose.file is not None:
        return compose.file
    source = Path(compose.send or "").expanduser()
    inside = [name for name in FILES if source.is_dir() and (source / name).is_file()]
    return f"{home(cluster, deployment)}/{inside[0] if inside else source.name}"


def project(cluster: Cluster, deployment: Deployment, compose: Compose) -> str:
    """As compose itself would call it, so that volumes of before are those of after."""
    if compose.project is not None:
        return compose.project
    if compose.file is None:
        return _plain(f"orch-{cluster.name}-{deployment.name}")
    return _plain(PurePosixPath(compose.file).parent.name)


def _plain(name: str) -> str:
    """Small letters, digits, dashes and underscores. Source: docs.docker.com/compose/how-tos/project-name"""
    return "".join(one for one in name.lower() if one.isascii() and (one.isalnum() or one in "-_"))


@dataclass(frozen=True, kw_only=True)
class ProjectRuns(GangStep):
    """The project that orch started is the one of these files; one that it did not start is left alone."""

    compose: Compose

    @classmethod
    def of(cls, cluster: Cluster, deployment: Deployment, compose: Compose) -> ProjectRuns:
        ready = deployment.profile.ready
        made = cls(
            **start_parts(cluster, deployment),
            patience=Patience(
                total=parse_duration(ready.start), stall=parse_duration(ready.start), poll=2
            ),
            compose=compose,
        )
        queries = {
            ReadProject(made.project),
            ReadKept(cluster.name),
            ReadComposeProgram(),
            made.job,
        }
        if compose.file is not None:
            queries.add(ReadSum(compose.file))
        reads = frozenset((deployment.head, query) for query in queries)
        return cls(**{**vars(made), "reads": reads})

    @property
    def project(self) -> str:
        return project(self.cluster, self.deployment, self.compose)

    @property
    def file(self) -> str:
        return file_on_host(self.cluster, self.deployment, self.compose)

    @property
    def env(self) -> Mapping[str, str]:
        profile = self.deployment.profile
        return merge(profile.env, profile.env_by_host.get(self.host or "", {}))

    @property
    def job(self) -> Job:
        return Job(job_name("compose", self.cluster.name, self.deployment.name, self.project))

    def wanted(self, world: World) -> str:
        """The sum of all that makes the project what it is."""
        if self.compose.send is not None:
            files = digest(self.compose.send)
            if files == ABSENT:
                raise Refused(f"{self.compose.send} is not on this machine", step=self.id)
        else:
            found = world[self.host or ""].get(ReadSum(self.file))
            if found is None:
                raise Refused(
                    f"there is no {self.file}",
                    host=self.host,
                    step=self.id,
                    hint=f"`compose:` of profile {self.deployment.profile.name};"
                    " `send:` brings one from your machine",
                )
            files = found
        said = json.dumps([files, self.file, self.project, dict(sorted(self.env.items()))])
        return hashlib.sha256(said.encode()).hexdigest()[:16]

    def check(self, world: World) -> Change | None:
        facts = world[self.host or ""]
        pieces = facts.get(ReadProject(self.project))
        kept = facts.get(ReadKept(self.cluster.name)).get(self.deployment.name)
        wanted = self.wanted(world)
        if kept is not None and kept.target != self.project:
            raise Refused(
                f"{self.deployment.name} was the project {kept.target}, which is still there",
                host=self.host,
                step=self.id,
                hint="`orch down` first: it stops what it started",
            )
        if kept is None and pieces:
            self._refuse_broken([one.trouble for one in pieces if one.trouble])
            return None
        running = any(one.state == "running" for one in pieces)
        broken = [one for one in pieces if one.state != "running" and one.trouble]
        if kept is not None and kept.digest == wanted and running and not broken:
            return None
        if not facts.get(ReadComposeProgram()):
            raise Refused(
                "there is neither `docker compose` nor `docker-compose`",
                host=self.host,
                step=self.id,
                hint=f"on {self.host}: sudo apt install docker-compose-plugin, or docker-compose",
            )
        how = "bring up" if not pieces else "bring up to date"
        change = Change(f"{how} the compose project {self.project}", hint=f"orch logs {self.scope}")
        return watched(change, facts.get(self.job))

    def _refuse_broken(self, troubles: list[str]) -> None:
        """Somebody else's: as long as it is up, it is what was asked for."""
        if troubles:
            raise Refused(
                f"the compose project {self.project} was not started by orch, and {', '.join(troubles)}",
                host=self.host,
                step=self.id,
                hint=f"on {self.host}: docker compose -f {self.file} up -d",
            )

    def apply(self, change: Change, world: World) -> Script:
        """Written down first: what was started must be known, whatever happens next."""
        name, started = self.deployment.name, Kept(self.deployment.name, "compose", self.project)
        done = Kept(name, "compose", self.project, self.wanted(world))
        up = sh(
            "{}\n$c -p {} -f {} up -d --remove-orphans || exit 1",
            Raw(PROGRAM),
            self.project,
            on_host(self.file),
        )
        program = seq([self._environment(), keep(self.cluster.name, started), up])
        whole = seq([program, keep(self.cluster.name, done)])
        limit = self.patience.total
        commands = dict(job_script(self.job.name, whole, limit=limit).commands)
        if self.compose.send is not None:
            commands = {"send": self._send(self.compose.send), **commands}
        return Script(commands, mutates=True, stop_on_error=True)

    def _environment(self) -> Sh:
        """Variables for the file's `${…}`. A secret is only in the job's own text, which its user alone reads."""
        lines = [sh("export {}", f"{name}={value}") for name, value in self.env.items()]
        for name in sorted(self.deployment.profile.secrets):
            mark = Raw(Sh(secret_mark(f"{self.deployment.name}/{name}")))
            lines.append(
                sh(
                    "export {}=\"$(cat <<'orch-secret-end'\n{}\norch-secret-end\n)\"",
                    Raw(Sh(name)),
                    mark,
                )
            )
        return seq(lines)

    def _send(self, source: str) -> Command:
        """New files over old ones; what its containers keep beside them stays."""
        where = on_host(home(self.cluster, self.deployment))
        text = sh(
            "umask 077 && mkdir -p {} && cd {} && rm -rf .orch-new && mkdir .orch-new"
            " && tar -xf - --no-same-owner -C .orch-new"
            " && if [ -d .orch-new/it ]; then cp -R .orch-new/it/. .; else cp .orch-new/it {}; fi"
            " && rm -rf .orch-new",
            where,
            where,
            PurePosixPath(self.file).name,
        )
        return Command(sh("(\n{}\n)", Raw(text)), stdin=packed(source), timeout=SEND_S)
