"""docker compose: a folder for each host with compose.yaml, the ranks' scripts, and names of secrets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from orchestrator.contracts import Mount, Rank, World
from orchestrator.export.model import Exported, common, header, ranks, secrets, told, yaml_text
from orchestrator.flags import flags
from orchestrator.ranks.containers import CACHES
from orchestrator.ranks.state import PROCESS
from orchestrator.runtimes.docker import LOG_OPTIONS
from orchestrator.spec.models import Cluster, Deployment, Host


class Compose:
    """See model.Format."""

    name = "compose"
    what = "docker compose, a folder for each host"

    def export(self, cluster: Cluster, world: World) -> Exported:
        made = Exported()
        common(cluster, made)
        files: dict[str, dict[str, Any]] = {}
        wanted: dict[str, dict[str, str]] = {}
        scripts: dict[str, str] = {}
        for host, deployment, rank in ranks(cluster, world):
            if host.runtime == PROCESS:
                made.leave(f"hosts.{host.name}", "runtime process: no container to write")
                continue
            document = files.setdefault(
                host.name, {"name": f"orch-{cluster.name}".lower(), "services": {}}
            )
            document["services"][rank.name] = _service(deployment, rank)
            _volumes(document, rank)
            for path, text in rank.files.items():
                scripts[f"{host.name}/{rank.name}/{PurePosixPath(path).name}"] = text
            for name, ref in secrets(deployment, rank).items():
                wanted.setdefault(host.name, {})[name] = told(ref)
            _unsaid(host, deployment, rank, made)
        for name, document in files.items():
            made.texts[f"{name}/compose.yaml"] = _head(made, cluster, name, wanted) + yaml_text(
                document
            )
        for name, them in wanted.items():
            lines = [f"{variable}=   # from {source}" for variable, source in sorted(them.items())]
            made.texts[f"{name}/.env.example"] = "\n".join(
                ["# Copy to .env (mode 0600).", *lines, ""]
            )
        made.texts |= scripts
        return made


def _head(made: Exported, cluster: Cluster, name: str, wanted: dict[str, dict[str, str]]) -> str:
    lines = [
        f"Host {name} of the cluster {cluster.name}: copy this folder there, `docker compose up -d` in it."
    ]
    if name in wanted:
        lines.append(f"Secrets come from .env beside it: {', '.join(sorted(wanted[name]))}.")
    return header(made, *lines)


def escaped(text: str) -> str:
    """`$` is compose's own."""
    return text.replace("$", "$$")


def _service(deployment: Deployment, rank: Rank) -> dict[str, Any]:
    service: dict[str, Any] = {"container_name": rank.name, "image": escaped(rank.image)}
    if rank.entrypoint is not None:
        service["entrypoint"] = [escaped(rank.entrypoint)]
    service["command"] = [escaped(word) for word in rank.argv]
    env = {name: escaped(value) for name, value in sorted(rank.env.items())}
    for name in secrets(deployment, rank):
        env[name] = f"${{{name}:?set it in .env}}"
    if env:
        service["environment"] = env
    service["network_mode"] = "host"
    service |= {"ipc": "host"} if rank.shm_bytes is None else {"shm_size": rank.shm_bytes}
    service |= dict(_mounts(rank))
    service |= dict(_resources(rank))
    service["healthcheck"] = _health(rank)
    service["restart"] = rank.restart
    options = dict(one.split("=", 1) for one in LOG_OPTIONS)
    service["logging"] = {"driver": "json-file", "options": options}
    return service


def _mounts(rank: Rank) -> Iterator[tuple[str, Any]]:
    volumes = [_volume(one) for one in rank.mounts if not one.tmpfs]
    for path in sorted(rank.files):
        source = f"./{rank.name}/{PurePosixPath(path).name}"
        volumes.append({"type": "bind", "source": source, "target": path, "read_only": True})
    if volumes:
        yield "volumes", volumes
    memory = [f"{one.target}:{one.options}".rstrip(":") for one in rank.mounts if one.tmpfs]
    if memory:
        yield "tmpfs", memory


def _volume(mount: Mount) -> dict[str, Any]:
    if "/" not in mount.source and mount.source != "~":
        made: dict[str, Any] = {"type": "volume", "source": mount.source, "target": mount.target}
    else:
        source = escaped(mount.source)
        if source.startswith("~"):
            source = "${HOME}" + source[1:]
        create = mount.source.startswith(CACHES)
        made = {"type": "bind", "source": source, "target": mount.target}
        made["bind"] = {"create_host_path": create}
    return made | ({"read_only": True} if mount.read_only else {})


def _volumes(document: dict[str, Any], rank: Rank) -> None:
    """Volumes by the names that they have under orch, so that they are the same ones."""
    for one in rank.mounts:
        if not one.tmpfs and "/" not in one.source and one.source != "~":
            document.setdefault("volumes", {})[one.source] = {"name": one.source}


def _resources(rank: Rank) -> Iterator[tuple[str, Any]]:
    if rank.gpus is not None:
        device: dict[str, Any] = {"driver": "nvidia"}
        device |= {"count": "all"} if rank.gpus == "all" else {"device_ids": list(rank.gpus)}
        device["capabilities"] = ["gpu"]
        yield "deploy", {"resources": {"reservations": {"devices": [device]}}}
    limits = dict(rank.ulimits)
    caps = set(rank.caps)
    if rank.rdma:
        yield "devices", ["/dev/infiniband:/dev/infiniband"]
        limits["memlock"] = "-1"
        caps.add("IPC_LOCK")
    if limits:
        yield "ulimits", {name: int(value) if value.lstrip("-").isdecimal() else value
                          for name, value in sorted(limits.items())}  # fmt: skip
    if caps:
        yield "cap_add", sorted(caps)
    if rank.memory_bytes is not None:
        yield "mem_limit", rank.memory_bytes
    if rank.memory_swap_bytes is not None:
        yield "memswap_limit", rank.memory_swap_bytes
    if rank.cpus is not None:
        yield "cpus", rank.cpus


def _health(rank: Rank) -> dict[str, Any]:
    if rank.health is None:
        return {"disable": True}
    figures = flags("docker")["health"]
    return {
        "test": ["CMD-SHELL", escaped(rank.health)],
        "interval": f"{figures['interval_s']}s",
        "timeout": f"{figures['timeout_s']}s",
        "retries": figures["retries"],
        "start_period": f"{rank.health_start_s}s",
    }


def _unsaid(host: Host, deployment: Deployment, rank: Rank, made: Exported) -> None:
    where = f"deployments.{deployment.name}"
    if rank.restart != "no":
        made.leave(where, "restarts from its first start on; orch waits until it has answered once")
    if len(deployment.hosts) > 1:
        made.leave(where, "a gang over hosts: start all of them, and restart all if one ends")
    for name, value in rank.env.items():
        if value.startswith("<") and value.endswith(">"):
            made.leave(f"hosts.{host.name}", f"{name} is {value}: write the name")


FORMAT = Compose()
