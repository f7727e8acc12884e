"""What is placed must fit: ports, GPUs, memory, sizes, order, subnets, secrets."""

from __future__ import annotations

import pytest

from orchestrator.errors import FilesWrong
from orchestrator.spec import check
from orchestrator.spec.models import Cluster, Deployment, Finding
from orchestrator.spec.resolve import load
from tests.unit.spec.conftest import Site

VLLM = "version: 1\nengine: vllm\nmodel: m\nimage: i\n"
OTHER = "version: 1\nengine: llamacpp\nmodel: m\nimage: i\n"


@pytest.fixture
def placed(site: Site) -> Site:
    site.write("profiles/v.yaml", VLLM)
    site.write("profiles/half.yaml", VLLM + "args: {gpu-memory-utilization: 0.5}\n")
    site.write("profiles/most.yaml", VLLM + "args: {gpu-memory-utilization: 0.7}\n")
    site.write("profiles/l.yaml", OTHER)
    site.write("profiles/heads40.yaml", VLLM + "heads: 40\n")
    site.write("profiles/mp.yaml", VLLM + "executor: mp\n")
    return site


@pytest.mark.parametrize(
    ("deployments", "said"),
    [
        # ports
        (["a: {profile: l, hosts: rig, gpus: [0]}", "b: {profile: l, hosts: rig, gpus: [1]}"],
         "deployments.b.port: b and a both want port 8000 of rig (take another)"),
        (["a: {profile: l, hosts: rig, replicas: {per: gpu, count: 2}}"],
         "deployments.a.port: a-1 and a-0 both want port 8000 of rig (port: {from: 8000})"),
        # GPUs
        (["a: {profile: v, hosts: spark-1}", "b: {profile: v, hosts: spark-1, port: 1}"],
         "deployments.b: a and b both use GPU 0 of spark-1 (say share_gpu: true, or name different gpus)"),
        (["a: {profile: l, hosts: rig, gpus: [0, 1]}", "b: {profile: l, hosts: rig, gpus: [1, 2], port: 1}"],
         "a and b both use GPU 1 of rig"),
        (["a: {profile: l, hosts: rig}", "b: {profile: l, hosts: rig, gpus: [7], port: 1}"],
         "a and b both use GPU 7 of rig"),
        (["a: {profile: l, hosts: rig, gpus: 2}", "b: {profile: l, hosts: rig, gpus: [1], port: 1}"],
         "a and b both use GPU 1 of rig"),
        (["a: {profile: l, hosts: rig, gpus: [8]}"], "deployments.a.gpus: rig has no GPU 8 (it has: 0, 1, 2"),
        (["a: {profile: l, hosts: rig, gpus: [3, 3]}"], "deployments.a.gpus: a GPU is named twice"),
        (["a: {profile: l, hosts: rig, gpus: 9}"], "deployments.a.gpus: 9 GPUs of rig, which has 8"),
        # memory
        (["a: {profile: most, hosts: spark-1}", "b: {profile: half, hosts: spark-1, port: 1, share_gpu: true}"],
         "deployments.b.share_gpu: the shares of GPU 0 of spark-1 do not fit into 121.7 GiB: a 70%, b 50%"),
        (["a: {profile: most, hosts: spark-1}",
          "b: {profile: v, hosts: spark-1, port: 1, share_gpu: true, memory: 40GiB}"],
         "deployments.b.memory: the shares of GPU 0 of spark-1 do not fit"),
        (["a: {profile: l, hosts: spark-1, memory: 200GiB}"], "the shares of GPU 0 of spark-1 do not fit"),
        (["a: {profile: half, hosts: spark-1}", "b: {profile: v, hosts: spark-1, port: 1, share_gpu: true}"],
         "b shares GPU 0 of spark-1 and does not say how much (say memory: 8GiB, or args:"),
        # sizes
        (["a: {profile: v, hosts: pair}"],
         "deployments.a.parallel: tensor 1 leaves 1 GPU of 2 unused (parallel: {tensor: 2})"),
        (["a: {profile: v, hosts: [spark-1, pair], parallel: {tensor: 2}}"],
         "tensor 2 leaves 1 GPU of 3 unused (parallel: {pipeline: 3})"),
        (["a: {profile: v, hosts: spark-1, parallel: {tensor: 2}}"],
         "tensor 2 needs 2 GPUs; spark-1 holds 1"),
        (["a: {profile: v, hosts: pair, parallel: {tensor: 2, pipeline: 2, data: 2}}"],
         "tensor 2 × pipeline 2 × data 2 needs 8 GPUs; spark-2, spark-3 hold 2 (parallel: {tensor: 2})"),
        (["a: {profile: v, hosts: rig, gpus: [0, 1, 2]}"], "tensor 1 leaves 2 GPUs of 3 unused"),
        (["a: {profile: heads40, hosts: [spark-1, pair], parallel: {tensor: 3}}"],
         "the model's 40 attention heads can't be divided by 3 (parallel: {pipeline: 3})"),
        (["a: {profile: heads40, hosts: rig, parallel: {tensor: 3}}"], "40 attention heads can't be divided by 3"),
        (["a: {profile: mp, hosts: pair, parallel: {tensor: 2}}"],
         "its executor mp is for one host, and these are 2 (a profile of yours: extends: mp, executor: ray or native)"),
        # order
        (["a: {profile: v, hosts: spark-1, after: [b]}", "b: {profile: v, hosts: spark-2, after: [a]}"],
         "each waits for the other: "),
    ],
)  # fmt: skip
def test_what_does_not_fit(placed: Site, deployments: list[str], said: str) -> None:
    placed.deploy(*deployments)
    found = placed.errors()
    assert any(said in one for one in found), "\n".join(found)
    assert len(found) == 1, "\n".join(found)


