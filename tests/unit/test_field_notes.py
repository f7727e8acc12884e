"""`orch render` of the field notes' two Sparks (examples/two-sparks) holds all that the notes call required.

What is expected here was copied by hand from the notes, not from what orch prints. Where the notes are out of date,
the difference is said where it is.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from orchestrator.cli import root
from tests.local_shell import SHELLS

EXAMPLE = Path(__file__).parents[2] / "examples/two-sparks"
ADDRESS = {"spark-2": "192.168.100.10", "spark-3": "192.168.100.11"}
SECOND = {"spark-2": "192.168.101.10", "spark-3": "192.168.101.11"}

# "vLLM + Ray Multi-Node Setup", the last `vllm serve` of the notes, word for word
SERVE = """
vllm serve QuantTrio/Qwen3-VL-235B-A22B-Thinking-AWQ
  --tensor-parallel-size 2 --trust-remote-code
  --quantization awq --gpu-memory-utilization 0.70 --kv-cache-dtype fp8
  --max-num-batched-tokens 4096
  --scheduling-policy priority --mm-encoder-tp-mode data
  --limit-mm-per-prompt '{"video": 0}' --enforce-eager
  --enable-auto-tool-choice --tool-call-parser hermes
  --distributed-executor-backend ray --host 0.0.0.0 --port 8000
