"""What was taken, as the texts of orch's files: profiles, an inventory, a cluster file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from orchestrator.redact import Redactor
from orchestrator.take.model import Document, Left, Taken, Wanted
from orchestrator.take.names import name_for
from orchestrator.take.secrets import shown

SHORTEST = 6  # a secret that is shorter could be any word of a file
PROFILE_KEYS = (
    "version", "extends", "description", "engine", "executor", "model", "served_name", "image", "build",
    "entrypoint", "commands", "args", "env", "env_by_host", "secrets", "api_key", "mounts", "tmpfs", "packages",
    "shm", "rpc_port",
)  # fmt: skip


@dataclass(frozen=True)
class Place:
    """A host that a deployment can be put on, and how many GPUs it has, where that is known."""

    name: str
    gpus: int | None = None


@dataclass
class Wish:
    """What the command line says about where it shall go."""

    cluster: str = "imported"
    inventory: str = "inventory.yaml"
    hosts: tuple[str, ...] = ()  # in this order
    places: tuple[Place, ...] = ()  # all that there are
    kind: str | None = None


@dataclass
class Files:
    """Texts by path, what is missing, and all that was left out, by its source."""

    texts: dict[str, str] = field(default_factory=dict)
    deployments: Document = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    left: dict[str, list[Left]] = field(default_factory=dict)


def files_of(taken: Mapping[str, Taken], wish: Wish) -> Files:
    """All sources together."""
    made = Files()
    masks = Redactor()
    for one in taken.values():
        for value in one.secrets:
            if len(value.strip()) >= SHORTEST:
                masks.add(value)
    hosts = {name: it for one in taken.values() for name, it in one.hosts.items()}
    if hosts:
        made.texts["inventory.yaml"] = masks.scrub(_inventory(taken, hosts, wish))
        wish.places = (
            *wish.places,
            *(Place(name) for name in hosts if name not in _names(wish.places)),
        )
    takeover: list[str] = []
    for source, one in taken.items():
        for name, profile in one.profiles.items():
            title = name_for(name, {path[len("profiles/") : -len(".yaml")] for path in made.texts})
            made.texts[f"profiles/{title}.yaml"] = masks.scrub(_profile(source, profile, one.left))
            made.deployments[title] = _deployment(title, one.deployments[name], wish, made)
        takeover += [name for name in one.takeover if name not in takeover]
        if one.left:
            made.left[source] = [
                Left(masks.scrub(it.where), masks.scrub(it.what), masks.scrub(it.why))
                for it in one.left
            ]
    if made.deployments:
        _ports_apart(made)
        made.texts["cluster.yaml"] = masks.scrub(_cluster(made.deployments, takeover, wish, taken))
    return made


def _names(places: Sequence[Place]) -> set[str]:
    return {one.name for one in places}


def _deployment(title: str, wanted: Wanted, wish: Wish, made: Files) -> Document:
    """Where it goes: hosts that are known, else those that were named, as many as it takes."""
    hosts = list(wanted.hosts) or _chosen(wanted, wish)
    if len(hosts) < wanted.nodes:
        several = "s" if wanted.nodes > 1 else ""
        made.missing.append(
            f"deployment {title} wants {wanted.nodes} host{several}; there: {', '.join(hosts) or 'none'}."
            " Name them: --hosts A,B, or write `hosts:` into the cluster file"
        )
    entry: Document = {"profile": title, "hosts": hosts, **wanted.entry}
    count = _gpus(wanted, hosts, wish)
    if count is not None and "gpus" not in entry:
        entry["gpus"] = count
    return entry


def _world(wanted: Wanted) -> int:
    """GPUs of all hosts together."""
    made = 1
    for size in wanted.entry.get("parallel", {}).values():
        made *= size
    return made


def _gpus(wanted: Wanted, hosts: Sequence[str], wish: Wish) -> int | None:
    """How many of each host, where hosts have more than the parallel sizes take."""
    known = {one.name: one.gpus for one in wish.places}
    have = [known.get(name) for name in hosts]
    each, rest = divmod(_world(wanted), max(len(hosts), 1))
    if rest or not wanted.whole or not any(count is not None and count > each for count in have):
        return None
    return each or None


def _chosen(wanted: Wanted, wish: Wish) -> list[str]:
    """In the order of the command line or the inventory, until there are GPUs enough."""
    known = {one.name: one for one in wish.places}
    pool = [known.get(name, Place(name)) for name in wish.hosts] or list(wish.places)
    world = _world(wanted)
    chosen: list[str] = []
    gpus = 0
    for one in pool:
        if len(chosen) >= wanted.nodes and gpus >= world:
            break
        chosen.append(one.name)
        gpus += world if one.gpus is None and wanted.nodes == 1 else one.gpus or 1
    return chosen


def _ports_apart(made: Files) -> None:
    """Two that want one port of a host: the second moves on, and that is said."""
    taken: set[tuple[str, int]] = set()
    for title, entry in made.deployments.items():
        port, head = entry.get("port"), next(iter(entry["hosts"]), "")
        if not isinstance(port, int):
            continue
        while (head, port) in taken and port < 65535:
            port += 1
        if port != entry["port"]:
            made.missing.append(
                f"deployment {title}: port {entry['port']} is another's; it has {port} here"
            )
            entry["port"] = port
        taken.add((head, port))


# --- texts ------------------------------------------------------------------------------------------


def _profile(source: str, profile: Mapping[str, Any], left: Sequence[Left]) -> str:
    ordered = {key: profile[key] for key in PROFILE_KEYS if key in profile}
    ordered |= {key: value for key, value in profile.items() if key not in ordered}
    lines = [f"# Taken from {_told(source)} by `orch import`."]
    lines += list(_comments(left))
    return "\n".join([*lines, _yaml(ordered)])


def _told(source: str) -> str:
    """A file by its last name, containers by theirs."""
    return shown(source.rsplit("/", 1)[-1])


def _comments(left: Sequence[Left]) -> Iterator[str]:
    if left:
        yield "# What had no place here:"
        for one in left:
            yield f"# - {_line(one)}"


def _line(one: Left) -> str:
    return re.sub(r"\s+", " ", str(one))[:300]


def _cluster(
    deployments: Document, takeover: Sequence[str], wish: Wish, taken: Mapping[str, Taken]
) -> str:
    document: Document = {"version": 1, "name": wish.cluster, "inventory": wish.inventory}
    document["deployments"] = deployments
    if takeover:
        document["takeover"] = list(takeover)
    told = ", ".join(_told(source) for source, one in taken.items() if one.profiles)
    lines = [f"# Taken from {told} by `orch import`."]
    if takeover:
        lines.append(
            "# `takeover:` names containers that `orch up` stops and renames; none is deleted."
        )
    return "\n".join([*lines, _yaml(document)])


def _inventory(taken: Mapping[str, Taken], hosts: Document, wish: Wish) -> str:
    document: Document = {"version": 1}
    if wish.kind is not None:
        document["defaults"] = {"kind": wish.kind}
    document["hosts"] = hosts
    groups = {name: them for one in taken.values() for name, them in one.groups.items()}
    if groups:
        document["groups"] = groups
    told = ", ".join(_told(source) for source, one in taken.items() if one.hosts)
    left = [it for one in taken.values() if one.hosts for it in one.left]
    lines = [
        f"# Taken from {told} by `orch import`. Kinds and cables are not in it: `orch init` looks for them."
    ]
    return "\n".join([*lines, *_comments(left), _yaml(document)])


class _Line(dict[str, Any]):
    """A mapping that is written in one line."""


class _Dumper(yaml.SafeDumper):
    """Text that YAML 1.2 or a shell could take for something else is quoted; no anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, data: str) -> yaml.ScalarNode:
    node: yaml.ScalarNode = dumper.represent_scalar("tag:yaml.org,2002:str", data)
    if NUMBERLIKE.match(data) or data.lower() in WORDS:
        node.style = "'"
    return node


