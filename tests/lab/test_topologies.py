"""Netplan of pair, ring and switch on real hosts, with pings over every link; their cables found by `orch init`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator.hosts.pool import Pool
from orchestrator.lab.layout import Topology
from orchestrator.network.netplan import wanted_of
from orchestrator.network.topology import plan_fabric
from orchestrator.plan.decide import settled
from orchestrator.plan.graph import ordered
from orchestrator.rdma.preflight import preflight, preflight_reads
from orchestrator.run.events import Bus
from orchestrator.run.executor import Executor
from orchestrator.run.session import HostApplier
from orchestrator.run.survey import host_reader, survey
from orchestrator.run.world import LiveWorld
from orchestrator.spec.models import Cluster
from orchestrator.spec.resolve import load_inventory
from orchestrator.steps.link import link_steps
from orchestrator.steps.netplan import network_steps
from tests.lab.conftest import RAILS, SET_UP_SECONDS, Lab, running_lab

pytestmark = [pytest.mark.lab, pytest.mark.timeout(SET_UP_SECONDS)]

ROOT = Path(__file__).resolve().parents[2]
THREE = ("spark-1", "spark-2", "spark-3")


def no_secret(name: str) -> str:
    raise LookupError(name)


def converge(cluster: Cluster) -> tuple[dict[str, Any], bool]:
    """Set the network up as `orch up` does; errors, and whether a second look finds nothing to do."""
    steps = ordered([*network_steps(cluster, {}), *link_steps(cluster, {})])
    with Pool(cluster.hosts, no_secret) as pool:
        world = LiveWorld(cluster.hosts, host_reader(pool))
        survey(steps, world)
        bus, cancel = Bus("test", ()), threading.Event()
        applier = HostApplier(pool, world, bus, cancel)
        outcome = Executor(steps, world, applier, bus, cancel=cancel).run()
        again = survey(steps, LiveWorld(cluster.hosts, host_reader(pool)))
        return dict(outcome.errors), settled(again)


def check_every_link(lab: Lab, cluster: Cluster) -> int:
    """Full-sized pings between all members of each segment, sent by us and not by the step; how many."""
    fabric = plan_fabric(cluster)
    count = 0
    for segment in fabric.segments:
        for here in segment.members:
            others = [
                str(one.interface.ip) for one in segment.members if one.interface and one != here
            ]
            for other in others:
                argv = ["ping", "-n", "-q", "-c", "1", "-W", "2", "-M", "do", "-s", "8972"]
                lab.run(here.host, [*argv, "-I", here.netdev, other])
                count += 1
    for host in lab.hosts:
        for one in wanted_of(cluster, fabric, host):
            shown = json.loads(lab.run(host, ["ip", "-j", "addr", "show", one.netdev]).stdout)[0]
            have = [
                f"{a['local']}/{a['prefixlen']}"
                for a in shown["addr_info"]
                if a["family"] == "inet"
            ]
            assert (have, shown["mtu"]) == ([str(one.address)], 9000), (host, one.netdev)
    return count


def init(lab: Lab, folder: Path, *words: str, rc: int = 0) -> subprocess.CompletedProcess[str]:
    """`orch init` as a user calls it."""
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator.cli", "init", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == rc, done.stdout + done.stderr
    return done


def found_anew(lab: Lab, folder: Path) -> dict[str, Any]:
    """The inventory that `orch init` writes from the hosts' addresses alone."""
    folder.mkdir()
    words = [lab.address(host) for host in lab.hosts]
    ssh = ["--user", "orch", "--key", str(lab.dir / "id_ed25519")]
    init(lab, folder, *words, *ssh, "--known-hosts", str(lab.dir / "known_hosts"))
    found = yaml.safe_load((folder / "inventory.yaml").read_text())
    assert isinstance(found, dict)
    return found


def links(document: dict[str, Any]) -> set[frozenset[str]]:
    return {frozenset(one["ports"] if isinstance(one, dict) else one) for one in document["links"]}


