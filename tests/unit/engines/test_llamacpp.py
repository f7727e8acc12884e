"""llama.cpp's ranks: one host, and layers over hosts by RPC on the gang's own address only."""

from __future__ import annotations

from pathlib import Path

from orchestrator.engines import engine
from orchestrator.facts.assumed import assumed_world
from tests.gangs import LAB, TOWER, cluster_of, only

LLAMA = engine("llamacpp")


def test_a_gang_over_two_hosts(tmp_path: Path) -> None:
    cluster = cluster_of(tmp_path, "l: {profile: lab-llama, hosts: [spark-1, spark-2], port: 8002}")
    head, worker = LLAMA.ranks(cluster, only(cluster), assumed_world(cluster))
    text = head.files["/orch/entry.sh"]
    assert text.endswith(
        "exec llama-server -m /models/tiny.gguf --alias tiny --host 0.0.0.0 --port 8002 "
        "--rpc 10.20.0.11:50052 -t 1 -np 1 -c 1024 -ngl 99 --metrics --skip-chat-parsing\n"
    )
    assert 'for worker in 10.20.0.11; do\n  say "barrier: waiting for $worker:50052"' in text
    serves = worker.files["/orch/entry.sh"]
    assert "\nggml-rpc-server -t 1 -H 10.20.0.11 -p 50052 &\n" in serves
    assert [set(one.ports) for one in (head, worker)] == [{8002}, {50052}]
    assert head.env["ORCH_GANG"] == worker.env["ORCH_GANG"]
    assert LLAMA.validate(cluster, only(cluster)) == ()


def test_one_host_is_one_line_and_the_key_stays_secret(tmp_path: Path) -> None:
    profile = """
        engine: llama.cpp
        model: /models/m.gguf
        image: llama:1
        api_key: {env: KEY}
        args: {tensor-split: [3, 1], lora: [a, b], flash-attn: "on", mmap: false}
        commands: {server: /app/llama-server}
    """
    line = "l: {profile: p, hosts: [bare], gpus: [1], port: 8080}"
    cluster = cluster_of(tmp_path, line, TOWER, {"p": profile})
    (rank,) = LLAMA.ranks(cluster, only(cluster), assumed_world(cluster))
    assert rank.entrypoint == "/app/llama-server"
    assert " ".join(rank.argv) == (
        "-m /models/m.gguf --host 0.0.0.0 --port 8080 "
        "--tensor-split 3,1 --lora a --lora b --flash-attn on --no-mmap"
    )
    assert rank.secrets == {"LLAMA_API_KEY=api_key"}
    assert rank.gpus == ("1",)
    assert rank.state == "~/.local/state/orch"  # become: never


def test_what_it_refuses(tmp_path: Path) -> None:
    deployments = """
        a: {profile: lab-llama, hosts: [spark-1, spark-2], port: 50052, parallel: {tensor: 2}}
        b: {profile: lab-llama, hosts: [spark-1, spark-2], port: 8003, supervision: entrypoint}
    """
    cluster = cluster_of(tmp_path, deployments, LAB)
    said = [
        str(one)
        for deployment in cluster.deployments.values()
        for one in LLAMA.validate(cluster, deployment)
    ]
    assert any("has no parallel sizes" in one for one in said)
    assert any("port 50052 on spark-2 is also one of a" in one for one in said)
    assert any("can't take one rank back" in one for one in said)
