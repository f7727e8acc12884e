"""Containers as `docker inspect` describes them; those that belong together become one deployment."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from orchestrator.knowledge.servers import known, ray_start, serves, table
from orchestrator.take.box import Box, Made, make, wanted
from orchestrator.take.model import Document, Taken, Wanted, listed, mapping, text
from orchestrator.take.names import name_for

FABRIC = "/dev/infiniband"
MANY = 64
PART = re.compile(r"[-_.]?(head|leader|master|server|node-?0|0)$")


@dataclass
class Inspected:
    """One container of a host; with its image and the processes in it, where they were asked for."""

    host: str
    container: Mapping[str, Any]
    image: Mapping[str, Any] = field(default_factory=dict)
    processes: Sequence[Sequence[str]] = ()

    @property
    def name(self) -> str:
        return text(self.container.get("Name")).lstrip("/")


def gangs(found: Sequence[Inspected], taken: Taken, stem: str) -> None:
    """A head and its workers are one deployment; everything that is taken is named for takeover."""
    made = [(one, make(_box(one, taken), taken)) for one in found[:MANY]]
    heads = [(one, it) for one, it in made if not it.worker]
    workers = [(one, it) for one, it in made if it.worker]
    if workers and len(heads) != 1:
        for one, it in workers:
            why = (
                "a worker, and which server it belongs to is not told: name that one alone with it"
            )
            taken.leave(f"container {one.name}", text(it.profile.get("image")), why)
        workers = []
    for one, it in heads:
        title = name_for(PART.sub("", one.name) or stem, taken.profiles)
        _differences(one, it, workers, taken)
        taken.profiles[title] = {"version": 1, **it.profile}
        taken.deployments[title] = _wanted(title, one, it, workers, taken)
    for one, _ in [*heads, *workers]:
        if one.name and one.name not in taken.takeover:
            taken.takeover.append(one.name)


def _wanted(
    title: str, one: Inspected, it: Made, workers: Sequence[tuple[Inspected, Made]], taken: Taken
) -> Wanted:
    hosts = [host for host in dict.fromkeys([one.host, *(w.host for w, _ in workers)]) if host]
    if one.host and len(hosts) < len(workers) + 1:
        taken.leave(
            f"container {one.name}", "", "two of its containers share a host: one rank a host"
        )
    for _, other in workers:
        if other.served is not None and other.served.port and other.served.worker:
            taken.profiles[title]["rpc_port"] = other.served.port
        if other.served is not None and "rpc-server" in other.served.commands:
            commands = taken.profiles[title].setdefault("commands", {})
            commands["rpc-server"] = other.served.commands["rpc-server"]
    found = wanted(title, it, hosts)
    found.nodes = max(found.nodes, len(workers) + 1)
    return found


def _differences(
    one: Inspected, it: Made, workers: Sequence[tuple[Inspected, Made]], taken: Taken
) -> None:
    """A worker's variables that differ are said by host; its image must be the head's."""
    by_host: Document = {}
    for other, worker in workers:
        image = worker.profile.get("image")
        if image != it.profile.get("image"):
            taken.leave(f"container {other.name}", image, f"another image than {one.name} has")
        mine = mapping(it.profile.get("env"))
        theirs = mapping(worker.profile.get("env"))
        unlike = {name: value for name, value in theirs.items() if mine.get(name) != value}
        if unlike and other.host:
            by_host[other.host] = unlike
        elif unlike:
            taken.leave(
                f"container {other.name}", ", ".join(unlike), "variables that the head has not so"
            )
    if by_host:
        it.profile["env_by_host"] = by_host


def _box(one: Inspected, taken: Taken) -> Box:
    """One container's description in our words."""
    config, host = mapping(one.container.get("Config")), mapping(one.container.get("HostConfig"))
    image = mapping(one.image.get("Config"))
    box = Box(f"container {one.name}", image=text(config.get("Image")), own_entrypoint=False)
    box.words = _words(one, config)
    box.env = _env(config, image)
    box.mounts = _mounts(one, taken)
    box.tmpfs = {key: text(value) for key, value in mapping(host.get("Tmpfs")).items()}
    box.gpus = _gpus(box, host, taken)
    _resources(box, host)
    box.published = _published(host)
    _rest(one, box, taken)
    _inside(one, box)
    return box


def _words(one: Inspected, config: Mapping[str, Any]) -> list[str]:
    """What runs as process 1: what docker started, else what was configured."""
    if one.container.get("Path"):
        return [text(one.container["Path"]), *map(text, listed(one.container.get("Args")))]
    return [*map(text, listed(config.get("Entrypoint"))), *map(text, listed(config.get("Cmd")))]


def _inside(one: Inspected, box: Box) -> None:
    """A server that was started in a container that was there already (`docker exec`)."""
    for words in one.processes:
        for at in range(min(len(words), 4)):
            found = known(words[at:])
            if found is not None and list(words) != box.words:
                if serves(box.words, "") in ("", "ray") or ray_start(box.words):
                    box.ray = box.ray or "ray" in " ".join(box.words).split()
                    box.words = list(words[at:])
                return


def _env(config: Mapping[str, Any], image: Mapping[str, Any]) -> dict[str, str]:
    """Less what the image brings, and what the engine and the shell set."""
    brought = set(map(text, listed(image.get("Env"))))
    found = {}
    for pair in map(text, listed(config.get("Env"))):
        name, _, value = pair.partition("=")
        if pair not in brought and name not in table()["surroundings"]:
            found[name] = value
    return found


