"""What a host is, from its interfaces, RDMA devices and GPUs: a kind that fits, or a plain GPU host with its ports."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orchestrator.facts.answers import Gpus, Identity, Netdev, Network, Rdma
from orchestrator.network.cabling import natural
from orchestrator.spec.models import GpuEntry, Half, Kind, PortSpec

PLAIN = "gpu-host"
LAB = "lab"
LAB_VM = "lab-vm"  # with Soft-RoCE
WIRED = re.compile(r"en|eth|ib")  # as udev names cards; wl is Wi-Fi


@dataclass(frozen=True)
class Recognised:
    """A kind, why it is taken, and what the inventory must say beyond it."""

    kind: str
    why: str
    also: tuple[str, ...] = ()  # kinds that fit as well
    ports: Mapping[str, PortSpec] | None = None  # None: the kind's
    gpus: tuple[GpuEntry, ...] = ()

    def netdevs(self, kinds: Mapping[str, Kind]) -> Mapping[str, tuple[str, ...]]:
        """Port → netdevs."""
        ports = self.ports if self.ports is not None else kinds[self.kind].ports
        return {name: tuple(half.netdev for half in port.halves) for name, port in ports.items()}


@dataclass(frozen=True)
class Known:
    """All kinds, and which of them build on another one."""

    kinds: Mapping[str, Kind]
    extending: frozenset[str] = frozenset()


def recognise(
    known: Known,
    identity: Identity,
    network: Network,
    rdma: Rdma | None,
    gpus: Gpus | None,
) -> Recognised:
    """The kind whose ports and GPU this host has; of several the one that the others extend."""
    lab = LAB_VM if rdma is not None and rdma.devices else LAB
    if identity.in_lab and lab in known.kinds:
        return Recognised(lab, "it says that it is a lab host")
    names = [one.name for one in gpus.gpus] if gpus is not None else []
    fitting = [
        kind
        for kind in known.kinds.values()
        if not kind.logical_gpus and _fits(kind, network, names)
    ]
    if fitting:
        base = min(fitting, key=lambda one: (one.name in known.extending, one.name))
        ports = ", ".join(half.netdev for port in base.ports.values() for half in port.halves)
        gpu = f", {names[0]}" if names else ""
        also = tuple(one.name for one in fitting if one.name != base.name)
        return Recognised(base.name, f"it has {ports}{gpu}", also)
    return Recognised(
        PLAIN,
        "no kind fits its interfaces",
        ports=_ports(network, rdma),
        gpus=_gpus(gpus),
    )


def _fits(kind: Kind, network: Network, gpus: Sequence[str]) -> bool:
    halves = [half for port in kind.ports.values() for half in port.halves]
    known = bool(gpus) and kind.gpu is not None
    return (
        bool(halves)
        and all(half.netdev in network.netdevs for half in halves)
        and (not known or any((kind.gpu or "") in name for name in gpus))
    )


def _ports(network: Network, rdma: Rdma | None) -> Mapping[str, PortSpec]:
    """A port for each card that is not the way to the host: with its RDMA device where it has one."""
    devices = {one.netdev: one.name for one in rdma.devices} if rdma is not None else {}
    ways = {network.ssh_netdev, network.default_netdev}
    cards = [
        one
        for one in network.netdevs.values()
        if one.name not in ways and WIRED.match(one.name) and (one.pci or one.name in devices)
    ]
    cards.sort(key=lambda one: natural(one.name))
    return {
        f"p{place}": PortSpec(
            halves=(Half(netdev=one.name, rdma=devices.get(one.name)),), gbps=_gbps(one)
        )
        for place, one in enumerate(cards)
    }


def _gbps(netdev: Netdev) -> float:
    """Its speed now; without a carrier nobody knows, and the model's default stands."""
    default = PortSpec.model_fields["gbps"].default
    return netdev.speed_mbps / 1000 if netdev.speed_mbps else float(default)


def _gpus(gpus: Gpus | None) -> tuple[GpuEntry, ...]:
    return tuple(
        GpuEntry(
            index=one.index,
            name=one.name,
            uuid=one.uuid,
            memory=f"{one.memory_bytes // 2**20}MiB" if one.memory_bytes else None,
        )
        for one in (gpus.gpus if gpus is not None else ())
    )
