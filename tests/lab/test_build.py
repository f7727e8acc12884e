"""`build:` on real hosts: built on one, the same image on both, served from; a new Dockerfile is a new image."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.conftest import SET_UP_SECONDS, Lab
from tests.lab.site import Site, changed

pytestmark = [pytest.mark.lab, pytest.mark.timeout(SET_UP_SECONDS)]

PROFILE = """\
version: 1
extends: lab-llama
image: null
build: {dockerfile: build/Dockerfile, context: build}
"""
CLUSTER = """\
version: 1
name: b
inventory: inventory.yaml
deployments:
  tiny: {profile: own, hosts: [spark-1, spark-2], port: 8000, gate: {rdma: "off"}}
"""
FROM = "FROM orch-lab/host-tree:latest\n"
FORGET = "docker images -q orch-build/own | xargs -r docker rmi -f; rm -rf ~/.local/state/orch/jobs/*/image-build-*"


@pytest.fixture
def site(lab: Lab, tmp_path: Path) -> Iterator[Site]:
    one = Site(lab, tmp_path, "b")
    one.write("cluster.yaml", CLUSTER)
    one.write("profiles/own.yaml", PROFILE)
    one.write("profiles/build/Dockerfile", f"{FROM}COPY said /built/said\n")
    one.write("profiles/build/said", "first")
    try:
        yield one
    finally:
        one.orch("down", rc=None)
        for host in lab.hosts:
            lab.run(host, ["sh", "-c", FORGET])


def images(site: Site) -> dict[str, set[str]]:
    """Host → images of ours there, by name and id."""
    words = ["docker", "images", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}"]
    return {
        host: set(site.lab.run(host, [*words, "orch-build/own"]).stdout.splitlines())
        for host in site.lab.hosts
    }


def said_inside(site: Site) -> set[str]:
    ranks = site.ranks()
    assert set(ranks) == set(site.lab.hosts)
    return {
        site.lab.run(host, ["docker", "exec", rank, "cat", "/built/said"]).stdout
        for host, rank in ranks.items()
    }


def test_built_once_and_copied(site: Site) -> None:
    planned = site.orch("plan").stdout
    assert "tiny/image-build/spark-1: build orch-build/own:" in planned
    assert "docker build --tag orch-build/own:" in site.orch("render").stdout
    first = changed(site.events("up"))
    assert "tiny/image-build/spark-1" in first
    assert "tiny/image/spark-2" in first
    assert "tiny/image/spark-1" not in first  # what is built there is there
    assert said_inside(site) == {"first"}
    one, two = images(site).values()
    assert one == two
    assert len(one) == 1
    assert (
        "said"
        not in site.lab.run("spark-1", ["sh", "-c", "ls -R ~/.local/state/orch/build"]).stdout
    )
    ranks = site.ranks()
    assert changed(site.events("up")) == []
    assert site.ranks() == ranks

    site.write("profiles/build/said", "second")
    again = changed(site.events("up"))
    assert "tiny/image-build/spark-1" in again
    assert said_inside(site) == {"second"}
    assert {len(found) for found in images(site).values()} == {2}


def test_a_build_that_fails_shows_the_builders_own_lines(site: Site) -> None:
    site.write("profiles/build/Dockerfile", f"{FROM}COPY nowhere /built/said\n")
    events = site.events("up", rc=1)
    (failed,) = [one for one in events if one["kind"] == "step-failed"]
    assert failed["step"] == "tiny/image-build/spark-1"
    assert "COPY nowhere /built/said" in failed["text"]
    assert "nowhere" in failed["text"].splitlines()[-1]
    assert "own" in json.dumps(failed["data"])
    assert site.ranks() == {}
    site.write("profiles/build/Dockerfile", f"{FROM}COPY said /built/said\n")
    site.orch("up")
    assert said_inside(site) == {"first"}
