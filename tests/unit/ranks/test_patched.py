"""`patches:` as values: merged key by key, refused where there is nothing to patch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.engines import engine
from orchestrator.ranks.patched import merged
from tests.gangs import LAB, cluster_of, only

VALUES = st.none() | st.booleans() | st.integers() | st.text(max_size=3)
TREES = st.recursive(
    VALUES | st.lists(VALUES, max_size=2),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.sampled_from("abc"), TREES, max_size=3)
PROFILE = "engine: vllm\nmodel: {model}\nimage: i\npatches: {patches}\n"


@given(OBJECTS, OBJECTS)
def test_merging(have: dict[str, Any], patch: dict[str, Any]) -> None:
    made = merged(have, patch)
    assert merged(made, patch) == made
    for key in set(have) - set(patch):
        assert made[key] == have[key]
    for key, value in patch.items():
        if not isinstance(value, dict):
            assert made[key] == value
        elif isinstance(have.get(key), dict):
            assert made[key] == merged(have[key], value)


@pytest.mark.parametrize(
    ("model", "patches", "runtime", "told"),
    [
        ("org/name", "{config.json: {a: 1}}", "docker", "org/name is no folder on the hosts"),
        ("/m/x.gguf", "{config.json: {a: 1}}", "docker", "/m/x.gguf is no folder on the hosts"),
        ("/m/x", "{../config.json: {a: 1}}", "docker", "is no JSON file of the model"),
        ("/m/x", "{/config.json: {a: 1}}", "docker", "is no JSON file of the model"),
        ("/m/x", "{model.safetensors: {a: 1}}", "docker", "is no JSON file of the model"),
        ("/m/x", "{config.json: {a: 1}}", "process", "nothing is mounted over the model's files"),
        ("/m/x", "{config.json: {a: 1}, text/config.json: {b: 1}}", "docker", ""),
    ],
)
def test_what_is_told_offline(
    tmp_path: Path, model: str, patches: str, runtime: str, told: str
) -> None:
    inventory = LAB.replace("address: 10.77.0.11", f"address: 10.77.0.11, runtime: {runtime}")
    profile = PROFILE.format(model=model, patches=patches)
    line = "m: {profile: p, hosts: [spark-1], port: 8000}"
    cluster = cluster_of(tmp_path, line, inventory, {"p": profile})
    said = engine("vllm").validate(cluster, only(cluster))
    ours = [one for one in said if one.path == "profiles.p.patches"]
    assert [one.severity for one in ours] == ["error"] * bool(told)
    assert all(told in one.message for one in ours)