def _list(dumper: yaml.SafeDumper, data: list[Any]) -> yaml.SequenceNode:
    plain = all(isinstance(one, (str, int, float)) for one in data)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=plain)


def _line_of(dumper: yaml.SafeDumper, data: _Line) -> yaml.MappingNode:
    return dumper.represent_mapping("tag:yaml.org,2002:map", data, flow_style=True)


NUMBERLIKE = re.compile(r"[-+.]?[0-9]|[-+]?\.|[-+.~=<]")
WORDS = frozenset(("", "null", "true", "false", "yes", "no", "on", "off", "y", "n"))
SHORT = frozenset(("parallel", "endpoint", "limits", "build", "api_key", "ssh"))
_Dumper.add_representer(str, _text)
_Dumper.add_representer(list, _list)
_Dumper.add_representer(_Line, _line_of)


def _short(value: Any, key: str = "") -> Any:
    """Small mappings in one line, as people write them."""
    if isinstance(value, dict):
        made = {
            name: _short(one, "env:" if key == "secrets" else name) for name, one in value.items()
        }
        return _Line(made) if key in SHORT or key == "env:" else made
    if isinstance(value, list) and key == "mounts":
        return [_Line(one) for one in value]
    return value


def _yaml(document: Mapping[str, Any]) -> str:
    text: str = yaml.dump(
        _short(dict(document)),
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        width=110,
        default_flow_style=False,
    )
    return text
