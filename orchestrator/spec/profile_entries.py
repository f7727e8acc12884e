"""What a profile may say: image, engine, arguments, environment, patience.

Frozen types; descriptions end up in the JSON Schema.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from orchestrator.spec.fields import (
    Count,
    Duration,
    EngineVersion,
    HttpPath,
    Name,
    Port,
    Scalar,
    Size,
    Strict,
    Supervision,
    Variable,
    Version,
    Versions,
)
from orchestrator.spec.inventory_entries import SecretRef
from orchestrator.spec.services import Compose, PortWord, Unit


class MountEntry(Strict):
    from_: str = Field(alias="from")
    to: str
    read_only: bool = False
    sync: bool = Field(
        default=False, description="bring the local file or folder to every host first"
    )


class Ready(Strict):
    start: Duration = "30m"
    stall: Duration = "10m"
    http: HttpPath | None = None
    command: str | None = None


class Warmup(Strict):
    prompts: tuple[int, ...] = Field(default=(), description="prompt sizes in tokens")


class Build(Strict):
    dockerfile: str
    context: str = "."


class Parallel(Strict):
    tensor: Count = 1
    pipeline: Count = 1
    data: Count = 1

    @property
    def world(self) -> int:
        """Ranks in all."""
        return self.tensor * self.pipeline * self.data


class LimitsEntry(Strict):
    memory: Size | None = None
    memory_swap: Size | None = None
    cpus: float | None = Field(default=None, gt=0)


class VersionForm(Strict):
    args: Mapping[str, Any] = {}
    env: Mapping[Variable, Scalar] = {}


class ProfileFile(Strict):
    version: Version
    extends: str | None = None
    description: str = ""
    engine: Name | None = None
    executor: Literal["ray", "native", "mp"] | None = None
    model: str | None = Field(
        default=None, description="a hub id, or an absolute path on the hosts"
    )
    served_name: str | None = None
    image: str | None = None
    entrypoint: str | None = None
    args: Mapping[str, Any] = {}
    env: Mapping[Variable, Scalar] = {}
    env_by_host: Mapping[str, Mapping[Variable, Scalar]] = {}
    engine_version: EngineVersion | None = None
    by_version: Mapping[Versions, VersionForm] = {}
    secrets: Mapping[Variable, SecretRef] = {}
    api_key: SecretRef | None = None
    mounts: tuple[MountEntry, ...] = ()
    tmpfs: Mapping[str, str] = Field(default={}, description="path → mount options, 'size=1g'")
    packages: tuple[str, ...] = ()
    ready: Ready = Ready()
    warmup: Warmup | None = None
    patches: Mapping[str, Mapping[str, Any]] = {}
    venv: str | None = None
    cuda_home: str | None = None
    library_paths: tuple[str, ...] = ()
    caches: Mapping[str, str] = {}
    build: Build | None = None
    shm: Size | None = None
    limits: LimitsEntry | None = None
    supervision: Supervision | None = None
    debug: bool = False
    rpc_port: Port | None = None
    ray: Mapping[str, Any] = Field(
        default={}, description="ray start options, e.g. object-store-memory"
    )
    commands: Mapping[str, str] = Field(
        default={}, description="programs in the image: ray, vllm, server, rpc-server"
    )
    heads: Count | None = Field(
        default=None, description="attention heads, where the model folder can't tell"
    )
    intermediate_size: int | None = Field(
        default=None,
        ge=1,
        description="width of its linear layers, which tensor parallel divides too",
    )
    command: tuple[str, ...] = ()
    container_port: Port | None = None
    ports: tuple[PortWord, ...] = ()
    compose: Compose | None = None
    unit: Unit | None = None
    weights: Size | None = Field(
        default=None, description="size of the model's files, for `orch profiles`"
    )
    archived: str = Field(
        default="", description="why it is kept and should not be used; `orch check` tells it"
    )
    task: Literal["generate", "embed"] | None = Field(
        default=None,
        description="embed: an embedding server; the engine is told so in its version's words, "
        "and proves itself by a vector instead of a completion",
    )
