"""What runs in a lab host at boot finds interfaces by address, whatever their order."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest

from orchestrator.lab.inside.interfaces import plan

WANTED = {"10.77.0.11": "eth0", "10.77.1.11": "enp1s0f1np1", "10.77.2.11": "enP2p1s0f1np1"}


class Machine:
    """Interfaces that answer to `ip` as the kernel does: no two of one name, no rename while up."""

    def __init__(self, order: tuple[str, ...]) -> None:
        self.links = {
            f"eth{number}": {"address": address, "up": True, "mtu": 9000}
            for number, address in enumerate(order)
        }

    def shown(self) -> list[dict[str, Any]]:
        return [
            {
                "ifname": name,
                "ifindex": 10 + number,
                "addr_info": [{"local": link["address"], "prefixlen": 24}]
                if link["address"]
                else [],
            }
            for number, (name, link) in enumerate(self.links.items())
        ]

    def ip(self, words: list[str]) -> None:
        match words:
            case ["link", "set", "dev", name, "down"]:
                self.links[name]["up"] = False
            case ["link", "set", "dev", name, "name", new]:
                assert not self.links[name]["up"]
                assert new not in self.links
                self.links[new] = self.links.pop(name)
            case ["link", "set", "dev", name, "mtu", mtu]:
                self.links[name]["mtu"] = int(mtu)
            case ["address", "del", address, "dev", name]:
                assert self.links[name]["address"] == address.partition("/")[0]
                self.links[name]["address"] = None
            case _:
                raise AssertionError(words)


@pytest.mark.parametrize("order", list(permutations(WANTED)))
def test_names_follow_addresses(order: tuple[str, ...]) -> None:
    machine = Machine(order)
    for words in plan(machine.shown(), WANTED):
        machine.ip(words)
    assert set(machine.links) == set(WANTED.values())
    assert machine.links["eth0"]["address"] == "10.77.0.11"
    for rail in ("enp1s0f1np1", "enP2p1s0f1np1"):
        assert machine.links[rail] == {"address": None, "up": False, "mtu": 1500}


def test_second_run_touches_nothing() -> None:
    machine = Machine(tuple(WANTED))
    for words in plan(machine.shown(), WANTED):
        machine.ip(words)
    assert plan(machine.shown(), WANTED) == []


def test_addresses_of_others_are_left_alone() -> None:
    assert (
        plan([{"ifname": "docker0", "ifindex": 2, "addr_info": [{"local": "172.17.0.1"}]}], WANTED)
        == []
    )
