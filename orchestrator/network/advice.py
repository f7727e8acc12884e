"""What is cabled and yet can't work, or gives less than it looks like: said before anything is set up."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import combinations, pairwise

from orchestrator.network.cabling import Cable
from orchestrator.network.fabric import Fabric
from orchestrator.spec.models import Cluster, Deployment, Finding, Kind

WIDE = 4  # from so many hosts on, not all of a ring are neighbours


def advice(cluster: Cluster, found: Sequence[Cable], fabric: Fabric) -> Iterator[Finding]:
    """Errors for what can't work, warnings for what disappoints."""
    yield from _crossed_pairs(cluster, found)
    yield from _parallel_cables(cluster, found)
    for cable in found:
        yield from _unlike_ends(cluster, cable)
    for deployment in cluster.deployments.values():
        yield from _order_of_ranks(fabric.for_nccl, deployment)


def _crossed_pairs(cluster: Cluster, found: Sequence[Cable]) -> Iterator[Finding]:
    """Two hosts alone, port 0 of one to port 1 of the other; in rings and chains that is right."""
    neighbours: dict[str, set[str]] = defaultdict(set)
    for cable in found:
        for end in cable.ends:
            neighbours[end.host] |= {other.host for other in cable.ends} - {end.host}
    for cable in found:
        if cable.switch is not None:
            continue
        one, other = cable.ends
        kinds = [cluster.hosts[end.host].kind for end in cable.ends]
        alone = neighbours[one.host] == {other.host} and neighbours[other.host] == {one.host}
        if alone and one.port != other.port and all(kind.same_port_in_pair for kind in kinds):
            yield Finding(
                message=f"the cable of two hosts goes from {one.host}.{one.port} to"
                f" {other.host}.{other.port}: a pair has it in the same port on both",
                path=cable.path,
                suggestion=f"plug it into {other.host}.{one.port}, or correct the link;"
                " port 0 to port 1 is for rings",
            )


def _parallel_cables(cluster: Cluster, found: Sequence[Cable]) -> Iterator[Finding]:
    """Ports of a host that share its PCIe links do not add up."""
    cables: dict[tuple[str, str], list[Cable]] = defaultdict(list)
    for cable in found:
        for one, other in combinations(sorted({end.host for end in cable.ends}), 2):
            cables[one, other].append(cable)
    for (one, other), each in cables.items():
        limits = [limit for host in (one, other) if (limit := _limit(cluster.hosts[host].kind))]
        sums = [_speed(cluster, cable) for cable in each]
        if len(each) > 1 and limits and sum(sums) > min(limits):
            yield Finding(
                severity="warning",
                message=f"{_number(len(each))} cables between {one} and {other} don't give"
                f" {sum(sums):g} Gb/s: both ports share the same PCIe links, which carry about"
                f" {min(limits):g}",
                path=each[1].path,
                suggestion="one cable gives as much; two keep the hosts joined when one is lost",
            )


def _limit(kind: Kind) -> float | None:
    return kind.expect_host_gbps


def _speed(cluster: Cluster, cable: Cable) -> float:
    return min(cluster.hosts[end.host].ports[end.port].gbps for end in cable.ends)


def _number(count: int) -> str:
    return {2: "two", 3: "three", 4: "four"}.get(count, str(count))


def _unlike_ends(cluster: Cluster, cable: Cable) -> Iterator[Finding]:
    """Ends with fewer functions or another usual MTU: the link has what all of them have."""
    most = max(cable.ends, key=lambda end: len(end.halves))
    least = min(cable.ends, key=lambda end: len(end.halves))
    if len(least.halves) < len(most.halves) and cable.halves < len(most.halves):
        yield Finding(
            severity="warning",
            message=f"{most.host}.{most.port} has {len(most.halves)} halves,"
            f" {least.host}.{least.port} has {len(least.halves)}: the others stay unused",
            path=cable.path,
            suggestion="one half of a Spark carries about half of its port's rate",
        )
    mtus = {end.host: cluster.hosts[end.host].kind.mtu for end in cable.ends}
    if cluster.mtu is None and len(set(mtus.values())) > 1:
        told = ", ".join(f"{host} {mtu}" for host, mtu in mtus.items())
        yield Finding(
            severity="warning",
            message=f"the ends have different MTUs by their kinds ({told}): all get"
            f" {min(mtus.values())}",
            path=cable.path,
            suggestion="say `mtu:` under `network:`; RoCE needs 4200 for its largest packets",
        )


def _order_of_ranks(fabric: Fabric, deployment: Deployment) -> Iterator[Finding]:
    """Where not all are neighbours, NCCL's ring must go along the cables, and close."""
    hosts = tuple(dict.fromkeys(deployment.hosts))
    kind = fabric.kind_of(hosts)
    if deployment.gate.rdma == "off" or kind not in ("ring", "chain"):
        return
    path = f"deployments.{deployment.origin or deployment.name}.hosts"
    if kind == "chain":
        first, last = _ends_of_chain(fabric, hosts)
        yield Finding(
            severity="warning",
            message=f"these hosts are a chain: NCCL closes its ring from {last} back to {first},"
            " and no cable goes there",
            path=path,
            suggestion=f"a cable from {last} to {first} makes a ring of it; a chain is for pipeline: alone",
        )
    elif len(hosts) >= WIDE:
        apart = [pair for pair in pairwise([*hosts, hosts[0]]) if not fabric.common(pair)]
        if apart:
            one, other = apart[0]
            yield Finding(
                severity="warning",
                message=f"NCCL's ring goes from {one} to {other}, which no cable joins",
                path=path,
                suggestion=f"in the order of the cables: [{', '.join(_around(fabric, hosts))}]",
            )


def _neighbours(fabric: Fabric, host: str, hosts: Sequence[str]) -> list[str]:
    return [other for other in hosts if other != host and fabric.common((host, other))]


def _ends_of_chain(fabric: Fabric, hosts: Sequence[str]) -> tuple[str, str]:
    ends = [host for host in hosts if len(_neighbours(fabric, host, hosts)) == 1]
    return ends[0], ends[-1]


def _around(fabric: Fabric, hosts: Sequence[str]) -> list[str]:
    """The hosts of a ring in the order of its cables, from the head on."""
    way = [hosts[0]]
    while len(way) < len(hosts):
        near = _neighbours(fabric, way[-1], hosts)
        way.append(next(one for one in near if one not in way))
    return way
