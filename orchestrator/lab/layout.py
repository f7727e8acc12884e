"""The shape of a lab as a value: hosts, cables, subnets, interface names. No I/O."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from orchestrator.errors import FilesWrong

Topology = Literal["pair", "ring", "switch"]
NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")
MANAGEMENT = "eth0"
FIRST_HOST = 11  # 10.77.0.11 is the first host; below it are the bridge and room for the user
MOST_HOSTS = 200
MOST_SEGMENTS = 127  # two /24 each out of the lab's /16, after the management network

# how the two functions of each QSFP port are named on a DGX Spark (NVIDIA/dgx-spark-playbooks)
SPARK_PORTS: dict[str, tuple[str, str]] = {
    "p0": ("enp1s0f0np0", "enP2p1s0f0np0"),
    "p1": ("enp1s0f1np1", "enP2p1s0f1np1"),
}


@dataclass(frozen=True)
class End:
    """One port of one host, as a cable's end: `spark-1.p1`."""

    host: str
    port: str

    def __str__(self) -> str:
        return f"{self.host}.{self.port}"


@dataclass(frozen=True)
class Segment:
    """A cable (two ends) or a switch (any number)."""

    ends: tuple[End, ...]
    switch: str | None = None


@dataclass(frozen=True)
class Nic:
    """One interface. Docker gives it `address`, by which it is found; all but eth0 lose that."""

    netdev: str
    network: str
    address: str
    end: End | None = None  # None: management


@dataclass(frozen=True)
class LabHost:
    name: str
    container: str
    nics: tuple[Nic, ...]

    @property
    def address(self) -> str:
        return next(nic.address for nic in self.nics if nic.end is None)


@dataclass(frozen=True)
class Network:
    name: str
    subnet: str
    mtu: int


@dataclass(frozen=True)
class Layout:
    """A whole lab; `names` are what this machine's docker knows it by."""

    name: str
    base: str
    hosts: tuple[LabHost, ...]
    networks: tuple[Network, ...]
    segments: tuple[Segment, ...]

    def host(self, name: str) -> LabHost:
        for host in self.hosts:
            if host.name == name:
                return host
        known = ", ".join(host.name for host in self.hosts)
        raise FilesWrong(f"lab {self.name} has no host {name}", hint=f"its hosts: {known}")

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def cabling(hosts: Sequence[str], topology: Topology) -> tuple[Segment, ...]:
    """p1 to p1 in a pair, p0 to the next host's p1 in a ring, every p0 on a switch."""
    count = len(hosts)
    if topology == "pair":
        if count != 2:
            raise FilesWrong(f"a pair has 2 hosts, not {count}", hint="--topology ring or switch")
        return (Segment((End(hosts[0], "p1"), End(hosts[1], "p1"))),)
    if topology == "ring":
        if count < 3:
            raise FilesWrong(f"a ring has 3 hosts or more, not {count}", hint="--topology pair")
        following = [*hosts[1:], hosts[0]]
        return tuple(
            Segment((End(a, "p0"), End(b, "p1"))) for a, b in zip(hosts, following, strict=True)
        )
    return (Segment(tuple(End(host, "p0") for host in hosts), switch="s1"),)


def netdevs(port: str) -> tuple[str, str]:
    """The two netdevs of a port."""
    if port in SPARK_PORTS:
        return SPARK_PORTS[port]
    raise FilesWrong(f"a lab host has no port {port}", hint=f"its ports: {', '.join(SPARK_PORTS)}")


def lay_out(
    name: str, hosts: Sequence[str], segments: Sequence[Segment], base: ipaddress.IPv4Network
) -> Layout:
    """Give every host and every cable half its network, address and interface name."""
    _check(name, hosts, segments)
    octets = list(base.subnets(new_prefix=24))
    management = Network(f"orch-{name}-mgmt", str(octets[0]), 1500)
    networks = [management]
    nics = {
        host: [Nic(MANAGEMENT, management.name, str(octets[0][FIRST_HOST + index]))]
        for index, host in enumerate(hosts)
    }
    for number, segment in enumerate(segments):
        for half in (0, 1):
            subnet = octets[1 + 2 * number + half]
            network = Network(f"orch-{name}-c{number + 1}h{half + 1}", str(subnet), 9000)
            networks.append(network)
            for end in segment.ends:
                address = str(subnet[FIRST_HOST + hosts.index(end.host)])
                nics[end.host].append(Nic(netdevs(end.port)[half], network.name, address, end))
    made = tuple(LabHost(host, f"orch-{name}-{host}", tuple(nics[host])) for host in hosts)
    return Layout(name, str(base), made, tuple(networks), tuple(segments))


def _check(name: str, hosts: Sequence[str], segments: Sequence[Segment]) -> None:
    for word in (name, *hosts):
        if not NAME.fullmatch(word):
            raise FilesWrong(
                f"{word!r} can't name a lab or a lab host",
                hint="lower-case letters, digits and dashes; 40 at most",
            )
    if not 1 <= len(hosts) <= MOST_HOSTS:
        raise FilesWrong(f"a lab has 1 to {MOST_HOSTS} hosts, not {len(hosts)}")
    if len(set(hosts)) != len(hosts):
        raise FilesWrong("two hosts of a lab have the same name")
    if len(segments) > MOST_SEGMENTS:
        raise FilesWrong(f"a lab has at most {MOST_SEGMENTS} cables, not {len(segments)}")
    used: set[End] = set()
    for end in (end for segment in segments for end in segment.ends):
        if end.host not in hosts:
            raise FilesWrong(f"{end}: the lab has no host {end.host}")
        if end in used:
            raise FilesWrong(f"{end}: two cables in one port")
        used.add(end)


def free_base(taken: Iterable[str]) -> ipaddress.IPv4Network:
    """The first /16 for a lab that overlaps none of the networks this machine knows."""
    known = [ipaddress.ip_network(text, strict=False) for text in taken]
    used = [network for network in known if isinstance(network, ipaddress.IPv4Network)]
    for second in range(77, 128):
        base = ipaddress.IPv4Network(f"10.{second}.0.0/16")
        if not any(base.overlaps(network) for network in used if network.prefixlen > 0):
            return base
    raise FilesWrong(
        "no free network between 10.77.0.0/16 and 10.127.0.0/16 for a lab",
        hint="orch lab ls; then orch lab down --name one of them",
    )


def from_json(data: dict[str, Any]) -> Layout:
    """The layout that `as_json` wrote."""

    def end(item: dict[str, Any] | None) -> End | None:
        return None if item is None else End(**item)

    def segment(item: dict[str, Any]) -> Segment:
        return Segment(tuple(End(**each) for each in item["ends"]), item["switch"])

    def host(item: dict[str, Any]) -> LabHost:
        nics = tuple(Nic(**{**nic, "end": end(nic["end"])}) for nic in item["nics"])
        return LabHost(item["name"], item["container"], nics)

    return Layout(
        data["name"],
        data["base"],
        tuple(host(item) for item in data["hosts"]),
        tuple(Network(**item) for item in data["networks"]),
        tuple(segment(item) for item in data["segments"]),
    )
