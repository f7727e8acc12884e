"""A link between two Sparks, measured well; tests break one thing at a time."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from orchestrator.rdma.answers import (
    Effort,
    End,
    Expected,
    Failure,
    Lane,
    LinkVerdict,
    Load,
    Measured,
    Test,
)
from orchestrator.rdma.condition import Condition, Pcie
from orchestrator.rdma.diagnose import judge
from orchestrator.rdma.expect import Reach, expected
from orchestrator.rdma.material import Material
from orchestrator.spec.kind_entries import Expect

LINK = "spark-1.p1~spark-2.p1"
HOSTS = ("spark-1", "spark-2")
NETDEVS = ("enp1s0f1np1", "enP2p1s0f1np1")
DEVICES = ("rocep1s0f1", "roceP2p1s0f1")
ALONE = (92.57, 97.28)  # NVIDIA's performance guide
SPARK = Expect(half_gbps=90, port_gbps=180, tcp_gbps=30, failed_share=0.666)
REACHES = tuple(Reach(host, "dgx-spark", SPARK, 200, 2, 126) for host in HOSTS)
LOADS: tuple[Load, ...] = ("alone", "together", "both-ways")
CLAIMED = 10**9
PLACE = re.compile(
    r"\{(?:client|server|host|netdev|rdma|found|wanted)\}"
)  # that nothing was filled into


def end(host: str, half: int) -> End:
    return End(host, NETDEVS[half], f"192.168.{100 + half}.{HOSTS.index(host) + 1}", DEVICES[half])


def lane(half: int, back: bool = False) -> Lane:
    one, other = end("spark-1", half), end("spark-2", half)
    return Lane(LINK, half, other, one) if back else Lane(LINK, half, one, other)


def condition(host: str, half: int, **more: Any) -> Condition:
    one = end(host, half)
    settings: dict[str, Any] = {
        "up": True,
        "carrier": True,
        "speed_mbps": 200_000,
        "pcie": Pcie(32.0, 4, 32.0, 4),
        "mtu": 9000,
        "active_mtu": 4096,
        "link_layer": "Ethernet",
        "firmware": "28.45.4028",
        "address": one.address,
        "gids": ((0, "fe80::1", "RoCE v1"), (3, f"::ffff:{one.address}", "RoCE v2")),
        "ping": True,
        "ping_full": True,
    }
    return Condition(host, one.netdev, one.rdma, **{**settings, **more})


CONDITIONS = tuple(condition(host, half) for host in HOSTS for half in (0, 1))


def all_tests() -> tuple[Test, ...]:
    """Each half alone and both together, in each direction; both ways; latency."""
    made = [
        Test(lane(half, back), "rdma", "bandwidth", load, Effort(), 18515 + half)
        for load in ("alone", "together")
        for back in (False, True)
        for half in (0, 1)
    ]
    made += [Test(lane(half), "rdma", "bandwidth", "both-ways", Effort(), 18515) for half in (0, 1)]
    made += [Test(lane(half), "rdma", "latency", "alone", Effort(), 18515) for half in (0, 1)]
    return tuple(made)


def good(test: Test, gbps: float | None = None) -> Measured:
    if test.metric == "latency":
        return Measured(test.id, latency_us=1.9)
    rate = ALONE[test.lane.half] if gbps is None else gbps
    moved = dict.fromkeys(test.lane.hosts, CLAIMED)
    return Measured(test.id, gbps=rate, claimed_bytes=CLAIMED, moved=moved, mtu=4096)


def material(**more: Any) -> Material:
    settings: dict[str, Any] = {
        "link": LINK,
        "hosts": HOSTS,
        "tests": all_tests(),
        "measured": {test.id: good(test) for test in all_tests()},
        "expected": {load: expected("rdma", load, REACHES) for load in LOADS},
        "conditions": CONDITIONS,
        "cable_gbps": 200,
        "halves": 2,
    }
    return Material(**{**settings, **more})


def with_rates(rate: Any, **more: Any) -> Material:
    """`rate` gives Gb/s of a test, or None for what is good."""
    measured = {test.id: good(test, rate(test)) for test in all_tests()}
    return material(measured=measured, **more)


def with_failure(kind: str, **more: Any) -> Material:
    """Everything fails with this."""
    return material(
        measured={
            test.id: Measured(test.id, failure=Failure(kind, "said")) for test in all_tests()
        },
        **more,
    )


def with_condition(
    material_: Material, host: str = "spark-1", half: int | None = 0, **more: Any
) -> Material:
    """Something else at one end (of each half, with None)."""
    changed = tuple(
        replace(one, **more)
        if one.host == host and (half is None or one.netdev == NETDEVS[half])
        else one
        for one in material_.conditions
    )
    return replace(material_, conditions=changed)


def names(verdict: LinkVerdict) -> list[str]:
    """Of all reasons, each once, in order."""
    return list(dict.fromkeys(one.name for one in verdict.reasons))


def verdict(material_: Material) -> LinkVerdict:
    """Judged, and the promise that holds for each: whatever is not healthy has a reason."""
    found = judge(material_)
    if found.state != "healthy":
        assert found.reasons
    for one in found.lanes:
        assert (one.state == "healthy") != bool(one.reasons)
        assert {why.name for why in one.reasons} <= {"slow", *names(found)}
    for why in found.reasons:
        assert why.cause
        assert why.remedy
        assert not PLACE.search(why.cause + why.remedy)
    return found


UNKNOWN = Expected(None)
