"""vLLM's ranks: the exact lines, ports, and what is refused before a host is asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from orchestrator.contracts import Rank
from orchestrator.engines import engine
from orchestrator.engines.vllm.ports import ray_ports
from orchestrator.facts.assumed import assumed_world
from orchestrator.ranks.arguments import words
from orchestrator.ranks.slots import slot
from orchestrator.spec.models import Cluster
from tests.gangs import LAB, SPARKS, TOWER, cluster_of, only

BASE = """
    engine: vllm
    model: /models/m
    image: vllm/vllm-openai:v0.27.1
"""


def ranks(cluster: Cluster, name: str | None = None) -> list[Rank]:
    deployment = cluster.deployments[name] if name else only(cluster)
    return list(engine("vllm").ranks(cluster, deployment, assumed_world(cluster)))


def findings(cluster: Cluster, name: str | None = None) -> list[str]:
    deployment = cluster.deployments[name] if name else only(cluster)
    return [str(one) for one in engine("vllm").validate(cluster, deployment)]


ARGUMENTS: list[tuple[dict[str, Any], list[str]]] = [
    ({"enforce-eager": True}, ["--enforce-eager"]),
    ({"async-scheduling": False}, ["--no-async-scheduling"]),
    ({"enforce_eager": False}, ["--no-enforce-eager"]),
    ({"max-num-seqs": None}, []),
    ({"gpu-memory-utilization": 0.7}, ["--gpu-memory-utilization", "0.7"]),
    ({"max-model-len": -1}, ["--max-model-len", "-1"]),
    ({"max-model-len": "32k"}, ["--max-model-len", "32k"]),
    ({"limit-mm-per-prompt": {"video": 0}}, ["--limit-mm-per-prompt", '{"video": 0}']),
    ({"served-names": ["a", "b"]}, ["--served-names", "a", "b"]),
    ({"allowed-origins": ["*", "x"]}, ["--allowed-origins", '["*", "x"]']),
    ({"middleware": ["a.B", "c.D"]}, ["--middleware", "a.B", "--middleware", "c.D"]),
    ({"disable-access-log-for-endpoints": ["/health", "/metrics"]},
     ["--disable-access-log-for-endpoints", "/health,/metrics"]),
    ({"lora-modules": [{"name": "a", "path": "/x"}]},
     ["--lora-modules", '{"name": "a", "path": "/x"}']),
    ({"chat-template": "--x"}, ["--chat-template=--x"]),
    ({"O": 3}, ["-O", "3"]),
    ({"-ac": "FLASHINFER"}, ["-ac", "FLASHINFER"]),
    ({"ümlaut": "✓"}, ["--ümlaut", "✓"]),
    ({"x": '"; rm -rf / #', "y": "$(id)\n"}, ["-x", '"; rm -rf / #', "-y", "$(id)\n"]),
    ({"z": 1, "b": 2, "a": 3}, ["-z", "1", "-b", "2", "-a", "3"]),  # the file's order
]  # fmt: skip


@pytest.mark.parametrize(("args", "expected"), ARGUMENTS, ids=lambda one: str(one)[:30])
def test_arguments_are_these_words(args: dict[str, Any], expected: list[str]) -> None:
    assert list(words("vllm", args)) == expected


def test_one_host_is_one_line(tmp_path: Path) -> None:
    cluster = cluster_of(
        tmp_path,
        "m: {profile: p, hosts: [tower], parallel: {tensor: 2}, gpus: [0, 1], port: 5002}",
        TOWER,
        {"p": BASE + "    executor: mp\n    served_name: s\n    args: {max-model-len: 4096}\n"},
    )
    (rank,) = ranks(cluster)
    assert rank.entrypoint == "vllm"
    assert " ".join(rank.argv) == (
        "serve /models/m --served-model-name s --host 0.0.0.0 --port 5002 "
        "--tensor-parallel-size 2 --distributed-executor-backend mp --max-model-len 4096"
    )
    assert rank.gpus == ("0", "GPU-aaaa")
    assert rank.ports == {5002}
    assert rank.rdma is False
    assert [one.target for one in rank.mounts] == ["/models/m"]
    assert rank.state == "/var/lib/orch"


def test_native_ranks_differ_in_their_number_only(tmp_path: Path) -> None:
    cluster = cluster_of(
        tmp_path,
        "m: {profile: p, hosts: [spark-1, spark-2], parallel: {tensor: 2}, port: 8000}",
        LAB,
        {
            "p": BASE
            + "    executor: native\n    args: {max-num-seqs: 4}\n    ready: {start: 90m}\n"
        },
    )
    head, worker = ranks(cluster)
    common = "--distributed-timeout-seconds 5400 --nnodes 2 --node-rank {} --master-addr 10.20.0.10"
    assert " ".join(head.argv) == (
        "serve /models/m --host 0.0.0.0 --port 8000 --tensor-parallel-size 2 "
        + common.format(0)
        + " --master-port 29501 --max-num-seqs 4"
    )
    assert " ".join(worker.argv) == (
        "serve /models/m --tensor-parallel-size 2 "
        + common.format(1)
        + " --master-port 29501 --headless --max-num-seqs 4"
    )
    assert head.env["VLLM_HOST_IP"] == "10.20.0.10"
    assert worker.env["VLLM_HOST_IP"] == "10.20.0.11"
    assert head.env["VLLM_ENGINE_READY_TIMEOUT_S"] == "5400"
    assert head.restart == "no"
    assert [set(one.ports) for one in (head, worker)] == [{8000, 29501}, set()]


def test_data_parallel_over_hosts(tmp_path: Path) -> None:
    cluster = cluster_of(
        tmp_path,
        "m: {profile: p, hosts: [spark-1, spark-2], parallel: {data: 2}, port: 8000}",
        LAB,
        {"p": BASE + "    executor: native\n"},
    )
    head, worker = ranks(cluster)
    same = "--data-parallel-size 2 --data-parallel-size-local 1 --data-parallel-address 10.20.0.10"
    assert f"{same} --data-parallel-rpc-port 29550" in " ".join(head.argv)
    assert " ".join(worker.argv).endswith(
        f"{same} --data-parallel-rpc-port 29550 --data-parallel-start-rank 1 --headless"
    )


def test_what_a_headless_rank_refuses_is_the_heads_alone(tmp_path: Path) -> None:
    line = "m: {profile: p, hosts: [spark-1, spark-2], parallel: {data: 2}, port: 8000}"
    own = BASE + "    executor: native\n    args: {api_server_count: 1, max-num-seqs: 4}\n"
    head, worker = ranks(cluster_of(tmp_path, line, LAB, {"p": own}))
    assert " ".join(head.argv).endswith("--api_server_count 1 --max-num-seqs 4")
    assert " ".join(worker.argv).endswith("--headless --max-num-seqs 4")


def test_data_parallel_over_ray_is_one_line_on_the_head(tmp_path: Path) -> None:
    """Ray places the replicas: the workers are nodes as ever."""
    line = "m: {profile: p, hosts: [spark-1, spark-2], parallel: {data: 2}, port: 8000}"
    head, worker = ranks(cluster_of(tmp_path, line, LAB, {"p": BASE + "    executor: ray\n"}))
    text = head.files["/orch/entry.sh"]
    assert (
        "--distributed-executor-backend ray --data-parallel-backend ray --data-parallel-size 2"
        " --data-parallel-size-local 1 --data-parallel-address 10.20.0.10"
    ) in text
    assert "vllm serve" not in worker.files["/orch/entry.sh"]
    assert head.env["VLLM_RAY_DP_PACK_STRATEGY"] == "strict"
    assert head.ports - {8000} == worker.ports | {6379, 6406, 6407}  # no port of its own


def test_replicas_over_several_hosts_each(tmp_path: Path) -> None:
    line = "m: {profile: p, hosts: [a, b, c, d], parallel: {data: 2, tensor: 2}, port: 8000}"
    cluster = cluster_of(tmp_path, line, FOUR, {"p": BASE + "    executor: ray\n"})
    assert findings(cluster) == []
    head = ranks(cluster)[0]
    assert head.env["VLLM_RAY_DP_PACK_STRATEGY"] == "span"
    text = head.files["/orch/entry.sh"]
    assert "--data-parallel-size 2 --data-parallel-address 10.77.0.1" in text
    assert "--data-parallel-size-local" not in text


def test_the_head_of_a_ray_gang(tmp_path: Path) -> None:
    cluster = cluster_of(
        tmp_path,
        "m: {profile: lab-vllm, hosts: [spark-1, spark-2], parallel: {tensor: 2}, port: 8000}",
    )
    head, worker = ranks(cluster)
    assert (head.entrypoint, head.argv) == ("sh", ("/orch/entry.sh",))
    assert set(head.files) == {"/orch/entry.sh", "/orch/gang.py", "/orch/health.sh"}
    assert set(worker.files) == {"/orch/entry.sh"}
    text = head.files["/orch/entry.sh"]
    assert (
        "\n  ray start --head --node-ip-address=10.20.0.10 --port=6379 --include-dashboard=false "
        "--node-manager-port=6400 --object-manager-port=6401 --runtime-env-agent-port=6402 "
        "--dashboard-agent-grpc-port=6403 --dashboard-agent-listen-port=6404 "
        "--metrics-export-port=6405 --ray-client-server-port=6406 --min-worker-port=10002 "
        "--max-worker-port=11001 --num-gpus=1 --disable-usage-stats --num-cpus=1 "
        "--object-store-memory=80000000 --block &\n"
    ) in text
    assert "10.20.0.10=1=spark-1 10.20.0.11=1=spark-2 &\n" in text
    assert (
        "setsid vllm serve /models/tiny-llama --served-model-name tiny --host 0.0.0.0 --port 8000 "
        "--tensor-parallel-size 2 --distributed-executor-backend ray --dtype float32 "
        "--max-model-len 512 --max-num-seqs 4 --kv-cache-memory-bytes 67108864 "
        """--compilation-config '{"mode": 2, "backend": "eager"}' &\n"""
    ) in text
    assert head.env["RAY_ADDRESS"] == "10.20.0.10:6379"
    assert "RAY_ADDRESS" not in worker.env
    assert head.gpus is None  # logical ones: a word to Ray
    assert head.restart == worker.restart == "on-failure:10"
    assert head.ports == {8000, 6379, *range(6400, 6408)}
    assert head.env["AUTOSCALER_METRIC_PORT"] == "6407"
    assert worker.ports == set(range(6400, 6406))
    joins = worker.files["/orch/entry.sh"]
    assert "ray start --address=10.20.0.10:6379 --node-ip-address=10.20.0.11 " in joins


def test_two_ray_gangs_on_one_host_have_their_own_ports(tmp_path: Path) -> None:
    cluster = cluster_of(
        tmp_path,
        """
        a: {profile: p, hosts: [spark-1, spark-2], parallel: {tensor: 2}, port: 8000}
        b: {profile: p, hosts: [spark-2, spark-3], parallel: {tensor: 2}, port: 8001}
        c: {profile: p, hosts: [spark-1], port: 8002}
        """,
        SPARKS,
        {"p": BASE + "    executor: ray\n"},
    )
    assert [slot(cluster, one) for one in cluster.deployments.values()] == [0, 1, 1]
    first, second, _ = (ray_ports(cluster, one) for one in cluster.deployments.values())
    assert not set(first.values()) & set(second.values())
    assert second["port"] == 6380
    assert (second["min-worker-port"], second["max-worker-port"]) == (11002, 12001)
    assert max(max(first.values()), max(second.values())) < 32768  # the ephemeral range


def test_the_profile_may_pin_rays_ports(tmp_path: Path) -> None:
    cluster = cluster_of(
        tmp_path,
        "a: {profile: p, hosts: [spark-1, spark-2], parallel: {tensor: 2}, port: 8000}",
        SPARKS,
        {"p": BASE + "    ray: {port: 46379, num-gpus: 1, temp-dir: /big}\n"},
    )
    head, worker = ranks(cluster)
    assert "--port=46379" in head.files["/orch/entry.sh"]
    assert "--temp-dir=/big" in worker.files["/orch/entry.sh"]
    assert ":46379" in worker.files["/orch/entry.sh"]
    assert 46379 in head.ports


def test_the_engines_own_variables_follow_and_the_profile_wins(tmp_path: Path) -> None:
    cluster = cluster_of(
        tmp_path,
        "m: {profile: p, hosts: [spark-1, spark-2], parallel: {tensor: 2}, port: 8000}",
        LAB,
        {
            "p": BASE
            + """
    env: {VLLM_ENGINE_READY_TIMEOUT_S: 7, A: true, B: null}
    env_by_host: {spark-2: {A: "odd"}}
    secrets: {HF_TOKEN: {env: HF_TOKEN}}
    api_key: {env: KEY}
