"""A model path is on every host of a gang, and it is the same model, before anything is started for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.contracts import Change, Patience, Step, World
from orchestrator.engines import engine
from orchestrator.errors import Refused
from orchestrator.facts import ReadPath
from orchestrator.facts.answers import PathInfo
from orchestrator.ranks.build import PART
from orchestrator.ranks.state import unmounted
from orchestrator.spec.models import Cluster, Deployment
from orchestrator.steps.gang import GangStep, after_jobs

HUB = "~/.cache/huggingface/hub"
IGNORE = (".cache", "*.lock", "*.incomplete")


def on_hosts(cluster: Cluster, deployment: Deployment, *, fetches: bool = True) -> str | None:
    """Where the model lies on a host; None where the engine fetches it itself, or nobody can tell."""
    model = deployment.profile.model
    if model.startswith(("/", "~/")):
        return unmounted(deployment, model)
    cached = any(
        entry.from_.startswith("~/.cache/huggingface") for entry in deployment.profile.mounts
    )
    wanted = not fetches or _offline(deployment)
    return f"{HUB}/models--{model.replace('/', '--')}" if wanted and cached and model else None


def _offline(deployment: Deployment) -> bool:
    return str(deployment.profile.env.get("HF_HUB_OFFLINE", "0")) in ("1", "True", "true")


def model_hosts(deployment: Deployment) -> tuple[str, ...]:
    """Hosts that read the files; an engine may say that not all do."""
    said = getattr(engine(deployment.profile.engine), "model_hosts", None)
    return tuple(said(deployment)) if said is not None else deployment.hosts


@dataclass(frozen=True, kw_only=True)
class WeightsThere(GangStep):
    """Present everywhere, with the same names and sizes; what an engine may complete itself need only be there."""

    path: str
    completes: bool = False

    def check(self, world: World) -> Change | None:
        query = ReadPath(self.path, IGNORE)
        infos = {host: world[host].get(query) for host in model_hosts(self.deployment)}
        self._missing(infos)
        if not self.completes:
            self._lacking(infos)
            self._unlike(infos)
        return None

    def _missing(self, infos: Mapping[str, PathInfo]) -> None:
        missing = [host for host, info in infos.items() if not info.exists or info.files == 0]
        if missing:
            raise Refused(
                f"model {self.path} is missing on {', '.join(missing)}",
                host=missing[0],
                step=self.id,
                hint=self._where_from(),
            )
        broken = [host for host, info in infos.items() if info.broken]
        if broken:
            raise Refused(
                f"model {self.path} is not whole on {', '.join(broken)}: links that lead nowhere",
                host=broken[0],
                step=self.id,
                hint="download it again",
            )

    def _lacking(self, infos: Mapping[str, PathInfo]) -> None:
        lacking = [host for host, info in infos.items() if info.lacks]
        if lacking:
            info = infos[lacking[0]]
            more = " …" if info.lacks > 1 else ""
            half = f"; {info.unfinished} half downloaded" if info.unfinished else ""
            raise Refused(
                f"model {self.path} is not whole on {', '.join(lacking)}: {info.lacks} of its files are missing"
                f" ({info.first_lacking}{more}){half}",
                host=lacking[0],
                step=self.id,
                hint="let its download end, or begin it again: it goes on where it stopped",
            )

    def _where_from(self) -> str:
        if self.completes:
            return f"download {self.deployment.profile.model} there first, or say --fetch"
        return f"copy it there, or set `model:` of {self.deployment.profile.name}"

    def _unlike(self, infos: Mapping[str, PathInfo]) -> None:
        head = infos[self.deployment.head]
        unlike = [host for host, info in infos.items() if info.fingerprint != head.fingerprint]
        if unlike:
            raise Refused(
                f"model {self.path} on {', '.join(unlike)} is another than on"
                f" {self.deployment.head}: names or sizes of its files differ",
                host=unlike[0],
                step=self.id,
                hint=f"on {self.deployment.head}: {_copied(head, self.path, unlike[0])}",
            )


def _copied(info: PathInfo, path: str, host: str) -> str:
    """What to type: a folder as it is, a file with all of its parts."""
    if info.is_dir:
        return f"rsync -a --delete {path}/ {host}:{path}/"
    parts = PART.sub("-*-of-*.gguf", path)
    return f"rsync -a {parts} {host}:{path.rpartition('/')[0]}/"


def weights_steps(cluster: Cluster, options: Mapping[str, Any]) -> Iterable[Step]:
    """`fetch: false`: a model that its engine would fetch must be there all the same."""
    fetches = options.get("fetch") is not False
    for name, deployment in cluster.deployments.items():
        path = on_hosts(cluster, deployment, fetches=fetches)
        if path is None:
            continue
        yield WeightsThere(
            id=f"{name}/weights",
            role="gate",
            scope=name,
            stage="weights",
            on_demand=True,
            needs=after_jobs(cluster, deployment),
            reads=frozenset((host, ReadPath(path, IGNORE)) for host in model_hosts(deployment)),
            patience=Patience(total=120, stall=120),
            path=path,
            completes=on_hosts(cluster, deployment) is None,
            cluster=cluster,
            deployment=deployment,
        )


STAGES = {"weights": weights_steps}
