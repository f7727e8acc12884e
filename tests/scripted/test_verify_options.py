"""What the command line of `orch verify-rdma` asks for is what the tools are called with, and on whom."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli.options import Site
from orchestrator.cli.verify import wanted_of
from orchestrator.errors import FilesWrong
from orchestrator.network.topology import plan_fabric
from orchestrator.rdma.trials import FULL
from orchestrator.steps.measure import Wanted, measure_steps
from orchestrator.steps.trial import Serve
from tests.scripted.test_verify import SERVER, Fabric, files, run

__all__ = ["files"]  # the fixture
NOTED = f'echo "$*" >>"$SHARED/argv"\n{SERVER}'
RING = """
version: 1
defaults: {kind: dgx-spark}
hosts:
  a: {address: a.lan}
  b: {address: b.lan}
  c: {address: c.lan}
links:
  - [a.p0, b.p1]
  - [b.p0, c.p1]
  - [c.p0, a.p1]
"""
SAID: dict[str, Any] = {
    "links": (), "duration": None, "size": None, "qps": None,
    "quick": False, "soak": None, "all_pairs": False,
}  # fmt: skip


def words_of_client(folder: Path) -> list[str]:
    lines = (folder / "shared" / "argv").read_text().splitlines()
    (first, *_) = [line for line in lines if line.startswith("-c ")]
    return first.split()


@pytest.mark.usefixtures("files")
def test_duration_size_and_qps_reach_the_tool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fabric = Fabric(tmp_path, NOTED)
    done = run(
        monkeypatch, fabric.hosts, "--quick", "--json",
        "--duration", "3s", "--size", "128KiB", "--qps", "2",
    )  # fmt: skip
    words = words_of_client(tmp_path)
    for flag, value in (("-t", "3"), ("-l", "131072"), ("-P", "2")):
        assert words[words.index(flag) + 1] == value, words
    (link,) = json.loads(done.stdout)["links"]
    assert {one["load"] for one in link["lanes"]} == {"alone"}


@pytest.mark.usefixtures("files")
def test_a_soak_is_one_test_for_so_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fabric = Fabric(tmp_path, NOTED)
    run(monkeypatch, fabric.hosts, "--json", "--soak", "1m")
    words = words_of_client(tmp_path)
    assert words[words.index("-t") + 1] == "60"
    assert fabric.said("asked") == 1


def ring(folder: Path, hosts: str | None = None) -> Site:
    path = folder / "inventory.yaml"
    path.write_text(RING)
    return Site(
        path, (), hosts, json=True, verbose=False, accept_new_host_keys=False,
        purpose="look", inventory=path,
    )  # fmt: skip


def measured(site: Site, **said: Any) -> list[str]:
    """Link, direction, halves and load of each test, in order."""
    steps = measure_steps(site.cluster, wanted_of(site, {**SAID, **said}))
    return [step.trial.name for step in steps if isinstance(step, Serve)]


def links(found: list[str]) -> set[str]:
    return {one.partition("/")[0] for one in found}


def test_hosts_and_links_choose_what_is_measured(tmp_path: Path) -> None:
    assert links(measured(ring(tmp_path))) == {"a.p0~b.p1", "b.p0~c.p1", "a.p1~c.p0"}
    assert links(measured(ring(tmp_path, "a,b"))) == {"a.p0~b.p1"}
    assert links(measured(ring(tmp_path), links=("b.p0",))) == {"b.p0~c.p1"}
    both = measured(ring(tmp_path), links=("b.p0", "a.p1~c.p0"))
    assert links(both) == {"b.p0~c.p1", "a.p1~c.p0"}
    with pytest.raises(FilesWrong, match=r"there is no link .*d.p0"):
        measured(ring(tmp_path), links=("d.p0",))


def test_how_many_tests_each_way_of_asking_costs(tmp_path: Path) -> None:
    only = {"links": ("a.p0",)}
    assert len(measured(ring(tmp_path), **only)) == 10
    quick = measured(ring(tmp_path), quick=True, **only)
    assert quick == ["a.p0~b.p1/a>b/h1+2/together", "a.p0~b.p1/b>a/h1+2/together"]
    assert measured(ring(tmp_path), soak="1h", **only) == quick[:1]


def test_what_is_not_said_stays(tmp_path: Path) -> None:
    for said, seconds in (({"soak": "1h"}, 3600), ({"duration": "30s"}, 30), ({}, FULL.seconds)):
        wanted = Wanted.of(wanted_of(ring(tmp_path), {**SAID, **said}))
        assert wanted.effort.seconds == seconds
        assert (wanted.effort.bytes, wanted.effort.qps) == (FULL.bytes, FULL.qps)
        assert len(wanted.pairs(plan_fabric(ring(tmp_path).cluster))) == 3
