"""Hosts of Debian 13, whatever this machine is: netplan 1.1, systemd 257, docker 26.1 and podman 5.4 keep the promises.

What was found there for the first time: `netplan apply` failed where no udevd runs, podman named what docker saved as
a registry's.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.conftest import SET_UP_SECONDS, Lab, running_lab
from tests.lab.netplan_site import MANAGEMENT, SHORT, addresses, bare_site
from tests.lab.site import LLAMA, Site, changed

pytestmark = [pytest.mark.lab, pytest.mark.timeout(SET_UP_SECONDS)]

ALONE = """  alone: {profile: lab-llama, hosts: [spark-2], port: 8001, share_gpu: true, gate: {rdma: "off"}}\n"""
TWO = LLAMA.format(name="x").replace("port: 8000", "port: 8000, share_gpu: true") + ALONE
POLICY = "{{.HostConfig.RestartPolicy.Name}}"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("lab")
    hosts = ("spark-1", "spark-2")
    with running_lab(folder, f"x{os.getpid()}", hosts, "pair", release="trixie") as up:
        assert "VERSION_CODENAME=trixie" in up.inside("spark-1", "cat /etc/os-release")
        yield up


def test_the_network_comes_up_and_is_undone(lab: Lab) -> None:
    with bare_site(lab) as site:
        before = site.show("spark-1")
        site.deadline = SHORT
        assert set(site.send("spark-1", site.change("spark-1")).values()) == {0}
        assert len(addresses(site, "spark-1")) == 2
        site.until_undone("spark-1")
        assert site.show("spark-1") == before

        outcome = site.converge()
        assert outcome.errors == {}
        there = addresses(site, "spark-1"), site.inside("spark-1", MANAGEMENT)
        site.inside("spark-1", "netplan apply")
        assert (addresses(site, "spark-1"), site.inside("spark-1", MANAGEMENT)) == there


def test_a_gang_of_docker_and_podman(lab: Lab, tmp_path: Path) -> None:
    """Docker gives the image; a model on one host alone gets its restart policy from podman once it has answered."""
    site = Site(lab, tmp_path, "x")
    site.write("cluster.yaml", TWO)
    text = (lab.dir / "inventory.yaml").read_text("utf-8")
    site.write("inventory.yaml", text.replace("spark-2: {", "spark-2: {runtime: podman, "))
    podman = ["sudo", "podman"]
    lab.run("spark-2", [*podman, "rmi", "--force", "--all"])
    try:
        first = changed(site.events("up"))
        assert {"tiny/image/spark-2", "alone/supervise/0"} <= set(first)
        assert changed(site.events("up")) == []
        inspect = [*podman, "inspect", "--format", POLICY, "orch-x-alone-0"]
        assert lab.run("spark-2", inspect).stdout.strip() == "on-failure"
    finally:
        site.orch("down", rc=None)
    assert site.ranks() == {}
    assert "orch-" not in lab.run("spark-2", [*podman, "ps", "-a"]).stdout
