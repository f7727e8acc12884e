"""Each cause is found in its case and in no healthy one; whatever is not healthy has a reason and a remedy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.knowledge.fabric import causes, failures
from orchestrator.rdma.answers import Expected, Failure, Measured, Test
from orchestrator.rdma.causes import RULES
from orchestrator.rdma.condition import Condition, Pcie
from orchestrator.rdma.diagnose import judge, state_of, worst
from orchestrator.rdma.material import Material
from tests.unit.rdma import links
from tests.unit.rdma.links import (
    all_tests,
    material,
    names,
    verdict,
    with_condition,
    with_failure,
    with_rates,
)


def all_at(gbps: float) -> Material:
    return with_rates(lambda test: gbps)


def half(number: int, gbps: float) -> Callable[[Test], float | None]:
    return lambda test: gbps if test.lane.half == number else None


def back(gbps: float) -> Callable[[Test], float | None]:
    return lambda test: gbps if test.lane.client.host == "spark-2" else None


def together(gbps: float) -> Callable[[Test], float | None]:
    return lambda test: gbps if test.load == "together" else None


def errors(**counted: int) -> Material:
    return with_condition(all_at(70), errors=counted)


SLOW = all_at(50)
CASES: dict[str, tuple[Material, str]] = {
    "no-link": (with_condition(with_failure("link-down"), carrier=False), "failed"),
    "one-subnet": (
        with_condition(with_failure("timed-out"), half=1, address="192.168.100.7"),
        "failed",
    ),
    "no-ping": (with_condition(with_failure("no-host"), ping=False), "failed"),
    "mtu-differs": (with_condition(SLOW, mtu=1500), "failed"),
    "path-mtu": (with_condition(with_failure("mtu-path"), ping_full=False), "failed"),
    "not-ethernet": (with_condition(with_failure("wrong-gid"), link_layer="InfiniBand"), "failed"),
    "no-gid": (
        with_condition(with_failure("wrong-gid"), gids=((0, "fe80::1", "RoCE v2"),)),
        "failed",
    ),
    "firewall-in-the-way": (
        with_condition(with_failure("firewall"), firewall=("ufw is active",)),
        "failed",
    ),
    "link-slow": (with_condition(SLOW, speed_mbps=100_000), "failed"),
    "pcie-narrow": (with_condition(SLOW, pcie=Pcie(32.0, 2, 32.0, 4)), "failed"),
    "pcie-slow": (with_condition(SLOW, pcie=Pcie(16.0, 4, 32.0, 4)), "failed"),
    "power-cycle": (all_at(13), "failed"),
    "cable-errors": (with_condition(material(), errors={"symbol_error": 4000}), "degraded"),
    "drops": (errors(out_of_sequence=9), "degraded"),
    "one-way": (with_rates(back(65)), "degraded"),
    "one-half": (with_rates(half(1, 62)), "degraded"),
    "active-mtu": (with_condition(all_at(85), active_mtu=1024), "degraded"),
    "wrong-path": (all_at(2), "failed"),
    "limited": (SLOW, "failed"),
    "firmware-differs": (with_condition(all_at(85), firmware="28.40.1000"), "degraded"),
    "slow": (all_at(85), "degraded"),
    "one-path": (with_rates(together(50)), "failed"),
    "one-half-only": (
        material(
            tests=tuple(
                test for test in all_tests() if not test.lane.half and test.load != "together"
            )
        ),
        "degraded",
    ),
    "claims-without-data": (
        material(
            measured={
                test.id: replace(links.good(test), moved={"spark-1": 10**9, "spark-2": 77})
                for test in all_tests()
            }
        ),
        "failed",
    ),
    "counters-unread": (
        material(
            measured={
                test.id: replace(links.good(test), moved={"spark-1": 10**9}) for test in all_tests()
            }
        ),
        "unknown",
    ),
    "other-half": (
        material(
            measured={
                test.id: Measured(test.id, failure=Failure("link-lost", "said"))
                if test.lane.half and test.load == "together"
                else links.good(test)
                for test in all_tests()
            }
        ),
        "failed",
    ),
    "not-measured": (material(measured={}), "unknown"),
    "no-expectation": (material(expected={}), "unknown"),
}


def test_every_cause_has_a_case() -> None:
    assert set(CASES) == set(causes())
    assert [name for name in causes() if name in RULES] == list(RULES)  # deepest first in both


def test_every_entry_has_all_that_it_needs() -> None:
    for entry in (*failures().values(), *causes().values()):
        assert entry.cause
        assert entry.remedy
        assert entry.source


def test_a_healthy_link() -> None:
    found = verdict(material())
    assert found.state == "healthy"
    assert found.reasons == ()
    assert found.gbps == pytest.approx(189.85)
    assert found.latency_us == 1.9
    assert found.expected.healthy_gbps == pytest.approx(180)
    assert len(found.lanes) == 10


@pytest.mark.parametrize("name", CASES)
def test_a_cause_is_found_in_its_case(name: str) -> None:
    case, state = CASES[name]
    found = verdict(case)
    assert name in names(found)
    assert found.state == state


@pytest.mark.parametrize("kind", failures())
def test_every_failure_has_its_own_cause_and_remedy(kind: str) -> None:
    found = verdict(with_failure(kind))
    assert (found.state, found.gbps, found.latency_us) == ("failed", None, None)
    assert names(found)[0] == kind
    assert found.reasons[0].cause == failures()[kind].cause
    assert found.reasons[0].evidence == "said"


def test_failures_are_told_apart() -> None:
    assert len({entry.cause for entry in failures().values()}) == len(failures())


def test_a_kind_that_nobody_knows_is_a_failure_too() -> None:
    found = verdict(with_failure("something-new"))
    assert (found.state, names(found)) == ("failed", ["something-new"])


@pytest.mark.parametrize(
    ("gbps", "expected"),
    [
        (13, "power-cycle"),
        (8, "power-cycle"),
        (25, "power-cycle"),
        (7.9, "wrong-path"),
        (26, "limited"),
        (85, "slow"),
    ],
)
def test_the_number_alone_says_what_it_can(gbps: float, expected: str) -> None:
    assert names(verdict(all_at(gbps))) == [expected]


def test_thirteen_gigabits_are_no_power_cycle_where_link_or_pcie_explain_them() -> None:
    """And where nobody read them, it is not claimed either."""
    narrow = with_condition(all_at(13), host="spark-2", half=None, pcie=Pcie(32.0, 1, 32.0, 4))
    assert names(verdict(narrow)) == ["pcie-narrow"]
    unread = with_condition(all_at(13), half=None, pcie=None)
    assert names(verdict(unread)) == ["limited"]


def test_the_remedy_names_host_and_interface() -> None:
    found = verdict(with_condition(SLOW, host="spark-2", half=1, pcie=Pcie(32.0, 2, 32.0, 4)))
    why = next(one for one in found.reasons if one.name == "pcie-narrow")
    assert why.cause == "PCIe of enP2p1s0f1np1 on spark-2 is x2, not x4"
    assert "fwupdmgr" in why.remedy


def test_no_host_by_tcp_is_told_by_the_ping() -> None:
    """Recordings 32 and 34 say the same words."""
    assert "no-ping" not in names(verdict(with_failure("no-server")))
    assert names(verdict(with_condition(with_failure("no-server"), ping=False)))[:2] == [
        "no-server",
        "no-ping",
    ]


def test_no_answer_to_a_ping_is_no_news_where_the_cable_is_out() -> None:
    dark = with_condition(with_failure("no-host"), carrier=False, ping=False)
    assert "no-link" in names(verdict(dark))
    assert "no-ping" not in names(verdict(dark))


def test_link_local_halves_share_a_subnet() -> None:
    """Recordings 62 and 63: they hang, and pings pass."""
    found = with_condition(with_failure("timed-out"), half=0, address="169.254.177.122")
    found = with_condition(found, half=1, address="169.254.153.227")
    assert "one-subnet" in names(verdict(found))


def test_errors_during_a_test_count_as_those_of_the_host() -> None:
    measured = {
        test.id: replace(links.good(test, 70), errors={"spark-2 out_of_sequence": 12})
        for test in all_tests()
    }
    why = next(one for one in verdict(material(measured=measured)).reasons if one.name == "drops")
    assert why.cause.endswith("at spark-2: out_of_sequence +12")


def test_a_few_lost_packets_do_not_matter_while_it_is_fast() -> None:
    assert (
        verdict(with_condition(material(), errors={"out_of_sequence": 3, "symbol_error": 10})).state
        == "healthy"
    )
    assert verdict(with_condition(material(), errors={"link_downed": 1})).state == "degraded"


def test_together_counts_as_a_sum_and_the_weaker_direction_is_the_links() -> None:
    rates: dict[Any, float] = {("spark-1", 0): 85.0, ("spark-2", 0): 88.0}
    found = verdict(
        with_rates(
            lambda test: (
                rates.get((test.lane.client.host, test.lane.half))
                if test.load == "together"
                else None
            )
        )
    )
    assert found.state == "healthy"  # 85 + 97.28 are 182
    assert found.gbps == pytest.approx(85 + 97.28)


def test_one_half_is_the_link_where_there_is_one() -> None:
    one = tuple(test for test in all_tests() if not test.lane.half and test.load != "together")
    found = verdict(material(tests=one, halves=1))
    assert (found.state, found.gbps) == ("healthy", 92.57)
    assert found.expected.healthy_gbps == pytest.approx(90)


def test_two_halves_that_nobody_measured_together_have_no_number_for_the_link() -> None:
    found = verdict(material(tests=tuple(test for test in all_tests() if test.load == "alone")))
    assert (found.state, found.gbps) == ("healthy", None)


def test_a_latency_that_failed_or_is_missing_is_no_pass() -> None:
    last = all_tests()[-1]
    broken = {**material().measured, last.id: Measured(last.id, failure=Failure("link-lost"))}
    assert verdict(material(measured=broken)).state == "failed"
    missing = {key: value for key, value in material().measured.items() if key != last.id}
    assert verdict(material(measured=missing)).state == "unknown"


def test_nothing_is_unknown_and_says_so() -> None:
    for empty in (
        material(tests=()),
        material(tests=tuple(one for one in all_tests() if one.metric == "latency")),
    ):
        found = verdict(empty)
        assert (found.state, names(found)) == ("unknown", ["not-measured"])
        assert "orch verify-rdma --hosts spark-1,spark-2" in found.reasons[0].remedy


def test_soft_roce_is_judged_by_what_is_expected_of_it() -> None:
    """No PCIe, no speed, an active MTU of 1024: 0.2 Gb/s are healthy where 0.02 are expected."""
    bare = tuple(
        Condition(host, links.NETDEVS[one], links.DEVICES[one], soft=True)
        for host in links.HOSTS
        for one in (0, 1)
    )
    soft = Expected(0.02, "relative: what Soft-RoCE can", 0.02, 0.002)
    expected = dict.fromkeys(links.LOADS, soft)
    few: dict[str, Any] = {"conditions": bare, "expected": expected, "cable_gbps": 200}
    assert verdict(with_rates(lambda test: 0.2, **few)).state == "healthy"
    assert names(verdict(with_rates(lambda test: 0.004, **few))) == ["slow"]


def test_states() -> None:
    bounds = Expected(126, "", 90, 60)
    assert [state_of(one, bounds) for one in (None, 90, 89.9, 60, 59.9, 0)] == [
        *("unknown", "healthy", "degraded", "degraded", "failed", "failed"),
    ]
    assert state_of(1000, Expected(None)) == "unknown"
    assert worst([]) == "unknown"
    assert worst(["healthy", "degraded", "unknown", "failed"]) == "failed"
    assert worst(["healthy", "unknown", "degraded"]) == "unknown"


MAYBE = st.none() | st.booleans()
CONDITIONS = st.builds(
    Condition,
    st.sampled_from(links.HOSTS),
    st.sampled_from(links.NETDEVS),
    st.none() | st.just("rocep1s0f1"),
    up=MAYBE,
    carrier=MAYBE,
    speed_mbps=st.none() | st.sampled_from([0, 1000, 100_000, 200_000]),
    pcie=st.none()
    | st.builds(
        Pcie,
        *[st.none() | st.sampled_from([1.0, 16.0, 32.0]), st.none() | st.sampled_from([1, 2, 4])]
        * 2,
    ),
    mtu=st.none() | st.sampled_from([0, 1500, 9000]),
    active_mtu=st.none() | st.sampled_from([1024, 4096]),
    link_layer=st.none() | st.text(max_size=9),
    firmware=st.none() | st.text(max_size=3),
    address=st.none() | st.sampled_from(["192.168.100.1", "169.254.1.1", "not an address", ""]),
    gids=st.none()
    | st.lists(
        st.tuples(st.integers(0, 9), st.text(max_size=9), st.text(max_size=9)), max_size=2
    ).map(tuple),
    errors=st.dictionaries(
        st.sampled_from(["symbol_error", "out_of_sequence", "x"]), st.integers(-1, 99), max_size=2
    ),
    ping=MAYBE,
    ping_full=MAYBE,
    firewall=st.lists(st.text(max_size=9), max_size=2).map(tuple),
)
RESULTS = st.none() | st.builds(
    lambda gbps, failure, moved: (gbps, failure, moved),
    st.none() | st.floats(0, 250),
    st.none() | st.sampled_from([*failures(), "new"]),
    st.none() | st.integers(0, 2 * links.CLAIMED),
)


@given(
    st.lists(st.sampled_from(all_tests()), unique=True, max_size=12),
    st.lists(RESULTS, min_size=12, max_size=12),
    st.lists(CONDITIONS, max_size=4),
    st.booleans(),
)
def test_any_material(
    some: list[Test], results: list[Any], conditions: list[Condition], expecting: bool
) -> None:
    """A reason for whatever is not healthy (in `verdict`), and health only with number, proof and expectation."""
    measured: dict[str, Measured] = {}
    for test, result in zip(some, results, strict=False):
        if result is not None:
            gbps, failure, moved = result
            measured[test.id] = Measured(
                test.id,
                gbps=gbps if failure is None else None,
                latency_us=gbps if test.metric == "latency" else None,
                claimed_bytes=links.CLAIMED,
                moved=dict.fromkeys(links.HOSTS, moved),
                failure=None if failure is None else Failure(failure, "{said}"),
            )
    expected = material().expected if expecting else {}
    found = verdict(
        material(
            tests=tuple(some), measured=measured, expected=expected, conditions=tuple(conditions)
        )
    )
    assert (
        judge(
            material(
                tests=tuple(some),
                measured=measured,
                expected=expected,
                conditions=tuple(conditions),
            )
        )
        == found
    )
    for lane in found.lanes:
        if lane.state == "healthy":
            assert lane.measured is not None
            assert lane.measured.gbps is not None
            assert lane.expected.healthy_gbps is not None
            assert all(
                (lane.measured.moved[host] or 0) >= 0.8 * links.CLAIMED for host in links.HOSTS
            )
    if found.state == "healthy":
        assert found.lanes
        assert all(lane.state == "healthy" for lane in found.lanes)
