"""What the files say against each other: ports, GPUs, sizes, order, subnets. Pure."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from ipaddress import IPv4Network, ip_address
from typing import Any

from orchestrator.contracts import Engine
from orchestrator.errors import OrchError
from orchestrator.spec import gpus, not_yet, services, sizes
from orchestrator.spec.load import expanded, is_there
from orchestrator.spec.models import Cluster, Deployment, Finding, SecretRef


def check(cluster: Cluster, *, links: bool = True) -> tuple[Finding, ...]:
    """All findings about placement; paths are those of the files, `deployments.vl.port`.

    links: whether the cluster has all links of the file, so that the n-th here is the n-th there.
    """
    checks: list[Callable[[Cluster], Iterator[Finding]]] = [
        _ports,
        gpus.conflicts,
        gpus.memory,
        sizes.check,
        _mounts,
        _order,
        _engines,
        _pairs,
        _archived,
        not_yet.check,
    ]
    if links:
        checks.append(_network)
    found = (finding for one in checks for finding in one(cluster))
    return tuple(dict.fromkeys(found))


def missing(
    cluster: Cluster, *, wanted: bool, environ: Mapping[str, str] | None = None
) -> tuple[Finding, ...]:
    """Secrets that are not set, local files that are not there: errors where they are wanted."""
    environment = os.environ if environ is None else environ
    found = (*_secrets(cluster, environment), *_local_files(cluster))
    severity = "error" if wanted else "warning"
    return tuple(dict.fromkeys(one.model_copy(update={"severity": severity}) for one in found))


def _ports(cluster: Cluster) -> Iterator[Finding]:
    taken: dict[tuple[str, int], Deployment] = {}
    for one in cluster.deployments.values():
        for host, port in _listens(one):
            other = taken.setdefault((host, port), one)
            if other is not one:
                hint = f"port: {{from: {port}}}" if other.origin == one.origin else "take another"
                yield Finding(
                    path=f"deployments.{one.origin}.port",
                    message=f"{one.name} and {other.name} both want port {port} of {host}",
                    suggestion=hint,
                )


def _listens(one: Deployment) -> Iterator[tuple[str, int]]:
    """The API is the head's; an RPC port is every other rank's."""
    for port in services.listens(one):
        yield one.head, port
    if one.profile.rpc_port is not None:
        for host in one.hosts[1:]:
            yield host, one.profile.rpc_port


def _mounts(cluster: Cluster) -> Iterator[Finding]:
    """A relative path means nothing on a host, and docker would make a volume of it."""
    for one in cluster.deployments.values():
        for index, mount in enumerate(one.profile.mounts):
            relative = "/" in mount.from_ and not mount.from_.startswith(("/", "~"))
            if relative and not mount.sync:
                yield Finding(
                    path=f"profiles.{one.profile.name}.mounts.{index}.from",
                    message=f"{mount.from_[:200]!r} is neither a path on the hosts nor a volume",
                    suggestion="sync: true brings a local file along",
                )


def _order(cluster: Cluster) -> Iterator[Finding]:
    graph = {name: one.after for name, one in cluster.deployments.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        way = [str(name) for name in error.args[1]]
        first = cluster.deployments[way[0]]
        yield Finding(
            path=f"deployments.{first.origin}.after",
            message=f"each waits for the other: {' → '.join(reversed(way))}",
        )


def _network(cluster: Cluster) -> Iterator[Finding]:
    """Subnets and addresses for every link, as they will be given out."""
    from orchestrator.network.topology import survey_fabric  # which imports the spec

    seen = set()
    yield from _cables(cluster)
    for finding in _subnets(cluster):
        seen.add(finding.path)
        yield finding
    _, findings = survey_fabric(cluster)
    yield from (finding for finding in findings if finding.path not in seen)


def _cables(cluster: Cluster) -> Iterator[Finding]:
    """Two Sparks with nobody else: NVIDIA's set-up wants the same port on both. In a ring the ports differ."""
    around: dict[str, set[str]] = defaultdict(set)
    for link in cluster.links:
        for end in link.ends:
            around[end.host] |= {other.host for other in link.ends}
    for index, link in enumerate(cluster.links):
        first, last = link.ends[0], link.ends[-1]
        kinds = {cluster.hosts[end.host].kind.name for end in link.ends}
        two = len(around[first.host] | around[last.host]) == 2 and link.switch is None
        if two and len(kinds) == 1 and first.port != last.port:
            yield Finding(
                severity="warning",
                path=f"links.{index}",
                message=f"{first} and {last} are not the same port: between two hosts it should be one",
                suggestion="port 0 to port 0, or port 1 to port 1",
            )


