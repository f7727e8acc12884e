"""An embedding server is told so in the words of its engine's version, and known by them."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.engines import engine
from orchestrator.facts.assumed import assumed_world
from orchestrator.facts.completion import Completion
from orchestrator.facts.embedding import Embedding
from orchestrator.ranks.tasks import embeds, task_words
from orchestrator.spec.models import Cluster, Profile
from orchestrator.steps.answer import question
from orchestrator.steps.warmup import asking
from tests.gangs import SPARKS, TOWER, cluster_of, only


def line(cluster: Cluster) -> str:
    one = only(cluster)
    (rank,) = engine(one.profile.engine).ranks(cluster, one, assumed_world(cluster))
    return " ".join(rank.argv)


def vllm(image: str, more: str = "task: embed") -> str:
    return f"engine: vllm\nmodel: a/b\nimage: {image}\n{more}\n"


@pytest.mark.parametrize(
    ("image", "words"),
    [
        ("vllm/vllm-openai:v0.27.1", "--runner pooling"),
        ("vllm/vllm-openai:nightly", "--runner pooling"),
        ("vllm/vllm-openai:v0.11.2", "--task embed"),
        ("nvcr.io/nvidia/vllm:25.11-py3", "--task embed"),  # 0.11, as the notes say
    ],
)
def test_vllm(tmp_path: Path, image: str, words: str) -> None:
    cluster = cluster_of(tmp_path, "e: {profile: e, hosts: [bare]}", TOWER, {"e": vllm(image)})
    assert f" {words}" in line(cluster)
    assert isinstance(question(only(cluster)), Embedding)


def test_llama(tmp_path: Path) -> None:
    text = "engine: llama.cpp\nmodel: /m.gguf\nimage: i\ntask: embed\n"
    cluster = cluster_of(tmp_path, "e: {profile: e, hosts: [bare]}", TOWER, {"e": text})
    assert line(cluster).endswith(" --embedding")


@pytest.mark.parametrize(
    "profile",
    [
        Profile(version=1, engine="vllm", args={"runner": "pooling"}),
        Profile(version=1, engine="vllm", args={"task": "embed"}),
        Profile(version=1, engine="llamacpp", args={"embedding": True}),
        Profile(version=1, engine="llama.cpp", args={"--embeddings": True}),
    ],
    ids=str,
)
def test_arguments_that_say_it_already_are_enough(profile: Profile) -> None:
    assert embeds(profile)
    assert task_words(profile.model_copy(update={"task": "embed"}), None) == ()


@pytest.mark.parametrize(
    "profile",
    [
        Profile(version=1, engine="vllm", args={"runner": "generate"}),
        Profile(version=1, engine="llamacpp", args={"embedding": False}),
        Profile(version=1, engine="llamacpp", task="generate"),
        Profile(version=1, engine="an-engine-of-somebody"),
    ],
    ids=str,
)
def test_others_are_asked_for_tokens(profile: Profile) -> None:
    assert not embeds(profile)
    assert task_words(profile, None) == ()


def test_what_is_asked_and_warmed_up(tmp_path: Path) -> None:
    deployments = """
        e: {profile: bge-base, hosts: [spark-1], port: 8001}
        f: {profile: qwen3.5-35b-fp8, hosts: [spark-2]}
    """
    cluster = cluster_of(tmp_path, deployments, SPARKS)
    embed, fast = cluster.deployments.values()
    assert question(embed) == Embedding(port=8001, model="BAAI/bge-base-en-v1.5")
    assert isinstance(question(fast), Completion)
    assert " embeddings 50;" in str(asking(cluster, embed, "c", [50]))
    assert " completions 50;" in str(asking(cluster, fast, "c", [50]))


# --- memory: bytes in the file, a share for vLLM --------------------------------------------------------


def test_memory_is_a_share_of_the_gpu(tmp_path: Path) -> None:
    """3 GiB of a Spark's 121.7; over what the profile says."""
    cluster = cluster_of(tmp_path, "e: {profile: bge-base, hosts: [spark-1], memory: 3GiB}", SPARKS)
    assert line(cluster).count("--gpu-memory-utilization") == 1
    assert " --gpu-memory-utilization 0.0246" in line(cluster)


def test_the_smallest_share_of_unlike_gpus_is_taken(tmp_path: Path) -> None:
    deployments = (
        "e: {profile: e, hosts: [tower], gpus: [0, 1], parallel: {tensor: 2}, memory: 6GiB}"
    )
    tower = TOWER.replace("{index: 0}", "{index: 0, memory: 12GiB}")
    tower = tower.replace("uuid: GPU-aaaa", "memory: 24GiB")
    cluster = cluster_of(tmp_path, deployments, tower, {"e": vllm("i:1", "")})
    assert " --gpu-memory-utilization 0.25" in line(cluster)


def test_bytes_of_a_gpu_of_unknown_size_are_refused(tmp_path: Path) -> None:
    deployments = "e: {profile: e, hosts: [bare], gpus: [0], memory: 6GiB}"
    cluster = cluster_of(tmp_path, deployments, TOWER, {"e": vllm("i:1", "")})
    found = [str(one) for one in engine("vllm").validate(cluster, only(cluster))]
    assert any("how much memory the GPUs of bare have is not known" in one for one in found)
    stated = {"e": vllm("i:1", "args: {kv-cache-memory-bytes: 1}")}
    cluster = cluster_of(tmp_path, deployments, TOWER, stated)
    assert engine("vllm").validate(cluster, only(cluster)) == ()
