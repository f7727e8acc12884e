"""Each statement of the field notes that a setting is required or forbidden, and what holds it here.

`note` is the file of the notes (000 PCIe box, 001 Sparks, 002 unlike cards, 003 fleet, 004 4090s), `says` its words.
Required: it is in what `orch render` gives of that system's example. Forbidden: `orch check` refuses it or warns, and
says why and where that was learned. Expectations were written from these lines by hand. Where the notes are out of date
or wrong, `but` says what holds instead, and why.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal

import pytest
import yaml

from orchestrator.cli.rendered import rendered
from orchestrator.knowledge.pairs import CONDITIONS, pairs
from orchestrator.spec.models import Profile
from orchestrator.spec.resolve import Loaded, load
from orchestrator.spec.units import parse_size

ROOT = Path(__file__).parents[2]
SYSTEMS = {
    "000": "numa-box",
    "001": "three-sparks",
    "002": "unlike-cards",
    "003": "fleet-of-eight",
    "004": "three-4090s",
}
SERVE = re.compile(r"(?:setsid |exec )?(\S*(?:vllm serve|llama-server) .*?)(?: &)?$", re.MULTILINE)
BIG = ("vl.enabled=false", "embed.after=[]", "big.enabled=true")
HUGE = ("vl.enabled=false", "embed.after=[]", "huge.enabled=true")
CODER = ("medium-glm.enabled=false", "micro.enabled=false", "medium-coder.enabled=true")
QWEN = ("medium-glm.enabled=false", "medium.enabled=true")
NEMOTRON = "nvidia_Llama-3_3-Nemotron-Super-49B-v1_5-Q8_0-00001-of-00002.gguf"
OLD, NEW = "vllm/vllm-openai:v0.10.2", "vllm/vllm-openai:v0.33.0"
OLD_LLAMA = "ghcr.io/ggml-org/llama.cpp:server-cuda-b9000"


LOADED: dict[tuple[str, tuple[str, ...]], Loaded] = {}  # the systems as the rules want them


def system(note: str, sets: tuple[str, ...] = ()) -> Loaded:
    if (note, sets) not in LOADED:
        LOADED[note, sets] = load(ROOT / "examples" / SYSTEMS[note] / "cluster.yaml", sets)
    return LOADED[note, sets]


@cache
def hosts(note: str, sets: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    return rendered(system(note, sets).cluster)


def ranks(note: str, sets: tuple[str, ...], deployment: str) -> list[dict[str, Any]]:
    found = [
        one
        for parts in hosts(note, sets).values()
        for one in parts["ranks"]
        if one["deployment"] == deployment or one["deployment"].startswith(f"{deployment}-")
    ]
    assert found, deployment
    return found


def line(rank: dict[str, Any]) -> list[str]:
    """The words that serve: of the entrypoint's script where there is one."""
    script = rank["files"].get("/orch/entry.sh")
    if script is None:
        words = shlex.split(rank["run"].replace("\\\n", " "))
        return [words[words.index("--entrypoint") + 1], *words[words.index("--entrypoint") + 2 :]]
    found = SERVE.findall(script)
    return shlex.split(found[-1]) if found else []


@dataclass(frozen=True)
class Rule:
    note: str
    says: str
    kind: Literal["required", "forbidden"]
    holds: Callable[[Rule], None]
    but: str = ""

    def __str__(self) -> str:
        return f"{self.note} {self.kind}: {self.says[:60]}"


# --- what holds a rule -------------------------------------------------------------------------------


def has(deployment: str, *words: str, sets: tuple[str, ...] = ()) -> Callable[[Rule], None]:
    """These words in a row are in the line that the head serves with."""

    def holds(rule: Rule) -> None:
        one = line(ranks(rule.note, sets, deployment)[0])
        rows = zip(*(one[at:] for at in range(len(words))), strict=False)
        assert words in list(rows), one

    return holds


def lacks(deployment: str, *flags: str, sets: tuple[str, ...] = ()) -> Callable[[Rule], None]:
    def holds(rule: Rule) -> None:
        for one in ranks(rule.note, sets, deployment):
            assert not set(flags) & set(line(one))

    return holds


def env(
    deployment: str, sets: tuple[str, ...] = (), **wanted: str | None
) -> Callable[[Rule], None]:
    """Every rank's container is made with these variables; None: without."""

    def holds(rule: Rule) -> None:
        for one in ranks(rule.note, sets, deployment):
            assert {name: one["env"].get(name) for name in wanted} == wanted
            for name, value in wanted.items():
                assert value is None or shlex.quote(f"{name}={value}") in one["run"]

    return holds


def run(deployment: str, *texts: str, sets: tuple[str, ...] = ()) -> Callable[[Rule], None]:
    """The command that makes each container holds this."""

    def holds(rule: Rule) -> None:
        for one in ranks(rule.note, sets, deployment):
            for text in texts:
                assert re.search(text, one["run"]), one["run"]

    return holds


