"""What a profile brings to its ranks, on real hosts: a file and a folder by hash, and a cache that outlives them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.conftest import SET_UP_SECONDS, Lab
from tests.lab.site import Site, changed

pytestmark = [pytest.mark.lab, pytest.mark.timeout(SET_UP_SECONDS)]

PROFILE = """\
version: 1
extends: lab-llama
mounts:
  - {from: /usr, to: /usr, read_only: true}
  - {from: /etc, to: /etc, read_only: true}
  - {from: /opt/orch-lab, to: /opt/orch-lab, read_only: true}
  - {from: /models, to: /models, read_only: true}
  - {from: ./hook.py, to: /brought/hook.py, read_only: true, sync: true}
  - {from: ./tree, to: /brought/tree, read_only: true, sync: true}
caches: {compiled: /var/cache/compiled}
"""
CLUSTER = """\
version: 1
name: s
inventory: inventory.yaml
deployments:
  tiny: {profile: own, hosts: [spark-1, spark-2], port: 8000, gate: {rdma: "off"}}
"""
VOLUME = "orch-cache-compiled"


@pytest.fixture
def site(lab: Lab, tmp_path: Path) -> Iterator[Site]:
    one = Site(lab, tmp_path, "s")
    one.write("cluster.yaml", CLUSTER)
    one.write("profiles/own.yaml", PROFILE)
    one.write("profiles/hook.py", "first = 1\n")
    one.write("profiles/tree/a b/part.py", "part = 1\n")
    (one.write("profiles/tree/run", "#!/bin/sh\n")).chmod(0o755)
    try:
        yield one
    finally:
        one.orch("down", rc=None)
        for host in lab.hosts:
            lab.inside(host, f"docker volume rm -f {VOLUME}; rm -rf /var/lib/orch/sync/s")


def inside(site: Site, *words: str) -> dict[str, str]:
    """What a command says in each rank."""
    ranks = site.ranks()
    assert set(ranks) == set(site.lab.hosts)
    return {
        host: site.lab.run(host, ["docker", "exec", rank, *words]).stdout
        for host, rank in ranks.items()
    }


def test_files_arrive_first_and_caches_stay(site: Site) -> None:
    done = changed(site.events("up"))
    sent = [step for step in done if "/sync/" in step]
    assert len(sent) == 4  # a file and a folder, on each of two hosts
    assert max(done.index(one) for one in sent) < done.index("tiny/rank/0")
    assert set(inside(site, "cat", "/brought/hook.py").values()) == {"first = 1\n"}
    assert set(inside(site, "cat", "/brought/tree/a b/part.py").values()) == {"part = 1\n"}
    assert set(inside(site, "stat", "-c", "%a", "/brought/tree/run").values()) == {"755\n"}
    assert len(set(inside(site, "sh", "-c", "sha256sum /brought/*.py").values())) == 1
    inside(site, "sh", "-c", "hostname >/var/cache/compiled/made")
    before = site.ranks()
    assert changed(site.events("up")) == []

    site.write("profiles/tree/a b/part.py", "part = 2\n")
    assert "tiny/sync/spark-2/1: bring" in site.orch("plan").stdout
    again = changed(site.events("up"))
    sent = [one for one in again if "/sync/" in one]  # both hosts at once: in either order
    assert sorted(sent) == ["tiny/sync/spark-1/1", "tiny/sync/spark-2/1"]
    assert set(inside(site, "cat", "/brought/tree/a b/part.py").values()) == {"part = 2\n"}
    after = site.ranks()
    assert not set(before.values()) & set(after.values())  # the gang is a new one, whole
    made = inside(site, "cat", "/var/cache/compiled/made")
    assert made == {host: f"{host}\n" for host in site.lab.hosts}
