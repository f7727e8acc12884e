"""min(cable, PCIe) with the kind's numbers; what nobody knows is no expectation."""

from __future__ import annotations

import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.data import packed
from orchestrator.rdma.answers import Load, Way
from orchestrator.rdma.condition import Pcie
from orchestrator.rdma.expect import Reach, expected, reach
from orchestrator.spec.kind_entries import Expect
from orchestrator.spec.models import Kind
from tests.unit.network.clusters import host

FULL = Pcie(32.0, 4, 32.0, 4)


def shipped(name: str) -> Kind:
    text = (packed("kinds") / f"{name}.yaml").read_text(encoding="utf-8")
    return Kind.model_validate_json(json.dumps(yaml.safe_load(text)))


def spark(
    name: str = "spark-1", pcie: float | None = FULL.max_gbps, kind: str = "dgx-spark"
) -> Reach:
    return reach(host(name, kind=shipped(kind)), "p1", pcie)


@pytest.mark.parametrize(
    ("way", "load", "healthy", "failed", "limit"),
    [
        ("rdma", "alone", 90, 60, 126),
        ("rdma", "both-ways", 90, 60, 126),
        ("rdma", "together", 180, 120, 200),
        ("tcp", "alone", 30, 20, 126),
        ("tcp", "together", 30, 20, 200),
    ],
)
def test_a_pair_of_sparks(
    way: Way, load: Load, healthy: float, failed: float, limit: float
) -> None:
    found = expected(way, load, [spark("spark-1"), spark("spark-2")])
    assert found.healthy_gbps == pytest.approx(healthy)
    assert found.failed_gbps == pytest.approx(failed, rel=0.01)
    assert found.gbps == pytest.approx(limit, rel=0.01)
    assert "dgx-spark" in found.why


def test_a_spark_whose_pcie_nobody_read() -> None:
    found = expected("rdma", "alone", [spark(pcie=None)])
    assert found.healthy_gbps == 90
    assert "PCIe unknown" in found.why


def test_a_slower_cable_bounds_the_kind() -> None:
    slow = Reach("a", "dgx-spark", Expect(half_gbps=90, port_gbps=180, tcp_gbps=30), 25, 2, 126)
    assert expected("rdma", "alone", [slow]).healthy_gbps == 22.5
    assert expected("rdma", "together", [slow]).healthy_gbps == 22.5
    assert expected("tcp", "alone", [slow]).healthy_gbps == 22.5


def test_the_weakest_end_counts() -> None:
    tower = Reach("tower", "gpu-host", Expect(), 100, 1, 252)
    found = expected("rdma", "together", [spark(), tower])
    assert (found.healthy_gbps, found.gbps) == (90, 100)
    assert "gpu-host" in found.why


def test_pcie_bounds_a_host_without_numbers() -> None:
    narrow = Reach("tower", "gpu-host", Expect(), 100, 1, 63)
    assert expected("rdma", "alone", [narrow]).healthy_gbps == pytest.approx(56.7)


def test_a_lab_is_relative_and_says_so() -> None:
    found = expected("rdma", "alone", [spark(kind="lab", pcie=None)] * 2)
    assert found.healthy_gbps == 0.02
    assert found.why.startswith("relative: what this machine can")


def test_unknown_is_no_expectation() -> None:
    silent = Reach("tower", "gpu-host", Expect())
    lab = Reach("vm-1", "lab", Expect(relative="what Soft-RoCE can"), 200, 2, 126)
    for ends in ([], [silent], [spark(), silent], [lab]):
        found = expected("rdma", "alone", ends)
        assert (found.gbps, found.healthy_gbps, found.failed_gbps) == (None, None, None)
        assert found.why


def test_the_inventory_wins() -> None:
    one = host("spark-1", kind=shipped("dgx-spark"), expect=Expect(half_gbps=50, failed_share=0.5))
    found = expected("rdma", "alone", [reach(one, "p1", 126)])
    assert (found.healthy_gbps, found.failed_gbps) == (50, 25)


def test_pcie_in_gigabits() -> None:
    assert FULL.gbps == FULL.max_gbps == 126.0
    assert Pcie(32.0, 2, 32.0, 4).gbps == 63.0
    assert Pcie(16.0, 16).gbps == 252.1
    assert Pcie(None, 4).gbps is None
    assert Pcie(3.0, 4).gbps is None


LIMITS = st.none() | st.floats(0.1, 800)
REACHES = st.builds(
    Reach,
    st.just("h"),
    st.just("k"),
    st.builds(
        Expect,
        half_gbps=LIMITS,
        port_gbps=LIMITS,
        tcp_gbps=LIMITS,
        relative=st.sampled_from(["", "x"]),
    ),
    LIMITS,
    st.integers(1, 2),
    LIMITS,
)


@given(
    st.sampled_from(["rdma", "tcp"]),
    st.sampled_from(["alone", "together", "both-ways"]),
    st.lists(REACHES, min_size=1, max_size=3),
)
def test_any_ends(way: Way, load: Load, ends: list[Reach]) -> None:
    """Never more than a cable carries, never more with one end more, and all three numbers or none."""
    found = expected(way, load, ends)
    first = expected(way, load, ends[:1])
    if found.healthy_gbps is None or found.failed_gbps is None or found.gbps is None:
        assert (found.healthy_gbps, found.failed_gbps, found.gbps) == (None, None, None)
        return
    assert 0 < found.failed_gbps <= found.healthy_gbps <= found.gbps * 1.0001
    assert first.healthy_gbps is not None
    assert found.healthy_gbps <= first.healthy_gbps
    cables = [end.gbps for end in ends if end.gbps is not None and not end.expect.relative]
    assert all(found.healthy_gbps <= cable for cable in cables)
