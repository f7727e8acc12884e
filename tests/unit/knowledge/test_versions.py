"""Flags and variables by version: the tables are as the sources, and `orch check` tells who is behind or ahead."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from orchestrator.flags import flags
from orchestrator.flags.versions import Known, Range, Span, known, number, version
from orchestrator.knowledge import versions
from orchestrator.spec.models import Finding, Profile
from tests.gangs import TOWER, cluster_of

# Written by hand from vLLM's own sources: the last version that had it, or the first.
LAST_SEEN = {
    "rope-theta": "0.11",
    "task": "0.12",
    "cuda-graph-sizes": "0.12",
    "disable-log-requests": "0.16",
    "swap-space": "0.17",
    "disable-frontend-multiprocessing": "0.18",
    "max-num-partial-prefills": "0.26",
    "calculate-kv-scales": "0.27",
}
CAME = {
    "nnodes": "0.11",  # 0.11.1; patches count as one
    "attention-backend": "0.13",
    "moe-backend": "0.17",
    "distributed-timeout-seconds": "0.18",
    "linear-backend": "0.22",
    "watchdog-config": "0.33",
}
GONE_VARIABLES = {
    "VLLM_ATTENTION_BACKEND": "0.15",
    "VLLM_SLEEP_WHEN_IDLE": "0.18",
    "VLLM_TEST_FORCE_FP8_MARLIN": "0.29",
}
STILL = (
    "kv-cache-dtype",
    "enforce-eager",
    "tool-call-parser",
    "tp",
    "headless",
    "limit-mm-per-prompt",
)


def table(engine: str) -> Known:
    found = known(engine)
    assert found is not None
    return found


def next_of(text: str) -> tuple[int, ...]:
    versions = table("vllm").versions
    return versions[versions.index(number(text)) + 1]


@pytest.mark.parametrize(("flag", "last"), LAST_SEEN.items())
def test_flags_that_are_gone(flag: str, last: str) -> None:
    assert table("vllm").has(flag, number(last))
    assert not table("vllm").has(flag, next_of(last))
    assert not table("vllm").has(flag, None)


@pytest.mark.parametrize(("flag", "first"), CAME.items())
def test_flags_that_came(flag: str, first: str) -> None:
    assert table("vllm").flags[flag] == (Span(number(first)),)


@pytest.mark.parametrize(("name", "gone"), GONE_VARIABLES.items())
def test_variables_that_are_gone(name: str, gone: str) -> None:
    (span,) = table("vllm").variables[name]
    assert span.removed == number(gone)


def test_what_was_always_there() -> None:
    for one in table("vllm").versions[1:]:
        assert all(table("vllm").has(name, one) for name in STILL)


def test_sglang_has_what_its_gangs_are_told() -> None:
    told = ("nnodes", "node-rank", "dist-init-addr", "tp-size", "pp-size", "model-path")
    assert all(table("sglang").flags[name] == (Span(),) for name in told)
    assert table("sglang").flags["cuda-graph-max-bs"] == (Span((), (0, 5, 20)),)


@pytest.mark.parametrize("engine", ["vllm", "sglang"])
def test_what_took_a_place_is_there(engine: str) -> None:
    """A replacement that is not in the newest version would send people from one error to the next."""
    now = table(engine).versions[-1]
    told = [*flags(engine)["replaced"].items(), ("flags", table(engine).replaced)]
    for kind, names in told:
        for name, instead in names.items():
            assert name in getattr(table(engine), kind), f"{name} was never there"
            assert not table(engine).has(name, now), f"{name} is still there"
            for flag in re.findall(r"--([a-z0-9-]+)", instead):
                assert table(engine).has(flag, now), f"{name}: there is no --{flag}"


# --- versions of profiles ---------------------------------------------------------------------------

IMAGES = {
    ("vllm", "vllm/vllm-openai:v0.27.1", None): (0, 27),
    ("vllm", "vllm/vllm-openai:v0.11.2-x86_64", None): (0, 11),
    ("vllm", "nvcr.io/nvidia/vllm:25.11-py3", None): (0, 11),
    ("vllm", "nvcr.io/nvidia/vllm:26.05-py3", None): None,
    ("vllm", "vllm/vllm-openai:nightly", None): None,
    ("vllm", "vllm/vllm-openai:nightly", "0.31.2"): (0, 31),
    ("vllm", "localhost:5000/mine", "v0.9"): (0, 9),
    ("sglang", "lmsysorg/sglang:v0.5.5.post3-cu129-amd64", None): (0, 5, 5),
    ("sglang", "lmsysorg/sglang:latest-cu130", None): None,
    ("llama.cpp", "ghcr.io/ggml-org/llama.cpp:server-cuda-b11200", None): (11200,),
    ("llama.cpp", "ghcr.io/ggml-org/llama.cpp:server-cuda", None): None,
    ("llama.cpp", "mine:1", "b9000"): (9000,),
    ("nothing", "vllm/vllm-openai:v0.27.1", None): None,
}


@pytest.mark.parametrize(("profile", "wanted"), IMAGES.items())
def test_version_of_a_profile(
    profile: tuple[str, str, str | None], wanted: tuple[int, ...] | None
) -> None:
    engine, image, said = profile
    made = Profile(version=1, engine=engine, model="m", image=image, engine_version=said)
    assert version(made) == wanted


def test_ranges() -> None:
    assert (0, 15) in Range.of("from 0.15")
    assert (0, 14) not in Range.of("from 0.15")
    assert None not in Range.of("from 0.15")
    assert (0, 14) in Range.of("below 0.15 or unknown")
    assert None in Range.of("below 0.15 or unknown")
    assert (0, 12) in Range.of("from 0.12 below 0.15")
    assert (0, 15) not in Range.of("from 0.12 below 0.15")
    assert None in Range.of("unknown")
    assert (0, 15) not in Range.of("unknown")
    for wrong in ("", "0.15", "above 0.15", "from x", "below 0.15 or", "from 0.1 from 0.2"):
        with pytest.raises(ValueError, match=r"no range|no version"):
            Range.of(wrong)


# --- what check says --------------------------------------------------------------------------------


def said(folder: Path, body: str, version: str = "") -> dict[str, Finding]:
    image = f"vllm/vllm-openai:{version or 'nightly'}"
    profile = f"engine: vllm\nmodel: m\nimage: {image}\n{body}"
    cluster = cluster_of(folder, "v: {profile: p, hosts: [tower]}", TOWER, {"p": profile})
    return {one.path.removeprefix("deployments.v."): one for one in versions.check(cluster)}


def test_a_flag_that_is_gone_names_the_new_one(tmp_path: Path) -> None:
    found = said(tmp_path, "args: {cuda_graph_sizes: [1, 2], max-num-seqs: 4}", "v0.20.0")
    (one,) = found.values()
    assert (one.path, one.severity) == ("deployments.v.args.cuda-graph-sizes", "warning")
    assert one.message == "vllm 0.20 has no --cuda-graph-sizes: it is gone since 0.13"
    assert one.suggestion == "--cudagraph-capture-sizes, --max-cudagraph-capture-size"


def test_a_flag_that_is_to_come(tmp_path: Path) -> None:
    found = said(tmp_path, "args: {moe-backend: deep_gemm}", "v0.16.0")
    assert "it came with 0.17" in found["args.moe-backend"].message


def test_a_variable_that_is_gone(tmp_path: Path) -> None:
    body = "env: {VLLM_SLEEP_WHEN_IDLE: 1, OMP_NUM_THREADS: 1}\nenv_by_host: {tower: {VLLM_ALL2ALL_BACKEND: x}}"
    found = said(tmp_path, body, "v0.18.0")
    assert found["env.VLLM_SLEEP_WHEN_IDLE"].suggestion == "nothing, it parks by itself"
    assert found["env.VLLM_ALL2ALL_BACKEND"].suggestion == "--all2all-backend"
    assert len(found) == 2


def test_an_unknown_version_is_told_nothing_that_may_be_false(tmp_path: Path) -> None:
    body = (
        "args: {swap-space: 4, moe-backend: x, kv-cache-dtpe: fp8}\nenv: {VLLM_SLEEP_WHEN_IDLE: 1}"
    )
    found = said(tmp_path, body)
    assert list(found) == ["args.kv-cache-dtpe"]
    assert found["args.kv-cache-dtpe"].message == "no vllm from 0.8 to 0.33 has --kv-cache-dtpe"
    assert found["args.kv-cache-dtpe"].suggestion == "did you mean kv-cache-dtype?"


def test_versions_beyond_the_tables(tmp_path: Path) -> None:
    """What is gone stays gone; a newer version may have flags of which nobody knew here."""
    assert list(said(tmp_path, "args: {swap-space: 4, enforce-eager: true}", "v0.40.0")) == [
        "args.swap-space"
    ]
    assert not said(tmp_path, "args: {swap-space: 4}", "v0.5.0")


def test_the_spellings_of_flags(tmp_path: Path) -> None:
    body = """args:
  "-O3": true
  "-tp": 2
  compilation-config.mode: 3
  no-enable-prefix-caching: true
  gpu-memory-util: 0.9
  tensor-parallel-size: 2"""
    assert not said(tmp_path, body, "v0.33.0")
    ambiguous = said(tmp_path, "args: {enable: true}", "v0.33.0")
    assert list(ambiguous) == ["args.enable"]


def test_a_rule_with_a_reason_is_not_said_twice(tmp_path: Path) -> None:
    from orchestrator.spec.check import check

    profile = "engine: vllm\nmodel: m\nimage: vllm/vllm-openai:v0.33.0\nargs: {swap-space: 4}"
    cluster = cluster_of(tmp_path, "v: {profile: p, hosts: [tower]}", TOWER, {"p": profile})
    found = [one for one in check(cluster) if one.path.endswith("swap-space")]
    assert [one.severity for one in found] == ["error"]
