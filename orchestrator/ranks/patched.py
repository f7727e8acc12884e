"""`patches:`: a model's JSON file with some values otherwise, mounted over the original, which stays as it is.

The overlay is made from what the host's own original says and is named by what it then says: another original
is another overlay, so its gang restarts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from orchestrator.contracts import Mount, Query, World
from orchestrator.errors import Refused
from orchestrator.facts.engine_words import program
from orchestrator.facts.original import Original, ReadOriginal
from orchestrator.ranks.state import state_folder, unmounted
from orchestrator.spec.models import Cluster, Deployment, Finding, Host

CONTAINERS = ("docker", "podman")  # what can mount one file over another
HUB = "/root/.cache/huggingface"  # where a hub id's files are in a rank, unless HF_HOME says otherwise
UNKNOWN = "unknown"  # in place of the sum, where the original was not read or can't be patched


def folder(cluster: Cluster, host: Host) -> str:
    """Where a host keeps the overlays of a cluster."""
    return f"{state_folder(host)}/patched/{cluster.name}"


@dataclass(frozen=True)
class Place:
    """The model's folder: on a host, in a rank, and of which branch, if it is a hub cache's."""

    host: str
    rank: str
    ref: str = ""


def place(deployment: Deployment) -> Place | None:
    """Where the files to patch lie; None where the files can't tell."""
    profile = deployment.profile
    model = profile.model.rstrip("/")
    if model.endswith(".gguf") or not model or model.startswith(("~", ".")):
        return None
    if model.startswith("/"):
        return Place(unmounted(deployment, model), model)
    home = str(profile.env.get("HF_HOME", HUB)).rstrip("/")
    cache = f"{home}/hub/models--{model.replace('/', '--')}"
    there = unmounted(deployment, cache)
    if there == cache:
        return None
    return Place(there, cache, str(profile.args.get("revision", "main")))


def query(deployment: Deployment, file: str) -> ReadOriginal:
    """The original, where it lies on a host."""
    found = place(deployment)
    if found is None:
        raise Refused(
            f"{deployment.name}: the files of {deployment.profile.model} can't be patched",
            hint="orch check",
        )
    return ReadOriginal(found.host, file, found.ref)


def patch_reads(cluster: Cluster, deployment: Deployment) -> frozenset[tuple[str, Query[Any]]]:
    """The originals, on every host that reads the model."""
    return frozenset(
        (host, query(deployment, file))
        for host in deployment.hosts
        for file in deployment.profile.patches
        if place(deployment) is not None
    )


def patched(deployment: Deployment, file: str, original: Original) -> bytes:
    """What the overlay says. Refused where the original is not there or does not fit the patch."""
    hint = f"`patches:` of profile {deployment.profile.name}"
    path = f"{query(deployment, file).folder}/{original.below}"
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
    found = place(deployment)
    if found is None:
        return ()
    made = []
    for file in deployment.profile.patches:
        original = world[host].get(query(deployment, file))
        content = _content(deployment, file, original)
        source = overlay(cluster, cluster.hosts[host], file, content)
        made.append(Mount(source, f"{found.rank}/{original.below}", read_only=True))
    return tuple(made)


def _content(deployment: Deployment, file: str, original: Original) -> bytes | None:
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
    if place(deployment) is None:
        yield Finding(
            message=f"{profile.model} is no folder on the hosts: none of its files can be patched",
            path=where,
            suggestion=f"give `model:` as a folder there, or mount your hub cache at {HUB}",
        )
    for file in profile.patches:
        parts = PurePosixPath(file).parts
        if file.startswith("/") or ".." in parts or not file.endswith(".json"):
            yield Finding(
                message=f"{file} is no JSON file of the model", path=where, suggestion="config.json"
            )
    for host in dict.fromkeys(deployment.hosts):
        kind = program(cluster.hosts[host].runtime)
        if kind not in CONTAINERS:
            yield Finding(
                message=f"{host} runs ranks by `{kind}`, where nothing is mounted over the model's files",
                path=where,
                suggestion="patch a copy of the model, or say it in `args:` (vLLM: hf-overrides)",
            )
