"""After a measurement: what it left, and how the interfaces of what is not healthy look now, as a verdict."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from orchestrator.contracts import Query
from orchestrator.errors import OrchError
from orchestrator.facts.fabric_left import Left
from orchestrator.facts.firewall import ReadFirewall
from orchestrator.facts.network import ReadNetwork
from orchestrator.facts.ping import Ping
from orchestrator.network.fabric import Fabric
from orchestrator.network.topology import plan_fabric
from orchestrator.rdma.answers import FabricVerdict, LinkVerdict, Reason
from orchestrator.rdma.preflight import preflight, preflight_reads
from orchestrator.rdma.reports import HalfReport
from orchestrator.rdma.trials import Pair, Rail, Trial, fingerprint, trials
from orchestrator.rdma.verdict import Seen, fabric_verdict, link_verdict
from orchestrator.run.world import LiveWorld, Reads
from orchestrator.spec.models import Cluster
from orchestrator.steps.measure import Wanted
from orchestrator.steps.trial import FACTS, Going, going

SMALL = 576  # a packet of this fits everywhere
SET_UP = "The network is not changed from here: `orch run network` sets the links' addresses, as `orch up` does"
# What preflight calls a finding → the causes and failures of knowledge/rdma.yaml that say the same.
SAME: Mapping[str, frozenset[str]] = {
    "present": frozenset(("no-link", "link-down")),
    "up": frozenset(("no-link", "link-down", "link-lost")),
    "cable": frozenset(("no-link", "link-down", "link-lost")),
    "speed": frozenset(("link-slow",)),
    "pcie": frozenset(("pcie-narrow", "pcie-slow", "power-cycle")),
    "mtu": frozenset(("mtu-differs",)),
    "roce-mtu": frozenset(("active-mtu",)),
    "address": frozenset(("wrong-address", "link-down")),
    "subnet": frozenset(("one-subnet",)),
    "gid": frozenset(("no-gid", "wrong-gid")),
    "device": frozenset(("link-down", "no-link")),
    "ping": frozenset(("no-ping", "path-mtu", "link-down", "no-link")),
}
SET_WRONG = frozenset(("preflight-mtu", "preflight-roce-mtu"))
Spots = Mapping[tuple[str, str], Seen]


@dataclass(frozen=True)
class Fabrics:
    """What was wanted, and the world in which it was measured."""

    cluster: Cluster
    wanted: Wanted
    world: LiveWorld

    @property
    def fabric(self) -> Fabric:
        return plan_fabric(self.cluster)

    def trials(self, pair: Pair) -> tuple[Trial, ...]:
        return trials(self.fabric, pair, self.wanted.effort, self.wanted.soak)

    def going(self, trial: Trial) -> Going:
        return going(self.cluster, trial, self.wanted.run)

    def verdict(self, notes: Sequence[str] = ()) -> FabricVerdict:
        """All links; those that are not healthy are looked at once more for the cause."""
        chosen = self.wanted.pairs(self.fabric)
        self.world.read(self._lefts(chosen))
        links = {pair: self.link(pair, {}) for pair in chosen}
        sick = [pair for pair, found in links.items() if found.state != "healthy"]
        links |= {pair: self._as_wanted(pair, links[pair]) for pair in chosen if pair not in sick}
        if sick:
            seen = self._look(sick)
            links |= {pair: self._explained(pair, seen) for pair in sick}
        stands: dict[str, str] = {}
        for pair in chosen:
            stands |= self._stands(pair)
        run = self.wanted.run
        told = [*notes, *self._unset(chosen)]
        return fabric_verdict(time.time(), run, list(links.values()), stands, told)

    def link(self, pair: Pair, seen: Spots) -> LinkVerdict:
        return link_verdict(
            self.cluster, self.fabric, pair, self.trials(pair), self.world, self._left, seen
        )

    def _as_wanted(self, pair: Pair, found: LinkVerdict) -> LinkVerdict:
        """A link that carries enough today, and yet is not set up as the inventory wants it, is degraded."""
        told = [one for one in self._preflight(pair, set()) if one.name in SET_WRONG]
        return replace(found, state="degraded", reasons=tuple(told)) if told else found

    def _preflight(self, pair: Pair, known: set[str]) -> list[Reason]:
        return [
            reason
            for report in preflight(self.cluster, self._segments(pair), self.world)
            if report.host in pair_of(pair)
            for reason in reasons_of(report, known)
        ]

    def _explained(self, pair: Pair, seen: Spots) -> LinkVerdict:
        """With what a look at each half found that the numbers do not tell."""
        found = self.link(pair, seen)
        known = {one.name for one in found.reasons} | failures_of(found)
        more = self._preflight(pair, known)
        told = found.reasons
        if "no-link" in known:
            told = tuple(one for one in told if one.name != "no-ping")  # goes without saying
        return replace(found, reasons=(*told, *more))

    def _segments(self, pair: Pair) -> Fabric:
        return Fabric(tuple(one for one in self.fabric.segments if one.link == pair.link))

    def _unset(self, chosen: Sequence[Pair]) -> list[str]:
        """Addresses that are missing are netplan's to set, and nobody's here."""
        missing: dict[str, set[str]] = {}
        for pair in chosen:
            for trial in self.trials(pair):
                for host, netdev in self._bare(trial):
                    missing.setdefault(host, set()).add(netdev)
        told = "; ".join(f"{host}: {', '.join(sorted(each))}" for host, each in missing.items())
        return [f"no address on {told}. {SET_UP}"] if told else []

    def _bare(self, trial: Trial) -> list[tuple[str, str]]:
        """Ends that are up and lit and have no address."""
        try:
            lanes = [one.lane for one in trial.tests(self.world)]
        except OrchError:
            return []
        found = []
        for end in (end for lane in lanes for end in (lane.client, lane.server)):
            netdev = self.world[end.host].get(ReadNetwork()).netdevs.get(end.netdev)
            if netdev is not None and not end.address and (netdev.carrier or not netdev.up):
                found.append((end.host, end.netdev))
        return found

    def _left(self, trial: Trial, client: bool) -> Sequence[Left | None]:
        """What one end left; of a host that can't be read, nothing."""
        try:
            return self.going(trial).found(self.world, client)
        except OrchError:
            return [None] * len(trial.rails)

    def _stands(self, pair: Pair) -> Mapping[str, str]:
        found: dict[str, str] = {}
        for trial in self.trials(pair):
            try:
                found |= fingerprint(trial, self.world)
            except OrchError:
                continue
        return found

    def _lefts(self, chosen: Sequence[Pair]) -> Reads:
        """Results that no step has read: of pairs that were cut short."""
        reads = {
            read
            for pair in chosen
            for trial in self.trials(pair)
            for client in (True, False)
            for read in self.going(trial).reads(client)
        }
        return frozenset(one for one in reads if not self.world.known(frozenset({one})))

    def _look(self, sick: Sequence[Pair]) -> Spots:
        """Pings and firewalls, and the interfaces anew: one script a host."""
        rails = {rail for pair in sick for trial in self.trials(pair) for rail in trial.rails}
        asked = {spot: pings for rail in rails for spot, pings in self._pings(rail).items()}
        reads: set[tuple[str, Query[Any]]] = {
            (host, query) for (host, _), pings in asked.items() for query in pings
        }
        for host in {host for host, _ in asked} | {host for pair in sick for host in pair_of(pair)}:
            reads.add((host, self._firewall(host)))
            reads |= {(host, query) for query in FACTS}
        for pair in sick:
            mine = pair_of(pair)
            reads |= {one for one in preflight_reads(self._segments(pair)) if one[0] in mine}
        self.world.read(frozenset(reads))
        return {spot: self._seen(spot, pings) for spot, pings in asked.items()}

    def _firewall(self, host: str) -> ReadFirewall:
        return ReadFirewall(self.cluster.hosts[host].become != "never")

    def _pings(self, rail: Rail) -> Mapping[tuple[str, str], tuple[Ping, Ping]]:
        """(host, netdev) → small and full packets to the other end, where its address is known."""
        found = {}
        for one, other in ((rail.client, rail.server), (rail.server, rail.client)):
            if other.interface is not None:
                mtu = min(
                    segment.mtu
                    for segment, member in self.fabric.of_host(one.host)
                    if member == one
                )
                there = (str(other.interface.ip),)
                found[one.host, one.netdev] = (
                    Ping(one.netdev, SMALL, there),
                    Ping(one.netdev, mtu, there),
                )
        return found

    def _seen(self, spot: tuple[str, str], pings: tuple[Ping, Ping]) -> Seen:
        small, full = (self._answers(spot[0], ping) for ping in pings)
        try:
            firewall = self.world[spot[0]].get(self._firewall(spot[0]))
        except OrchError:
            firewall = ()
        return Seen(small, full, firewall)

    def _answers(self, host: str, ping: Ping) -> bool | None:
        try:
            return not any(self.world[host].get(ping).values())
        except OrchError:
            return None


def failures_of(found: LinkVerdict) -> set[str]:
    """Kinds of the failures that a link's tests had."""
    each = (lane.measured for lane in found.lanes)
    return {one.failure.kind for one in each if one is not None and one.failure is not None}


def reasons_of(report: HalfReport, known: set[str]) -> list[Reason]:
    """What is wrong with a half, unless the verdict says so already in its own words."""
    return [
        Reason(
            name=f"preflight-{one.name}",
            cause=f"{report.host} {report.netdev}: {one.cause or one.said}",
            remedy=one.remedy,
            evidence=one.said,
        )
        for one in report.wrong
        if one.grade == "bad" and not known & SAME.get(one.name, frozenset())
    ]


def pair_of(pair: Pair) -> tuple[str, str]:
    return pair.first, pair.second