def _mounts(one: Inspected, taken: Taken) -> list[Document]:
    """Folders of the host, and volumes by their name."""
    found: list[Document] = []
    for mount in map(mapping, listed(one.container.get("Mounts"))):
        kind, target = mount.get("Type"), text(mount.get("Destination"))
        source = text(mount.get("Name") if kind == "volume" else mount.get("Source"))
        if kind not in ("bind", "volume") or not source or ":" in source + target:
            taken.leave(
                f"container {one.name}: mounts", target, f"a mount of type {text(kind)[:20]}"
            )
            continue
        made: Document = {"from": source, "to": target}
        found.append(made | ({} if mount.get("RW", True) else {"read_only": True}))
    return found


def _gpus(box: Box, host: Mapping[str, Any], taken: Taken) -> Any:
    for one in map(mapping, listed(host.get("DeviceRequests"))):
        ids = [text(part) for part in listed(one.get("DeviceIDs"))]
        if ids and all(part.isdecimal() and len(part) < 4 for part in ids):
            return [int(part) for part in ids]
        if ids:
            taken.leave(
                f"{box.where}: gpus", ", ".join(ids), "set `gpus:` of the deployment to indices"
            )
        elif one.get("Count") == -1:
            return "all"
        elif isinstance(one.get("Count"), int) and 0 < one["Count"] < 1024:
            return one["Count"]
    return None


def _resources(box: Box, host: Mapping[str, Any]) -> None:
    shm, memory, swap = host.get("ShmSize"), host.get("Memory"), host.get("MemorySwap")
    if isinstance(shm, int) and shm > 1 << 26 and host.get("IpcMode") != "host":
        box.shm = shm
    if isinstance(memory, int) and memory > 0:
        box.limits["memory"] = memory
    if isinstance(swap, int) and swap > 0 and "memory" in box.limits:
        box.limits["memory_swap"] = swap
    cpus = host.get("NanoCpus")
    if isinstance(cpus, int) and cpus > 0:
        box.limits["cpus"] = cpus / 1e9


def _published(host: Mapping[str, Any]) -> dict[int, int]:
    if host.get("NetworkMode") == "host":
        return {}
    found = {}
    for inside, bindings in mapping(host.get("PortBindings")).items():
        port = inside.partition("/")[0]
        for one in map(mapping, listed(bindings)):
            outside = text(one.get("HostPort"))
            if port.isdecimal() and outside.isdecimal() and 0 < int(outside) < 65536:
                found[int(port)] = int(outside)
    return found


def _rest(one: Inspected, box: Box, taken: Taken) -> None:
    """What orch decides itself, or has no key for."""
    config, host = mapping(one.container.get("Config")), mapping(one.container.get("HostConfig"))
    image = mapping(one.image.get("Config"))
    devices = [text(mapping(it).get("PathOnHost")) for it in listed(host.get("Devices"))]
    policy = text(mapping(host.get("RestartPolicy")).get("Name"))
    caps = [text(it).removeprefix("CAP_") for it in listed(host.get("CapAdd"))]
    limits = [mapping(it).get("Name") for it in listed(host.get("Ulimits"))]
    brought = mapping(image.get("Labels"))
    labels = [
        name for name, value in mapping(config.get("Labels")).items() if brought.get(name) != value
    ]
    said: Document = {
        "privileged": host.get("Privileged"),
        "devices": [it for it in devices if not it.startswith(FABRIC)],
        "cap-add": [it for it in caps if it != "IPC_LOCK"],
        "ulimits": [it for it in limits if it != "memlock"],
        "restart": policy if policy != "no" else "",
        "user": config.get("User") if config.get("User") != image.get("User") else "",
        "workdir": config.get("WorkingDir")
        if config.get("WorkingDir") != image.get("WorkingDir")
        else "",
        "healthcheck": mapping(config.get("Healthcheck")).get("Test"),
        "labels": labels,
        **{key: host.get(name) for name, key in OTHERS.items()},
    }
    network = text(host.get("NetworkMode"))
    said["network"] = network if network not in ("host", "bridge", "default", "") else ""
    for name, value in said.items():
        if value and value != -1:
            taken.leave(f"{box.where}: {name}", value, WHY.get(name, "there is no key for it"))


# docker's settings that orch has no word for, by their name in HostConfig.
OTHERS = {
    "SecurityOpt": "security-opt", "ExtraHosts": "add-host", "Dns": "dns", "PidMode": "pid", "UsernsMode": "userns",
    "CpusetCpus": "cpuset-cpus", "CpusetMems": "cpuset-mems", "GroupAdd": "group-add", "Sysctls": "sysctl",
    "ReadonlyRootfs": "read-only", "Init": "init", "OomScoreAdj": "oom-score-adj", "PidsLimit": "pids-limit",
    "CapDrop": "cap-drop", "Links": "link", "VolumesFrom": "volumes-from", "StorageOpt": "storage-opt",
}  # fmt: skip
WHY = {
    "privileged": "orch gives a rank the devices that it needs",
    "restart": "orch restarts a gang: `supervision:`",
    "healthcheck": "orch has its own",
    "network": "orch uses the host's network",
    "labels": "orch sets its own",
}
