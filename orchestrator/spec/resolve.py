"""The one way from files to a `Cluster`: `load_cluster(path, overrides)`; all errors at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any, Literal

from orchestrator import data as shipped
from orchestrator.spec import inventory as inventories
from orchestrator.spec import overrides as sets
from orchestrator.spec import wording
from orchestrator.spec.check import check, missing
from orchestrator.spec.hooks import hook_findings
from orchestrator.spec.inventory import Inventory, Names
from orchestrator.spec.library import Library
from orchestrator.spec.links import LinkReader, network
from orchestrator.spec.load import Document, Files, expanded, is_there, raise_errors, starting_hint
from orchestrator.spec.models import (
    Cluster,
    ClusterFile,
    Deployment,
    Finding,
    Hooks,
    InventoryFile,
    Kind,
    ProfileFile,
)
from orchestrator.spec.placement import Placer
from orchestrator.spec.tree import Node

Purpose = Literal["look", "check", "up"]

_DEFAULT_POOL = IPv4Network("10.20.0.0/16")


@dataclass(frozen=True)
class Loaded:
    """What the files give, and everything found in them; `cluster` lacks what is wrong."""

    cluster: Cluster
    findings: tuple[Finding, ...]

    @property
    def errors(self) -> tuple[Finding, ...]:
        return tuple(one for one in self.findings if one.severity == "error")

    @property
    def warnings(self) -> tuple[Finding, ...]:
        return tuple(one for one in self.findings if one.severity == "warning")


def load_cluster(
    path: Path, overrides: Sequence[str] = (), *, purpose: Purpose = "check"
) -> Cluster:
    """The resolved cluster, or FilesWrong with every finding.

    purpose: "look" (down, status, logs) takes files that can be read and name what exists; "check"
    also wants what is placed to fit; "up" also wants secrets to be set and local files to be there.
    """
    loaded = load(path, overrides, purpose=purpose)
    raise_errors(loaded.errors)
    return loaded.cluster


def load_inventory(path: Path, overrides: Sequence[str] = ()) -> Cluster:
    """An inventory alone: a cluster of its hosts and links, with no deployments."""
    files = Files(path.parent)
    node = files.read(path)
    if node is None:
        raise_errors(files.errors)
        raise RuntimeError("a file that can't be read left no finding")
    found = sets.read(files, [f"inventory.{text}" for text in overrides], node)
    node = sets.apply(files, node, InventoryFile, found, "inventory")
    document = files.check(path, node, InventoryFile)
    names, parts = _inventory_parts(files, document)
    raise_errors(files.errors)
    return Cluster(
        name="inventory",
        root=path.parent.absolute(),
        hosts=names.hosts,
        groups=names.groups,
        deployments={},
        sources=tuple(files.sources),
        shadowed=shipped.shadowed(path.parent, ("kinds",)),
        **parts,
    )


def load(path: Path, overrides: Sequence[str] = (), *, purpose: Purpose = "check") -> Loaded:
    """All that the files give, with findings. FilesWrong only when cluster.yaml is no YAML."""
    reader = _Reader(path, overrides)
    cluster = reader.cluster()
    findings = list(reader.files.findings)
    if purpose != "look":
        whole = not any(one.path.startswith("links") for one in findings)
        found = (*check(cluster, links=whole), *hook_findings(cluster.hooks, cluster.root))
        findings += [reader.located(one) for one in found]
    findings += [reader.located(one) for one in missing(cluster, wanted=purpose == "up")]
    return Loaded(cluster, tuple(dict.fromkeys(findings)))


class _Reader:
    """Reads cluster, inventory, kinds and profiles, and knows afterwards what stands where."""

    def __init__(self, path: Path, overrides: Sequence[str]) -> None:
        shipped.read_template.cache_clear()
        self.files = files = Files(path.parent)
        node = files.read(path)
        if node is None:
            raise_errors(files.errors)
            raise RuntimeError("a file that can't be read left no finding")
        found = sets.read(files, overrides, node)
        node = sets.apply(files, node, ClusterFile, found, "cluster")
        self._cluster = files.check(path, node, ClusterFile)
        self._inventory = self._read_inventory(found)
        self._kinds = Library(files, "kinds", Kind)
        profile_sets = [one for one in found if one.where == "profile"]
        self._profiles = Library(files, "profiles", ProfileFile, profile_sets)
        self._profile_sets = profile_sets

    def cluster(self) -> Cluster:
        """The cluster as far as it is right."""
        names, parts = _inventory_parts(self.files, self._inventory, self._kinds)
        deployments = self._place(names)
        self._check_profile_sets()
        model = self._cluster.model
        root = self.files.root
        return Cluster(
            name=model.name if model else "unknown",
            root=root.absolute(),
            hosts=names.hosts,
            groups=names.groups,
            deployments=deployments,
            takeover=model.takeover if model else (),
            hooks=model.hooks if model else Hooks(),
            notify=model.notify if model else (),
            tunnels=model.tunnels if model else (),
            sources=tuple(self.files.sources),
            shadowed=shipped.shadowed(root),
            **parts,
        )

    def located(self, finding: Finding) -> Finding:
        """A finding of a later check with its file, line and column, by its dotted path."""
        if finding.file:
            return finding
        document, rest = self._document_of(finding.path)
        if document is None:
            return finding
        path = _split(document.node, rest)
        mark = wording.mark_of(document.node, path)
        return finding.model_copy(
            update={"file": mark.file, "line": mark.line, "column": mark.column, "path": rest}
        )

    def _document_of(self, path: str) -> tuple[Document[Any] | None, str]:
        head, _, rest = path.partition(".")
        if head == "profiles":
            documents = self._profiles.documents()
            fitting = [name for name in documents if rest == name or rest.startswith(f"{name}.")]
            if fitting:
                name = max(fitting, key=len)
                return documents[name], rest[len(name) + 1 :]
            return None, path
        if head in ("hosts", "groups", "links", "network", "defaults"):
            return self._inventory, path
        return self._cluster, path

    def _read_inventory(self, found: Sequence[sets.Override]) -> Inventory | None:
        said = self._cluster.data.get("inventory", "inventory.yaml")
        if not isinstance(said, str):
            return None
        path = self.files.root / expanded(said)
        if not is_there(path):
            message = f"there is no file {said[:200]!r} beside it"
            hint = starting_hint(path) or "inventory: PATH.yaml"
            self.files.add(self._cluster, ("inventory",), message, hint)
            return None
        node = self.files.read(path)
        if node is None:
            return None
        node = sets.apply(self.files, node, InventoryFile, found, "inventory")
        return self.files.check(path, node, InventoryFile)

    def _place(self, names: Names) -> dict[str, Deployment]:
        placer = Placer(self.files, self._cluster, names, self._profiles)
        return placer.place()

    def _check_profile_sets(self) -> None:
        """A `--set profiles.NAME…` for a profile that nothing uses is a mistake."""
        documents = self._profiles.documents()
        for one in self._profile_sets:
            if not any(one.path.startswith(f"{name}.") for name in documents):
                known = ", ".join(documents) or "none"
                message = f"no deployment uses a profile of that name; there are: {known}"
                self.files.findings.append(
                    Finding(message=message, file=one.text, line=1, column=1)
                )


def _inventory_parts(
    files: Files, inventory: Inventory | None, kinds: Library[Kind] | None = None
) -> tuple[Names, dict[str, Any]]:
    """Hosts by name, and the fields of Cluster that come from the inventory alone."""
    if inventory is None or inventory.model is None:
        nothing = Names({}, (), {}, frozenset(), complete=False)
        return nothing, _network_parts(None, _DEFAULT_POOL, ())
    names = inventories.resolve(files, inventory, kinds or Library(files, "kinds", Kind))
    links = LinkReader(files, inventory, names).read()
    at = ("network", "pool")
    pool = network(files, inventory, at, inventory.model.network.pool)
    return names, _network_parts(inventory, pool or _DEFAULT_POOL, links)


def _network_parts(
    inventory: Inventory | None, pool: IPv4Network, links: tuple[Any, ...]
) -> dict[str, Any]:
    entry = (
        inventory.model if inventory and inventory.model else InventoryFile(version=1, hosts={})
    ).network
    return {
        "links": links,
        "pool": pool,
        "mtu": entry.mtu,
        "adopt": entry.adopt,
        "addresses": entry.addresses,
        "ipv6": entry.ipv6,
    }


def _split(root: Node, path: str) -> tuple[str | int, ...]:
    """A dotted path as keys; keys may have dots themselves, so the tree decides."""
    keys: list[str | int] = []
    node: Node | None = root
    while path and node is not None:
        if node.items is not None:
            head, _, path = path.partition(".")
            key: str | int = int(head) if head.isdecimal() and len(head) < 7 else -1
        else:
            fitting = [
                name for name in node.entries or {} if path == name or path.startswith(f"{name}.")
            ]
            if not fitting:
                break
            key = max(fitting, key=len)
            path = path[len(key) + 1 :]
        keys.append(key)
        node = wording.step(node, key)
    return tuple(keys)
