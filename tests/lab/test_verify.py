"""The fabric of two real hosts measured over TCP, remembered, and made a gate of `up`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.lab.conftest import Lab
from tests.lab.site import Site, changed

pytestmark = [pytest.mark.lab, pytest.mark.timeout(900)]

EXPECTS = 'expect: {tcp_gbps: 1, relative: "", failed_share: 0.666}'
GATED = """\
version: 1
name: {name}
inventory: inventory.yaml
deployments:
  tiny: {{profile: lab-llama, hosts: [spark-1, spark-2], port: 8000}}
"""
LINK = "spark-1.p1~spark-2.p1"
LEFT = "rm -rf ~orch/.local/state/orch/fabric"


@pytest.fixture
def site(lab: Lab, tmp_path: Path) -> Iterator[Site]:
    """A cluster whose link has an expectation, its network set up, nothing measured yet."""
    made = Site(lab, tmp_path, name="v")
    inventory = (tmp_path / "inventory.yaml").read_text(encoding="utf-8")
    made.write("inventory.yaml", inventory.replace("defaults:\n", f"defaults:\n  {EXPECTS}\n", 1))
    made.write("cluster.yaml", GATED.format(name=made.name))
    made.orch("run", "network")
    for host in lab.hosts:
        lab.inside(host, LEFT)
    try:
        yield made
    finally:
        made.orch("down", rc=None)


def verdict(site: Site, *words: str, rc: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(site.orch("verify-rdma", "--json", *words, rc=rc).stdout)
    return found


def servers(lab: Lab) -> str:
    return "".join(lab.inside(host, "pgrep -a iperf3 || true") for host in lab.hosts)


def test_tcp_is_measured_said_and_remembered(site: Site) -> None:
    told = verdict(site, "--duration", "1s", "--html", "fabric.html")
    assert told["state"] == "healthy"
    assert told["notes"][0] == "no RDMA; TCP measured"
    (link,) = told["links"]
    assert (link["way"], link["hosts"]) == ("tcp", ["spark-1", "spark-2"])
    loads = {(one["load"], one["half"], one["client"]["host"]) for one in link["lanes"]}
    assert {("alone", half, host) for half in (1, 2) for host in site.lab.hosts} <= loads
    assert {("together", half, host) for half in (1, 2) for host in site.lab.hosts} <= loads
    assert {("both-ways", half, "spark-1") for half in (1, 2)} <= loads
    for lane in link["lanes"]:
        moved = lane["measured"]["moved"]
        assert min(moved.values()) >= lane["measured"]["claimed_bytes"], lane["name"]
    assert LINK in (site.folder / "fabric.html").read_text(encoding="utf-8")
    assert servers(site.lab) == ""
    verdict(site, "--quick")
    past = json.loads(site.orch("verify-rdma", "--history", "--json").stdout)
    assert [one["state"] for one in past["links"][LINK]] == ["healthy", "healthy"]


def test_a_slow_half_is_named_with_its_number(site: Site) -> None:
    with slowed(site, "200mbit"):
        told = verdict(site, "--quick", rc=1)
    (link,) = told["links"]
    assert link["state"] == "failed"
    assert 0.1 < link["gbps"] < 0.5
    assert link["reasons"]


def test_a_link_that_carries_enough_with_the_wrong_mtu_is_degraded(site: Site) -> None:
    change = "for d in enp1s0f1np1 enP2p1s0f1np1; do ip link set $d mtu {}; done"
    site.lab.inside("spark-2", change.format(1500))
    try:
        told = verdict(site, "--quick")
    finally:
        site.lab.inside("spark-2", change.format(9000))
    (link,) = told["links"]
    assert link["state"] == "degraded"
    assert {one["name"] for one in link["reasons"]} == {"preflight-mtu"}
    for one in link["reasons"]:
        assert "the ends differ" in one["cause"] and "MTU" in one["evidence"], one


def test_a_pulled_cable_is_its_own_cause(site: Site) -> None:
    site.orch("lab", "break", "--name", site.lab.name, "spark-1", "cable:p1")
    try:
        told = verdict(site, "--quick", rc=1)
    finally:
        site.orch("lab", "heal", "--name", site.lab.name, "spark-1", "cable:p1")
    causes = {one["name"] for one in told["links"][0]["reasons"]}
    assert causes & {"link-down", "no-link"}, causes


def test_a_server_that_is_there_already_is_its_own_cause(site: Site) -> None:
    site.lab.inside("spark-2", "setsid iperf3 -s -p 18515 >/dev/null 2>&1 &")
    try:
        told = verdict(site, "--quick", rc=1)
    finally:
        site.lab.inside("spark-2", "pkill iperf3")
    assert "port-in-use" in {one["name"] for one in told["links"][0]["reasons"]}


def test_up_uses_a_fresh_verdict_and_measures_without_one(site: Site) -> None:
    verdict(site, "--quick")
    events = site.events("up", timeout=400)
    assert not [one for one in changed(events) if "/fabric/" in one]
    live = site.orch("verify-rdma", "--live", rc=1)  # there is no RDMA here, and that is said
    assert "tiny  TCP: its ranks were given no RDMA device" in live.stdout
    site.orch("down")
    for host in site.lab.hosts:
        site.lab.inside(host, LEFT)
    events = site.events("up", timeout=400)
    assert [one for one in changed(events) if "/fabric/" in one and one.endswith("/ask")]
    again = site.events("up", timeout=400)
    assert changed(again) == []
    assert [one for one in again if one["kind"] == "lease"] == []


def test_a_degraded_link_refuses_the_start_and_can_be_accepted(site: Site) -> None:
    with slowed(site, "200mbit"):
        done = site.orch("up", rc=4, timeout=400)
        assert f"the link {LINK} fails" in done.stdout
        assert "Gb/s" in done.stdout
        assert "orch up --accept-degraded" in done.stdout
        assert site.ranks() == {}
        accepted = site.events("up", "--accept-degraded", timeout=400)
    notes = [one["text"] for one in accepted if one["kind"] == "note"]
    assert any("--accept-degraded" in one and LINK in one for one in notes)
    assert set(site.ranks()) == set(site.lab.hosts)


@contextmanager
def slowed(site: Site, rate: str) -> Iterator[None]:
    """Both halves of the cable carry no more than that meanwhile."""
    site.orch("lab", "break", "--name", site.lab.name, "spark-1", f"slow-link:p1:{rate}")
    try:
        yield
    finally:
        site.orch("lab", "heal", "--name", site.lab.name, "spark-1", "slow-link:p1")