@pytest.mark.parametrize(
    "deployments",
    [
        ["a: {profile: most, hosts: spark-1}",
         "b: {profile: v, hosts: spark-1, port: 1, share_gpu: true, memory: 3GiB}"],
        ["a: {profile: v, hosts: rig, parallel: {tensor: 4}, gpus: [0, 1, 2, 3]}",
         "b: {profile: v, hosts: rig, parallel: {tensor: 4}, gpus: [4, 5, 6, 7], port: 1}"],
        ["a: {profile: l, hosts: rig}", "b: {profile: l, hosts: rig, gpus: [], port: 1}"],
        ["a: {profile: v, hosts: rig}"],
        ["a: {profile: v, hosts: [spark-1, pair], parallel: {pipeline: 3}}"],
        ["a: {profile: v, hosts: [spark-1, pair], parallel: {data: 3}}"],
        ["a: {profile: l, hosts: [spark-1, pair]}"],
    ],
)  # fmt: skip
def test_what_fits(placed: Site, deployments: list[str]) -> None:
    placed.deploy(*deployments)
    assert placed.load().deployments


def test_tensor_groups_lie_in_hosts_or_cover_them(placed: Site) -> None:
    placed.edit(
        "inventory.yaml",
        "  rig:",
        "  rig2: {gpus: 4}\n  rig3: {gpus: 4}\n  rig4: {gpus: 4}\n  rig:",
    )
    placed.deploy("a: {profile: v, hosts: [rig2, rig3, rig4], parallel: {tensor: 6, pipeline: 2}}")
    assert placed.error().endswith(
        "tensor 6 does not divide 3 hosts with 4 GPUs each (parallel: {tensor: 4, pipeline: 3})"
    )
    assert placed.load("a.parallel={tensor: 4, pipeline: 3}").deployments


def test_an_odd_tensor_size_is_a_warning_where_the_heads_are_not_known(placed: Site) -> None:
    placed.deploy("a: {profile: v, hosts: [spark-1, pair], parallel: {tensor: 3}}")
    loaded = load(placed.root / "cluster.yaml")
    assert loaded.errors == ()
    assert "few models have heads that can be divided by 3 (parallel: {pipeline: 3})" in str(
        loaded.warnings[0]
    )


def test_gpus_that_are_not_listed(placed: Site) -> None:
    placed.edit("inventory.yaml", ", gpus: 8", "")
    placed.deploy(
        "a: {profile: v, hosts: rig, parallel: {tensor: 2}}", "b: {profile: v, hosts: rig, port: 1}"
    )
    assert "a and b both use the GPUs of rig" in placed.error()
    placed.deploy("a: {profile: l, hosts: rig}", "b: {profile: l, hosts: rig, gpus: [3], port: 1}")
    assert "a and b both use GPU 3 of rig" in placed.error()
    placed.deploy("a: {profile: v, hosts: [rig, spark-1]}")
    assert "tensor 1 for 2 hosts: one has no rank" in placed.error()