@pytest.fixture(scope="module", params=["ring", "switch"])
def three(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Lab]:
    topology: Topology = request.param
    folder = tmp_path_factory.mktemp(topology)
    with running_lab(folder, f"t{os.getpid()}{topology[0]}", THREE, topology) as up:
        yield up


def test_pair_cables_are_found_and_a_wrong_link_is_told(lab: Lab, tmp_path: Path) -> None:
    document = found_anew(lab, tmp_path / "new")
    assert {name: one["kind"] for name, one in document["hosts"].items()} == dict.fromkeys(
        lab.hosts, "lab"
    )
    assert links(document) == {frozenset({"spark-1.p1", "spark-2.p1"})}
    for rail in RAILS:
        shown = json.loads(lab.run("spark-1", ["ip", "-j", "link", "show", rail]).stdout)
        assert "UP" not in shown[0]["flags"], "it is down again after the look"
    path = tmp_path / "new" / "inventory.yaml"
    assert "the cables are where the inventory says" in init(lab, path.parent).stdout
    path.write_text(
        path.read_text().replace("[spark-1.p1, spark-2.p1]", "[spark-1.p1, spark-2.p0]")
    )
    said = init(lab, path.parent, rc=1).stdout
    assert "the cable of spark-1.p1 goes to spark-2.p1, your file says spark-2.p0" in said
    assert "- [spark-1.p1, spark-2.p1]" in said


def test_an_inventory_is_never_written_over_by_chance(lab: Lab, tmp_path: Path) -> None:
    mine = tmp_path / "inventory.yaml"
    mine.write_text("version: 1\nhosts: {mine: {}}\n")
    said = init(lab, tmp_path, lab.address("spark-1"), rc=2).stderr
    assert "is not written over" in said
    ssh = ["--user", "orch", "--key", str(lab.dir / "id_ed25519")]
    known = ["--known-hosts", str(lab.dir / "known_hosts")]
    init(lab, tmp_path, lab.address("spark-1"), *ssh, *known, "--force")
    assert (tmp_path / "inventory.yaml.1.bak").read_text() == "version: 1\nhosts: {mine: {}}\n"
    assert "spark-1" in yaml.safe_load(mine.read_text())["hosts"]


def test_a_pair_gets_its_netplan_and_answers_over_both_halves(lab: Lab) -> None:
    cluster = load_inventory(lab.inventory)
    assert converge(cluster) == ({}, True)
    assert check_every_link(lab, cluster) == 4
    fabric = plan_fabric(cluster)
    with Pool(cluster.hosts, no_secret) as pool:
        reports = preflight(cluster, fabric, host_reader(pool)(preflight_reads(fabric)))
    assert len(reports) == 4
    for report in reports:
        assert [(one.name, one.grade) for one in report.wrong] == [("device", "warn")], report


def test_three_hosts_get_their_netplan_and_answer_over_every_link(three: Lab) -> None:
    cluster = load_inventory(three.inventory)
    assert converge(cluster) == ({}, True)
    assert check_every_link(three, cluster) == 12  # six segments of two; or two of three


def test_three_hosts_find_their_cables(three: Lab, tmp_path: Path) -> None:
    written = yaml.safe_load(three.inventory.read_text())
    document = found_anew(three, tmp_path / "new")
    assert links(document) == links(written)
    if any(isinstance(one, dict) for one in written["links"]):
        assert document["links"][0]["switch"] == "s1"
        return
    path = tmp_path / "new" / "inventory.yaml"
    text = path.read_text()
    wrong = text.replace("spark-1.p0", "x").replace("spark-1.p1", "spark-1.p0")
    wrong = wrong.replace("[x", "[spark-1.p1")
    assert wrong != text
    path.write_text(wrong)
    said = init(three, path.parent, rc=1).stdout
    assert "the cable of spark-1.p1 goes to spark-3.p0, your file says spark-2.p1" in said
    assert "the cable of spark-1.p0 goes to spark-2.p1, your file says spark-3.p0" in said
