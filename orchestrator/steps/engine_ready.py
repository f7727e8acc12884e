"""A rank needs a container engine that answers us, has room, and can hand out GPUs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.contracts import Change, Query, Step, World
from orchestrator.errors import Refused
from orchestrator.facts.answers import ContainerEngine
from orchestrator.facts.container_engine import ReadContainerEngine
from orchestrator.facts.engine_words import typed
from orchestrator.facts.gpus import ReadGpus
from orchestrator.facts.identity import Identify
from orchestrator.ranks.state import PROCESS
from orchestrator.spec.derived import placed
from orchestrator.spec.models import Cluster
from orchestrator.steps.process_ready import process_ready_steps
from orchestrator.steps.rights import size_text

# A container writes its layer, its log and its state: an engine with less room fails in odd ways.
LEAST_FREE_BYTES = 512 * 1024 * 1024
LEAST_FREE_INODES = 1_000
GPU_REMEDIES = {  # what is not there, and how it comes there
    "docker": (
        "NVIDIA container toolkit",
        "sudo nvidia-ctk runtime configure --runtime=docker && sudo systemctl restart docker",
    ),
    "podman": (
        "description of them (CDI)",
        "sudo nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml",
    ),
}


@dataclass(frozen=True, kw_only=True)
class EngineReady(Step):
    """Docker or podman answers this user; with GPUs in the host it can hand them out."""

    host: str
    runtime: str
    gpus: bool

    def check(self, world: World) -> Change | None:
        engine = world[self.host].get(ReadContainerEngine(self.runtime))
        if not engine.usable:
            raise self.unusable(engine, world)
        called = typed(self.runtime)
        full = self.full(engine)
        if full:
            raise Refused(
                f"{engine.root}, where {engine.runtime} keeps its data, is full: {full}",
                host=self.host,
                hint=f"on {self.host}: {called} system df; {called} image prune",
            )
        if not engine.lasting:
            user = world[self.host].get(Identify()).user
            raise Refused(
                f"containers of {user} end with {user}'s last login: systemd does not keep them",
                host=self.host,
                hint=f"on {self.host}: sudo loginctl enable-linger {user}",
            )
        if self.gpus:
            self.gives_gpus(engine, world)
        return None

    def gives_gpus(self, engine: ContainerEngine, world: World) -> None:
        """Refused where the host has no GPU to see, or nothing that puts one into a container."""
        found = world[self.host].get(ReadGpus())
        if not found.gpus:
            raise Refused(
                "nvidia-smi is missing or lists no GPU, and what is placed here wants one",
                host=self.host,
                hint=f"on {self.host}: nvidia-smi; or `gpus: 0` for a deployment without",
            )
        if engine.nvidia or (found.toolkit and engine.runtime == "docker"):
            return
        lacks, remedy = GPU_REMEDIES[engine.runtime]
        raise Refused(
            f"it has GPUs, but no {lacks} to give them to {engine.runtime}",
            host=self.host,
            hint=f"on {self.host}: install nvidia-container-toolkit, then {remedy}",
        )

    def full(self, engine: ContainerEngine) -> str:
        """What is short; a data folder that can't be looked at is the engine's own concern."""
        if engine.free_bytes is not None and engine.free_bytes < LEAST_FREE_BYTES:
            return f"{size_text(engine.free_bytes)} free"
        if engine.free_inodes is not None and engine.free_inodes < LEAST_FREE_INODES:
            return f"{engine.free_inodes} inodes free"
        return ""

    def unusable(self, engine: ContainerEngine, world: World) -> Refused:
        """Why, and what to type."""
        if not engine.present:
            hint = f"on {self.host}: install {engine.runtime}, or set `runtime:` of {self.host}"
            return Refused(f"{engine.runtime} is not installed", host=self.host, hint=hint)
        user = world[self.host].get(Identify()).user
        if engine.runtime == "podman":
            rule = f"{user} ALL=(root) NOPASSWD: /usr/bin/podman"
            hint = f"on {self.host}: {self.runtime} info"
            if self.runtime != engine.runtime:
                hint += (
                    f"; the line `{rule}` in /etc/sudoers.d/orch-podman, or `become: never` of it"
                )
            return Refused(
                f"{self.runtime} does not answer: {engine.why}", host=self.host, hint=hint
            )
        if "permission denied" in engine.why.lower():
            return Refused(
                f"{self.runtime} refuses {user}: permission denied (not in the docker group)",
                host=self.host,
                hint=f"on {self.host}: sudo usermod -aG docker {user}; then log in anew",
            )
        return Refused(
            f"{self.runtime} does not answer: {engine.why}",
            host=self.host,
            hint=f"on {self.host}: sudo systemctl start {self.runtime};"
            f" journalctl -u {self.runtime} -n 50",
        )


def engine_ready_steps(cluster: Cluster, options: Mapping[str, Any]) -> Iterable[Step]:
    """For hosts that run ranks, in containers or as processes."""
    yield from process_ready_steps(cluster)
    here = placed(cluster)
    for host in cluster.used_hosts:
        if host.name not in here or host.runtime == PROCESS:
            continue
        wants = any(one.gpus not in (0, ()) for one in here[host.name])
        gpus = wants and not host.kind.logical_gpus and host.gpu_count != 0
        queries: list[Query[Any]] = [ReadContainerEngine(host.runtime), Identify()]
        if gpus:
            queries.append(ReadGpus())
        yield EngineReady(
            id=f"{host.name}/engine-ready",
            role="gate",
            host=host.name,
            reads=frozenset((host.name, query) for query in queries),
            runtime=host.runtime,
            gpus=gpus,
        )


STAGES = {"engine-ready": engine_ready_steps}
