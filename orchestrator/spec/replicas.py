"""Replicas of a deployment spread over GPUs or hosts, and the companions that stand beside them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from orchestrator.spec.models import DeploymentEntry, Host

if TYPE_CHECKING:
    from orchestrator.spec.placement import Placer

Gpus = tuple[int, ...] | int | Literal["all"]


@dataclass(frozen=True)
class Slot:
    """One place for one deployment: its final name, hosts (head first) and GPUs."""

    name: str
    hosts: tuple[str, ...]
    gpus: Gpus
    companion: str | None = None  # whom it stands beside

    def beside(self, name: str, other: str) -> Slot:
        """The same place for the deployment that stands beside this one: chat-3 → vec-3."""
        return replace(self, name=name + self.name.removeprefix(other), companion=self.name)


def spread(
    placer: Placer, name: str, entry: DeploymentEntry, hosts: tuple[str, ...]
) -> tuple[Slot, ...] | None:
    """`per: gpu` gives each replica a GPU, in the order of the hosts; `per: host` a host."""
    if entry.replicas is None:
        return None
    count = entry.replicas.count
    at = (name, "replicas", "count")
    if entry.replicas.per == "host":
        if count > len(hosts):
            placer.wrong(at, f"{count} replicas on {len(hosts)} hosts", "one for each host")
            return None
        gpus: Gpus = entry.gpus if entry.gpus is not None else "all"
        places: list[tuple[str, Gpus]] = [(host, gpus) for host in hosts]
    else:
        found = _each_gpu(placer, name, entry, hosts, count)
        if found is None:
            return None
        if count > len(found):
            where = f"{len(found)} GPUs of {', '.join(hosts)}"
            placer.wrong(at, f"{count} replicas on the {where}", "one for each GPU")
            return None
        places = found
    return tuple(
        Slot(f"{name}-{index}", (host,), gpus) for index, (host, gpus) in enumerate(places[:count])
    )


def _each_gpu(
    placer: Placer, name: str, entry: DeploymentEntry, hosts: tuple[str, ...], count: int
) -> list[tuple[str, Gpus]] | None:
    """Every GPU that may be used, with its host."""
    places: list[tuple[str, Gpus]] = []
    for host in hosts:
        if isinstance(entry.gpus, tuple):
            indices: tuple[int, ...] | None = entry.gpus
        elif isinstance(entry.gpus, int):
            indices = tuple(range(entry.gpus))
        else:
            indices = gpu_indices(placer.names.hosts[host])
        if indices is None and len(hosts) == 1:
            indices = tuple(range(count))  # not listed: whether the host has them is read later
        if indices is None:
            hint = f"list them in the inventory, hosts.{host}.gpus: 8"
            placer.wrong((name, "replicas"), f"how many GPUs {host} has is not known", hint)
            return None
        places.extend((host, (index,)) for index in indices)
    return places


def gpu_indices(host: Host) -> tuple[int, ...] | None:
    """The GPUs of a host by index; None where the files don't say."""
    if host.gpus is not None:
        return tuple(gpu.index for gpu in host.gpus)
    return None if host.kind.gpu_count is None else tuple(range(host.kind.gpu_count))
