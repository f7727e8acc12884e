"""Containers that run on hosts, for `orch import --from-host`: found, described, and taken."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.errors import FilesWrong
from orchestrator.facts.container_words import MOST, ReadContainerWords
from orchestrator.facts.containers import CLUSTER
from orchestrator.hosts.reader import read
from orchestrator.runtimes import runtime
from orchestrator.take.inspected import Inspected, gangs
from orchestrator.take.model import Taken

if TYPE_CHECKING:
    from orchestrator.hosts.pool import Pool
    from orchestrator.spec.models import Cluster

CONTAINER = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,254}")
RUNTIMES = ("docker", "podman")


def taken_from_hosts(
    hosts: Sequence[str], words: Sequence[str], inventory: Path, *, accept: bool
) -> dict[str, Taken]:
    """What these containers of these hosts are, as one source."""
    cluster = _cluster(hosts, inventory)
    names = [_split(word, hosts) for word in words]
    with _pool(cluster, accept) as pool:
        if not names:
            raise FilesWrong("which containers?", hint=_candidates(pool, cluster, hosts))
        found = _described(pool, cluster, hosts, names)
    taken = Taken("inspect")
    gangs(found, taken, names[0][1])
    return {", ".join(f"{one.host}:{one.name}" for one in found): taken}


def _split(word: str, hosts: Sequence[str]) -> tuple[str | None, str]:
    """`spark-2:vllm-worker` is on one host; a name alone is looked for on all."""
    host, colon, name = word.partition(":")
    found = (host, name) if colon and host in hosts else (None, word)
    if not CONTAINER.fullmatch(found[1]):
        raise FilesWrong(f"{word!r} is no name of a container")
    return found


def _cluster(hosts: Sequence[str], path: Path) -> Cluster:
    """The inventory that is there: a deployment needs its names."""
    from orchestrator.spec.resolve import load_inventory

    if not path.exists():
        raise FilesWrong(
            f"there is no inventory {path}", hint=f"orch init {' '.join(hosts)} writes one"
        )
    cluster = load_inventory(path)
    unknown = [name for name in hosts if name not in cluster.hosts]
    if unknown:
        known = ", ".join(cluster.hosts) or "none"
        raise FilesWrong(f"{', '.join(unknown)}: not in {path}", hint=f"there are: {known}")
    for name in hosts:
        if cluster.hosts[name].runtime not in RUNTIMES:
            raise FilesWrong(f"{name} has no containers: runtime {cluster.hosts[name].runtime}")
    return cluster


def _pool(cluster: Cluster, accept: bool) -> Pool:
    from orchestrator.hosts.pool import Pool
    from orchestrator.hosts.secrets import Secrets, secret_refs
    from orchestrator.redact import Redactor

    secrets = Secrets(secret_refs(cluster.hosts, cluster), Redactor(), cluster.root)
    return Pool(cluster.hosts, secrets, accept_new_host_keys=accept)


def _candidates(pool: Pool, cluster: Cluster, hosts: Sequence[str]) -> str:
    """What runs there that looks like a model server."""
    queries = {name: runtime(cluster.hosts[name].runtime).ours(None) for name in hosts}
    world = read(pool, set(queries.items()))
    _raise(world.errors)
    found = [
        f"{host}:{one.name} ({one.serves})"
        for host, query in queries.items()
        for one in world[host].get(query)
        if one.serves and CLUSTER not in one.labels
    ]
    told = ", ".join(found)
    return f"these serve models: {told}" if told else "no container there looks like a model server"


def _described(
    pool: Pool, cluster: Cluster, hosts: Sequence[str], names: Sequence[tuple[str | None, str]]
) -> list[Inspected]:
    queries = {
        host: ReadContainerWords(
            cluster.hosts[host].runtime,
            tuple(dict.fromkeys(name for on, name in names if on in (None, host))),
        )
        for host in hosts
    }
    if any(len(query.names) > MOST for query in queries.values()):
        raise FilesWrong(f"at most {MOST} containers at once")
    world = read(pool, set(queries.items()))
    _raise(world.errors)
    found = [
        Inspected(host, one.container, one.image, one.processes)
        for host, query in queries.items()
        for one in world[host].get(query)
    ]
    _all_there(found, hosts, names)
    return found


def _all_there(
    found: Sequence[Inspected], hosts: Sequence[str], names: Sequence[tuple[str | None, str]]
) -> None:
    for on, name in names:
        if not any(one.name == name and on in (None, one.host) for one in found):
            where = on or ", ".join(hosts)
            raise FilesWrong(
                f"{where}: there is no container {name}", hint="`docker ps -a` there lists them"
            )
    ours = [one for one in found if _owner(one.container)]
    if ours:
        raise FilesWrong(
            f"{ours[0].host}: {ours[0].name} is a rank of orch's cluster {_owner(ours[0].container)}"
        )


def _owner(container: Mapping[str, object]) -> str:
    config = container.get("Config")
    labels = config.get("Labels") if isinstance(config, Mapping) else None
    return str(labels.get(CLUSTER) or "") if isinstance(labels, Mapping) else ""


def _raise(errors: Mapping[str, Exception]) -> None:
    for error in errors.values():
        raise error
