"""Every example loads without a complaint, renders, and has a README that says what it is."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from orchestrator.cli import root
from orchestrator.cli.playbooks import cluster_playbook, load_playbook
from orchestrator.network.topology import plan_fabric
from orchestrator.plan.build import build
from orchestrator.spec.resolve import load_cluster

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
SHAPES = {
    "two-sparks": "pair",
    "own-playbook": "pair",
    "ring-of-three": "ring",
    "switch": "switch",
    "mixed": "none",
    "three-sparks": "ring",
    "numa-box": "none",
    "unlike-cards": "none",
    "fleet-of-eight": "none",
    "three-4090s": "none",
    "desk": "none",
}
KEPT = {"numa-box": ["notify", "tunnels"]}  # what the system has and nothing acts on yet: told
STARTING_POINT = [ROOT / "cluster.yaml"]  # and inventory.yaml: what people copy
FILES = [*STARTING_POINT, *(EXAMPLES / name / "cluster.yaml" for name in SHAPES)]


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """The secrets that the examples name are set, as their READMEs say."""
    for name in ("VLLM_API_KEY_MEDIUM", "HUGGING_FACE_HUB_TOKEN", "LITELLM_MASTER_KEY"):
        monkeypatch.setenv(name, "secret-of-a-test")


def orch(*words: str) -> Any:
    done = CliRunner().invoke(root, [*words, "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.output)


def called(path: Path) -> str:
    return path.parent.name


def test_none_is_forgotten() -> None:
    found = {path.parent.name for path in EXAMPLES.glob("*/cluster.yaml")}
    assert found - set(SHAPES) <= {"design", "lab", "reference"}  # which have tests of their own


@pytest.mark.parametrize("path", FILES, ids=called)
def test_check_has_nothing_to_say(path: Path) -> None:
    said = orch("check", str(path))
    assert said["ok"]
    assert [one["path"] for one in said["findings"]] == KEPT.get(called(path), [])
    assert all("not acted on yet" in one["message"] for one in said["findings"])
    assert said["deployments"]


@pytest.mark.parametrize("path", FILES, ids=called)
def test_render(path: Path) -> None:
    hosts = orch("render", str(path))["hosts"]
    placed = {host for one in orch("check", str(path))["deployments"] for host in one["hosts"]}
    assert {host for host, parts in hosts.items() if parts["ranks"]} == placed
    for parts in hosts.values():
        for rank in parts["ranks"]:
            assert rank["run"].startswith("docker run -d")


@pytest.mark.parametrize("path", FILES, ids=called)
def test_the_playbooks_make_a_plan(path: Path) -> None:
    cluster = load_cluster(path)
    assert build(cluster, load_playbook("up", path.parent))
    for own in path.parent.glob("playbooks/*.yaml"):
        playbook = load_playbook(own.stem, path.parent)
        assert build(cluster, playbook)
        if any(stage.shell and stage.shell.undo for stage in playbook.stages):
            assert build(cluster, playbook, undo=True)


@pytest.mark.parametrize(("name", "shape"), SHAPES.items())
def test_the_cables_are_what_the_folder_is_called(name: str, shape: str) -> None:
    cluster = load_cluster(EXAMPLES / name / "cluster.yaml")
    assert plan_fabric(cluster).kind_of(cluster.hosts) == shape


def alternatives() -> list[tuple[str, list[str]]]:
    """The `orch up --set …` lines that the files themselves offer."""
    return [
        (str(path), line.split())
        for path in FILES
        for line in re.findall(r"orch up((?: --set \S+?)+)[`\n]", path.read_text())
    ]


ARCHIVED = ("medium-coder",)  # its profile is a warning by itself


@pytest.mark.parametrize(("path", "words"), alternatives())
def test_the_alternatives_in_the_comments(path: str, words: list[str]) -> None:
    said = orch("check", path, *words)
    archived = [
        f"deployments.{name}.profile" for name in ARCHIVED if f"{name}.enabled=true" in words
    ]
    wanted = KEPT.get(Path(path).parent.name, []) + archived
    assert [one["path"] for one in said["findings"]] == wanted
    assert orch("render", path, *words)["hosts"]


def test_there_are_alternatives() -> None:
    assert len(alternatives()) == 12


def test_no_secret_is_in_what_is_rendered() -> None:
    said = json.dumps(orch("render", str(EXAMPLES / "three-4090s/cluster.yaml")))
    assert "VLLM_API_KEY" in said
    assert "secret-of-a-test" not in said


def packed() -> list[str]:
    return sorted(path.stem for path in (ROOT / "profiles").glob("*.yaml"))


def test_every_packed_profile_is_used_by_an_example_or_extended() -> None:
    texts = [path.read_text() for path in EXAMPLES.rglob("*.yaml")]
    texts += [path.read_text() for path in (ROOT / "profiles").glob("*.yaml")]
    texts += [path.read_text() for path in (ROOT / "tests/lab").glob("*.py")]
    for name in packed():
        assert any(re.search(rf"(profile|extends): {re.escape(name)}\b", one) for one in texts), (
            name
        )


def test_hooks_stand_in_the_way() -> None:
    cluster = load_cluster(EXAMPLES / "own-playbook/cluster.yaml")
    steps = build(cluster, cluster_playbook(cluster, "up"))
    assert "spark-1/no-desktop" in steps["vl/rank/0"].needs
    assert "vl/answer" in steps["spark-1/motd"].needs
    assert "spark-2/motd" not in steps  # `on: heads`
    assert "spark-1/motd" in steps["vl/supervise/0"].needs


@pytest.mark.parametrize("name", SHAPES)
def test_each_has_a_readme(name: str) -> None:
    text = (EXAMPLES / name / "README.md").read_text()
    assert text.startswith("# ")
    assert "orch up" in text or "orch run" in text
