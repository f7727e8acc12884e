"""Cables → subnets and addresses, from the files alone, the same on every machine and in every run.

One subnet per link and half: two interfaces of a host in one subnet is what RoCE can't do (the kernel
answers for either on both). A link's place in the pool comes from a hash of its name, so that adding or
removing a link moves no other, except in a collision: of two links that hash to one place the one with the
lower hash keeps it, and the other goes to a place of its own hash's choosing. Pin `subnets:` to rule that out.
"""

from __future__ import annotations

from ipaddress import IPv4Interface, IPv4Network

from orchestrator.errors import FilesWrong
from orchestrator.network.advice import advice
from orchestrator.network.allocate import host_numbers, pick_subnets
from orchestrator.network.cabling import Cable, cables, natural
from orchestrator.network.fabric import Fabric, Member, Segment
from orchestrator.spec.derived import once, placed
from orchestrator.spec.models import Cluster, Finding

LINK_LOCAL = IPv4Network("169.254.0.0/16")


def spanning(cluster: Cluster, host: str) -> tuple[str, ...]:
    """Deployments that need the fabric of this host: those that share it with other hosts."""
    here = placed(cluster).get(host, ())
    return tuple(one.name for one in here if len(set(one.hosts)) > 1)


@once
def plan_fabric(cluster: Cluster) -> Fabric:
    """Subnets and addresses for every link of the inventory. Raises FilesWrong with all that is wrong."""
    fabric, findings = survey_fabric(cluster)
    errors = tuple(one for one in findings if one.severity == "error")
    if errors:
        raise FilesWrong(errors[0].message, findings=errors, hint=errors[0].suggestion)
    return fabric


@once
def survey_fabric(cluster: Cluster) -> tuple[Fabric, tuple[Finding, ...]]:
    """The fabric as far as it can be planned, and everything that is wrong with it (`orch check`)."""
    found, findings = cables(cluster)
    if cluster.addresses == "link-local":
        subnets = {cable.name: (LINK_LOCAL,) * cable.halves for cable in found}
    else:
        subnets, wrong = pick_subnets(cluster, found)
        findings += wrong
    segments: list[Segment] = []
    for cable in sorted(found, key=lambda one: natural(one.name)):
        for half, subnet in enumerate(subnets.get(cable.name, ())):
            made = _segment(cluster, cable, half, subnet)
            if isinstance(made, Finding):
                findings += (made,)
            else:
                segments.append(made)
    fabric = Fabric(tuple(segments))
    return fabric, (*findings, *advice(cluster, found, fabric))


def _segment(cluster: Cluster, cable: Cable, half: int, subnet: IPv4Network) -> Segment | Finding:
    ends = [end for end in cable.ends if half < len(end.halves)]
    numbers: dict[str, int] | None = None
    if cluster.addresses == "static":
        numbers = host_numbers(cluster, cable, subnet)
        if numbers is None:
            return Finding(
                message=f"{subnet} has no room for the {len(cable.ends)} ports of {cable.name}",
                path=cable.path,
                suggestion="pin a wider subnet, or make two links of it",
            )
    members = tuple(
        Member(
            host=end.host,
            port=end.port,
            netdev=end.halves[half].netdev,
            rdma=end.halves[half].rdma,
            interface=None
            if numbers is None
            else IPv4Interface((subnet.network_address + numbers[end.host], subnet.prefixlen)),
        )
        for end in ends
    )
    kinds = (cluster.hosts[end.host].kind.mtu for end in ends)
    mtu = cluster.mtu if cluster.mtu is not None else min(kinds)
    nccl = all(cluster.hosts[end.host].ports[end.port].nccl for end in ends)
    return Segment(cable.name, half, subnet, mtu, members, cable.switch, nccl, cable.at_once)
