"""Words before colours: what a terminal shows of a verdict, and its JSON."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from orchestrator.rdma.answers import FabricVerdict, Reason
from orchestrator.rdma.flow import flows, grid
from orchestrator.rdma.form import form
from orchestrator.rdma.matrix import matrix
from orchestrator.rdma.past import past, slower
from orchestrator.rdma.tell import terminal
from tests import fabrics


def plain(verdict: FabricVerdict, everything: bool = False) -> list[str]:
    return [click.unstyle(line) for line in terminal(verdict, everything)]


def grid_lines(verdict: FabricVerdict) -> list[str]:
    return [click.unstyle(line) for line in matrix(verdict)]


def test_a_ring_worst_first() -> None:
    told = plain(fabrics.ring())
    assert told[0] == "failed: 2 failed, 1 healthy of 3 links"
    assert told[2:6] == [
        "LINK                   STATE    GB/S →  ← GB/S   HALVES →   ← HALVES    NEEDS   µS",
        "spark-1.p0~spark-3.p1  failed        ?       ?        ? ?        ? ?  ≥ 175.0    ?",
        "spark-2.p1~spark-3.p0  failed     13.1   186.3  13.1 13.0  98.2 97.9  ≥ 175.0  2.1",
        "spark-1.p1~spark-2.p0  healthy   186.3   186.3  98.2 97.9  98.2 97.9  ≥ 175.0  2.1",
    ]
    text = "\n".join(told)
    assert "spark-2.p1~spark-3.p0  failed, 13.1 of 185.0 Gb/s" in text
    assert f"  cause  {fabrics.SLOW.cause}" in text
    assert "  do     Shut both hosts down" in text
    assert "  tool   refused: Couldn't connect to 10.20.0.2:18515" in text
    assert text.count("Couldn't connect") == 1  # eight tests said the same
    assert "and 5 more tests" in text


def test_what_is_not_rdma_is_said_before_the_numbers() -> None:
    assert plain(fabrics.tcp())[1] == "NOTE: no RDMA; TCP measured"
    coloured = list(terminal(fabrics.tcp()))[1]
    assert coloured != click.unstyle(coloured)


def test_an_unknown_expectation_never_reads_as_good() -> None:
    text = "\n".join(plain(fabrics.unknown()))
    assert "healthy" not in text
    assert "it is not known what this link should give: kind gpu-host says nothing" in text
    assert "186u" in "\n".join(grid_lines(fabrics.unknown()))


def test_nothing_measured_is_unknown() -> None:
    assert plain(fabrics.fabric()) == ["unknown: no link was measured"]
    assert grid_lines(fabrics.fabric()) == []


def test_a_link_worse_than_its_directions_colours_both() -> None:
    """Its counters may show drops where both rates are good."""
    link = replace(fabrics.link("a", "b"), state="degraded")
    assert [one.state for one in flows(link)] == ["degraded", "degraded"]


def test_one_half_without_a_number_is_no_sum() -> None:
    half = fabrics.Rates((98.0, None), (98.0, None), failure=fabrics.CUT.failure)
    there, back = flows(fabrics.link("a", "b", half))
    assert (there.gbps, there.state) == (None, "failed")
    assert (back.gbps, back.state) == (186.3, "healthy")


def test_halves_measured_one_by_one_are_said_to_be_added() -> None:
    link = fabrics.link("a", "b")
    alone = replace(link, lanes=tuple(one for one in link.lanes if one.load == "alone"))
    there, _ = flows(alone)
    assert there.how == "halves added"
    assert there.gbps == pytest.approx(196.1)


def test_two_cables_of_a_pair_share_a_cell_and_the_worse_is_shown() -> None:
    verdict = fabrics.fabric(
        fabrics.link("a", "b"), fabrics.link("a", "b", fabrics.STUCK, ports=("p0", "p1"))
    )
    assert [len(some) for some in grid(verdict.links).cells.values()] == [2, 2]
    assert "13.1F×2" in "\n".join(grid_lines(verdict))


def test_many_healthy_links_share_a_line_and_sixteen_hosts_fit() -> None:
    verdict = fabrics.switch(16)
    told = plain(verdict)
    assert told == [
        "healthy: all 120 links",
        "120 healthy links, 186.3 to 186.3 Gb/s; -v shows each",
    ]
    assert sum("s1:p1/spark-" in line for line in plain(verdict, everything=True)) == 120
    lines = grid_lines(verdict)
    assert len(lines) == 18
    assert max(map(cell_len, lines)) <= 100


def test_beyond_sixteen_hosts_the_worst_are_named() -> None:
    verdict = fabrics.switch(20)
    slow = fabrics.link("spark-18", "spark-20", fabrics.STUCK, name="s1:p1")
    links = [slow if one.hosts == slow.hosts else one for one in verdict.links]
    lines = grid_lines(replace(verdict, links=tuple(links)))
    assert lines[-1] == "and 4 hosts, all healthy"
    assert len(lines) == 18
    line = next(one for one in lines if one.startswith("spark-20"))
    assert line.split("  ")[1:] == ["1 failed, 37 healthy", "13.1 spark-18 → spark-20"]


WORDS = st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=12), max_size=30)


@given(WORDS, st.sampled_from(["a", "a-host-with-quite-a-long-name.example"]))
def test_nothing_is_wider_than_the_terminal_nor_moves_its_cursor(
    words: list[str], host: str
) -> None:
    text = " ".join(words)
    reason = Reason("x", text, text, text)
    link = replace(fabrics.link(host, "b" * len(host), fabrics.CUT), reasons=(reason,))
    verdict = replace(fabrics.fabric(link, fabrics.link("a", "b")), notes=(text,))
    for line in plain(verdict):
        assert "\x1b" not in line
        assert "\r" not in line
        assert len(line) <= 100


def test_the_json_says_the_same() -> None:
    verdict = fabrics.ring()
    runs = [*fabrics.earlier(verdict), verdict]
    name = verdict.links[1].name
    fallen = slower(past(run, one) for run in runs for one in run.links if one.name == name)
    assert fallen is not None
    told = json.loads(json.dumps(form(verdict, {name: fallen})))
    assert (told["version"], told["state"], told["hosts"]) == (
        1,
        "failed",
        ["spark-1", "spark-2", "spark-3"],
    )
    slow = told["links"][1]
    assert slow["directions"][0] == {
        "from": "spark-2",
        "to": "spark-3",
        "gbps": 13.1,
        "of": "together",
        "state": "failed",
    }
    assert slow["slower"]["changed"] == ["spark-3 kernel: 6.11 → 6.14"]
    assert slow["lanes"][0]["measured"]["tool"] == "ib_write_bw 6.06"
    assert slow["lanes"][-1]["metric"] == "latency"
    cut = told["links"][2]
    assert cut["gbps"] is None
    assert cut["share"] is None
    assert [one["gbps"] for one in cut["directions"]] == [None, None]


def test_the_documented_table_and_matrix_are_the_real_ones() -> None:
    documented = (Path(__file__).parents[3] / "docs" / "verify-rdma.md").read_text()
    for line in [*plain(fabrics.ring())[:6], *grid_lines(fabrics.ring())[:-1]]:
        assert line in documented


def test_causes_with_one_remedy_are_told_together() -> None:
    """Seven numbers of one slow cable are one cause, not seven pages."""
    slow = [
        Reason("slow", f"0.{n} Gb/s where 0.9 are expected", "measure again", "") for n in range(5)
    ]
    link = replace(fabrics.link("a", "b"), state="degraded", gbps=0.05, reasons=tuple(slow))
    assert plain(fabrics.fabric(link))[-5:] == [
        "a.p1~b.p0  degraded, 0.05 of 185.0 Gb/s",
        "  cause  0.0 Gb/s where 0.9 are expected",
        "  cause  0.1 Gb/s where 0.9 are expected",
        "         and 3 more like it",
        "  do     measure again",
    ]
