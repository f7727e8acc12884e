"""What an export is made of, and what it gives."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import yaml

from orchestrator.contracts import Rank, World
from orchestrator.engines import engine
from orchestrator.spec.models import Cluster, Deployment, Host, SecretRef
from orchestrator.take.secrets import UNPRINTABLE


@dataclass(frozen=True)
class Unsaid:
    """A part of the files that this form has no word for, and what to do about it."""

    where: str
    why: str

    def __str__(self) -> str:
        return f"{self.where}: {self.why}"


@dataclass
class Exported:
    """Texts by path, and what is not in them."""

    texts: dict[str, str] = field(default_factory=dict)
    unsaid: list[Unsaid] = field(default_factory=list)

    def leave(self, where: str, why: str) -> None:
        one = Unsaid(where, why)
        if one not in self.unsaid:
            self.unsaid.append(one)


class Format(Protocol):
    """One file each under export/formats/, with a module attribute `FORMAT`."""

    name: str
    what: str

    def export(self, cluster: Cluster, world: World) -> Exported: ...


def ranks(cluster: Cluster, world: World) -> Iterator[tuple[Host, Deployment, Rank]]:
    """Every rank with its host, in the order of the files."""
    for one in cluster.deployments.values():
        for rank in engine(one.profile.engine).ranks(cluster, one, world):
            yield cluster.hosts[rank.host], one, rank


def secrets(deployment: Deployment, rank: Rank) -> dict[str, SecretRef]:
    """Variable of the rank → where its value comes from."""
    found = {}
    for pair in sorted(rank.secrets):
        name, _, key = pair.partition("=")
        ref = (
            deployment.profile.api_key
            if key == "api_key"
            else deployment.profile.secrets.get(key or name)
        )
        if ref is not None:
            found[name] = ref
    return found


def told(ref: SecretRef) -> str:
    """Where a secret comes from, for a comment."""
    if ref.env is not None:
        return f"the variable {ref.env}"
    return f"the file {ref.file}" if ref.file is not None else f"the command {ref.command}"


def home(host: Host) -> str:
    """Where `~` is on a host, as far as the files tell."""
    user = host.ssh.user
    return "/root" if user == "root" else f"/home/{user}" if user else ""


def plain_name(text: str) -> str:
    """A name that Kubernetes takes: lower case, digits, dashes."""
    made = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:52].strip("-") or "model"
    return made if made[0].isalpha() else f"m-{made}"


def common(cluster: Cluster, made: Exported) -> None:
    """What no other form has: it is orch's own work at a start."""
    if cluster.links:
        made.leave(
            "links",
            "addresses, MTU and netplan of the fabric: `orch render` prints them, set them first",
        )
    for key in ("takeover", "notify", "tunnels"):
        if getattr(cluster, key):
            made.leave(key, "not in what is written")
    if cluster.hooks.before or cluster.hooks.after:
        made.leave("hooks", "not in what is written")
    for one in cluster.deployments.values():
        _deployment(one, made)


def _deployment(one: Deployment, made: Exported) -> None:
    where, profile = f"deployments.{one.name}", f"profiles.{one.profile.name}"
    made.leave(where, "no gate: link, bandwidth, memory and parity are not looked at first")
    made.leave(where, "no real completion is asked for before it counts as up")
    for key, instead in WITHOUT.items():
        if getattr(one.profile, key):
            made.leave(f"{profile}.{key}", instead)
    for mount in one.profile.mounts:
        if mount.sync:
            made.leave(f"{profile}.mounts", f"copy {mount.from_} to each host yourself")
    if one.after:
        made.leave(f"{where}.after", f"start it when {', '.join(one.after)} answers")


WITHOUT = {
    "warmup": "send the first prompts yourself",
    "patches": "patch the model's files yourself",
    "build": "build the image on each host, or push it to a registry",
}


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, data: str) -> yaml.ScalarNode:
    """Blocks for scripts; quotes where YAML could take a word for something else."""
    node: yaml.ScalarNode = dumper.represent_scalar("tag:yaml.org,2002:str", data)
    lines = data.split("\n")
    if len(lines) > 1 and all(one.isprintable() and not one.endswith(" ") for one in lines):
        node.style = "|"
    elif data.lower() in ("yes", "no", "on", "off", "y", "n") or re.match(r"[-+.]?[0-9]", data):
        node.style = "'"
    return node


_Dumper.add_representer(str, _text)


def yaml_text(*documents: dict[str, Any]) -> str:
    """One or more documents."""
    text: str = yaml.dump_all(
        documents,
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        width=110,
        default_flow_style=False,
    )
    return text


def header(made: Exported, *lines: str) -> str:
    """Comments on top: how to use it, and what is not in it."""
    left = [f"- {one}" for one in made.unsaid]
    said = ["Written by `orch export`.", *lines, *(["Not in here:", *left] if left else [])]
    return "".join(f"# {UNPRINTABLE.sub(' ', one)}\n" for one in said)
