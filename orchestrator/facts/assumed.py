"""Why here: `orch render` contacts no host; what kinds and the inventory say stands in for facts.

Only what they do say: everything else is Unknown. A name that is not known shows as what it is
("<management netdev of tower>"), never as a likely one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, TypeVar, cast

from orchestrator.contracts import Query, World
from orchestrator.errors import Unknown
from orchestrator.facts.answers import (
    Container,
    ContainerEngine,
    Gpu,
    Gpus,
    Netdev,
    Network,
    Rdma,
    RdmaDevice,
)
from orchestrator.facts.container_engine import ReadContainerEngine
from orchestrator.facts.containers import ReadContainers
from orchestrator.facts.engine_words import program
from orchestrator.facts.gpus import ReadGpus
from orchestrator.facts.help import ReadHelp, ReadHostHelp
from orchestrator.facts.network import ReadNetwork
from orchestrator.facts.original import Original, ReadOriginal
from orchestrator.facts.processes import ReadProcesses
from orchestrator.facts.rdma import ReadRdma
from orchestrator.spec.models import Cluster, Host

T = TypeVar("T")

# RoCE knows these; the largest that fits into the MTU of the port with its headers is active: GRH, UDP,
# BTH, XRC, AtomicETH and ICRC (kernel: include/rdma/ib_addr.h, iboe_get_mtu).
ROCE_MTUS = (4096, 2048, 1024, 512, 256)
ROCE_HEADERS = 40 + 8 + 12 + 4 + 28 + 4


def assumed_world(cluster: Cluster) -> World:
    """What the files say of each host, in the form of facts."""
    return {name: AssumedFacts(cluster, host) for name, host in cluster.hosts.items()}


@dataclass(frozen=True, eq=False)
class AssumedFacts:
    """One host as its kind describes it."""

    cluster: Cluster
    host: Host

    def get(self, query: Query[T]) -> T:
        answer = ANSWERS.get(type(query))
        if answer is None:
            raise Unknown(
                f"{type(query).__name__} is not known without asking {self.host.name}",
                host=self.host.name,
                hint="`orch plan` asks the hosts",
            )
        return cast("T", answer(self.cluster, self.host, query))


def assumed_gpus(cluster: Cluster, host: Host, query: object) -> Gpus:
    """As many as the inventory lists or the kind has; none where they are a word to Ray only."""
    if host.kind.logical_gpus:
        return Gpus(())
    if host.gpu_count is None:
        raise Unknown(
            f"neither the inventory nor kind {host.kind.name} says how many GPUs {host.name} has",
            host=host.name,
            hint=f"add `gpus:` to {host.name} in the inventory",
        )
    listed = {entry.index: entry for entry in host.gpus or ()}
    indices = sorted(listed) if listed else range(host.gpu_count)
    gpus = tuple(
        Gpu(
            index=index,
            uuid=(listed[index].uuid or "") if index in listed else "",
            name=(listed[index].name or "") if index in listed else "",
            memory_bytes=None,
            memory_used_bytes=None,
            numa_node=None,
            driver="",
        )
        for index in indices
    )
    return Gpus(gpus, toolkit=bool(gpus))


def assumed_rdma(cluster: Cluster, host: Host, query: object) -> Rdma:
    """The kind's RDMA devices; those of cabled ports are up."""
    cabled = {end.port for link in cluster.links for end in link.ends if end.host == host.name}
    mtu = cluster.mtu or host.kind.mtu
    active = next((one for one in ROCE_MTUS if one + ROCE_HEADERS <= mtu), None)
    devices = tuple(
        RdmaDevice(
            name=half.rdma,
            port=1,
            netdev=half.netdev,
            state="ACTIVE" if name in cabled else "DOWN",
            rate_gbps=port.gbps,
            active_mtu=active,
            link_layer="Ethernet",
            firmware="",
            gids=(),
        )
        for name, port in host.ports.items()
        for half in port.halves
        if half.rdma is not None
    )
    return Rdma(devices, dev_infiniband=bool(devices), memlock_unlimited=bool(devices))


def assumed_network(cluster: Cluster, host: Host, query: object) -> Network:
    """The kind's netdevs, and the one that carries our SSH with the host's address."""
    management = host.management or host.kind.management or (f"<management netdev of {host.name}>",)
    own = f"{host.address}/32" if is_address(host.address) else ""
    netdevs = {
        name: netdev(name, own if name == management[0] else "", mtu=1500, speed=None)
        for name in management
    }
    for port in host.ports.values():
        for half in port.halves:
            speed = round(port.gbps * 1000)
            mtu = cluster.mtu or host.kind.mtu
            netdevs[half.netdev] = netdev(half.netdev, "", mtu=mtu, speed=speed)
    return Network(
        netdevs=netdevs,
        ssh_netdev="" if host.local else management[0],
        ssh_address=host.address if own else "",
        default_netdev=management[0],
        renderer="networkd",
    )


def netdev(name: str, address: str, *, mtu: int, speed: int | None) -> Netdev:
    """A netdev that is up."""
    addresses = (address,) if address else ()
    return Netdev(name, "", mtu, True, True, speed, addresses, driver="", pci="")


def is_address(text: str) -> bool:
    """An IP address, not a name."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def assumed_engine(cluster: Cluster, host: Host, query: object) -> ContainerEngine:
    """It is there and answers; where it keeps its data is not known."""
    runtime = query.runtime if isinstance(query, ReadContainerEngine) else host.runtime
    return ContainerEngine(program(runtime), True, True, version="", root="", why="")


def assumed_containers(cluster: Cluster, host: Host, query: object) -> tuple[Container, ...]:
    """None: what is rendered is a start from nothing."""
    return ()


def assumed_help(cluster: Cluster, host: Host, query: object) -> None:
    """Nobody has read it: arguments are shown as they are written."""


def assumed_original(cluster: Cluster, host: Host, query: object) -> Original:
    """A host would have to be asked."""
    below = query.below if isinstance(query, ReadOriginal) else ""
    return Original(None, below, known=False)


ANSWERS: Mapping[type[Any], Callable[[Cluster, Host, object], object]] = {
    ReadContainerEngine: assumed_engine,
    ReadContainers: assumed_containers,
    ReadGpus: assumed_gpus,
    ReadProcesses: assumed_containers,
    ReadHelp: assumed_help,
    ReadHostHelp: assumed_help,
    ReadNetwork: assumed_network,
    ReadOriginal: assumed_original,
    ReadRdma: assumed_rdma,
}
