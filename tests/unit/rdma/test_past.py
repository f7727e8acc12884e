"""When a link got slower than its own past, and what was changed by then."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import click
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.rdma.answers import Fingerprint, State
from orchestrator.rdma.past import Past, changes, concerning, past, slower
from orchestrator.rdma.trend import bars, history, trend
from orchestrator.rdma.words import day
from tests import fabrics

DAY = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d")  # local time
OLD, NEW = Fingerprint({"a kernel": "6.11"}), Fingerprint({"a kernel": "6.14"})


def run(number: int, gbps: float | None, fingerprint: Fingerprint = OLD) -> Past:
    at = fabrics.START + number * fabrics.DAY
    state: State = "failed" if gbps is None else "healthy"
    return Past(f"r{number}", at, "a.p0~b.p0", state, "rdma", gbps, 185.0, 2.1, fingerprint)


def runs(*rates: float | None, changed_at: int = 99) -> list[Past]:
    return [run(n, rate, NEW if n >= changed_at else OLD) for n, rate in enumerate(rates)]


def test_since_when_and_what_was_changed() -> None:
    found = slower(runs(186, 185, 187, 120, 121, 119, changed_at=3))
    assert found is not None
    assert (found.since.run, found.before.run) == ("r3", "r2")
    assert found.told == "119.0 Gb/s, 186.0 before; changed then: a kernel: 6.11 → 6.14"


def test_without_a_change_nothing_is_blamed() -> None:
    found = slower(runs(186, 120))
    assert found is not None
    assert found.told.endswith("changed then: nothing that the fingerprint knows of")


def test_noise_recovery_and_no_past_are_not_slower() -> None:
    assert slower(runs(186, 180, 187, 175)) is None
    assert slower(runs(186, 100, 187)) is None
    assert slower(runs(100)) is None
    assert slower([]) is None


def test_a_failure_is_no_speed() -> None:
    """In between it is passed over; at the end nobody knows how fast it is now."""
    found = slower(runs(186, None, 120))
    assert found is not None
    assert found.before.run == "r0"
    assert slower(runs(186, 120, None)) is None


def test_tcp_is_not_compared_with_rdma() -> None:
    assert slower([run(0, 186.0), replace(run(1, 9.4), way="tcp")]) is None


@given(st.lists(st.floats(1, 400), min_size=2, max_size=40))
def test_slower_is_really_slower(rates: list[float]) -> None:
    found = slower(runs(*rates))
    if found is not None:
        first = int(found.since.run[1:])
        assert all(rate < found.was_gbps * 0.9 for rate in rates[first:])
        assert found.now_gbps == rates[-1]


@given(st.lists(st.floats(90, 100), max_size=40))
def test_within_a_tenth_is_noise(rates: list[float]) -> None:
    assert slower(runs(*rates)) is None


def test_other_hosts_and_cables_do_not_concern_a_link() -> None:
    verdict = fabrics.ring()
    parts = {
        **verdict.fingerprint.parts,
        "spark-2.p1~spark-3.p0 cable": "x",
        "spark-1.p1~spark-2.p0 cable": "y",
        "orch version": "1",
    }
    verdict = replace(verdict, fingerprint=Fingerprint(parts))
    mine = concerning(verdict, verdict.links[0]).parts  # spark-1 and spark-2
    assert {key.split(" ")[0] for key in mine} == {
        "spark-1",
        "spark-2",
        "spark-1.p1~spark-2.p0",
        "orch",
    }


def test_a_switchs_cable_is_a_link_for_each_pair() -> None:
    names = {one.name for one in fabrics.switch(4).links}
    assert len(names) == 6
    assert "s1:p1/spark-1+spark-2" in names
    turned = replace(fabrics.link("b", "a", name="s1:p1"))
    assert turned.name == fabrics.link("a", "b", name="s1:p1").name


def test_bars_have_a_sign_for_each_run() -> None:
    points = runs(185, 92, None, 1)
    assert bars([*points, replace(run(5, None), state="unknown")]) == "█▄×▁?"


def test_the_trend_tells_when_and_what() -> None:
    told = [click.unstyle(line) for line in trend("a.p0~b.p0", runs(186, 120, changed_at=1))]
    assert told[0] == "a.p0~b.p0"
    assert told[1] == "  █▆"
    assert told[2].startswith(f"  2 runs since {day(fabrics.START)}")
    assert told[3].startswith(f"  SLOWER since {day(fabrics.START + fabrics.DAY)}")
    assert "a kernel: 6.11 → 6.14" in told[3]
    assert told[4].split() == ["WHEN", "STATE", "GB/S", "µS", "BY"]
    assert told[5].split()[2:] == ["healthy", "120.0", "2.1", "rdma"]
    assert told[6] == "    changed: a kernel: 6.11 → 6.14"
    assert max(len(line) for line in told) <= 100


def test_no_runs_is_said() -> None:
    assert list(history({})) == ["no runs yet: `orch verify-rdma` measures and remembers"]


def test_changes_stand_where_they_happened() -> None:
    assert list(changes(runs(1, 1, 1, changed_at=1))) == [(), ("a kernel: 6.11 → 6.14",), ()]


def test_a_run_is_kept_with_what_concerns_the_link() -> None:
    verdict = fabrics.ring()
    one = past(verdict, verdict.links[1])
    assert (one.run, one.state, one.gbps, one.expected_gbps) == (verdict.run, "failed", 13.1, 185.0)


def test_the_documented_trend_is_the_real_one() -> None:
    verdict = fabrics.ring()
    runs = [*fabrics.earlier(verdict), verdict]
    name = verdict.links[1].name
    points = [past(one, each) for one in runs for each in one.links if each.name == name]
    documented = (Path(__file__).parents[3] / "docs" / "verify-rdma.md").read_text()
    told = [click.unstyle(line) for line in trend(name, points)]
    for line in told[:4]:
        assert DAY.sub("", line) in DAY.sub("", documented)
