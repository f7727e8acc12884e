"""Inventory file → hosts and groups: defaults and kinds merged in, names checked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import ValidationError

from orchestrator.meant import close, did_you_mean
from orchestrator.spec import shape
from orchestrator.spec.library import Library, Merged, anchor, anchored_secret
from orchestrator.spec.load import Document, Files
from orchestrator.spec.merge import is_secret, merge
from orchestrator.spec.models import (
    ExpectEntry,
    GpuEntry,
    Host,
    HostEntry,
    InventoryFile,
    Kind,
    PortSpec,
    Prepare,
    PrepareEntry,
    SecretRef,
    Ssh,
)

DEFAULT_KIND = "gpu-host"
DEFAULT_MODELS = "~/models"

Inventory = Document[InventoryFile]


@dataclass(frozen=True)
class Names:
    """Hosts and groups by name; those with a finding are only in `known` or `broken`."""

    hosts: Mapping[str, Host]
    known: tuple[str, ...]
    groups: Mapping[str, tuple[str, ...]]
    broken: frozenset[str]
    complete: bool = (
        True  # False: the inventory could not be read, so that no name can be called unknown
    )


def resolve(files: Files, inventory: Inventory, kinds: Library[Kind]) -> Names:
    """All hosts and groups that are right."""
    said = inventory.said.get("hosts")
    entries = said if isinstance(said, dict) else {}
    hosts: dict[str, Host] = {}
    reader = _HostReader(files, inventory, kinds)
    if inventory.model is not None:
        if inventory.model.defaults.address is not None:
            files.add(inventory, ("defaults", "address"), "an address belongs to one host")
        for name in inventory.model.hosts:
            host = reader.host(name)
            if host is not None:
                hosts[name] = host
        _check_jumps(files, inventory, hosts)
        _check_addresses(files, inventory, hosts)
    known = tuple(dict.fromkeys([*map(str, entries), *hosts]))
    groups = _groups(files, inventory, known)
    said = inventory.said.get("groups")
    named = frozenset(said) if isinstance(said, dict) else frozenset()
    return Names(hosts, known, groups, named - groups.keys())


class _HostReader:
    """Merges defaults and kind into each host; a kind is built once, however many hosts have it."""

    def __init__(self, files: Files, inventory: Inventory, kinds: Library[Kind]) -> None:
        self._files = files
        self._inventory = inventory
        self._kinds = kinds
        self._built: dict[str, Kind | None] = {}

    def host(self, name: str) -> Host | None:
        """The host, or None after a finding."""
        inventory, said = self._inventory, self._inventory.said
        merged = merge(said.get("defaults") or {}, said.get("hosts", {}).get(name) or {}, is_secret)
        own = "kind" in (inventory.data.get("hosts", {}).get(name) or {})
        at = ("hosts", name, "kind") if own else ("defaults", "kind")
        kind = self._kind(merged.get("kind", DEFAULT_KIND), at)
        if inventory.touched("hosts", name) or inventory.touched("defaults") or kind is None:
            return None
        try:
            entry = HostEntry.model_validate_json(json.dumps(merged), strict=True)
        except ValidationError as error:
            reason = error.errors(include_url=False)[0]["msg"]
            message = f"does not fit together with defaults: {reason}"
            self._files.add(inventory, ("hosts", name), message)
            return None
        return _built(self._files, inventory, name, entry, kind)

    def _kind(self, name: Any, at: tuple[str, ...]) -> Kind | None:
        if not isinstance(name, str):
            return None
        merged = self._kinds.get(name, self._inventory, at)
        if merged is None or merged.wrong:
            return None
        if name not in self._built:
            self._built[name] = self._validated(name, merged)
        return self._built[name]

    def _validated(self, name: str, merged: Merged[Kind]) -> Kind | None:
        first = merged.chain[0]
        if merged.data.get("name") != name and first.path.stem == name:
            message = f"the file is called {name}.yaml"
            self._files.add(first, ("name",), message, f"write name: {name}")
            return None
        data = shape.strip(Kind, merged.data)
        try:
            return Kind.model_validate_json(json.dumps(data), strict=True)
        except ValidationError as error:
            reason = error.errors(include_url=False)[0]
            place = ".".join(str(part) for part in reason["loc"])
            self._files.add(first, (), f"{place}: {reason['msg']}")
            return None


def _built(
    files: Files, inventory: Inventory, name: str, entry: HostEntry, kind: Kind
) -> Host | None:
    gpus = _gpus(entry)
    if gpus is not None and len({gpu.index for gpu in gpus}) < len(gpus):
        files.add(inventory, ("hosts", name, "gpus"), "two GPUs have the same index")
        return None
    base = inventory.path.parent.absolute()
    ports: dict[str, PortSpec] = {**kind.ports, **(entry.ports or {})}
    management = entry.management if entry.management is not None else kind.management
    netdevs = [*management, *(half.netdev for port in ports.values() for half in port.halves)]
    twice = next((one for one in netdevs if netdevs.count(one) > 1), None)
    if twice is not None:
        message = f"the interface {twice} has two places among management and ports"
        files.add(inventory, ("hosts", name), message)
        return None
    return Host(
        name=name,
        kind=kind,
        address=entry.address or name,
        ssh=_ssh(entry, inventory),
        gpus=gpus,
        runtime=_runtime(entry),
        become=entry.become or "sudo",
        become_password=_secret(entry.become_password, base),
        models=entry.models or DEFAULT_MODELS,
        ports=ports,
        management=management,
        prepare=_prepare(kind.prepare, entry.prepare),
        expect=kind.expect.model_copy(update=_said(entry.expect)),
        install_packages=bool(entry.install_packages),
        env={key: str(value) for key, value in (entry.env or {}).items()},
    )


def _runtime(entry: HostEntry) -> Literal["docker", "podman", "sudo -n podman", "process"]:
    """Podman keeps root's containers and the user's apart: root's where we may be root."""
    asks = entry.become != "never" and (entry.ssh is None or entry.ssh.user != "root")
    return "sudo -n podman" if entry.runtime == "podman" and asks else entry.runtime or "docker"