def test_memory_is_known_by_the_inventory(placed: Site) -> None:
    placed.edit("inventory.yaml", "gpus: 8", "gpus: [{index: 0, memory: 24GiB, reserve: 2GiB}]")
    placed.deploy(
        "a: {profile: l, hosts: rig, memory: 20GiB}",
        "b: {profile: l, hosts: rig, memory: 3GiB, port: 1, share_gpu: true}",
    )
    assert "do not fit into 24 GiB: a 83%, b 12%, 2 GiB in reserve" in placed.error()
    assert placed.load("b.memory=2GiB").deployments


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("links:", "network: {pool: 192.168.0.0/16}\nlinks:",
         "network.pool: 192.168.0.0/16 overlaps the management network: spark-1 is 192.168.102.10"),
        ("- [spark-2.p1, spark-3.p1]",
         "- {ends: [spark-2.p1, spark-3.p1], subnets: [192.168.102.0/24, 192.168.103.0/24]}",
         "links.0.subnets: 192.168.102.0/24 overlaps the management network"),
    ],
)  # fmt: skip
def test_subnets_that_overlap_the_management_network(
    site: Site, old: str, new: str, said: str
) -> None:
    site.edit("inventory.yaml", old, new)
    found = site.errors()
    assert said in found[0]
    assert all(one.startswith("inventory.yaml:") for one in found)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("- [spark-2.p1, spark-3.p1]", "- {switch: s, ports: [spark-2.p0, spark-2.p1, spark-3.p1]}",
         "inventory.yaml:9:5: error: links.0: spark-2 has two ports in one link of switch s"),
        ("links:", "network: {pool: 10.20.0.0/24}\nlinks:",
         "network.pool: the pool 10.20.0.0/24 has no room for 2 subnets of /24"),
    ],
)  # fmt: skip
def test_links_that_have_no_subnets(site: Site, old: str, new: str, said: str) -> None:
    site.edit("inventory.yaml", old, new)
    assert said in site.error()


def test_secrets_that_are_not_set(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ORCH_TEST_TOKEN", raising=False)
    site.edit(
        "profiles/big.yaml",
        "args:",
        "secrets: {T: {env: ORCH_TEST_TOKEN}}\napi_key: {file: key}\nargs:",
    )
    loaded = load(site.root / "cluster.yaml")
    assert loaded.errors == ()
    told = {one.path for one in loaded.warnings}
    assert told >= {"secrets.T", "api_key"}
    found = site.errors(purpose="up")
    assert found[0] == (
        "profiles/big.yaml:5:11: error: secrets.T: the environment variable 'ORCH_TEST_TOKEN' "
        "is not set (export ORCH_TEST_TOKEN=…)"
    )
    assert "profiles/big.yaml:6:1: error: api_key: there is no file" in found[1]
    monkeypatch.setenv("ORCH_TEST_TOKEN", "x")
    site.write("profiles/key", "x")
    assert site.load(purpose="up").deployments


def test_local_files_that_are_not_there(site: Site) -> None:
    site.edit(
        "profiles/big.yaml", "image: image:1",
        "image: i\nmounts: [{from: ./a.py, to: /a, sync: true}, {from: /b, to: /b}]",
    )  # fmt: skip
    (found,) = site.errors(purpose="up")
    assert "profiles/big.yaml:5:17: error: mounts.0.from: there is nothing at" in found
    assert site.load().deployments


def test_a_relative_mount_that_is_not_brought_along(site: Site) -> None:
    site.edit("profiles/big.yaml", "image: image:1", "image: i\nmounts: [{from: ./a, to: /a}]")
    assert site.error().endswith(
        "mounts.0.from: './a' is neither a path on the hosts nor a volume "
        "(sync: true brings a local file along)"
    )


def test_what_is_only_looked_at_needs_to_fit_less(placed: Site) -> None:
    placed.deploy("a: {profile: v, hosts: spark-1}", "b: {profile: v, hosts: spark-1}")
    assert list(placed.load(purpose="look").deployments) == ["a", "b"]


class PickyEngine:
    def validate(self, cluster: Cluster, deployment: Deployment) -> tuple[Finding, ...]:
        name = deployment.profile.name
        return (Finding(path=f"profiles.{name}.args.nested.b", message="no such flag"),)


def test_what_engines_find_has_a_place(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "_engine", lambda name: PickyEngine())
    assert site.error() == "profiles/big.yaml:5:55: error: args.nested.b: no such flag"


def test_an_engine_that_is_not_known(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(name: str) -> PickyEngine:
        raise FilesWrong(f"unknown engine {name!r}", hint="did you mean vllm?")

    monkeypatch.setattr(check, "_engine", unknown)
    site.edit("profiles/big.yaml", "engine: vllm", "engine: vlm")
    assert site.error() == (
        "profiles/big.yaml:2:9: error: engine: unknown engine 'vlm' (did you mean vllm?)"
    )
