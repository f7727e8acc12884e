"""The environment that makes a rank use the fabric, derived per host: its own interface names, its own devices.

Never one name for all hosts, and never NCCL_IB_GID_INDEX: the index moves when addresses come and go (3 became
4 within half an hour on a pair of Sparks), and NCCL from 2.21 on finds it for each device.

Later wins: kind's env < its ring env < its wide ring's < derived < host's env < profile's env < profile's env_by_host.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Interface
from typing import Any

from orchestrator.contracts import Query, World
from orchestrator.errors import Refused, Unknown
from orchestrator.facts.answers import Netdev, Network, RdmaDevice
from orchestrator.facts.network import ReadNetwork
from orchestrator.facts.rdma import ReadRdma
from orchestrator.network.advice import WIDE
from orchestrator.network.cabling import natural
from orchestrator.network.fabric import Fabric, Member, Segment
from orchestrator.network.topology import plan_fabric
from orchestrator.spec.derived import once_each
from orchestrator.spec.models import Cluster, Deployment, Scalar, Sourced

SOCKET_NAMES = (  # each takes one interface name
    "NCCL_SOCKET_IFNAME",
    "GLOO_SOCKET_IFNAME",
    "TP_SOCKET_IFNAME",
    "UCX_NET_DEVICES",
    "OMPI_MCA_btl_tcp_if_include",
    "MN_IF_NAME",
)
BY_SUBNET = "NCCL_IB_SUBNET_AWARE_ROUTING"
SWITCHLESS = ("ring", "chain", "mesh")  # more hosts than a cable has ends: no subnet reaches all
DEBUG = {"NCCL_DEBUG": "INFO", "NCCL_DEBUG_SUBSYS": "INIT,NET,ENV"}


@once_each
def environment_reads(
    cluster: Cluster, deployment: Deployment
) -> frozenset[tuple[str, Query[Any]]]:
    """What must have been read of the hosts for the functions below."""
    return frozenset(
        (host, query) for host in deployment.hosts for query in (ReadNetwork(), ReadRdma())
    )


def rank_address(cluster: Cluster, deployment: Deployment, host: str, world: World) -> str:
    """The address at which the gang's other ranks reach this one.

    On the first segment that every host of the gang is in; where there is none (chains, rings), and for a
    gang of one host, the management address.
    """
    place = _meeting_place(_fabric(cluster), deployment, host)
    if place is None:
        return _management_address(cluster, host, world[host].get(ReadNetwork()))
    _, member = place
    if member.interface is not None:
        return str(member.interface.ip)
    return _link_local_address(host, member, world[host].get(ReadNetwork()))


def rank_environment(
    cluster: Cluster, deployment: Deployment, host: str, world: World
) -> dict[str, str]:
    """Everything that a rank's environment needs of the network, and what kind and host say of it."""
    fabric = _fabric(cluster)
    spec = cluster.hosts[host]
    shape = fabric.kind_of(deployment.hosts)
    ring, wide = shape in SWITCHLESS, shape == "ring" and len(set(deployment.hosts)) >= WIDE
    return merge(
        _values(spec.kind.env),
        _values(spec.kind.rank_env_ring) if ring else {},
        _values(spec.kind.rank_env_wide_ring) if wide else {},
        dict.fromkeys(SOCKET_NAMES, _socket_netdev(fabric, deployment, host, world)),
        {"VLLM_HOST_IP": rank_address(cluster, deployment, host, world)},
        _nccl(cluster, deployment, host, world),
        DEBUG if deployment.profile.debug else {},
        spec.env,
    )


def by_subnet(cluster: Cluster, deployment: Deployment, host: str) -> bool:
    """Whether NCCL has to pick, for each peer, the device that shares a subnet with it."""
    ring = _fabric(cluster).kind_of(deployment.hosts) in SWITCHLESS
    return ring and BY_SUBNET in cluster.hosts[host].kind.rank_env_ring


def _fabric(cluster: Cluster) -> Fabric:
    """The links that a gang may use: slow ones for weights and control are not among them."""
    return plan_fabric(cluster).for_nccl


def _values(variables: Mapping[str, Sourced]) -> dict[str, Scalar]:
    return {name: one.value for name, one in variables.items()}