def _gpus(entry: HostEntry) -> tuple[GpuEntry, ...] | None:
    if isinstance(entry.gpus, int):
        return tuple(GpuEntry(index=index) for index in range(entry.gpus))
    return entry.gpus


def _ssh(entry: HostEntry, inventory: Inventory) -> Ssh:
    ssh = entry.ssh or Ssh()
    base = inventory.path.parent.absolute()
    paths = {key: anchor(getattr(ssh, key), base) for key in ("key", "known_hosts", "config")}
    return ssh.model_copy(update=paths)


def _secret(secret: SecretRef | None, base: Any) -> SecretRef | None:
    if secret is None:
        return None
    return SecretRef(**anchored_secret(secret.model_dump(exclude_none=True), base))


def _said(entry: PrepareEntry | ExpectEntry | None) -> dict[str, Any]:
    return entry.model_dump(exclude_none=True) if entry else {}


def _prepare(kind: Prepare, entry: PrepareEntry | None) -> Prepare:
    said = _said(entry)
    if said.get("read_ahead_kb") is False:
        said["read_ahead_kb"] = None
    return kind.model_copy(update=said)


def _check_jumps(files: Files, inventory: Inventory, hosts: Mapping[str, Host]) -> None:
    """A jump host of this inventory must not need itself to be reached."""
    for name in hosts:
        word = hosts[name].ssh.jump
        meant = close(word, hosts) if word and word not in hosts and "@" not in word else None
        if meant is not None:
            files.add(
                inventory,
                ("hosts", name, "ssh", "jump"),
                f"{word!r} is no host of this inventory; ssh's own configuration is asked for it",
                f"did you mean {meant!r}?",
                severity="warning",
            )
        seen = [name]
        jump = hosts[name].ssh.jump
        while jump is not None and jump in hosts and jump not in seen:
            seen.append(jump)
            jump = hosts[jump].ssh.jump
        if jump == name:
            way = " → ".join([*seen, name])
            files.add(inventory, ("hosts", name, "ssh", "jump"), f"jumps in a circle: {way}")


def _check_addresses(files: Files, inventory: Inventory, hosts: Mapping[str, Host]) -> None:
    """Two names for one machine would put both ranks of a gang on it."""
    seen: dict[tuple[object, ...], str] = {}
    for name, host in hosts.items():
        key = (host.address, host.ssh.port, host.ssh.jump)
        if key in seen:
            message = f"{seen[key]} has the same address {host.address!r}"
            files.add(inventory, ("hosts", name, "address"), message)
        seen.setdefault(key, name)


def _groups(
    files: Files, inventory: Inventory, known: tuple[str, ...]
) -> Mapping[str, tuple[str, ...]]:
    """The groups with nothing wrong in them."""
    groups = inventory.model.groups if inventory.model else {}
    return {
        name: members
        for name, members in groups.items()
        if _group_is_right(files, inventory, known, name, members)
        and not inventory.touched("groups", name)
    }


def _group_is_right(
    files: Files,
    inventory: Inventory,
    known: tuple[str, ...],
    name: str,
    members: tuple[str, ...],
) -> bool:
    before = len(files.findings)
    if name in known:
        files.add(inventory, ("groups", name), f"{name!r} is a host as well", key=True)
    if not members:
        files.add(inventory, ("groups", name), "names no host")
    for index, member in enumerate(members):
        at = ("groups", name, index)
        if member not in known:
            hint = did_you_mean(member, known)
            files.add(inventory, at, f"there is no host {member[:60]!r}", hint)
        elif member in members[:index]:
            files.add(inventory, at, f"{member!r} stands twice")
    return len(files.findings) == before
