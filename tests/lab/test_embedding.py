"""A llama.cpp embedding server on a real host: up when it gives a vector, and `orch status` asks it for one too.

The lab's tiny GGUF is a text model: pooled, its last layer is a vector like any other. Not pooled, the server is as
healthy and has no vector to give: that is what decides.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.conftest import Lab
from tests.lab.site import Site, changed

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]

CLUSTER = """
version: 1
name: t
inventory: inventory.yaml
deployments:
  tiny: {profile: vectors, hosts: [spark-1], port: 8090}
"""
PROFILE = (
    "version: 1\nextends: lab-llama\ntask: embed\nargs: {pooling: mean}\nwarmup: {prompts: [8]}\n"
)
MUTE = PROFILE.replace("mean", "none")


@pytest.fixture
def site(lab: Lab, tmp_path: Path) -> Iterator[Site]:
    one = Site(lab, tmp_path)
    one.write("cluster.yaml", CLUSTER)
    one.write("profiles/vectors.yaml", PROFILE)
    try:
        yield one
    finally:
        one.orch("down", rc=None)


def test_it_is_up_when_it_gives_a_vector(site: Site) -> None:
    done = changed(site.events("up"))
    assert {"tiny/rank/0", "tiny/warmup"} <= set(done)
    assert changed(site.events("up")) == []
    (said,) = json.loads(site.orch("status", "--json").stdout)["deployments"]
    assert (said["state"], said["answers"]) == ("answers", True)
    line = site.lab.run("spark-1", ["docker", "inspect", "-f", "{{.Args}}", "orch-t-tiny-0"]).stdout
    assert "--embedding" in line


def test_a_server_that_gives_no_vector_is_not_up(site: Site) -> None:
    """llama-server says at once that it can't, and that is told."""
    site.write("profiles/vectors.yaml", MUTE)
    failed = site.orch("up", rc=1)
    assert "Pooling type 'none'" in failed.stdout + failed.stderr
    assert site.ranks(hosts=["spark-1"]) == {}