def script(deployment: str, text: str) -> Callable[[Rule], None]:
    def holds(rule: Rule) -> None:
        for one in ranks(rule.note, (), deployment):
            assert re.search(text, one["files"]["/orch/entry.sh"])

    return holds


def profile(
    deployment: str, test: Callable[[Profile], bool], sets: tuple[str, ...] = ()
) -> Callable[[Rule], None]:
    def holds(rule: Rule) -> None:
        assert test(system(rule.note, sets).cluster.deployments[deployment].profile)

    return holds


def told(severity: str, text: str, *sets: str) -> Callable[[Rule], None]:
    """With these settings `orch check` says so, at that severity, with a reason; without them it does not."""

    def holds(rule: Rule) -> None:
        said = [one for one in system(rule.note, sets).findings if re.search(text, one.message)]
        assert [one.severity for one in said][:1] == [severity], system(rule.note, sets).findings
        assert said[0].suggestion
        assert not [one for one in system(rule.note).findings if re.search(text, one.message)]

    return holds


def unheard(text: str, *sets: str) -> Callable[[Rule], None]:
    """These settings are fine today."""

    def holds(rule: Rule) -> None:
        assert not [one for one in system(rule.note, sets).findings if re.search(text, one.message)]

    return holds


def netdevs(test: Callable[[str, dict[str, Any]], bool]) -> Callable[[Rule], None]:
    def holds(rule: Rule) -> None:
        for host in ("spark-2", "spark-3"):
            network = yaml.safe_load(hosts(rule.note, ())[host]["netplan"])["network"]
            assert network["ethernets"]
            for name, netdev in network["ethernets"].items():
                assert test(name, netdev), (name, netdev)

    return holds


def both_halves(rule: Rule) -> None:
    for host, last in (("spark-2", 10), ("spark-3", 11)):
        network = yaml.safe_load(hosts(rule.note, ())[host]["netplan"])["network"]["ethernets"]
        assert network["enp1s0f1np1"]["addresses"] == [f"192.168.100.{last}/24"]
        assert network["enP2p1s0f1np1"]["addresses"] == [f"192.168.101.{last}/24"]


def kind(**wanted: object) -> Callable[[Rule], None]:
    def holds(rule: Rule) -> None:
        found = system(rule.note).cluster.hosts["spark-2"].kind
        assert {key: getattr(found.prepare, key) for key in wanted} == wanted

    return holds


def every(*rules: Callable[[Rule], None]) -> Callable[[Rule], None]:
    def holds(rule: Rule) -> None:
        for one in rules:
            one(rule)

    return holds


def endpoint(rule: Rule) -> None:
    cluster = system(rule.note).cluster
    assert cluster.url(cluster.deployments["vl"]) == "http://192.168.102.11:8000"


def taken_over(rule: Rule) -> None:
    assert {"vllm-head", "vllm-worker"} <= set(system(rule.note).cluster.takeover)


def ports(rule: Rule) -> None:
    placed = system(rule.note).cluster.deployments
    assert [placed[f"chat-{n}"].port for n in range(8)] == list(range(8080, 8088))
    assert [placed[f"vec-{n}"].port for n in range(8)] == list(range(8090, 8098))
    assert [placed[f"vec-{n}"].gpus for n in range(8)] == [(n,) for n in range(8)]


def assignment(rule: Rule) -> None:
    """The table "GPU Assignment", each row as it would be if it were up."""
    table = {
        "medium-glm": ((0, 1), 5002),
        "micro": ((2,), 5000),
        "mini": ((2,), 5001),
        "medium": ((0, 1), 5002),
        "medium-vl": ((0, 1), 5003),
        "medium-coder": ((0, 1, 2), 5002),
    }
    alone = tuple(f"{name}.enabled=false" for name in table)
    for name, row in table.items():
        one = system(rule.note, (*alone, f"{name}.enabled=true")).cluster.deployments[name]
        assert (one.gpus, one.port) == row


def in_reserve(rule: Rule) -> None:
    (host,) = {name for one in system(rule.note).cluster.deployments.values() for name in one.hosts}
    gpus = system(rule.note).cluster.hosts[host].gpus or ()
    assert [parse_size(gpu.reserve or 0) for gpu in gpus] == [1024 << 20] * 3


def by_name_only(rule: Rule) -> None:
    folder = ROOT / "examples" / SYSTEMS[rule.note]
    said = yaml.safe_load((folder / "profiles/medium-glm.yaml").read_text())
    assert said["api_key"] == {"env": "VLLM_API_KEY_MEDIUM"}
    assert ranks(rule.note, (), "medium-glm")[0]["env"]["VLLM_API_KEY"] == "[secret]"


