"""systemd: a unit for each rank, which runs its container."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import PurePosixPath

from orchestrator.contracts import Mount, Rank, World
from orchestrator.export.model import Exported, common, header, home, ranks, secrets, told
from orchestrator.ranks.containers import caches, mount_fields
from orchestrator.ranks.state import PROCESS
from orchestrator.runtimes.docker import LOG_OPTIONS
from orchestrator.spec.models import Cluster, Deployment, Host

FOLDER = "/etc/orch-export"
SIMPLE = re.compile(r"[A-Za-z0-9_./:=,@+-]+\Z")
STOP_S = 60
RETRY_S = 15  # the field notes' figure: seeds 001, "Auto-Restart on Failure"


class Systemd:
    """See model.Format."""

    name = "systemd"
    what = "systemd units, one for each rank"

    def export(self, cluster: Cluster, world: World) -> Exported:
        made = Exported()
        common(cluster, made)
        found = []
        for host, deployment, rank in ranks(cluster, world):
            if host.runtime == PROCESS:
                made.leave(f"hosts.{host.name}", "runtime process: no container to write")
                continue
            _unsaid(host, deployment, rank, made)
            found.append((host, deployment, rank))
        for host, deployment, rank in found:
            unit = _unit(cluster, host, deployment, rank)
            made.texts[f"{host.name}/{rank.name}.service"] = (
                _head(made, host, deployment, rank) + unit
            )
            for path, text in rank.files.items():
                made.texts[f"{host.name}/{rank.name}/{PurePosixPath(path).name}"] = text
            wanted = secrets(deployment, rank)
            if wanted:
                lines = [f"{name}=   # from {told(ref)}" for name, ref in wanted.items()]
                made.texts[f"{host.name}/{rank.name}/env.example"] = "\n".join([*lines, ""])
        return made


def _head(made: Exported, host: Host, deployment: Deployment, rank: Rank) -> str:
    lines = [
        f"On {host.name}: copy it to /etc/systemd/system/, then `systemctl enable --now {rank.name}`."
    ]
    if rank.files:
        lines.append(f"Its scripts: copy the folder {rank.name} to {FOLDER}/{rank.name}.")
    wanted = secrets(deployment, rank)
    if wanted:
        lines.append(
            f"Secrets, mode 0600: {FOLDER}/{rank.name}/env with {', '.join(sorted(wanted))}."
        )
    return header(made, *lines)


def quoted(text: str) -> str:
    """A word of ExecStart: no specifier, no variable, no escape but systemd's own."""
    made = text.replace("%", "%%").replace("$", "$$")
    if SIMPLE.match(made):
        return made
    for plain, escape in (
        ("\\", "\\\\"),
        ('"', '\\"'),
        ("\n", "\\n"),
        ("\t", "\\t"),
        ("\r", "\\r"),
    ):
        made = made.replace(plain, escape)
    return f'"{made}"'


def _unit(cluster: Cluster, host: Host, deployment: Deployment, rank: Rank) -> str:
    program = host.runtime
    service = "docker.service" if program == "docker" else ""
    words = list(_words(host, deployment, rank))
    lines = [
        "[Unit]",
        f"Description={cluster.name}: {deployment.name}, rank {rank.index} ({rank.role})",
        "Wants=network-online.target",
        f"After=network-online.target {service}".rstrip(),
        *([f"Requires={service}"] if service else []),
        "",
        "[Service]",
    ]
    if secrets(deployment, rank):
        lines.append(f"EnvironmentFile={FOLDER}/{rank.name}/env")
    made = [
        f"ExecStartPre=/usr/bin/env mkdir -p {quoted(_on(host, one))}"
        for one in caches(rank.mounts)
    ]
    lines += [
        *made,
        f"ExecStartPre=-/usr/bin/env {program} rm -f {quoted(rank.name)}",
        "ExecStart=" + " \\\n  ".join([f"/usr/bin/env {program} run --rm", *words]),
        f"ExecStop=/usr/bin/env {program} stop -t {STOP_S} {quoted(rank.name)}",
        f"Restart={'on-failure' if rank.restart != 'no' else 'no'}",
        *([f"RestartSec={RETRY_S}"] if rank.restart != "no" else []),
        "TimeoutStartSec=infinity",
        f"TimeoutStopSec={STOP_S + 30}",
        "",
        "[Install]",
        "WantedBy=multi-user.target",
        "",
    ]
    return "\n".join(lines)


def _words(host: Host, deployment: Deployment, rank: Rank) -> Iterator[str]:
    """The words of `docker run`, options with their values in one line each."""
    yield f"--name {quoted(rank.name)} --network host"
    yield "--ipc host" if rank.shm_bytes is None else f"--shm-size {rank.shm_bytes}"
    if rank.gpus is not None:
        yield "--gpus " + (
            "all" if rank.gpus == "all" else quoted(f'"device={",".join(rank.gpus)}"')
        )
    if rank.rdma:
        yield "--device /dev/infiniband --ulimit memlock=-1 --cap-add IPC_LOCK"
    cpus = None if rank.cpus is None else f"{rank.cpus:g}"
    limits = {"memory": rank.memory_bytes, "memory-swap": rank.memory_swap_bytes, "cpus": cpus}
    yield from (f"--{flag} {limit}" for flag, limit in limits.items() if limit is not None)
    for mount in rank.mounts:
        yield _mount(host, mount)
    for path in sorted(rank.files):
        source = f"{FOLDER}/{rank.name}/{PurePosixPath(path).name}"
        yield _mount(host, Mount(source, path, read_only=True))
    for name, value in sorted(rank.env.items()):
        yield f"-e {quoted(f'{name}={value}')}"
    for name in secrets(deployment, rank):
        yield f"-e {quoted(name)}"
    yield "--log-driver json-file " + " ".join(f"--log-opt {one}" for one in LOG_OPTIONS)
    if rank.entrypoint is not None:
        yield f"--entrypoint {quoted(rank.entrypoint)}"
    yield " ".join(quoted(word) for word in (rank.image, *rank.argv))


def _mount(host: Host, mount: Mount) -> str:
    if mount.tmpfs:
        return f"--tmpfs {quoted(mount.target + (f':{mount.options}' if mount.options else ''))}"
    return f"--mount {quoted(mount_fields(replace(mount, source=_on(host, mount.source))))}"


def _on(host: Host, path: str) -> str:
    return (home(host) or "/root") + path[1:] if path.startswith("~") else path


def _unsaid(host: Host, deployment: Deployment, rank: Rank, made: Exported) -> None:
    where = f"deployments.{deployment.name}"
    if rank.restart != "no":
        made.leave(where, "restarts from its first start on; orch waits until it has answered once")
    if rank.health is not None:
        made.leave(where, "no health check: systemd sees the process alone")
    if len(deployment.hosts) > 1:
        made.leave(where, "a gang over hosts: start all of them, and restart all if one ends")
    if not home(host) and any(one.source.startswith("~") for one in rank.mounts):
        made.leave(
            f"hosts.{host.name}",
            "whose home `~` is, is not told (`ssh: {user: …}`): /root is written",
        )
    for name, value in rank.env.items():
        if value.startswith("<") and value.endswith(">"):
            made.leave(f"hosts.{host.name}", f"{name} is {value}: write the name")


FORMAT = Systemd()
