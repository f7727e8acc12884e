"""Weights before a switch: a model that its engine would fetch must be there all the same, whole or not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.contracts import Step
from orchestrator.errors import Refused
from orchestrator.facts import ReadPath
from orchestrator.facts.answers import PathInfo
from orchestrator.steps.weights import weights_steps
from tests.gang_world import Site

ONLINE = "tiny: {profile: online, hosts: [spark-1, spark-2], parallel: {tensor: 2}, port: 8000}"
PROFILE = """\
version: 1
engine: vllm
model: some/model
image: image:1
"""
CACHE = "mounts: [{from: ~/.cache/huggingface, to: /root/.cache/huggingface}]\n"
PLACE = "~/.cache/huggingface/hub/models--some--model"


def steps(folder: Path, profile: str, **options: object) -> tuple[Site, dict[str, Step]]:
    (folder / "profiles").mkdir()
    (folder / "profiles" / "online.yaml").write_text(profile)
    site = Site(folder, ONLINE)
    return site, {step.id: step for step in weights_steps(site.cluster, options)}


def said(path: str, *, files: int, fingerprint: str = "f") -> PathInfo:
    return PathInfo(path, files > 0, True, 10, files, fingerprint if files else "")


def test_up_lets_the_engine_fetch_it_and_a_switch_does_not(tmp_path: Path) -> None:
    site, none = steps(tmp_path, PROFILE + CACHE)
    assert none == {}
    (gate,) = weights_steps(site.cluster, {"fetch": False})
    assert {query for _, query in gate.reads} == {
        ReadPath(PLACE, (".cache", "*.lock", "*.incomplete"))
    }
    site.world["spark-2"].answers[ReadPath] = said(PLACE, files=0)
    with pytest.raises(Refused, match="models--some--model is missing on spark-2") as refused:
        gate.check(site.world)
    assert "download some/model there first, or say --fetch" in refused.value.hint


def test_what_an_engine_completes_itself_need_not_be_alike(tmp_path: Path) -> None:
    site, made = steps(tmp_path, PROFILE + CACHE, fetch=False)
    some = replace(said(PLACE, files=2, fingerprint="g"), lacks=1, first_lacking="a", unfinished=1)
    site.world["spark-2"].answers[ReadPath] = some
    assert made["tiny/weights"].check(site.world) is None


def test_offline_it_is_the_same_gate_as_for_up(tmp_path: Path) -> None:
    site, made = steps(tmp_path, PROFILE + CACHE + "env: {HF_HUB_OFFLINE: 1}\n", fetch=False)
    site.world["spark-2"].answers[ReadPath] = said(PLACE, files=2, fingerprint="g")
    with pytest.raises(Refused, match="is another than on spark-1"):
        made["tiny/weights"].check(site.world)


def test_without_the_cache_nobody_can_tell(tmp_path: Path) -> None:
    _, made = steps(tmp_path, PROFILE, fetch=False)
    assert made == {}  # `orch switch` says so


def test_a_split_gguf_that_differs_is_copied_with_all_of_its_parts(tmp_path: Path) -> None:
    first = "/models/q4/m-00001-of-00003.gguf"
    site, made = steps(tmp_path, PROFILE.replace("some/model", first))
    there = replace(said(first, files=3), is_dir=False)
    site.world["spark-1"].answers[ReadPath] = there
    site.world["spark-2"].answers[ReadPath] = replace(there, fingerprint="g")
    with pytest.raises(Refused, match="is another than on spark-1") as refused:
        made["tiny/weights"].check(site.world)
    copied = "rsync -a /models/q4/m-*-of-*.gguf spark-2:/models/q4/"
    assert refused.value.hint == f"on spark-1: {copied}"
    some = replace(there, lacks=1, first_lacking="m-00002-of-00003.gguf")
    site.world["spark-2"].answers[ReadPath] = some
    with pytest.raises(Refused, match=r"not whole on spark-2: 1 .* \(m-00002-of-00003.gguf\)"):
        made["tiny/weights"].check(site.world)