def cuda_13(rule: Rule) -> None:
    """vLLM's image is built for it, or says so in its tag."""
    for name, sets in (("minimax", ()), ("glm", ("minimax.enabled=false", "glm.enabled=true"))):
        image = system(rule.note, sets).cluster.deployments[name].profile.image
        assert image in ("vllm/vllm-openai:v0.27.1", "vllm/vllm-openai:qwen3_5-cu130")


def sglang(rule: Rule) -> None:
    """Whether or not there is such an engine, its finding names the reason."""
    told("error", "SGLang hangs", "profiles.qwen3-vl-235b-awq.engine=sglang")(rule)


R: Final = "required"
F: Final = "forbidden"
RULES: list[Rule] = [
    # --- 000: the PCIe box -----------------------------------------------------------------------------
    Rule("000", "Requires CUDA 13 env", R, cuda_13, but="the image's, not the host's"),
    Rule("000", "MODEL_NAME must point to the local path, not the HF repo ID", R,
         every(has("minimax", "serve", "/scratch/models/MiniMax-M2.5"),
               run("minimax", r"source=/scratch/models/MiniMax-M2.5,target=/scratch/models/MiniMax-M2.5,readonly"))),
    Rule("000", "--trust-remote-code required (custom model code)", R,
         every(has("minimax", "--trust-remote-code"),
               told("warning", "code of its own", "minimax.args.trust-remote-code=false"))),
    Rule("000", "Max context: 127728 tokens (set to 125000 for headroom)", F,
         every(has("minimax", "--max-model-len", "125000"),
               told("warning", "127728", "minimax.args.max-model-len=131072"))),
    Rule("000", "VLLM_ALLREDUCE_USE_SYMM_MEM | 0 | No NVLink", R,
         env("minimax", VLLM_ALLREDUCE_USE_SYMM_MEM="0")),
    Rule("000", "VLLM_SLEEP_WHEN_IDLE | 0", R,
         every(env("minimax", VLLM_SLEEP_WHEN_IDLE=None),
               env("minimax", (f"profiles.minimax-m2.5.image={OLD}",), VLLM_SLEEP_WHEN_IDLE="0")),
         but="gone in 0.18, which parks by itself"),
    Rule("000", "PYTORCH_ALLOC_CONF", R,
         env("minimax", PYTORCH_ALLOC_CONF="expandable_segments:True,max_split_size_mb:512")),
    Rule("000", "VLLM_FP8_MOE_BACKEND | DEEPGEMM", R,
         every(has("minimax", "--moe-backend", "deep_gemm"),
               told("warning", "never known", "minimax.env.VLLM_FP8_MOE_BACKEND=DEEPGEMM")),
         but="no version has the variable; the flag came with 0.17"),
    Rule("000", "SAFETENSORS_FAST_GPU | 1", R, env("minimax", SAFETENSORS_FAST_GPU="1")),
    Rule("000", "--max-num-seqs | 16", R, has("minimax", "--max-num-seqs", "16")),
    Rule("000", "--gpu-memory-utilization | 0.95", R,
         has("minimax", "--gpu-memory-utilization", "0.95")),
    Rule("000", "--load-format | fastsafetensors", R,
         every(has("minimax", "--load-format", "fastsafetensors"),
               script("minimax", r"pip.* fastsafetensors"))),
    Rule("000", "--compilation-config | cudagraph_mode: PIECEWISE", R,
         has("minimax", "--compilation-config", '{"cudagraph_mode": "PIECEWISE"}')),
    # --- 001: the Sparks, network ----------------------------------------------------------------------
    Rule("001", "need IPs on BOTH for full 200 Gb/s", R, both_halves),
    Rule("001", "192.168.177.11/24 and 192.168.177.12/24 (Option B)", F,
         told("error", "192.168.177.0/24", "inventory.links.0.subnets=[192.168.177.0/24, 192.168.177.0/24]"),
         but="NVIDIA: two interfaces in one subnet break NCCL"),
    Rule("001", "NVIDIA's netplan link-local (recommended)", F,
         netdevs(lambda _, one: one["link-local"] == [] and len(one["addresses"]) == 1),
         but="NVIDIA dropped it: the addresses change at each boot"),
    Rule("001", "Same port to same port: cross-connecting fails", F,
         told("warning", "not the same port", "inventory.links=[[spark-2.p0, spark-3.p1]]"),
         but="for two; a ring must cross, says NVIDIA, and three Sparks here do"),
    Rule("001", "Set MTU 9000", R, netdevs(lambda _, one: one["mtu"] == 9000)),
    Rule("001", "disable IPv6 for stable RoCE GID indexing", R,
         netdevs(lambda _, one: one["link-local"] == [] and one["accept-ra"] is False)),
    Rule("001", "Start with one QSFP DAC/AOC cable; one cable achieves full bandwidth", R,
         env("vl", NCCL_IB_HCA="=rocep1s0f1:1,roceP2p1s0f1:1")),
    Rule("001", "Access from spark-1: use 10GbE IP 192.168.102.11:8000", R, endpoint),
    # --- 001: NCCL and Ray -----------------------------------------------------------------------------
    Rule("001", "CRITICAL env vars (both nodes)", R,
         env("vl", MN_IF_NAME="enp1s0f1np1", NCCL_SOCKET_IFNAME="enp1s0f1np1",
             GLOO_SOCKET_IFNAME="enp1s0f1np1", UCX_NET_DEVICES="enp1s0f1np1",
             RAY_memory_monitor_refresh_ms="0")),
    Rule("001", "OMPI_MCA_btl_tcp_if_include", R,
         env("vl", OMPI_MCA_btl_tcp_if_include="enp1s0f1np1")),
    Rule("001", "GPUDirect RDMA NOT supported on GB10", F,
         env("vl", NCCL_NET_PLUGIN="none", NCCL_DMABUF_ENABLE="0", NCCL_NET_GDR_LEVEL="LOC",
             NCCL_NET_GDR_C2C="0")),
    Rule("001", "NCCL_NET=Socket (quick fix)", F, env("vl", NCCL_NET="IB"),
         but="the better fix of the notes is taken; sockets carry a quarter"),
    Rule("001", "set env vars via docker run -e, NOT later via docker exec", R,
         run("vl", r" -e NCCL_IB_HCA==rocep1s0f1:1,roceP2p1s0f1:1 ")),
    Rule("001", "Also need device access + memlock", R,
         run("vl", "--device=/dev/infiniband", "--ulimit memlock=-1", "--cap-add IPC_LOCK")),
    Rule("001", "-x <gid>", F, env("vl", NCCL_IB_GID_INDEX=None), but="the index moves"),
    # --- 001: before a launch --------------------------------------------------------------------------
    Rule("001", "sudo swapoff -a (before launch, BOTH nodes)", R, kind(swap_off=True)),
    Rule("001", "drop_caches (recommended for unified memory)", R, kind(drop_caches=True)),
    Rule("001", "read_ahead_kb 8192", R, kind(read_ahead_kb=8192)),
    Rule("001", "docker rm -f vllm-head vllm-worker", R, taken_over, but="renamed and kept"),
    # --- 001: Qwen3-VL-235B ----------------------------------------------------------------------------
    Rule("001", "Must use quantized (AWQ or NVFP4)", R, has("vl", "--quantization", "awq")),
    Rule("001", "BF16/FP8 won't fit", F,
         told("warning", "too large for two Sparks", "vl.args.quantization=null",
              "profiles.qwen3-vl-235b-thinking-awq.model=Qwen/Qwen3-VL-235B-A22B-Thinking-FP8")),
    Rule("001", "vLLM TP=2 with FP8 KV cache", R, has("vl", "--kv-cache-dtype", "fp8")),
    Rule("001", "TP=2 required across two Sparks", R,
         every(has("vl", "--tensor-parallel-size", "2"),
               told("error", "leave|unused", "vl.parallel.tensor=1"))),
    Rule("001", "SGLang multi-node AWQ NOT WORKING", F, sglang),
    Rule("001", "cuDNN Fix (REQUIRED)", R,
         run("vl", r"sitecustomize.py,target=/usr/lib/python3.12/sitecustomize.py,readonly")),
    Rule("001", "Attention Backend Fix (REQUIRED for VLM)", R,
         every(env("vl", VLLM_ATTENTION_BACKEND="TRITON_ATTN"),
               told("warning", "encoder hangs", "vl.env.VLLM_ATTENTION_BACKEND=null"))),
    Rule("001", "VLLM_ATTENTION_BACKEND=TRITON_ATTN", F,
         every(told("warning", "does not know the variable", "vl.env.VLLM_ATTENTION_BACKEND=TRITON_ATTN",
                    f"profiles.qwen3-vl-235b-awq.image={NEW}"),
               has("vl", "--attention-backend", "TRITON_ATTN",
                   sets=(f"profiles.qwen3-vl-235b-awq.image={NEW}",))),
         but="gone in 0.15: attention-backend"),
    Rule("001", "HF_HUB_OFFLINE=1 required when DNS is broken", R, env("vl", HF_HUB_OFFLINE="1")),
    Rule("001", "Use --gpu-memory-utilization 0.70; 0.65 crashes - only 8GB KV", F,
         every(has("vl", "--gpu-memory-utilization", "0.7"),
               told("warning", "no room is left", "vl.args.gpu-memory-utilization=0.65"))),
    Rule("001", "0.75 crashes during capture", F,
         told("warning", "while graphs are captured", "embed.enabled=false",
              "vl.args.gpu-memory-utilization=0.75")),
    Rule("001", "Eager mode (REQUIRED for multi-node)", R,
         every(has("vl", "--enforce-eager"),
               told("warning", "CUDA graphs over several", "vl.args.enforce-eager=false"))),
    Rule("001", "CUDA graphs hurt multi-node", F,
         unheard("CUDA graphs over", "vl.args.enforce-eager=false",
                 f"profiles.qwen3-vl-235b-awq.image={NEW}"),
         but="up to 0.19; from 0.20 on Ray's compiled DAG is not in the way"),
    Rule("001", "--enable-auto-tool-choice --tool-call-parser hermes", R,
         every(has("vl", "--enable-auto-tool-choice"), has("vl", "--tool-call-parser", "hermes"))),
    Rule("001", "Video disabled: --limit-mm-per-prompt", R,
         has("vl", "--limit-mm-per-prompt", '{"video": 0}')),
    Rule("001", "VLLM_USE_RAY_COMPILED_DAG=0 doesn't work", F,
         told("warning", "takes no notice", "vl.env.VLLM_USE_RAY_COMPILED_DAG=0")),
    Rule("001", "max_num_batched_tokens: 4096; 16384, 32768 caused NVIDIA driver OOM", F,
         every(has("vl", "--max-num-batched-tokens", "4096"),
               told("warning", "unified memory", "vl.args.max-num-batched-tokens=16384"))),
    Rule("001", "max_num_partial_prefills: dead code in vLLM V1", F,
         every(told("warning", "does not look at it", "vl.args.max-num-partial-prefills=2"),
               told("error", "no such flag", "vl.args.max-num-partial-prefills=2",
                    f"profiles.qwen3-vl-235b-awq.image={NEW}"))),
    Rule("001", "--async-scheduling: NOT compatible with multi-node", F,
         every(told("error", "async scheduling is for", "vl.args.async-scheduling=true"),
               told("warning", "async scheduling over", "vl.args.async-scheduling=true",
                    "profiles.qwen3-vl-235b-awq.image=vllm/vllm-openai:nightly"),
               unheard("async", "vl.args.async-scheduling=true",
                       f"profiles.qwen3-vl-235b-awq.image={NEW}")),
         but="from 0.20 on it works over hosts"),
    Rule("001", "Deps: qwen-vl-utils==0.0.14 (required)", R, script("vl", "qwen-vl-utils==0.0.14")),
    Rule("001", "VLLM_SLEEP_WHEN_IDLE=1", R, env("vl", VLLM_SLEEP_WHEN_IDLE="1")),
    Rule("001", "OMP_NUM_THREADS=1", R, env("vl", OMP_NUM_THREADS="1")),
    Rule("001", "--mm-encoder-tp-mode data: ENABLED", R, has("vl", "--mm-encoder-tp-mode", "data")),
    Rule("001", "CRITICAL: This mount is REQUIRED (vLLM clone)", R,
         run("vl", r"/llm/vllm/vllm,target=/usr/lib/python3/dist-packages/vllm")),
    Rule("001", "--restart=on-failure:10", R,
         lambda rule: _restart(rule), but="only once it was ready"),
    Rule("001", "Cap context to 4K - 16K causes driver OOM", F, lacks("vl", "--max-model-len"),
         but="the notes themselves later: vLLM configures 256K, no --max-model-len needed"),
    # --- 001: the other models -------------------------------------------------------------------------
    Rule("001", "rope_theta: 10000000 (122B)", R,
         has("big", "--hf-overrides", '{"text_config": {"rope_theta": 10000000}}', sets=BIG)),
    Rule("001", "rope_theta: 10000000 (35B)", R,
         has("fast", "--hf-overrides", '{"text_config": {"rope_theta": 10000000}}')),
    Rule("001", "VLLM_TEST_FORCE_FP8_MARLIN=1 - CUTLASS crashes on sm_121a", R,
         every(env("big", BIG, VLLM_TEST_FORCE_FP8_MARLIN="1"),
               env("fast", VLLM_TEST_FORCE_FP8_MARLIN="1"),
               told("warning", "CUTLASS crashes", "fast.env.VLLM_TEST_FORCE_FP8_MARLIN=1",
                    f"profiles.qwen3.5-35b-fp8.image={NEW}"),
               has("fast", "--linear-backend", "marlin", sets=(f"profiles.qwen3.5-35b-fp8.image={NEW}",)),
               has("fast", "--moe-backend", "marlin", sets=(f"profiles.qwen3.5-35b-fp8.image={NEW}",)))),
    Rule("001", "--reasoning-parser qwen3", R, has("big", "--reasoning-parser", "qwen3", sets=BIG)),
    Rule("001", "NVFP4 broken: produces garbage", F,
         told("error", "garbage", *BIG, "profiles.qwen3.5-122b-fp8.model=alpertor/Qwen3.5-122B-A10B-NVFP4")),
    Rule("001", "VLLM_ENCODER_CACHE_TOKENS=131072 + vllm_scheduler_patched.py", R,
         told("warning", "scheduler patch", "vl.env.VLLM_ENCODER_CACHE_TOKENS=131072"),
         but="the patch reads it, no vLLM does"),
    Rule("001", "0.50 util. Runs alongside 122B (0.70)", F,
         told("error", "do not fit", *BIG, "fast.hosts=[spark-2]", "fast.share_gpu=true"),
         but="1.20 of one GPU"),
    Rule("001", "vLLM GGUF had bugs, garbage output", F,
         told("error", "garbage", "profiles.qwen3.5-35b-fp8.model=/m/Qwen3.5-397B-A17B-Q2_K.gguf")),
    Rule("001", "NP=16 (np=128: 2K a slot, too small for images)", R,
         has("huge", "--parallel", "16", sets=HUGE)),
    Rule("001", "Metrics: --metrics flag", R, has("huge", "--metrics", sets=HUGE)),
    Rule("001", "MMPROJ=<path> (vision)", R,
         has("huge", "--mmproj", "/srv/models/Qwen3.5-397B-A17B-Q2_K/mmproj-BF16.gguf", sets=HUGE)),
    Rule("001", "CTX_SIZE= (auto-fit)", R,
         lacks("huge", "--ctx-size", "-c", "-ngl", "--n-gpu-layers", "--tensor-split", sets=HUGE)),
    Rule("001", "llamacpp-rpc (spark-3)", R,
         has("huge", "--rpc", "192.168.100.11:50052", sets=HUGE)),
    Rule("001", "--gpu-memory-utilization 0.02 --max-num-seqs 1 --enforce-eager (embeddings)", R,
         every(has("embed", "--gpu-memory-utilization", "0.02"), has("embed", "--max-num-seqs", "1"),
               has("embed", "--enforce-eager"))),
    Rule("001", "vLLM --task embed", R,
         every(has("embed", "--runner", "pooling"),
               told("error", "no such flag", "fast.args.task=embed",
                    f"profiles.qwen3.5-35b-fp8.image={NEW}")),
         but="last seen in 0.12: --runner pooling"),
    Rule("001", "ModernBERT not compatible", F,
         told("warning", "ModernBERT", "profiles.bge-base.model=answerdotai/ModernBERT-base")),
    # --- 002: unlike cards -----------------------------------------------------------------------------
    Rule("002", "--no-mmap is recommended for large models", R,
         every(has("nemotron", "--load-mode", "none"),
               has("nemotron", "--no-mmap", sets=(f"profiles.nemotron-49b-q8.image={OLD_LLAMA}",)),
               unheard("invalid argument", f"profiles.nemotron-49b-q8.image={OLD_LLAMA}"),
               told("warning", "invalid argument", "nemotron.args.no-mmap=true")),
         but="removed in b11200: load-mode"),
    Rule("002", "--n-ctx 2048", R, has("nemotron", "--ctx-size", "2048")),
    Rule("002", "--tensor-split 0.35,0.45,0.20 (3090 Ti 2, 3090 Ti 1, 4080)", R,
         every(has("nemotron", "--tensor-split", "0.20,0.45,0.35"),
               env("nemotron", CUDA_DEVICE_ORDER="PCI_BUS_ID"),
               run("nemotron", r"""--gpus '"device=0,1,2"'""")),
         but="in nvidia-smi's order: 4080, 3090 Ti 1, 3090 Ti 2"),
    Rule("002", "Point to the first of two files", R,
         every(has("nemotron", "-m", f"/srv/models/nemotron49b-q8/{NEMOTRON}"),
               run("nemotron", r"source=/srv/models/nemotron49b-q8,target=/srv/models/nemotron49b-q8,readonly"))),
    Rule("002", "--reserve-mib 1024: VRAM reserve per GPU", R, in_reserve),
    # --- 003: the fleet --------------------------------------------------------------------------------
    Rule("003", "eight GPU servers and eight embedding servers", R, ports),
    Rule("003", "Do not change N_CTX: 8192", R, has("chat", "--ctx-size", "8192")),
    Rule("003", "Do not change N_GPU_LAYERS: 33", R, has("chat", "--n-gpu-layers", "33")),
    Rule("003", "Do not change flash attention (on)", R,
         every(has("chat", "--flash-attn", "on"),
               told("warning", "want a value", "chat.args.flash-attn=true"))),
    Rule("003", "Do not change continuous batching (on)", R, has("chat", "--cont-batching")),
    Rule("003", "Do not change KV cache type (q8_0)", R,
         every(has("chat", "--cache-type-k", "q8_0"), has("chat", "--cache-type-v", "q8_0"))),
    Rule("003", "Do not change prompt caching (256)", R, has("chat", "--cache-reuse", "256"),
         but="tokens of a piece, not slots"),
    Rule("003", "n_ubatch 128, matching N_BATCH", R,
         every(has("chat", "--ubatch-size", "128"), has("chat", "--batch-size", "128"))),
    Rule("003", "Memory locking: enabled", R,
         every(has("chat", "--load-mode", "mmap+mlock"),
               has("chat", "--mlock", sets=(f"profiles.llama-8b-q6k.image={OLD_LLAMA}",)),
               told("warning", "invalid argument", "chat.args.mlock=true")),
         but="removed in b11200: load-mode"),
    Rule("003", "Timeout 90s", R, has("chat", "--timeout", "90")),
    Rule("003", "Several requests a GPU: single slot design", F, has("chat", "--parallel", "1")),
    Rule("003", "embedding: --cache-type-k q8_0, --cache-type-v q8_0", R,
         every(has("vec", "--cache-type-k", "q8_0"), has("vec", "--cache-type-v", "q8_0"))),
    Rule("003", "--embedding --ctx-size 2048 --batch-size 512 --n-gpu-layers 99", R,
         every(has("vec", "--embedding"), has("vec", "--ctx-size", "2048"),
               has("vec", "--batch-size", "512"), has("vec", "--n-gpu-layers", "99"))),
    Rule("003", "mem_limit: 512m, memswap_limit: 768m", R,
         run("vec", rf"--memory {512 << 20} ", rf"--memory-swap {768 << 20} ")),
    # --- 004: the 4090s --------------------------------------------------------------------------------
    Rule("004", "Do NOT add --enable-chunked-prefill", F,
         every(lacks("medium-glm", "--enable-chunked-prefill"),
               told("warning", "V0", "medium-glm.args.enable-chunked-prefill=true",
                    f"profiles.vllm-4090.image={OLD}"),
               unheard("V0", "medium-glm.args.enable-chunked-prefill=true")),
         but="harmless from 0.11 on"),
    Rule("004", "Do NOT add --num-scheduler-steps", F,
         every(told("error", "since V1", "medium-glm.args.num-scheduler-steps=8"),
               told("warning", "V0", "medium-glm.args.num-scheduler-steps=8",
                    f"profiles.vllm-4090.image={OLD}"))),
    Rule("004", "Max viable is 0.92 (0.95 OOM)", F,
         every(has("medium-glm", "--gpu-memory-utilization", "0.92"),
               told("warning", "22.26", "medium-glm.args.gpu-memory-utilization=0.95"))),
    Rule("004", "Do NOT use --enforce-eager", F,
         every(lacks("medium-glm", "--enforce-eager"),
               told("warning", "3 to 4 times slower", "medium-glm.args.enforce-eager=true"))),
    Rule("004", "MLA backends on RTX 4090 don't support FP8 KV cache", F,
         every(has("medium-glm", "--kv-cache-dtype", "auto"),
               told("error", "sm_89", "medium-glm.args.kv-cache-dtype=fp8"),
               told("error", "sm_89", "medium-glm.args.kv-cache-dtype=fp8_e4m3"))),
    Rule("004", "MTP speculative decoding doesn't work with AWQ 4-bit", F,
         told("warning", "MTP", "medium-glm.args.speculative-config={method: mtp, num_speculative_tokens: 1}")),
    Rule("004", "Use glm47 tool parser for GLM-4.7-Flash - NOT hermes, NOT granite", R,
         every(has("medium-glm", "--tool-call-parser", "glm47"),
               told("warning", "glm47", "medium-glm.args.tool-call-parser=hermes"),
               told("warning", "glm47", "medium-glm.args.tool-call-parser=granite"))),
    Rule("004", "Reasoning parser: glm45", R,
         every(has("medium-glm", "--reasoning-parser", "glm45"),
               told("warning", "glm45", "medium-glm.args.reasoning-parser=qwen3"))),
    Rule("004", "Use hermes tool parser for Qwen models", R,
         every(has("micro", "--tool-call-parser", "hermes"),
               has("medium", "--tool-call-parser", "hermes", sets=QWEN),
               told("warning", "Hermes", "micro.args.tool-call-parser=glm47")),
         but="not for Qwen3-Coder and Qwen3.5, which write XML (their model cards)"),
    Rule("004", "Credentials in .env were compromised", F, by_name_only),
    Rule("004", "HUGGING_FACE_HUB_TOKEN - Required for model downloads", R,
         every(profile("medium-glm",
                       lambda one: one.secrets["HF_TOKEN"].env == "HUGGING_FACE_HUB_TOKEN"),
               run("medium-glm", "-e HF_TOKEN "))),
    Rule("004", "transformers >= 5.0 for glm4_moe_lite", R,
         script("medium-glm", r"'transformers>=5\.0'")),
    Rule("004", "--served-model-name glm-4.7-flash", R,
         has("medium-glm", "--served-model-name", "glm-4.7-flash")),
    Rule("004", "--tensor-parallel-size 2", R, has("medium-glm", "--tensor-parallel-size", "2")),
    Rule("004", "--enable-expert-parallel", R, has("medium-glm", "--enable-expert-parallel")),
    Rule("004", "--max-model-len 131072", R, has("medium-glm", "--max-model-len", "131072")),
    Rule("004", "--max-num-batched-tokens 32768", R,
         has("medium-glm", "--max-num-batched-tokens", "32768")),
    Rule("004", "--max-num-seqs 64: prevent preemption cascades", R,
         has("medium-glm", "--max-num-seqs", "64")),
    Rule("004", "--dtype half", R, has("medium-glm", "--dtype", "half")),
    Rule("004", "--distributed-executor-backend mp: required for WSL", R,
         has("medium-glm", "--distributed-executor-backend", "mp")),
    Rule("004", "--disable-log-requests", R,
         every(lacks("medium-glm", "--disable-log-requests"),
               has("medium-glm", "--disable-log-requests", sets=(f"profiles.medium-glm.image={OLD}",)),
               told("error", "no such flag", "medium-glm.args.disable-log-requests=true"),
               told("warning", "do not start", "medium-glm.args.disable-log-requests=true",
                    "profiles.vllm-4090.image=vllm/vllm-openai:nightly")),
         but="gone in 0.17: off by default"),
    Rule("004", "NO --swap-space", F,
         every(lacks("medium-glm", "--swap-space"),
               told("error", "no such flag", "medium-glm.args.swap-space=4"),
               told("warning", "never swaps", "medium-glm.args.swap-space=4",
                    "profiles.vllm-4090.image=vllm/vllm-openai:nightly"))),
    Rule("004", "Environment Variables (Performance)", R,
         env("medium-glm", VLLM_MARLIN_USE_ATOMIC_ADD="1", VLLM_USE_DEEP_GEMM="0", OMP_NUM_THREADS="4",
             VLLM_ENABLE_INDUCTOR_MAX_AUTOTUNE="1",
             VLLM_ENABLE_INDUCTOR_COORDINATE_DESCENT_TUNING="1", VLLM_FLOAT32_MATMUL_PRECISION="medium")),
    Rule("004", "Persistent torch.compile cache (vllm-compile-cache)", R,
         run("medium-glm", "--mount type=volume,source=orch-cache-vllm-compile-cache,target=/root/.cache/vllm")),
    Rule("004", "Warmup: 50 tok to 50K tok", R,
         profile("medium-glm", lambda one: bool(one.warmup) and one.warmup is not None
                 and (one.warmup.prompts[0], one.warmup.prompts[-1]) == (50, 50000))),
    Rule("004", "GPU Assignment", R, assignment),
    Rule("004", "TP=3 fails: intermediate_size=8192 not divisible by 3", F,
         told("error", "8192, can't be divided by 3", *CODER, "medium-coder.parallel={tensor: 3}")),
    Rule("004", "TP=2 OOM: 46GB model doesn't fit in 48GB", F,
         every(has("medium-coder", "--pipeline-parallel-size", "3", sets=CODER),
               told("error", "leaves 1 GPU", *CODER, "medium-coder.parallel={tensor: 2}"))),
    Rule("004", "Qwen3-Coder-Next (Archived)", F,
         lambda rule: _not_up(rule, "medium-coder")),
]  # fmt: skip


