"""The shape of a lab as a value: hosts, cables, subnets, interface names. No I/O."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from orchestrator.errors import FilesWrong

Topology = Literal["pair", "ring", "switch"]
LAB_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,28}[a-z0-9])?")
HOST_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]{0,62}")
MANAGEMENT = "eth0"
FIRST_HOST = 11  # 10.77.0.11 is the first host; below it are the bridge and room for the user
MOST_HOSTS = 200
MOST_NETWORKS = 255  # a /24 each out of the lab's /16, after the management network

# how the two functions of each QSFP port are named on a DGX Spark (NVIDIA/dgx-spark-playbooks)
Ports = Mapping[str, Mapping[str, tuple[str, ...]]]  # host: port: netdevs of its halves
SPARK_PORTS: dict[str, tuple[str, ...]] = {
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
    container: str  # empty for a virtual machine
    nics: tuple[Nic, ...]
    port: int = 22  # of its sshd, seen from this machine

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
    if count < 2:
        raise FilesWrong("a switch joins 2 hosts or more")
    return (Segment(tuple(End(host, "p0") for host in hosts), switch="s1"),)


def lay_out(
    name: str,
    hosts: Sequence[str],
    segments: Sequence[Segment],
    base: ipaddress.IPv4Network,
    ports: Ports | None = None,
) -> Layout:
    """Give every host and every cable half its network, address and interface name."""
    ports = ports or dict.fromkeys(hosts, SPARK_PORTS)
    check_shape(name, hosts, segments, ports)
    octets = base.subnets(new_prefix=24)
    subnet = next(octets)
    networks = [Network(f"orch-{name}-mgmt", str(subnet), 1500)]
    nics = {
        host: [Nic(MANAGEMENT, networks[0].name, str(subnet[FIRST_HOST + index]))]
        for index, host in enumerate(hosts)
    }
    for number, segment in enumerate(segments, start=1):
        for half in range(min(len(ports[end.host][end.port]) for end in segment.ends)):
            subnet = _next_subnet(octets)
            networks.append(Network(f"orch-{name}-c{number}h{half + 1}", str(subnet), 9000))
            for end in segment.ends:
                address = str(subnet[FIRST_HOST + hosts.index(end.host)])
                netdev = ports[end.host][end.port][half]
                nics[end.host].append(Nic(netdev, networks[-1].name, address, end))
    made = tuple(LabHost(host, f"orch-{name}-{host}", tuple(nics[host])) for host in hosts)
    return Layout(name, str(base), made, tuple(networks), tuple(segments))


def _next_subnet(octets: Iterator[ipaddress.IPv4Network]) -> ipaddress.IPv4Network:
    try:
        return next(octets)
    except StopIteration:
        raise FilesWrong(f"a lab has at most {MOST_NETWORKS} cable halves") from None


def check_name(name: str) -> str:
    """The name, which becomes folders and containers."""
    if not LAB_NAME.fullmatch(name):
        raise FilesWrong(
            f"{name!r} can't name a lab", hint="lower-case letters, digits and dashes; 30 at most"
        )
    return name


def check_shape(name: str, hosts: Sequence[str], segments: Sequence[Segment], ports: Ports) -> None:
    """Refuse names, numbers and cables that no lab can have."""
    check_name(name)
    for host in hosts:
        if not HOST_NAME.fullmatch(host):
            raise FilesWrong(f"{host!r} can't name a lab host")
    if not 1 <= len(hosts) <= MOST_HOSTS:
        raise FilesWrong(f"a lab has 1 to {MOST_HOSTS} hosts, not {len(hosts)}")
    if len(set(hosts)) != len(hosts):
        raise FilesWrong("two hosts of a lab have the same name")
    _check_ends(hosts, segments, ports)


def _check_ends(hosts: Sequence[str], segments: Sequence[Segment], ports: Ports) -> None:
    used: set[End] = set()
    for end in (end for segment in segments for end in segment.ends):
        if end.host not in hosts:
            raise FilesWrong(f"{end}: the lab has no host {end.host}")
        if end.port not in ports[end.host]:
            known = ", ".join(ports[end.host]) or "none"
            raise FilesWrong(f"{end}: the host has no port {end.port}", hint=f"its ports: {known}")
        if MANAGEMENT in ports[end.host][end.port]:
            raise FilesWrong(f"{end} is {MANAGEMENT}, which a lab host has its management on")
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
        return LabHost(item["name"], item["container"], nics, item.get("port", 22))

    return Layout(
        data["name"],
        data["base"],
        tuple(host(item) for item in data["hosts"]),
        tuple(Network(**item) for item in data["networks"]),
        tuple(segment(item) for item in data["segments"]),
    )
