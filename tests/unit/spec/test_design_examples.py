"""Every fragment of the design's chapter on files loads, and means what it says there."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator import data
from orchestrator.spec.models import Cluster
from orchestrator.spec.resolve import load

EXAMPLES = Path(__file__).parents[3] / "examples"


@pytest.fixture(scope="module")
def files() -> Path:
    return EXAMPLES / "design/cluster.yaml"


@pytest.fixture
def cluster(files: Path) -> Cluster:
    loaded = load(files)
    assert loaded.errors == (), "\n".join(map(str, loaded.errors))
    return loaded.cluster


def test_inventory(cluster: Cluster) -> None:
    assert cluster.hosts["spark-3"].ssh.jump == "spark-1"
    assert cluster.hosts["spark-1"].ssh.user == "tom"
    assert cluster.groups["pair"] == ("spark-2", "spark-3")
    tower = cluster.hosts["tower"].gpus
    assert tower is not None
    assert (tower[0].name, tower[2].reserve) == ("RTX 4080 Laptop", "1GiB")
    hpc = cluster.hosts["hpc-7"]
    assert (hpc.runtime, hpc.become, hpc.models) == ("process", "never", "/scratch/models")
    assert [str(end) for end in cluster.links[0].ends] == ["spark-2.p1", "spark-3.p1"]
    assert (str(cluster.pool), cluster.mtu, cluster.adopt) == (
        "10.20.0.0/16",
        9000,
        ("40-cx7.yaml",),
    )


def test_cluster(cluster: Cluster) -> None:
    assert set(cluster.deployments) == {
        "vl", "fast", "embed", *(f"chat-{n}" for n in range(8)), *(f"vec-{n}" for n in range(8)),
    }  # fmt: skip
    vl = cluster.deployments["vl"]
    assert (vl.hosts, vl.parallel.tensor, vl.gate.rdma) == (("spark-2", "spark-3"), 2, "required")
    assert vl.endpoint.advertise == "192.168.102.11"
    assert cluster.deployments["fast"].after == ("vl",)
    assert cluster.deployments["embed"].memory_bytes == 3 << 30
    vec = cluster.deployments["vec-7"]
    assert (vec.beside, vec.gpus, vec.port, vec.limits.memory_swap) == (
        "chat-7",
        (7,),
        8097,
        "768MiB",
    )
    assert cluster.notify == ({"ntfy": "https://ntfy.sh/my-topic"},)
    assert cluster.tunnels == ({"command": "cloudflared tunnel run duo"},)


def test_profile(cluster: Cluster) -> None:
    profile = cluster.deployments["vl"].profile
    assert list(profile.args) == [
        "quantization", "gpu-memory-utilization", "kv-cache-dtype", "enforce-eager",
        "limit-mm-per-prompt", "tool-call-parser", "enable-auto-tool-choice",
    ]  # fmt: skip
    assert profile.args["limit-mm-per-prompt"] == {"video": 0}
    assert profile.env["OMP_NUM_THREADS"] == 1
    assert profile.secrets["HF_TOKEN"].env == "HF_TOKEN"
    assert profile.mounts[0].from_ == str(EXAMPLES.absolute() / "design/profiles/sitecustomize.py")
    assert (profile.ready.start, profile.ready.stall) == ("90m", "20m")
    assert profile.packages == ("qwen-vl-utils==0.0.14",)


def test_the_disabled_alternative_can_be_enabled(files: Path) -> None:
    loaded = load(files, ["coder.enabled=true"])
    assert loaded.errors == ()
    assert loaded.cluster.deployments["coder"].gpus == (0, 1, 2)


def test_pinned_and_switched_links_of_the_comments(files: Path) -> None:
    pinned = "{ends: [spark-2.p1, spark-3.p1], subnets: [192.168.100.0/24, 192.168.101.0/24]}"
    switched = "{switch: s1, ports: [spark-1.p0, spark-2.p0, spark-3.p0]}"
    loaded = load(files, [f"inventory.links=[{pinned}, {switched}]"])
    assert loaded.errors == ()
    assert [link.switch for link in loaded.cluster.links] == [None, "s1"]


def test_the_keys_named_elsewhere(files: Path) -> None:
    sets = [
        "profiles.vllm-spark.patches={config.json: {text_config: {rope_theta: 10000000}}}",
        "profiles.vllm-spark.venv=cu13/.venv",
        "profiles.vllm-spark.cuda_home=/usr/local/cuda-13",
        "profiles.vllm-spark.caches={torch-compile: ~/.cache/vllm}",
        "profiles.vllm-spark.build={dockerfile: sitecustomize.py}",
    ]
    assert load(files, sets).errors == ()


def test_every_other_example_loads() -> None:
    for path in sorted(EXAMPLES.glob("*/cluster*.yaml")):
        beside = (path.parent / "inventory.yaml").exists()
        sets = [] if beside else ["inventory=../design/inventory.yaml"]  # the lab writes its own
        assert load(path, sets).errors == (), path


@pytest.mark.parametrize("name", sorted(data.listing("profiles", suffix=".yaml")))
def test_every_profile_that_ships_loads(name: str, tmp_path: Path) -> None:
    (tmp_path / "inventory.yaml").write_text("version: 1\nhosts: {a: {}, b: {}}\n")
    (tmp_path / "cluster.yaml").write_text(
        "version: 1\nname: c\ndeployments: "
        f"{{d: {{profile: {name.removesuffix('.yaml')}, hosts: a, enabled: false}}}}\n"
    )
    wrong = [one for one in load(tmp_path / "cluster.yaml").errors if one.path != "model"]
    assert wrong == []  # a base for others need not name a model
