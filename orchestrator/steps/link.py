"""Every half of every link works: it is up at its speed, has its address, and its neighbours answer.

Neighbours are asked in packets of the full MTU that may not be cut: a switch port at 1500 shows here, and
not as a model that hangs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Interface
from typing import Any

from orchestrator.contracts import Change, Patience, Query, Step, World
from orchestrator.errors import Refused
from orchestrator.facts.answers import Netdev
from orchestrator.facts.identity import Identify
from orchestrator.facts.network import ReadNetwork
from orchestrator.facts.ping import Ping
from orchestrator.network.fabric import Member, Segment
from orchestrator.network.topology import plan_fabric, spanning
from orchestrator.spec.models import Cluster
from orchestrator.steps.link_ends import ends_id, ends_steps, set_mtu

NEIGHBOURS = 16  # of a large switch; each host asks the next ones in turn, so that all are asked


@dataclass(frozen=True, kw_only=True)
class LinkWorks(Step):
    netdev: str
    mtu: int
    gbps: float  # what the inventory or kind says of the cable
    port: str
    address: IPv4Interface | None  # None: link-local, neighbours' addresses are not known
    ping: Ping | None

    def check(self, world: World) -> Change | None:
        facts = world[self.host or ""]
        netdev = facts.get(ReadNetwork()).netdevs.get(self.netdev)
        if netdev is None:
            raise Refused(f"{self.host} has no {self.netdev}", host=self.host)
        faults = list(self._faults(netdev))
        if not faults and not facts.get(Identify()).in_lab:
            self._refuse_slow(netdev)
        if not faults and self.ping is not None:
            answers = facts.get(self.ping)
            faults = [f"{one} over {self.netdev}: {why}" for one, why in answers.items() if why]
        if not faults:
            return None
        wrong = netdev.mtu != self.mtu
        hint = set_mtu(self.host or "", self.netdev, self.mtu) if wrong else ""
        return Change("; ".join(faults), hint=hint)

    def _faults(self, netdev: Netdev) -> Iterable[str]:
        if not netdev.up:
            yield f"{self.netdev} is down"
        elif not netdev.carrier:
            yield f"{self.netdev} has no carrier: is the cable of {self.port} plugged in at both ends?"
        if netdev.mtu != self.mtu:
            yield f"{self.netdev} has MTU {netdev.mtu}, not {self.mtu}"
        have = [IPv4Interface(text) for text in netdev.addresses if ":" not in text]
        if self.address is None:
            if not any(one.is_link_local for one in have):
                yield f"{self.netdev} has no link-local address"
        elif self.address not in have:
            yield f"{self.netdev} has no {self.address}"

    def _refuse_slow(self, netdev: Netdev) -> None:
        """A lab's cables have no speed; anywhere else one that can't be read is no pass."""
        if netdev.speed_mbps is None:
            raise Refused(f"the speed of {self.netdev} can't be read", host=self.host)
        if netdev.speed_mbps < self.gbps * 1000:
            speed = netdev.speed_mbps / 1000
            raise Refused(
                f"{self.netdev} runs at {speed:g} Gb/s, not {self.gbps:g}",
                host=self.host,
                hint=f"set the speed at the switch, try another cable, or say `gbps: {speed:g}` "
                f"for {self.port} in the inventory",
            )


def link_steps(cluster: Cluster, options: Mapping[str, Any]) -> Iterable[Step]:
    """A gate per half of a link, then a wait per interface and deployment that spans it.

    A neighbour is asked once it has its addresses.

    What no deployment spans is waited for too, and holds nobody up.
    """
    fabric = plan_fabric(cluster)
    for deployment in cluster.deployments.values():
        yield from ends_steps(deployment, fabric.between(deployment.hosts))
    for host in cluster.used_hosts:
        for segment, member in fabric.of_host(host.name):
            for scope, hosts in _users(cluster, segment, member):
                yield _link_step(cluster, segment, member, scope, hosts)


def _users(
    cluster: Cluster, segment: Segment, member: Member
) -> list[tuple[str | None, frozenset[str]]]:
    """Deployments that have this member and another one of the segment, with their hosts."""
    found: list[tuple[str | None, frozenset[str]]] = []
    for name in spanning(cluster, member.host):
        hosts = segment.hosts.intersection(cluster.deployments[name].hosts)
        if len(hosts) > 1:
            found.append((name, hosts))
    return found or [(None, segment.hosts)]


def _link_step(
    cluster: Cluster,
    segment: Segment,
    member: Member,
    scope: str | None,
    hosts: frozenset[str],
) -> Step:
    peers = _neighbours(segment, member, hosts)
    where = f"{member.host}/link/{member.netdev}"
    ping = None
    if member.interface is not None:
        addresses = tuple(str(peer.interface.ip) for peer in peers if peer.interface is not None)
        ping = Ping(member.netdev, segment.mtu, addresses)
    reads: set[tuple[str, Query[Any]]] = {
        (member.host, ReadNetwork()),
        (member.host, Identify()),
    }
    if ping is not None:
        reads.add((member.host, ping))
    return LinkWorks(
        id=where if scope is None else f"{scope}/{where}",
        role="wait",
        host=member.host,
        scope=scope,
        serves=None if scope is not None else frozenset(),
        needs=frozenset(f"{one}/network/confirm" for one in {member.host, *(p.host for p in peers)})
        | ({ends_id(scope, segment)} if scope is not None else set()),
        reads=frozenset(reads),
        patience=Patience(total=30, stall=30),
        netdev=member.netdev,
        mtu=segment.mtu,
        gbps=cluster.hosts[member.host].ports[member.port].gbps,
        port=f"{member.host}.{member.port}",
        address=member.interface,
        ping=ping,
    )


def _neighbours(segment: Segment, member: Member, hosts: frozenset[str]) -> tuple[Member, ...]:
    members = [one for one in segment.members if one.host in hosts]
    place = members.index(member)
    turned = members[place + 1 :] + members[:place]
    return tuple(turned[:NEIGHBOURS])


STAGES = {"link": link_steps}
