"""A mount's source that is missing is told before anything is done, with each host."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from orchestrator.errors import Refused
from orchestrator.facts import ReadSources
from orchestrator.steps.mounts import MountsThere, mounts_steps, wanted
from tests.gangs import LAB, cluster_of
from tests.unit.steps.clusters import Told

PROFILE = """\
engine: vllm
executor: native
model: /models/tiny
image: x:1
mounts:
  - {from: /models, to: /models}
  - {from: ~/llm/vllm/vllm, to: /usr/lib/python3/dist-packages/vllm}
  - {from: ~/.cache/huggingface, to: /root/.cache/huggingface}
  - {from: volume, to: /volume}
  - {from: ./here, to: /here, sync: true}
"""
TREE = "~/llm/vllm/vllm"


def step(folder: Path, profile: str = PROFILE) -> MountsThere:
    text = "tiny: {profile: own, hosts: [spark-1, spark-2], parallel: {tensor: 2}, port: 8000}"
    (found,) = mounts_steps(cluster_of(folder, text, LAB, {"own": profile}), {})
    assert isinstance(found, MountsThere)
    return found


def world(one: MountsThere, *states: str) -> dict[str, Any]:
    return {
        host: Told({ReadSources(paths): dict.fromkeys(paths, state)})
        for (host, paths), state in zip(one.sources.items(), states, strict=True)
    }


def test_what_the_hosts_must_have(tmp_path: Path) -> None:
    """The model is the weights' gate; caches are made; volumes and what is brought are no host's."""
    one = step(tmp_path)
    assert one.sources == {"spark-1": (TREE,), "spark-2": (TREE,)}
    rpc = PROFILE.replace("engine: vllm\nexecutor: native", "engine: llamacpp")
    rpc = rpc.replace("model: /models/tiny", "model: /models/m.gguf")
    llama = step(tmp_path / "rpc", rpc).deployment
    assert wanted(llama, "spark-1") == (TREE,)
    assert wanted(llama, "spark-2") == ("/models", TREE)  # a worker reads no model, and mounts it


def test_all_there(tmp_path: Path) -> None:
    one = step(tmp_path)
    assert one.check(world(one, "there", "there")) is None
    assert one.check(world(one, "there", "hidden")) is None  # root looks when the rank starts


def test_what_is_missing_names_path_and_hosts(tmp_path: Path) -> None:
    one = step(tmp_path)
    with pytest.raises(Refused, match=f"mounts what is missing: {TREE} on spark-2") as refused:
        one.check(world(one, "there", "absent"))
    assert refused.value.host == "spark-2"
    assert "`mounts:` of own" in refused.value.hint
    with pytest.raises(Refused, match=f"{TREE} on spark-1, spark-2"):
        one.check(world(one, "absent", "absent"))