"""
# what orch says itself, from `parallel:`, `executor:` and `port:`; the rest is the profile's
OWN = {"--tensor-parallel-size", "--distributed-executor-backend", "--host", "--port"}
INHERITED = "--gpu-memory-utilization"  # of vllm-spark: what a profile extends comes first


@pytest.fixture(scope="module")
def hosts() -> dict[str, Any]:
    done = CliRunner().invoke(root, ["render", str(EXAMPLE / "cluster.yaml"), "--json"])
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.output)["hosts"]
    assert list(found) == ["spark-2", "spark-3"]
    return found


def rank(hosts: dict[str, Any], host: str) -> Any:
    (one,) = hosts[host]["ranks"]
    return one


def options(line: str) -> list[tuple[str, ...]]:
    """The options of a serve line with their values, in order."""
    found: list[tuple[str, ...]] = []
    for word in shlex.split(line)[3:]:
        found = [*found, (word,)] if word.startswith("--") else [*found[:-1], (*found[-1], word)]
    return found


def serve_line(hosts: dict[str, Any]) -> str:
    lines = re.findall(r"^ +(?:setsid )?(vllm serve .*) &$", entry(hosts, "spark-2"), re.MULTILINE)
    assert len(set(lines)) == 1  # with setsid and, where there is none, without
    return str(lines[0])


def entry(hosts: dict[str, Any], host: str) -> str:
    return str(rank(hosts, host)["files"]["/orch/entry.sh"])


# --- "Hardware Quirk: Each Port Has Two Halves", "IP Setup", "Current Setup" --------------------------


@pytest.mark.parametrize("host", ADDRESS)
def test_both_halves_have_an_address_of_their_own_subnet(hosts: dict[str, Any], host: str) -> None:
    """The notes' Option B puts both halves into one /24: NVIDIA's README says that this does not work."""
    network = yaml.safe_load(hosts[host]["netplan"])["network"]
    assert set(network["ethernets"]) == {"enp1s0f1np1", "enP2p1s0f1np1"}
    assert network["ethernets"]["enp1s0f1np1"]["addresses"] == [f"{ADDRESS[host]}/24"]
    assert network["ethernets"]["enP2p1s0f1np1"]["addresses"] == [f"{SECOND[host]}/24"]


@pytest.mark.parametrize("host", ADDRESS)
def test_mtu_9000_and_no_ipv6_for_stable_gids(hosts: dict[str, Any], host: str) -> None:
    for netdev in yaml.safe_load(hosts[host]["netplan"])["network"]["ethernets"].values():
        assert netdev["mtu"] == 9000
        assert netdev["link-local"] == []
        assert (netdev["dhcp4"], netdev["dhcp6"], netdev["accept-ra"]) == (False, False, False)


# --- "CRITICAL env vars (both nodes)", "NCCL IB with GDR Disabled", what is REQUIRED further down -------


@pytest.mark.parametrize("host", ADDRESS)
def test_the_environment(hosts: dict[str, Any], host: str) -> None:
    wanted = {
        "MN_IF_NAME": "enp1s0f1np1",
        "NCCL_SOCKET_IFNAME": "enp1s0f1np1",
        "GLOO_SOCKET_IFNAME": "enp1s0f1np1",
        "UCX_NET_DEVICES": "enp1s0f1np1",
        "OMPI_MCA_btl_tcp_if_include": "enp1s0f1np1",
        "RAY_memory_monitor_refresh_ms": "0",
        "NCCL_NET_PLUGIN": "none",
        "NCCL_DMABUF_ENABLE": "0",
        "NCCL_NET_GDR_LEVEL": "LOC",
        "NCCL_NET_GDR_C2C": "0",
        "NCCL_IB_HCA": "=rocep1s0f1:1,roceP2p1s0f1:1",
        "VLLM_ATTENTION_BACKEND": "TRITON_ATTN",  # the image's vLLM is 0.11; gone in 0.15
        "VLLM_SLEEP_WHEN_IDLE": "1",  # gone in 0.18, which sleeps by itself
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "VLLM_HOST_IP": ADDRESS[host],
    }
    env = rank(hosts, host)["env"]
    assert {name: env.get(name) for name in wanted} == wanted
    assert (
        "NCCL_IB_GID_INDEX" not in env
    )  # it moves with every address; the notes do not set it either
    assert env["NCCL_NET"] == "IB"  # ours: `gate: {rdma: required}`


@pytest.mark.parametrize("host", ADDRESS)
def test_the_environment_goes_in_at_creation(hosts: dict[str, Any], host: str) -> None:
    """ "Set env vars via docker run -e, NOT later via docker exec": Ray's workers inherit the container's."""
    words = shlex.split(rank(hosts, host)["run"])
    given = [words[at + 1] for at, word in enumerate(words) if word == "-e"]
    assert "NCCL_IB_HCA==rocep1s0f1:1,roceP2p1s0f1:1" in given
    assert sorted(given) == sorted(f"{k}={v}" for k, v in rank(hosts, host)["env"].items())


def test_single_rail_is_the_first_half(tmp_path: Path) -> None:
    words = ["render", str(EXAMPLE / "cluster.yaml"), "--json", "--set", "vl.rails=single"]
    said = json.loads(CliRunner().invoke(root, words).output)["hosts"]
    assert {rank(said, host)["env"]["NCCL_IB_HCA"] for host in said} == {"=rocep1s0f1:1"}


# --- "docker run", "cuDNN Fix (REQUIRED)", "CRITICAL: This mount is REQUIRED" ----------------------------


@pytest.mark.parametrize("host", ADDRESS)
def test_docker_run(hosts: dict[str, Any], host: str) -> None:
    line = rank(hosts, host)["run"]
    for wanted in (
        "--device=/dev/infiniband",
        "--ulimit memlock=-1",
        "--cap-add IPC_LOCK",
        "--network host",
        "--ipc host",
        "--gpus all",
        '--mount type=bind,source="$HOME"/.cache/huggingface,target=/root/.cache/huggingface',
        '--mount type=bind,source="$HOME"/llm/vllm/vllm,target=/usr/lib/python3/dist-packages/vllm',
    ):
        assert f"  {wanted} \\\n" in line
    assert re.search(
        r"sitecustomize\.py,target=/usr/lib/python3.12/sitecustomize.py,readonly \\\n", line
    )
    assert "  nvcr.io/nvidia/vllm:25.11-py3 \\\n" in line


def test_sitecustomize_turns_cudnn_off_when_torch_comes() -> None:
    text = (EXAMPLE.parents[1] / "profiles/sitecustomize.py").read_text()
    assert "cudnn.enabled = False" in text
    compile(text, "sitecustomize.py", "exec")


# --- "vLLM serve", "Deps", "Before launch" -----------------------------------------------------------------


def test_serve_has_each_argument_of_the_notes_and_no_other(hosts: dict[str, Any]) -> None:
    line = serve_line(hosts)
    assert shlex.split(line)[:3] == shlex.split(SERVE)[:3]
    notes = [(one, *("0.7" if v == "0.70" else v for v in rest)) for one, *rest in options(SERVE)]
    assert sorted(options(line)) == sorted(notes)
    theirs = [one for one in notes if one[0] not in OWN and one[0] != INHERITED]
    ours = [one for one in options(line) if one[0] not in OWN and one[0] != INHERITED]
    assert ours == theirs  # in their order


@pytest.mark.parametrize("host", ADDRESS)
def test_packages_are_installed_before_anything_starts(hosts: dict[str, Any], host: str) -> None:
    text = entry(hosts, host)
    install = text.index("qwen-vl-utils==0.0.14")
    assert install < text.index("ray start")


def test_what_runs_in_the_way_is_named() -> None:
    """ "docker rm -f vllm-head vllm-worker", swap, caches: stages of `up`, for this kind of host."""
    cluster = yaml.safe_load((EXAMPLE / "cluster.yaml").read_text())
    assert cluster["takeover"] == ["vllm-head", "vllm-worker"]
    kind = yaml.safe_load((EXAMPLE.parents[1] / "orchestrator/kinds/dgx-spark.yaml").read_text())
    assert kind["prepare"] == {"swap_off": True, "drop_caches": True, "read_ahead_kb": 8192}
    up = yaml.safe_load((EXAMPLE.parents[1] / "playbooks/up.yaml").read_text())
    order = [stage["stage"] for stage in up["stages"]]
    assert order.index("swap") < order.index("drop-caches") < order.index("start")


# --- "Auto-Restart on Failure" ------------------------------------------------------------------------------


def test_head_entrypoint(hosts: dict[str, Any]) -> None:
    """Ray's head, then vLLM with 10 retries, 15 s apart; orch: only once the gang was ready."""
    text = entry(hosts, "spark-2")
    assert re.search(
        r"^ *ray start --head --node-ip-address=192\.168\.100\.10 --port=6379 ", text, re.M
    )
    barrier = r"gang\.py .* 192\.168\.100\.10=1=spark-2 192\.168\.100\.11=1=spark-3 &"
    assert re.search(barrier, text)
    assert "retry $tries of 10 in 15 s" in text
    assert text.index("ray start --head") < text.index("gang.py") < text.index("vllm serve")
    assert rank(hosts, "spark-2")["restart"] == "on-failure:10"
    assert "--restart no" in rank(hosts, "spark-2")["run"]  # until it has answered once


def test_worker_entrypoint(hosts: dict[str, Any]) -> None:
    """Tries until the head is there."""
    text = entry(hosts, "spark-3")
    start = "ray start --address=192.168.100.10:6379 --node-ip-address=192.168.100.11 "
    assert start in text
    assert text.index("waiting for the head") < text.index(start)
    assert rank(hosts, "spark-3")["restart"] == "on-failure:10"
    assert "vllm serve" not in text


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("host", ADDRESS)
def test_the_entrypoints_are_shell(hosts: dict[str, Any], host: str, shell: str) -> None:
    subprocess.run([*shell.split(), "-n"], input=entry(hosts, host), text=True, check=True)