"""
        },
    )
    head, worker = ranks(cluster)
    assert head.env["VLLM_ENGINE_READY_TIMEOUT_S"] == "7"
    assert (head.env["A"], worker.env["A"]) == ("1", "odd")
    assert "B" not in head.env
    assert head.secrets == {"HF_TOKEN", "VLLM_API_KEY=api_key"}
    assert worker.secrets == {"HF_TOKEN"}
    assert (
        '["A", "AUTOSCALER_METRIC_PORT", "RAY_ADDRESS", "VLLM_HOST_IP"]'
        in head.files["/orch/entry.sh"]
    )


def test_packages_go_in_before_the_engine(tmp_path: Path) -> None:
    cluster = cluster_of(
        tmp_path,
        "m: {profile: p, hosts: [spark-1], port: 8000}",
        LAB,
        {"p": BASE + "    packages: ['a==1', 'b; rm -rf /']\n"},
    )
    (rank,) = ranks(cluster)
    text = rank.files["/orch/entry.sh"]
    assert "--root-user-action=ignore a==1 'b; rm -rf /' ||" in text
    assert text.rstrip().splitlines()[-1].startswith("exec vllm serve /models/m ")


def test_a_change_of_one_rank_changes_all(tmp_path: Path) -> None:
    """Gangs restart whole: the others' specification holds the gang's hash."""
    line = "m: {profile: p, hosts: [spark-1, spark-2], parallel: {tensor: 2}, port: 8000}"
    odd = "    env_by_host: {spark-2: {X: 1}}\n"
    one = ranks(cluster_of(tmp_path / "1", line, LAB, {"p": BASE}))
    two = ranks(cluster_of(tmp_path / "2", line, LAB, {"p": BASE + odd}))
    assert one[0].env["ORCH_GANG"] == one[1].env["ORCH_GANG"]
    assert one[0].env["ORCH_GANG"] != two[0].env["ORCH_GANG"]
    assert one == ranks(cluster_of(tmp_path / "3", line, LAB, {"p": BASE}))


FOUR = """
    version: 1
    hosts: {a: {kind: lab, address: 10.77.0.1}, b: {kind: lab, address: 10.77.0.2},
            c: {kind: lab, address: 10.77.0.3}, d: {kind: lab, address: 10.77.0.4}}
