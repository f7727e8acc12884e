"""The first long prompt compiles and allocates: it is asked before a user does, and once for each start."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.contracts import Change, Patience, Step, World
from orchestrator.data import read_template
from orchestrator.facts.embedding import Embedding
from orchestrator.facts.engine_words import spoken
from orchestrator.facts.process_folder import marked
from orchestrator.facts.rank_mark import ReadRankMark
from orchestrator.ranks.build import PROCESS, folders
from orchestrator.ranks.entrypoint import RUN
from orchestrator.ranks.files import on_host, words
from orchestrator.script import Command, Raw, Script, Sh, argv, secret_mark, sh
from orchestrator.spec.models import Cluster, Deployment
from orchestrator.steps.answer import question
from orchestrator.steps.gang import GangStep, container_reads, names

WARM_S = 3600.0


def asking(cluster: Cluster, deployment: Deployment, container: str, sizes: Iterable[int]) -> Sh:
    """Shell that asks: by the host's Python, or the rank's where the host has none. The key is on stdin."""
    asked = question(deployment)
    program = read_template("ask.py", cluster.root)
    kind = "embeddings" if isinstance(asked, Embedding) else "completions"
    line = argv("-c", program, asked.address, asked.port, asked.model, kind, *sizes)
    runtime = cluster.hosts[deployment.head].runtime
    if runtime == PROCESS:
        bin_ = folders(cluster, deployment, deployment.head).get("PATH", ())
        places = words([on_host(one) for one in bin_])
        return sh("for one in {}; do PATH=$PATH:$one; done\npython3 {}", Raw(places), Raw(line))
    return sh(
        "if command -v python3 >/dev/null; then python3 {}; else {} exec -i {} python3 {}; fi",
        Raw(line),
        spoken(runtime),
        container,
        Raw(line),
    )


def key(deployment: Deployment) -> bytes:
    """The API key as a line of stdin; an empty one where there is none."""
    name = question(deployment).key
    return (secret_mark(name) if name else "").encode() + b"\n"


@dataclass(frozen=True, kw_only=True)
class Warm(GangStep):
    """The head has been asked prompts of these sizes since it was started."""

    sizes: tuple[int, ...]

    @property
    def _container(self) -> str:
        return next(iter(self.names))

    @property
    def _mark(self) -> ReadRankMark:
        return _mark(self.cluster, self.deployment, self.sizes)

    def check(self, world: World) -> Change | None:
        if world[self.deployment.head].get(self._mark):
            return None
        return Change(f"warm up with prompts of {', '.join(map(str, self.sizes))} tokens")

    def apply(self, change: Change, world: World) -> Script:
        ask = asking(self.cluster, self.deployment, self._container, self.sizes)
        made = sh("mkdir -p {} && : > {}", RUN, self._mark.path)
        runtime = self.cluster.hosts[self.deployment.head].runtime
        if runtime == PROCESS:
            made = marked(self._container, self._mark.path)
            text = sh("{}\n[ $? = 0 ] && {}", Raw(ask), Raw(made))
            return Script({"warm": Command(text, stdin=key(self.deployment), timeout=WARM_S)})
        called = spoken(runtime)
        text = sh(
            "{}\n[ $? = 0 ] && {} exec -u 0 {} sh -c {}", Raw(ask), called, self._container, made
        )
        return Script({"warm": Command(text, stdin=key(self.deployment), timeout=WARM_S)})


def _mark(cluster: Cluster, deployment: Deployment, sizes: tuple[int, ...]) -> ReadRankMark:
    mark = hashlib.sha256(repr(sizes).encode()).hexdigest()[:8]
    head = next(iter(names(cluster, deployment)))
    return ReadRankMark(head, f"{RUN}/warm-{mark}", cluster.hosts[deployment.head].runtime)


def warmup_steps(cluster: Cluster, options: Mapping[str, Any]) -> Iterable[Step]:
    for name, deployment in cluster.deployments.items():
        sizes = deployment.profile.warmup.prompts if deployment.profile.warmup else ()
        if not sizes:
            continue
        yield Warm(
            id=f"{name}/warmup",
            host=deployment.head,
            scope=name,
            stage="warmup",
            needs=frozenset({f"{name}/answer"}),
            reads=container_reads(cluster, deployment)
            | {(deployment.head, _mark(cluster, deployment, sizes))},
            patience=Patience(total=WARM_S, stall=WARM_S),
            sizes=sizes,
            cluster=cluster,
            deployment=deployment,
        )


STAGES = {"warmup": warmup_steps}