def merge(*layers: Mapping[str, Scalar]) -> dict[str, str]:
    """Layers of environment variables, later ones winning; null takes a variable away, true is "1"."""
    found: dict[str, str] = {}
    for layer in layers:
        for name, value in layer.items():
            if value is None:
                found.pop(name, None)
            else:
                found[name] = str(int(value)) if isinstance(value, bool) else str(value)
    return found


def rank_devices(
    cluster: Cluster, deployment: Deployment, host: str, world: World
) -> tuple[RdmaDevice, ...]:
    """The RDMA devices that the gang's data is to go through on this host, in the order of its halves."""
    if len(deployment.hosts) < 2 or deployment.gate.rdma == "off":
        return ()
    by_netdev = {one.netdev: one for one in world[host].get(ReadRdma()).devices}
    netdevs = _data_netdevs(_fabric(cluster), deployment, host)
    return tuple(by_netdev[netdev] for netdev in netdevs if netdev in by_netdev)


def _nccl(cluster: Cluster, deployment: Deployment, host: str, world: World) -> dict[str, str]:
    if len(deployment.hosts) < 2:
        return {}
    devices = rank_devices(cluster, deployment, host, world)
    required = deployment.gate.rdma == "required"
    if not devices:
        if required:
            netdevs = _data_netdevs(_fabric(cluster), deployment, host)
            where = f"for {', '.join(netdevs)}" if netdevs else "on a link to the others"
            raise Refused(
                f"{deployment.name} requires RDMA, and {host} has no RDMA device {where}",
                host=host,
                hint="`rdma link show` on the host lists them; `gate: {rdma: degraded-ok}` takes TCP",
            )
        return {"NCCL_IB_DISABLE": "1"}
    named = ",".join(f"{one.name}:{one.port}" for one in devices)
    return {"NCCL_IB_HCA": f"={named}"} | ({"NCCL_NET": "IB"} if required else {})


def _data_netdevs(fabric: Fabric, deployment: Deployment, host: str) -> list[str]:
    """Both halves of every cable to another rank, or with a single rail only the first ones.

    Where all ranks share segments, in the segments' order, so that the n-th device is on the n-th rail
    everywhere; else in the order of the host's ports.
    """
    shared = fabric.common(deployment.hosts)
    if shared:
        used = shared[:1] if deployment.rails == "single" else shared
        return [one.member(host).netdev for one in used]
    segments = [one for one in fabric.between(deployment.hosts) if host in one.hosts]
    if deployment.rails == "single":
        segments = [one for one in segments if one.half == 0]
    members = ((natural(one.member(host).port), one.half, one.member(host)) for one in segments)
    return [member.netdev for _, _, member in sorted(members, key=lambda each: each[:2])]


def _meeting_place(
    fabric: Fabric, deployment: Deployment, host: str
) -> tuple[Segment, Member] | None:
    shared = fabric.common(deployment.hosts) if len(deployment.hosts) > 1 else ()
    return (shared[0], shared[0].member(host)) if shared else None


def _socket_netdev(fabric: Fabric, deployment: Deployment, host: str, world: World) -> str:
    place = _meeting_place(fabric, deployment, host)
    if place is not None:
        return place[1].netdev
    network = world[host].get(ReadNetwork())
    found = network.ssh_netdev or network.default_netdev
    if not found and len(deployment.hosts) > 1:
        raise Unknown(f"{host}: no interface carries our SSH or the default route", host=host)
    return found or "lo"


def _management_address(cluster: Cluster, host: str, network: Network) -> str:
    spec = cluster.hosts[host]
    if network.ssh_address:
        return network.ssh_address
    if not spec.local:
        return spec.address
    netdev = network.netdevs.get(network.default_netdev)
    return next((str(one.ip) for one in _v4(netdev)), "127.0.0.1")


def _link_local_address(host: str, member: Member, network: Network) -> str:
    found = [one for one in _v4(network.netdevs.get(member.netdev)) if one.is_link_local]
    if not found:
        raise Unknown(f"{host}: {member.netdev} has no link-local address yet", host=host)
    return str(found[0].ip)


def _v4(netdev: Netdev | None) -> list[IPv4Interface]:
    addresses = netdev.addresses if netdev is not None else ()
    return [IPv4Interface(text) for text in addresses if ":" not in text]
