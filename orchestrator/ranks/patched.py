"""`patches:`: a model's JSON file with some values otherwise, mounted over the original, which stays as it is.

The overlay is made from what the host's own original says and is named by what it then says: another original
is another overlay, so its gang restarts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from orchestrator.contracts import Mount, Query, World
from orchestrator.errors import Refused
from orchestrator.facts.original import Original, ReadOriginal
from orchestrator.ranks.state import state_folder, unmounted
from orchestrator.spec.models import Cluster, Deployment, Finding, Host

CONTAINERS = ("docker", "podman")  # what can mount one file over another
UNKNOWN = "unknown"  # in place of the sum, where the original was not read or can't be patched


def folder(cluster: Cluster, host: Host) -> str:
    """Where a host keeps the overlays of a cluster."""
    return f"{state_folder(host)}/patched/{cluster.name}"


def query(deployment: Deployment, file: str) -> ReadOriginal:
    """The original, where it lies on a host."""
    return ReadOriginal(unmounted(deployment, f"{deployment.profile.model.rstrip('/')}/{file}"))


def patch_reads(cluster: Cluster, deployment: Deployment) -> frozenset[tuple[str, Query[Any]]]:
    """The originals, on every host that reads the model."""
    return frozenset(
        (host, query(deployment, file))
        for host in deployment.hosts
        for file in deployment.profile.patches
    )


def patched(deployment: Deployment, file: str, original: Original) -> bytes:
    """What the overlay says. Refused where the original is not there or does not fit the patch."""
    hint = f"`patches:` of profile {deployment.profile.name}"
    path = query(deployment, file).path
    if original.content is None:
        raise Refused(f"{path}, which {deployment.name} patches, is not there", hint=hint)
    try:
        have = json.loads(original.content)
    except (ValueError, RecursionError) as wrong:
        raise Refused(f"{path} can't be patched: it is no JSON ({wrong})", hint=hint) from wrong
    if not isinstance(have, dict):
        raise Refused(f"{path} can't be patched: it is no JSON object", hint=hint)
    wrong_key = _misfit(have, deployment.profile.patches[file])
    if wrong_key:
        raise Refused(
            f"{path} can't be patched: its {wrong_key} has no keys of its own, and the patch has some for it",
            hint=hint,
        )
    made = merged(have, deployment.profile.patches[file])
    return (json.dumps(made, indent=2, ensure_ascii=False) + "\n").encode()


def merged(have: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """The original with the patch's values: objects are merged key by key, all else is put in whole."""
    made = dict(have)
    for key, value in patch.items():
        there = made.get(key)
        if isinstance(value, Mapping):
            made[key] = merged(there if isinstance(there, Mapping) else {}, value)
        else:
            made[key] = value
    return made


def _misfit(have: Mapping[str, Any], patch: Mapping[str, Any], above: str = "") -> str:
    """The first key where the patch goes deeper than the original does; "" if there is none."""
    for key, value in patch.items():
        there = have.get(key)
        if not isinstance(value, Mapping) or there is None:
            continue
        if not isinstance(there, Mapping):
            return f"{above}{key}"
        found = _misfit(there, value, f"{above}{key}.")
        if found:
            return found
    return ""


def overlay(cluster: Cluster, host: Host, file: str, content: bytes | None) -> str:
    """Where an overlay comes to lie on a host."""
    total = hashlib.sha256(content).hexdigest()[:12] if content is not None else UNKNOWN
    return f"{folder(cluster, host)}/{total}-{PurePosixPath(file).name}"


def patch_mounts(
    cluster: Cluster, deployment: Deployment, host: str, world: World
) -> tuple[Mount, ...]:
    """Each overlay over its original. One that can't be made is the step's to refuse, before a rank starts."""
    return tuple(
        Mount(
            overlay(cluster, cluster.hosts[host], file, _content(deployment, host, file, world)),
            f"{deployment.profile.model.rstrip('/')}/{file}",
            read_only=True,
        )
        for file in deployment.profile.patches
    )


def _content(deployment: Deployment, host: str, file: str, world: World) -> bytes | None:
    original = world[host].get(query(deployment, file))
    try:
        return patched(deployment, file, original) if original.known else None
    except Refused:
        return None


def patch_findings(cluster: Cluster, deployment: Deployment) -> Iterator[Finding]:
    """What can be told offline: a model that is no folder of JSON files, a runtime that mounts nothing."""
    profile = deployment.profile
    if not profile.patches:
        return
    where = f"profiles.{profile.name}.patches"
    if not profile.model.startswith("/") or profile.model.endswith(".gguf"):
        yield Finding(
            message=f"{profile.model} is no folder on the hosts: none of its files can be patched",
            path=where,
            suggestion="give `model:` as a folder on the hosts, or say it in `args:` (vLLM: hf-overrides)",
        )
    for file in profile.patches:
        parts = PurePosixPath(file).parts
        if file.startswith("/") or ".." in parts or not file.endswith(".json"):
            yield Finding(
                message=f"{file} is no JSON file of the model", path=where, suggestion="config.json"
            )
    for host in dict.fromkeys(deployment.hosts):
        kind = cluster.hosts[host].runtime
        if kind not in CONTAINERS:
            yield Finding(
                message=f"{host} runs ranks by `{kind}`, where nothing is mounted over the model's files",
                path=where,
                suggestion="patch a copy of the model, or say it in `args:` (vLLM: hf-overrides)",
            )