def _restart(rule: Rule) -> None:
    for one in ranks(rule.note, (), "vl"):
        assert one["restart"] == "on-failure:10"
        assert "--restart no" in one["run"]


def _not_up(rule: Rule, name: str) -> None:
    assert name not in system(rule.note).cluster.deployments


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_the_notes(rule: Rule) -> None:
    rule.holds(rule)


def test_every_note_has_its_rules() -> None:
    count = {note: sum(one.note == note for one in RULES) for note in SYSTEMS}
    assert count["000"] >= 13
    assert count["001"] >= 50
    assert count["002"] >= 4
    assert count["003"] >= 13
    assert count["004"] >= 25
    assert len({(one.note, one.says) for one in RULES}) == len(RULES)


# --- knowledge/pairs.yaml itself ------------------------------------------------------------------------

ABOUT = {"name", "severity", "says", "instead", "source"}


@pytest.mark.parametrize("one", pairs(), ids=lambda one: one["name"])
def test_each_pair_is_whole(one: dict[str, Any]) -> None:
    assert set(one) >= ABOUT | {"engine"}
    assert set(one) - ABOUT <= set(CONDITIONS)
    assert len(set(one) & set(CONDITIONS)) > 1  # an engine alone is no pair
    assert one["severity"] in ("error", "warning")


def test_each_pair_is_broken_once() -> None:
    """A rule that no test breaks might as well not be there."""
    for rule in RULES:
        rule.holds(rule)
    said = {one.message for loaded in LOADED.values() for one in loaded.findings}
    dead = [one["name"] for one in pairs() if f"{one['says']} [{one['source']}]" not in said]
    assert dead == []