def _subnets(cluster: Cluster) -> Iterator[Finding]:
    """A subnet of ours that holds a management address would take the road to that host away."""
    ours: list[tuple[str, IPv4Network]] = []
    if any(link.subnets is None for link in cluster.links):
        ours.append(("network.pool", cluster.pool))
    for index, link in enumerate(cluster.links):
        ours += [(f"links.{index}.subnets", one) for one in link.subnets or ()]
    for name, host in cluster.hosts.items():
        address = _literal(host.address)
        for path, network in ours:
            if address is not None and address in network:
                yield Finding(
                    path=path,
                    message=f"{network} overlaps the management network: {name} is {host.address}",
                    suggestion="take a range that nothing else uses",
                )


def _literal(address: str) -> Any:
    try:
        return ip_address(address)
    except ValueError:
        return None


def _engines(cluster: Cluster) -> Iterator[Finding]:
    """What only the engine knows: its flags, its versions, its limits; no more of sizes that are wrong already."""
    wrong = {one.path for one in sizes.check(cluster) if one.severity == "error"}  # by origin
    for one in cluster.deployments.values():
        path = f"profiles.{one.profile.name}.engine"
        try:
            serving = _engine(one.profile.engine)
        except OrchError as error:
            yield Finding(path=path, message=str(error), suggestion=error.hint)
        else:
            told = f"deployments.{one.origin}.parallel" in wrong
            found = serving.validate(cluster, one)
            yield from (each for each in found if not (told and _of_sizes(one, each)))


def _of_sizes(one: Deployment, finding: Finding) -> bool:
    return finding.path.startswith(f"deployments.{one.name}.parallel")


def _engine(name: str) -> Engine:
    # Imported here: engines import the spec, and `--help` must not import any of them.
    from orchestrator.engines import engine

    return engine(name)


def _pairs(cluster: Cluster) -> Iterator[Finding]:
    """What people have learned not to combine, and what the engine's version has not."""
    from orchestrator.knowledge import pairs, versions  # which import the spec

    found = tuple(pairs.check(cluster))
    yield from found
    yield from versions.check(cluster, frozenset(one.path for one in found))


def _archived(cluster: Cluster) -> Iterator[Finding]:
    for one in cluster.deployments.values():
        if one.profile.archived:
            yield Finding(
                severity="warning",
                path=f"deployments.{one.origin}.profile",
                message=f"{one.profile.name} is archived: {one.profile.archived}",
            )


def _secrets(cluster: Cluster, environ: Mapping[str, str]) -> Iterator[Finding]:
    for path, secret in _secret_refs(cluster):
        if secret.env is not None and not environ.get(secret.env):
            yield Finding(
                path=path,
                message=f"the environment variable {secret.env[:60]!r} is not set",
                suggestion=f"export {secret.env[:60]}=…",
            )
        if secret.file is not None and not _found(secret.file):
            yield Finding(path=path, message=f"there is no file {secret.file[:200]!r}")


def _secret_refs(cluster: Cluster) -> Iterator[tuple[str, SecretRef]]:
    for one in cluster.deployments.values():
        profile = one.profile
        for name, secret in profile.secrets.items():
            yield f"profiles.{profile.name}.secrets.{name}", secret
        if profile.api_key is not None:
            yield f"profiles.{profile.name}.api_key", profile.api_key
    for host in cluster.used_hosts:
        if host.become_password is not None:
            yield f"hosts.{host.name}.become_password", host.become_password


def _local_files(cluster: Cluster) -> Iterator[Finding]:
    seen: dict[str, set[str]] = defaultdict(set)
    for one in cluster.deployments.values():
        profile = one.profile
        wanted = [
            (f"mounts.{index}.from", mount.from_)
            for index, mount in enumerate(profile.mounts)
            if mount.sync
        ]
        for place, path in wanted:
            if path not in seen[profile.name] and not _found(path):
                seen[profile.name].add(path)
                yield Finding(
                    path=f"profiles.{profile.name}.{place}",
                    message=f"there is nothing at {path[:200]!r} on this machine",
                )


def _found(path: str) -> bool:
    return is_there(expanded(path))
