"""Answers of hosts for network tests: a Spark as its facts would show it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from orchestrator.contracts import Query
from orchestrator.errors import NotRead
from orchestrator.facts.answers import (
    Identity,
    Netdev,
    NetplanFile,
    Network,
    Profile,
    Rdma,
    RdmaDevice,
)
from orchestrator.facts.identity import Identify
from orchestrator.facts.netplan import ReadNetplan
from orchestrator.facts.netplan_change import NetplanChange, ReadNetplanChange
from orchestrator.facts.network import ReadNetwork
from orchestrator.facts.profiles import ReadProfiles
from orchestrator.facts.rdma import ReadRdma
from orchestrator.network.netplan import FOLDER

T = TypeVar("T")

NETDEVS = ("enp1s0f0np0", "enP2p1s0f0np0", "enp1s0f1np1", "enP2p1s0f1np1")


@dataclass(frozen=True)
class Answers:
    answers: Mapping[Query[Any], Any]

    def get(self, query: Query[T]) -> T:
        if query not in self.answers:
            raise NotRead(str(query))
        return self.answers[query]  # type: ignore[no-any-return]


def netdev(name: str, *addresses: str, **more: Any) -> Netdev:
    settings: dict[str, Any] = {
        "mac": "02:00:00:00:00:01",
        "mtu": 1500,
        "up": True,
        "carrier": True,
        "speed_mbps": 200_000,
        "driver": "mlx5_core",
        "pci": "",
    }
    return Netdev(name=name, addresses=addresses, **{**settings, **more})


def network(ssh: str = "192.168.102.10", **netdevs: Netdev) -> Network:
    """A Spark: management on enP7s7, four bare halves."""
    found = {name: netdev(name) for name in NETDEVS}
    found["enP7s7"] = netdev("enP7s7", f"{ssh}/24", speed_mbps=10_000, driver="r8127")
    found.update({one.name: one for one in netdevs.values()})
    return Network(
        netdevs=found,
        ssh_netdev="enP7s7",
        ssh_address=ssh,
        default_netdev="enP7s7",
        renderer="networkd",
    )


def with_addresses(base: Network, mtu: int = 9000, **addresses: str) -> Network:
    """The same host, after netplan has done its work."""
    changed = {
        name: replace(base.netdevs[name], addresses=(address,), mtu=mtu)
        for name, address in addresses.items()
    }
    return replace(base, netdevs={**base.netdevs, **changed})


RDMA = Rdma(
    devices=tuple(
        RdmaDevice(name, 1, netdev, "ACTIVE", 200.0, 4096, "Ethernet", "28.45.4028", ())
        for name, netdev in (
            ("rocep1s0f0", "enp1s0f0np0"),
            ("roceP2p1s0f0", "enP2p1s0f0np0"),
            ("rocep1s0f1", "enp1s0f1np1"),
            ("roceP2p1s0f1", "enP2p1s0f1np1"),
        )
    ),
    dev_infiniband=True,
    memlock_unlimited=True,
)
NO_RDMA = Rdma(devices=(), dev_infiniband=False, memlock_unlimited=False)
NO_CHANGE = NetplanChange(
    netplan=True, systemd=True, unconfirmed="", since_epoch_s=None, under_way=False, outcomes={}
)


def identity(in_lab: bool = False) -> Identity:
    return Identity(
        "ubuntu", "24.04", "6.14", "aarch64", "b", "m", "spark", 0.0, 20, "tom", 1000, in_lab, 0.0
    )


def file(name: str, text: str, mode: int = 0o600, folder: str = FOLDER) -> NetplanFile:
    return NetplanFile(path=f"{folder}/{name}", mode=mode, sha256="", text=text)


def answers(
    net: Network | None = None,
    rdma: Rdma = RDMA,
    files: Iterable[NetplanFile] = (),
    change: NetplanChange = NO_CHANGE,
    profiles: Iterable[Profile] = (),
    in_lab: bool = False,
    more: Mapping[Query[Any], Any] | None = None,
) -> Answers:
    return Answers(
        {
            ReadNetwork(): net if net is not None else network(),
            ReadRdma(): rdma,
            ReadNetplan(): tuple(files),
            ReadProfiles(): tuple(profiles),
            ReadNetplanChange(): change,
            Identify(): identity(in_lab),
            **(more or {}),
        }
    )
