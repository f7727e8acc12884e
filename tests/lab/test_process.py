"""Ranks without containers, without root: a llama.cpp gang over two hosts as a user who has neither sudo nor docker.

One host has a service manager that outlives the login (linger), the other has not: a unit there, a session here.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.conftest import Lab
from tests.lab.site import Site, changed
from tests.lab.test_promises import ask, killed_at

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]

SECRET = "hidden-5b1f0a"
# Root has used orch here before: its folder is none that a user may write.
COMES = """
mkdir -p /run/orch && touch /run/orch/lock /run/orch/lease.lock
useradd --create-home --shell /bin/bash hpc && cp -r /home/orch/.ssh /home/hpc/ && chown -R hpc /home/hpc/.ssh
"""
GOES = """
loginctl disable-linger hpc; loginctl terminate-user hpc; userdel -rf hpc 2>/dev/null; true
"""
INVENTORY = """\
version: 1
defaults:
  ssh: {{user: hpc, key: ./id_ed25519, known_hosts: ./known_hosts}}
  kind: lab
  runtime: process
  become: never
hosts:
  spark-1: {{address: {one}{first}}}
  spark-2: {{address: {two}}}
"""
PROFILE = """\
version: 1
extends: lab-llama
venv: /opt/orch-lab/llama
secrets: {MY_TOKEN: {env: MY_TOKEN}}
warmup: {prompts: [8]}
"""


@pytest.fixture(scope="module")
def users(lab: Lab) -> Iterator[Lab]:
    """The user on both hosts; on the first, what he starts may outlive his login."""
    for host in lab.hosts:
        lab.inside(host, GOES)
        lab.inside(host, COMES)
    lab.inside("spark-1", "loginctl enable-linger hpc")
    yield lab
    for host in lab.hosts:
        lab.inside(host, GOES)


@pytest.fixture
def site(users: Lab, tmp_path: Path) -> Iterator[Site]:
    one = Site(users, tmp_path, env={"MY_TOKEN": SECRET})
    one.write("profiles/bare.yaml", PROFILE)
    text = (tmp_path / "cluster.yaml").read_text().replace("lab-llama", "bare")
    one.write("cluster.yaml", text)
    placed(one)
    try:
        yield one
    finally:
        one.orch("down", rc=None)


def placed(site: Site, first: str = "") -> None:
    """The inventory; `first`: what its first host has otherwise."""
    lab = site.lab
    text = INVENTORY.format(one=lab.address("spark-1"), two=lab.address("spark-2"), first=first)
    site.write("inventory.yaml", text)


def pid(lab: Lab, host: str, program: str) -> int:
    """The process of this name that the user has; 0 where he has none."""
    return int(lab.inside(host, f"pgrep -u hpc -x {program} || echo 0").split()[0])


def ranks(site: Site, rc: int) -> dict[str, dict[str, Any]]:
    """`orch status` of each rank, by host."""
    found = json.loads(site.orch("status", "--json", rc=rc).stdout)
    return {one["host"]: one for one in found["deployments"][0]["ranks"]}


def test_a_gang_of_processes_keeps_what_containers_promise(site: Site) -> None:
    lab = site.lab
    stranger = "su hpc -c 'setsid sleep 98765 </dev/null >/dev/null 2>&1 &'"
    lab.inside("spark-2", stranger)

    assert {"tiny/arguments/spark-1", "tiny/rank/0"} <= set(changed(site.events("up")))
    server, worker = pid(lab, "spark-1", "llama-server"), pid(lab, "spark-2", "ggml-rpc-server")
    unit = lab.inside("spark-1", f"cat /proc/{server}/cgroup")
    assert "/user@" in unit
    assert unit.strip().endswith("/orch-t-tiny-0.service")
    assert ".service" not in lab.inside("spark-2", f"cat /proc/{worker}/cgroup")
    assert site.ranks() == {}  # no container
    answer = ask(site)
    assert {one["state"] for one in ranks(site, 0).values()} == {"running"}
    for host in lab.hosts:
        # the brackets: the search must not find itself
        lab.inside(host, "! grep -rsq 'hidden-5b1f0[a]' /home/hpc /proc/[0-9]*/cmdline")

    assert changed(site.events("up")) == []
    events = site.events("up", "--set", "tiny.args.bath-size=64", rc=4)
    (refused,) = (one["text"] for one in events if one["kind"] == "gate-refused")
    assert "llama-server on spark-1 has no --bath-size" in refused
    assert pid(lab, "spark-1", "llama-server") == server
    assert ask(site) == answer
    lines = site.orch("logs", "-n", "1000").stdout
    assert "gang complete: 1 workers" in lines
    assert "spark-2 tiny/" in lines

    lab.inside("spark-2", f"kill -9 {worker}")
    dead = ranks(site, 1)["spark-2"]
    assert (dead["state"], dead["detail"]) == ("exited", "exit 137")
    killed_at(site, "tiny/rank/1", signal.SIGKILL, -signal.SIGKILL)
    site.orch("up")
    assert ask(site) == answer

    assert changed(site.events("down")) != []
    assert [pid(lab, "spark-1", "llama-server"), pid(lab, "spark-2", "ggml-rpc-server")] == [0, 0]
    assert lab.inside("spark-2", "pgrep -u hpc -f 'sleep 98765'").strip()
    for host in lab.hosts:
        assert lab.inside(host, "find /home/hpc/.local/state/orch/processes -type f") == ""
        assert "ORCH_PROCESS" not in lab.inside(
            host, "cat /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n'"
        )
    assert changed(site.events("down")) == []


def test_one_host_with_docker_and_one_without(site: Site) -> None:
    """A mixed gang: the head in a container by who may, the worker as a process by who may not."""
    placed(site, ", runtime: docker, become: sudo, ssh: {user: orch}")
    steps = changed(site.events("up"))
    assert {"tiny/rank/0", "tiny/rank/1"} <= set(steps)
    assert set(site.ranks(hosts=["spark-1"])) == {"spark-1"}
    assert pid(site.lab, "spark-2", "ggml-rpc-server")
    assert ask(site)
    assert changed(site.events("up")) == []
    site.orch("down")
    assert site.ranks() == {}
    assert pid(site.lab, "spark-2", "ggml-rpc-server") == 0
