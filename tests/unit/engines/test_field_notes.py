"""The field notes' two-Spark deployment: what they call required is in what is rendered."""

from __future__ import annotations

import re
from pathlib import Path

from orchestrator.contracts import Rank
from orchestrator.engines import engine
from orchestrator.facts.assumed import assumed_world
from orchestrator.runtimes import runtime
from tests.gangs import SPARKS, cluster_of, only

VL = """
    vl:
      profile: qwen3-vl-235b-awq
      hosts: [spark-2, spark-3]
      head: spark-2
      parallel: {tensor: 2}
      port: 8000
"""
# "vllm serve (…)" of the notes, in its order, less what orch sets itself
SERVE = (
    "--trust-remote-code --quantization awq --kv-cache-dtype fp8 --max-num-batched-tokens 4096 "
    "--scheduling-policy priority --mm-encoder-tp-mode data --enforce-eager "
    "--enable-auto-tool-choice --tool-call-parser hermes"
)


def gang(folder: Path) -> tuple[Rank, Rank]:
    cluster = cluster_of(folder, VL, SPARKS)
    head, worker = engine("vllm").ranks(cluster, only(cluster), assumed_world(cluster))
    assert engine("vllm").validate(cluster, only(cluster)) == ()
    return head, worker


def test_the_containers_have_what_rdma_takes(tmp_path: Path) -> None:
    for rank in gang(tmp_path):
        shown = runtime("docker").describe(rank)
        for option in (
            "--network host",
            "--ipc host",
            "--gpus all",
            "--device=/dev/infiniband",
            "--ulimit memlock=-1",
            "--cap-add IPC_LOCK",
            "nvcr.io/nvidia/vllm:25.11-py3",
            '-v "$HOME"/.cache/huggingface:/root/.cache/huggingface',
        ):
            assert option in shown
        assert re.search(r"-v \S*sitecustomize.py:/usr/lib/python3.12/sitecustomize.py:ro", shown)


def test_the_environment_is_set_at_creation_on_both(tmp_path: Path) -> None:
    for rank, address in zip(gang(tmp_path), ("192.168.100.10", "192.168.100.11"), strict=True):
        wanted = {
            "NCCL_SOCKET_IFNAME": "enp1s0f1np1",
            "GLOO_SOCKET_IFNAME": "enp1s0f1np1",
            "UCX_NET_DEVICES": "enp1s0f1np1",
            "OMPI_MCA_btl_tcp_if_include": "enp1s0f1np1",
            "RAY_memory_monitor_refresh_ms": "0",
            "NCCL_IB_HCA": "=rocep1s0f1:1,roceP2p1s0f1:1",
            "NCCL_NET_PLUGIN": "none",
            "NCCL_DMABUF_ENABLE": "0",
            "NCCL_NET_GDR_LEVEL": "LOC",
            "NCCL_NET_GDR_C2C": "0",
            "VLLM_ATTENTION_BACKEND": "TRITON_ATTN",
            "HF_HUB_OFFLINE": "1",
            "OMP_NUM_THREADS": "1",
            "VLLM_SLEEP_WHEN_IDLE": "1",
            "VLLM_HOST_IP": address,
            "VLLM_ENGINE_READY_TIMEOUT_S": "7200",
        }
        assert {name: rank.env.get(name) for name in wanted} == wanted


def test_the_serve_line_is_the_notes(tmp_path: Path) -> None:
    head, worker = gang(tmp_path)
    text = head.files["/orch/entry.sh"]
    line = re.search(r"setsid (vllm serve .*) &\n", text)
    assert line is not None
    for option in SERVE.split(" --"):
        assert option.removeprefix("--") in line[1]
    for option in (
        "serve QuantTrio/Qwen3-VL-235B-A22B-Instruct-AWQ ",
        "--gpu-memory-utilization 0.7 ",
        """--limit-mm-per-prompt '{"video": 0}'""",
        "--distributed-executor-backend ray",
        "--tensor-parallel-size 2",
        "--host 0.0.0.0 --port 8000",
    ):
        assert option in line[1]
    for script in (text, worker.files["/orch/entry.sh"]):
        assert "pip install --quiet --root-user-action=ignore qwen-vl-utils==0.0.14" in script
    assert "--node-ip-address=192.168.100.10" in text
    assert "--address=192.168.100.10:6379" in worker.files["/orch/entry.sh"]


def test_restarts_are_two_layers_and_none_before_readiness(tmp_path: Path) -> None:
    for rank in gang(tmp_path):
        assert rank.restart == "on-failure:10"
        assert "--restart no" in runtime("docker").describe(rank)