"""
REFUSED: list[tuple[str, str, str, str]] = [
    (LAB, "hosts: [spark-1]", "args: {tensor_parallel_size: 2}", "orch sets tensor_parallel_size itself"),
    (LAB, "hosts: [spark-1]", "args: {port: 1}", "orch sets port itself (say it with `port:`)"),
    (SPARKS, "hosts: [spark-1, spark-2, spark-3], parallel: {data: 2, tensor: 2}", "executor: ray",
     "2 replicas can't be spread evenly over 3 hosts"),
    (FOUR, "hosts: [a, b, c, d], parallel: {data: 2, tensor: 2}", "executor: native",
     "a replica over 2 hosts takes Ray"),
    (FOUR, "hosts: [a, b, c, d], parallel: {data: 2, tensor: 3}", "executor: ray", "3 do not make 2 times 1"),
    (TOWER, "hosts: [tower, bare], parallel: {data: 2, tensor: 3}", "executor: native",
     "1 of 2 replicas with 3 GPUs each are for bare, which has 2"),
    (LAB, "hosts: [spark-1]", "args: {data-parallel-backend: ray}", "say it with `executor:`"),
    (LAB, "hosts: [spark-1, spark-2], parallel: {tensor: 2}, supervision: entrypoint", "executor: native",
     "can't take one rank back"),
    (LAB, "hosts: [spark-1, spark-2], parallel: {tensor: 2}, port: 6400", "executor: ray",
     "port 6400 of m is one of the Ray ports of m"),
    (LAB, "hosts: [spark-1, spark-2], parallel: {tensor: 2}, port: 10500", "executor: ray",
     "port 10500 of m is one of the Ray ports"),
    (LAB, "hosts: [spark-1]", "mounts: [{from: ./x, to: /x}]", "add sync: true"),
    (LAB, "hosts: [spark-1]", "mounts: [{from: '/a:b', to: /x}]", "can't be mounted"),
    (LAB, "hosts: [spark-1]", "build: {dockerfile: Dockerfile}", "there is no Dockerfile at"),
    (TOWER, "hosts: [tower, bare], parallel: {tensor: 5}", "executor: native", "can't be spread evenly over 2 hosts"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("inventory", "where", "profile", "said"), REFUSED, ids=lambda one: str(one)[-40:]
)
def test_refused_before_a_host_is_asked(
    tmp_path: Path, inventory: str, where: str, profile: str, said: str
) -> None:
    cluster = cluster_of(
        tmp_path,
        f"m: {{profile: p, {where}}}",
        inventory,
        {"p": BASE + f"    {profile}\n"},
    )
    assert any(said in one for one in findings(cluster)), findings(cluster)


@pytest.mark.parametrize("where", [
    "hosts: [spark-1, spark-2], parallel: {tensor: 2}",
    "hosts: [spark-1, spark-2], parallel: {pipeline: 2}",
    "hosts: [spark-1, spark-2], parallel: {data: 2}",
    "hosts: [spark-1]",
])  # fmt: skip
def test_what_is_right_has_no_findings(tmp_path: Path, where: str) -> None:
    cluster = cluster_of(tmp_path, f"m: {{profile: p, {where}, port: 8000}}", LAB, {"p": BASE})
    assert findings(cluster) == []
