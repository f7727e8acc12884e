"""Patched files of models by real shells: the original untouched, the overlay named by its content, drift seen."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from orchestrator.contracts import Query
from orchestrator.engines import engine
from orchestrator.errors import Refused
from orchestrator.facts.assumed import assumed_world
from orchestrator.facts.original import ReadOriginal
from orchestrator.facts.overlays import ReadOverlays
from orchestrator.spec.models import Cluster
from orchestrator.steps.patches import Patched, patch_steps
from tests.gangs import TOWER, cluster_of, only
from tests.local_shell import SHELLS, run_script

LINE = "m: {profile: p, hosts: [bare], gpus: [0], port: 8000}"
ORIGINAL = {"text_config": {"rope_theta": 10000.0, "layers": 4}, "architectures": ["é"]}


class Facts:
    """One host: this machine's own files, the rest as the files say."""

    def __init__(self, cluster: Cluster, shell: str, home: Path) -> None:
        self.assumed = assumed_world(cluster)["bare"]
        self.shell, self.env = shell, {"HOME": str(home)}

    def get(self, query: Query[Any]) -> Any:
        if isinstance(query, ReadOriginal | ReadOverlays):
            return query.parse(run_script(query.ask(), self.shell, self.env))
        return self.assumed.get(query)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    (tmp_path / "model").mkdir()
    (tmp_path / "model/config.json").write_text(json.dumps(ORIGINAL))
    return tmp_path / "home"


def made(home: Path, patch: str = "{text_config: {rope_theta: 10000000}}") -> Cluster:
    model = home.parent / "model"
    profile = f"engine: vllm\nmodel: {model}\nimage: i\npatches: {{config.json: {patch}}}\n"
    return cluster_of(home.parent / "files", LINE, TOWER, {"p": profile})


def step_of(cluster: Cluster) -> Patched:
    (step,) = patch_steps(cluster, {})
    assert isinstance(step, Patched)
    return step


def source(cluster: Cluster, world: Mapping[str, Any]) -> str:
    """Where the rank gets its config.json from."""
    (rank,) = engine("vllm").ranks(cluster, only(cluster), world)
    (mount,) = [one for one in rank.mounts if one.target.endswith("/model/config.json")]
    assert mount.read_only
    return mount.source


def applied(step: Patched, facts: Facts) -> Any:
    change = step.check({"bare": facts})
    assert change is not None
    results = run_script(step.apply(change, {"bare": facts}), facts.shell, facts.env)
    assert results["patch"].rc == 0, results["patch"].err
    assert step.check({"bare": facts}) is None
    return change


@pytest.mark.parametrize("shell", SHELLS)
def test_made_from_the_original_which_stays_as_it_is(home: Path, shell: str) -> None:
    before = (home.parent / "model/config.json").read_bytes()
    cluster = made(home)
    facts = Facts(cluster, shell, home)
    change = applied(step_of(cluster), facts)
    assert '+    "rope_theta": 10000000,' in change.diff
    place = home / source(cluster, {"bare": facts}).removeprefix("~/")
    said = json.loads(place.read_bytes())
    assert said == {
        **ORIGINAL,
        "text_config": {"rope_theta": 10000000, "layers": 4},
    }
    assert place.stat().st_mode & 0o777 == 0o644
    assert (home.parent / "model/config.json").read_bytes() == before


def test_another_original_is_another_overlay(home: Path) -> None:
    cluster = made(home)
    facts = Facts(cluster, "sh", home)
    applied(step_of(cluster), facts)
    first = source(cluster, {"bare": facts})
    (home.parent / "model/config.json").write_text(json.dumps({**ORIGINAL, "new": 1}))
    applied(step_of(cluster), facts)
    second = source(cluster, {"bare": facts})
    assert first != second  # so the rank is another, and its gang restarts


def test_an_overlay_that_somebody_changed_is_made_anew(home: Path) -> None:
    cluster = made(home)
    facts = Facts(cluster, "sh", home)
    applied(step_of(cluster), facts)
    place = home / source(cluster, {"bare": facts}).removeprefix("~/")
    place.write_text("{}")
    applied(step_of(cluster), facts)
    assert json.loads(place.read_bytes())["text_config"]["rope_theta"] == 10000000


@pytest.mark.parametrize(
    ("content", "patch", "why"),
    [
        (None, "{a: 1}", "is not there"),
        ("{", "{a: 1}", "is no JSON"),
        ("[]", "{a: 1}", "no JSON object"),
        ('{"a": {"b": 4}}', "{a: {b: {c: 1}}}", "its a.b has no keys of its own"),
    ],
)
def test_what_can_not_be_patched_is_refused(
    home: Path, content: str | None, patch: str, why: str
) -> None:
    file = home.parent / "model/config.json"
    file.unlink()
    if content is not None:
        file.write_text(content)
    cluster = made(home, patch)
    facts = Facts(cluster, "sh", home)
    with pytest.raises(Refused, match=why) as refused:
        step_of(cluster).check({"bare": facts})
    assert refused.value.host == "bare"
    assert "/unknown-config.json" in source(cluster, {"bare": facts})  # no rank starts from that


def test_offline_the_name_is_not_guessed(home: Path) -> None:
    cluster = made(home)
    assert source(cluster, assumed_world(cluster)).endswith("/unknown-config.json")


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("ref", ["main", "abc123"])
def test_a_hub_id_is_patched_in_its_snapshot(home: Path, shell: str, ref: str) -> None:
    """The snapshot's name is read on the host; a revision that is a commit is its own name."""
    cache = home / ".cache/huggingface/hub/models--org--name"
    (cache / "refs").mkdir(parents=True)
    (cache / "refs/main").write_text("abc123")
    (cache / "blobs").mkdir()
    (cache / "blobs/1").write_text(json.dumps(ORIGINAL))
    (cache / "snapshots/abc123").mkdir(parents=True)
    (cache / "snapshots/abc123/config.json").symlink_to("../../blobs/1")
    profile = (
        "engine: vllm\nmodel: org/name\nimage: i\npatches: {config.json: {a: 1}}\n"
        "mounts: [{from: ~/.cache/huggingface, to: /root/.cache/huggingface}]\n"
    )
    if ref != "main":
        profile += f"args: {{revision: {ref}}}\n"
    cluster = cluster_of(home.parent / "files", LINE, TOWER, {"p": profile})
    facts = Facts(cluster, shell, home)
    applied(step_of(cluster), facts)
    (rank,) = engine("vllm").ranks(cluster, only(cluster), {"bare": facts})
    (mount,) = [one for one in rank.mounts if one.target.endswith(".json")]
    inside = "/root/.cache/huggingface/hub/models--org--name/snapshots/abc123/config.json"
    assert mount.target == inside
    assert json.loads((home / mount.source.removeprefix("~/")).read_bytes())["a"] == 1
