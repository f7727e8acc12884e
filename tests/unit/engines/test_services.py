"""Containers and jobs of any image: the exact words, their ports, and what the files may not say of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.contracts import Rank
from orchestrator.engines import engine
from orchestrator.engines.container import Container
from orchestrator.engines.job import patience
from orchestrator.facts.assumed import assumed_world
from orchestrator.facts.health import ReadHealth
from orchestrator.facts.visit import Visit
from orchestrator.ranks.spec import digest
from orchestrator.runtimes import runtime
from orchestrator.spec.check import check
from orchestrator.spec.models import Cluster
from tests.gangs import TOWER, cluster_of, only

PAGE = """
    engine: container
    image: web:1
    command: [serve, "a b; rm -rf /"]
    args: {port: 80, allow: [x, y]}
    container_port: 80
    ports: [4317, "9000:9001"]
    env: {TITLE: it's}
    secrets: {KEY: {env: KEY}}
    ready: {http: /health}
"""
JOB = "engine: job\nimage: tool:1\ncommand: [quantise]\nenv: {BITS: 4}\n"
LINE = "w: {profile: p, hosts: [tower], port: 8080}"


def the(folder: Path, profile: str, line: str = LINE) -> tuple[Cluster, Rank]:
    cluster = cluster_of(folder, line, TOWER, {"p": profile})
    one = only(cluster)
    (rank,) = engine(one.profile.engine).ranks(cluster, one, assumed_world(cluster))
    return cluster, rank


def findings(cluster: Cluster) -> list[str]:
    return [str(one) for one in check(cluster) if one.severity == "error"]


def test_a_container_in_a_network_of_its_own(tmp_path: Path) -> None:
    cluster, rank = the(tmp_path, PAGE)
    assert rank.argv == ("serve", "a b; rm -rf /", "--port", "80", "--allow", "x", "--allow", "y")
    assert rank.publish == ("8080:80", "4317:4317", "9000:9001")
    assert rank.ports == {8080, 4317, 9000}
    assert rank.gpus is None  # no GPU that was not asked for
    line = runtime("docker").describe(rank)
    assert "serve 'a b; rm -rf /' \\\n" in line
    assert "--publish 8080:80" in line
    assert "--add-host host.docker.internal:host-gateway" in line
    assert "--network host" not in line
    assert "--no-healthcheck" not in line  # the image's own is shown
    assert "-e KEY \\" in line
    assert findings(cluster) == []


def test_bound_to_an_address_and_on_a_gpu(tmp_path: Path) -> None:
    line = "w: {profile: p, hosts: [tower], gpus: [1], endpoint: {bind: 127.0.0.1}, port: 8080}"
    cluster, rank = the(tmp_path, PAGE, line)
    assert rank.publish[0] == "127.0.0.1:8080:80"
    assert rank.gpus == ("GPU-aaaa",)
    proof = Container().proof(cluster, only(cluster))
    assert proof == Visit(8080, "/health", "127.0.0.1")


def test_a_container_on_the_hosts_network_with_a_check_of_its_own(tmp_path: Path) -> None:
    profile = "engine: container\nimage: db:1\nready: {command: pg_isready, start: 2m}\n"
    cluster, rank = the(tmp_path, profile)
    assert (rank.publish, rank.health, rank.health_start_s) == ((), "pg_isready", 120)
    assert rank.restart == "unless-stopped"
    line = runtime("docker").describe(rank)
    assert "--network host" in line
    assert "--health-cmd pg_isready" in line
    assert Container().proof(cluster, only(cluster)) == ReadHealth("docker", "orch-demo-w-0")


def test_a_job_has_no_port_and_a_day(tmp_path: Path) -> None:
    both = "a: {profile: p, hosts: [tower]}\nb: {profile: p, hosts: [tower], after: [a]}"
    cluster = cluster_of(tmp_path, both, TOWER, {"p": JOB})
    assert findings(cluster) == []  # neither takes the default port
    assert patience(cluster.deployments["a"]).total == 24 * 3600
    assert cluster.deployments["a"].supervision == "none"
    said = cluster_of(tmp_path, both, TOWER, {"p": f"{JOB}ready: {{start: 1h}}\n"})
    assert patience(said.deployments["a"]).total == 3600


def test_what_a_job_says_is_what_is_done_once(tmp_path: Path) -> None:
    _, one = the(tmp_path / "1", JOB, "w: {profile: p, hosts: [tower]}")
    _, same = the(tmp_path / "2", JOB, "w: {profile: p, hosts: [tower], after: []}")
    _, other = the(tmp_path / "3", JOB, "w: {profile: p, hosts: [tower], env: {BITS: 3}}")
    assert digest(one) == digest(same)
    assert digest(one) != digest(other)


@pytest.mark.parametrize(
    ("profile", "says"),
    [
        (PAGE.replace("image: web:1", ""), "names no image"),
        (PAGE.replace("container_port: 80", ""), "its main port is not"),
        (PAGE.replace("{http: /health}", "{http: /health, command: x}"), "two answers"),
        (PAGE + "    warmup: {prompts: [5]}\n", "container takes no `warmup`"),
        (PAGE + "    api_key: {env: KEY}\n", "container takes no `api_key`"),
        (f"{JOB}container_port: 80\n", "job takes no `container_port`"),
        (f"{JOB}ready: {{http: /}}\n", "ended with exit code 0"),
        (f"{JOB}supervision: entrypoint\n", "not started again by itself"),
        ("engine: compose\n", "engine compose needs a `compose:`"),
        ("engine: compose\ncompose: {file: ~/x/c.yml}\nimage: x\n", "takes no `image`"),
        ("engine: compose\ncompose: {send: nowhere.yml}\n", "there is nothing at"),
        ("engine: compose\ncompose: {file: ~/…/c.yml}\n", "gives its project no name"),
        ("engine: unit\n", "engine unit needs a `unit:`"),
        ("engine: unit\nunit: {name: x.service}\nenv: {A: b}\n", "engine unit takes no `env`"),
    ],
)
def test_what_is_refused(tmp_path: Path, profile: str, says: str) -> None:
    cluster = cluster_of(tmp_path, LINE, TOWER, {"p": profile})
    assert any(says in one for one in findings(cluster)), findings(cluster)


def test_a_port_of_a_service_clashes_like_any_other(tmp_path: Path) -> None:
    both = f"{LINE}\nx: {{profile: p, hosts: [tower], port: 4317}}"
    cluster = cluster_of(tmp_path, both, TOWER, {"p": PAGE})
    assert any("both want port 4317 of tower" in one for one in findings(cluster))
