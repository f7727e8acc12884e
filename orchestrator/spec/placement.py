"""Deployments of the file → placed ones: hosts named, replicas spread, profiles merged in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from orchestrator.meant import did_you_mean
from orchestrator.spec import shape
from orchestrator.spec.inventory import Names
from orchestrator.spec.library import Library, Merged
from orchestrator.spec.load import Document, Files
from orchestrator.spec.merge import merge
from orchestrator.spec.models import (
    ClusterFile,
    Deployment,
    DeploymentEntry,
    LimitsEntry,
    PortRange,
    Profile,
    ProfileFile,
    Supervision,
)
from orchestrator.spec.replicas import Gpus, Slot, spread
from orchestrator.spec.services import SERVICES, UNRANKED
from orchestrator.spec.units import parse_size
from orchestrator.spec.version_forms import version_form

DEFAULT_PORT = 8000
WHOLE = frozenset({"llamacpp", "sglang", "tensorrtllm"})  # no rank of a gang can be taken back


@dataclass
class Placer:
    """Places each deployment of the file once; `with:` needs the other one first."""

    files: Files
    cluster: Document[ClusterFile]
    names: Names
    profiles: Library[ProfileFile]
    _slots: dict[str, tuple[Slot, ...] | None] = field(default_factory=dict)
    _under_way: list[str] = field(default_factory=list)

    def place(self) -> dict[str, Deployment]:
        """The enabled deployments that are right, replicas spread out."""
        placed: dict[str, Deployment] = {}
        entries = self.cluster.model.deployments if self.cluster.model else {}
        profiles = {name: self._profile(name, entry) for name, entry in entries.items()}
        for name, entry in entries.items():
            slots = self._slots_of(name, entry)
            self._check_after(name, entry)
            profile = profiles[name]
            if not entry.enabled or slots is None or profile is None:
                continue
            for index, slot in enumerate(slots):
                if slot.name in placed or (slot.name != name and slot.name in entries):
                    self._wrong((name,), f"its replica {slot.name!r} has the name of another")
                    continue
                placed[slot.name] = self._deployment(name, entry, profile, slot, index)
        return self._ordered(placed)

    def _slots_of(self, name: str, entry: DeploymentEntry) -> tuple[Slot, ...] | None:
        """Where it runs, once for each replica; None where that can't be said."""
        if name not in self._slots:
            self._under_way.append(name)
            broken = self.cluster.touched("deployments", name)
            self._slots[name] = None if broken else self._find_slots(name, entry)
            self._under_way.pop()
        return self._slots[name]

    def _find_slots(self, name: str, entry: DeploymentEntry) -> tuple[Slot, ...] | None:
        if entry.with_ is not None:
            return self._beside(name, entry, entry.with_)
        if entry.hosts is None:
            self._wrong((name, "hosts"), "is required", "or `with:` another deployment")
            return None
        hosts = self._hosts(name, entry)
        if hosts is None:
            return None
        if entry.replicas is None:
            return (Slot(name, hosts, entry.gpus if entry.gpus is not None else "all"),)
        return spread(self, name, entry, hosts)

    def _beside(self, name: str, entry: DeploymentEntry, other: str) -> tuple[Slot, ...] | None:
        """One beside each replica of the other, on the same hosts and GPUs."""
        for key, value in (("hosts", entry.hosts), ("replicas", entry.replicas)):
            if value is not None:
                self._wrong((name, key), "can't be said together with `with`")
                return None
        entries = self.cluster.model.deployments if self.cluster.model else {}
        at = (name, "with")
        if other not in self._known():
            hint = did_you_mean(other, [one for one in self._known() if one != name])
            self._wrong(at, f"there is no deployment {other[:60]!r}", hint)
            return None
        if other in self._under_way:
            self._wrong(at, f"stands beside itself: {' → '.join([*self._under_way, other])}")
            return None
        if other not in entries:
            return None
        if entry.enabled and not entries[other].enabled:
            self._wrong(at, f"{other!r} is not enabled, so there is nothing to stand beside")
            return None
        slots = self._slots_of(other, entries[other])
        return None if slots is None else tuple(slot.beside(name, other) for slot in slots)

    def _hosts(self, name: str, entry: DeploymentEntry) -> tuple[str, ...] | None:
        """The hosts, head first; a group counts as its hosts."""
        if not self.names.complete:
            return None
        said = (entry.hosts,) if isinstance(entry.hosts, str) else entry.hosts or ()
        at: tuple[str | int, ...] = (name, "hosts")
        hosts: list[str] = []
        unknown = False
        for index, word in enumerate(said):
            here = at if isinstance(entry.hosts, str) else (*at, index)
            members = self.names.groups.get(word, (word,) if word in self.names.known else ())
            if not members and word not in self.names.broken:
                known = (*self.names.known, *self.names.groups)
                hint = did_you_mean(word, known)
                self._wrong(here, f"there is no host or group {word[:60]!r}", hint)
            unknown |= not members
            hosts.extend(members)
        if len(set(hosts)) < len(hosts):
            twice = next(host for host in hosts if hosts.count(host) > 1)
            self._wrong(at, f"{twice!r} is named twice")
            return None
        if not said:
            self._wrong(at, "names no host")
            return None
        unknown |= not self._head(name, entry, hosts)
        if unknown or any(host not in self.names.hosts for host in hosts):
            return None
        return tuple(sorted(hosts, key=lambda host: host != entry.head))

    def _head(self, name: str, entry: DeploymentEntry, hosts: list[str]) -> bool:
        if entry.head is None or entry.head in hosts:
            return True
        hint = did_you_mean(entry.head, hosts)
        message = f"the head {entry.head[:60]!r} is not among the hosts {', '.join(hosts)}"
        self._wrong((name, "head"), message, hint)
        return False

    def _profile(self, name: str, entry: DeploymentEntry) -> Profile | None:
        at = ("deployments", name, "profile")
        merged = self.profiles.get(entry.profile, self.cluster, at)
        if merged is None or merged.wrong or self.cluster.touched("deployments", name):
            return None
        self._check_hosts_of_env(merged)
        said = self.cluster.said["deployments"][name]
        data = merge(version_form(merged.data), merged.data)
        data = merge(data, {key: said[key] for key in ("args", "env") if said.get(key)})
        data["name"] = merged.short_name
        try:
            profile = Profile.model_validate_json(
                json.dumps(shape.strip(Profile, data)), strict=True
            )
        except ValidationError as error:
            for details in error.errors(include_url=False):
                place = ".".join(str(part) for part in details["loc"])
                self.files.add(merged.chain[0], details["loc"], f"{place}: {details['msg']}")
            return None
        if not profile.model and profile.engine_key not in SERVICES:
            hint = "here, or in what it extends"
            self.files.add(merged.chain[0], ("model",), "is required", hint)
            return None
        return profile

    def _check_hosts_of_env(self, merged: Merged[ProfileFile]) -> None:
        for document in merged.chain if self.names.complete else ():
            for host in document.model.env_by_host if document.model else ():
                if host not in self.names.known:
                    hint = did_you_mean(host, self.names.known)
                    at = ("env_by_host", host)
                    self.files.add(document, at, f"there is no host {host[:60]!r}", hint, key=True)

    def _check_after(self, name: str, entry: DeploymentEntry) -> None:
        for index, other in enumerate(entry.after):
            if other == name:
                self._wrong((name, "after", index), "comes after itself")
            elif other not in self._known():
                hint = did_you_mean(other, [one for one in self._known() if one != name])
                self._wrong((name, "after", index), f"there is no deployment {other[:60]!r}", hint)

    def _deployment(
        self, name: str, entry: DeploymentEntry, profile: Profile, slot: Slot, index: int
    ) -> Deployment:
        if isinstance(entry.port, PortRange):
            port = min(entry.port.from_ + index, 65535)
            if entry.port.from_ + index > 65535:
                self._wrong((name, "port"), f"replica {index} would need a port above 65535")
        else:
            port = entry.port or DEFAULT_PORT
        limits = merge(
            (profile.limits or LimitsEntry()).model_dump(),
            (entry.limits or LimitsEntry()).model_dump(exclude_none=True),
        )
        return Deployment(
            name=slot.name,
            profile=_with_executor(profile, slot),
            hosts=slot.hosts,
            parallel=entry.parallel,
            rails=entry.rails,
            port=port,
            gate=entry.gate,
            endpoint=entry.endpoint,
            after=tuple(other for other in entry.after if other in self._known()),
            gpus=_gpus(entry, profile, slot),
            share_gpu=entry.share_gpu,
            memory_bytes=None if entry.memory is None else parse_size(entry.memory),
            limits=LimitsEntry(**limits),
            supervision=entry.supervision or profile.supervision or _supervision(profile, slot),
            origin=name,
            beside=slot.companion,
        )

    def _ordered(self, placed: Mapping[str, Deployment]) -> dict[str, Deployment]:
        """`after: [chat]` means after each replica; one that is not enabled is not waited for."""
        return {
            name: one.model_copy(
                update={
                    "after": tuple(
                        other.name
                        for word in one.after
                        for other in placed.values()
                        if other.origin == word
                    )
                }
            )
            for name, one in placed.items()
        }

    def _known(self) -> list[str]:
        said = self.cluster.said.get("deployments")
        return list(said) if isinstance(said, dict) else []

    def _wrong(self, at: tuple[Any, ...], message: str, suggestion: str = "") -> None:
        self.files.add(self.cluster, ("deployments", *at), message, suggestion)

    wrong = _wrong


def _with_executor(profile: Profile, slot: Slot) -> Profile:
    """vLLM's executor where the profile leaves it open: Ray for a gang, processes on one host."""
    if profile.engine_key != "vllm" or profile.executor is not None:
        return profile
    return profile.model_copy(update={"executor": "ray" if len(slot.hosts) > 1 else "mp"})


def _gpus(entry: DeploymentEntry, profile: Profile, slot: Slot) -> Gpus:
    """A service has none, unless it is said that it has; a model has all."""
    spread_out = entry.replicas is not None and entry.replicas.per == "gpu"
    if profile.engine_key in SERVICES and entry.gpus is None and not spread_out:
        return 0
    return slot.gpus


def _supervision(profile: Profile, slot: Slot) -> Supervision:
    """Who restarts it: nobody where ranks can't rejoin (native, RPC) or have an end, else the entrypoints."""
    if profile.engine_key in UNRANKED | {"job"}:
        return "none"
    gang = len(slot.hosts) > 1
    if gang and (profile.engine_key in WHOLE or profile.executor == "native"):
        return "none"
    return "entrypoint"
