"""Every SGLang line that is rendered is one that SGLang's own argument parser takes, and means what was said.

The parser is the pinned version's, out of its wheel; no host is needed for that, and no GPU.
"""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from orchestrator.engines import engine
from orchestrator.facts.assumed import assumed_world
from orchestrator.lab.engine_folder import find_pip
from tests.gangs import LAB, SPARKS, TOWER, cluster_of

WHEELS = ("sglang==0.5.23", "msgspec==0.22.0")
PROGRAM = Path(__file__).with_name("sglang_parser.py")
CASES = {
    "gang": (
        LAB,
        "s: {profile: odd, hosts: [spark-1, spark-2], parallel: {tensor: 2, pipeline: 2}}",
    ),
    "one": (TOWER, "s: {profile: odd, hosts: [tower], gpus: [2], memory: 6GiB}"),
    "oss": (
        SPARKS,
        "s: {profile: gpt-oss-120b-sglang, hosts: [spark-2, spark-3], parallel: {tensor: 2}}",
    ),
}
ODD = """
    engine: sglang
    model: /models/m
    image: lmsysorg/sglang:v0.5.23
    served_name: s
    args:
      max-running-requests: 4
      tool-call-parser: qwen3_coder
      reasoning-parser: qwen3
      cuda-graph-bs-decode: [1, 2]
      disable-radix-cache: true
      skip-tokenizer-init: false
      enable-dsa-fused-indexer: false
      json-model-override-args: {text_config: {rope_theta: 10000000}}
      chat-template: "--$(touch /tmp/never)"
"""

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sglang")
    pip = [find_pip("").python, "-m", "pip", "download", "--quiet", "--no-deps"]
    words = ["--only-binary=:all:", "--disable-pip-version-check", "--dest", str(folder / "wheels")]
    subprocess.run([*pip, *words, *WHEELS], check=True, timeout=240, stderr=subprocess.PIPE)
    for wheel in (folder / "wheels").iterdir():
        with zipfile.ZipFile(wheel) as archive:
            names = [
                one for one in archive.namelist() if one.startswith(("sglang/srt/", "msgspec/"))
            ]
            archive.extractall(folder / "all", [one for one in names if not one.endswith(".cu")])
    return folder / "all"


def ask(wheels: Path, lines: list[list[str]]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(PROGRAM), str(wheels)],
        input=json.dumps(lines),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def lines(folder: Path, name: str) -> list[list[str]]:
    """The words after `python3 -m sglang.launch_server` of each rank."""
    inventory, deployment = CASES[name]
    cluster = cluster_of(folder, deployment, inventory, {"odd": ODD})
    ranks = engine("sglang").ranks(cluster, cluster.deployments["s"], assumed_world(cluster))
    assert all(one.argv[:2] == ("-m", "sglang.launch_server") for one in ranks)
    return [list(one.argv[2:]) for one in ranks]


def understood(wheels: Path, folder: Path, name: str) -> list[dict[str, Any]]:
    done = ask(wheels, lines(folder, name))
    assert done.returncode == 0, done.stderr[-2000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_gang(wheels: Path, tmp_path: Path) -> None:
    head, worker = understood(wheels, tmp_path, "gang")
    for rank, one in enumerate((head, worker)):
        assert (one["nnodes"], one["node_rank"]) == (2, rank)
        assert one["dist_init_addr"] == "10.20.0.10:29600"
        assert (one["tp_size"], one["pp_size"], one["dp_size"]) == (2, 2, 1)
        assert one["dist_timeout"] == 1800
        assert (one["model_path"], one["served_model_name"]) == ("/models/m", "s")
    assert (head["host"], head["port"]) == ("0.0.0.0", 8000)
    assert (worker["host"], worker["port"]) == ("127.0.0.1", 29609)


def test_odd_values_arrive_as_they_were_written(wheels: Path, tmp_path: Path) -> None:
    (one,) = understood(wheels, tmp_path, "one")
    assert one["mem_fraction_static"] == 0.25
    assert one["max_running_requests"] == 4
    assert (one["tool_call_parser"], one["reasoning_parser"]) == ("qwen3_coder", "qwen3")
    assert one["cuda_graph_bs_decode"] == [1, 2]
    assert (one["disable_radix_cache"], one["skip_tokenizer_init"]) == (True, False)
    assert one["enable_dsa_fused_indexer"] is False
    assert json.loads(one["json_model_override_args"]) == {"text_config": {"rope_theta": 10000000}}
    assert one["chat_template"] == "--$(touch /tmp/never)"


def test_the_profile(wheels: Path, tmp_path: Path) -> None:
    for one in understood(wheels, tmp_path, "oss"):
        assert (one["mem_fraction_static"], one["enable_metrics"]) == (0.75, True)


def test_what_is_no_flag_is_refused(wheels: Path) -> None:
    """Otherwise this parser would prove nothing."""
    for words in (["--nodes", "2"], ["--tool-call-parser", "none-such"], ["--tp-size", "two"]):
        done = ask(wheels, [["--model-path", "m", *words]])
        assert done.returncode == 2, done.stdout
        assert "error: " in done.stderr
