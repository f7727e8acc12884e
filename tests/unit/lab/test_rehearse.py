"""`orch rehearse`: each example becomes files that load, on hosts of the same names; what is left out is told."""

from __future__ import annotations

import ipaddress
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from click.testing import CliRunner

from orchestrator.cli import root
from orchestrator.lab import inventory, like
from orchestrator.lab.layout import lay_out
from orchestrator.lab.rehearse import Rehearsal, lab_hosts, rehearsal
from orchestrator.lab.rehearse_files import write
from orchestrator.lab.up import Wish
from orchestrator.spec.models import Cluster
from orchestrator.spec.resolve import load, load_cluster
from tests.gangs import LAB, TOWER, cluster_of

ROOT = Path(__file__).parents[3]
FILES = [ROOT / "cluster.yaml", *sorted((ROOT / "examples").glob("*/cluster.yaml"))]
FILES = [path for path in FILES if path.parent.name not in ("lab", "reference")]
BASE = ipaddress.IPv4Network("10.77.0.0/16")
SERVES = "engine: vllm\nmodel: org/large\nimage: i\nheads: 8\n"


def written(cluster: Cluster, made: Rehearsal, source: Path, folder: Path) -> Path:
    """The rehearsal's folder as it is on a lab's hosts."""
    named = yaml.safe_load(source.read_text()).get("inventory", "inventory.yaml")
    model, _ = lab_hosts(like.read(source.parent / named), cluster)
    layout = lay_out("lab", model.hosts, model.segments, BASE, model.ports)
    folder.mkdir(exist_ok=True)
    text = inventory.text("lab", like.rehearsal(model, layout))
    (folder / "inventory.yaml").write_text(text)
    return write(made, source, cluster.root, folder)


def made_of(tmp_path: Path, deployments: str, profile: str = SERVES, hosts: str = LAB) -> Cluster:
    return cluster_of(tmp_path / "own", deployments, hosts, {"p": profile})


@pytest.mark.parametrize("light", [False, True])
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.parent.name)
def test_every_example(path: Path, light: bool, tmp_path: Path) -> None:
    own = load_cluster(path)
    made = rehearsal(own, light=light)
    loaded = load(written(own, made, path, tmp_path / "r"), purpose="up")
    assert loaded.errors == ()
    there = loaded.cluster
    assert list(there.hosts) == list(own.hosts)
    assert {one.kind.name for one in there.hosts.values()} == {"lab"}
    assert there.links == own.links or [one.ends for one in there.links] == [
        one.ends for one in own.links
    ]
    assert list(there.deployments) == [n for n, d in own.deployments.items() if d.profile.model]
    for name, one in there.deployments.items():
        mine = own.deployments[name]
        assert (one.hosts, one.port) == (mine.hosts, mine.port)
        assert one.after == tuple(name for name in mine.after if name in there.deployments)
        assert one.profile.engine in ("vllm", "llamacpp")[light:]
        assert one.profile.served_name == (mine.profile.served_name or mine.profile.model)
        assert any(said.startswith(f"{name}: the model") for said in made.lacks)
    assert there.hooks == own.hooks
    assert {one.profile.engine for one in there.deployments.values()} == set(made.engines)


def test_what_becomes_of_vllm(tmp_path: Path) -> None:
    pair = "m: {profile: p, hosts: [spark-2, spark-1], parallel: {tensor: 2}, port: 9000}"
    made = rehearsal(made_of(tmp_path, pair))
    assert made.engines == ("vllm",)
    assert made.profiles["rehearsed-m"]["extends"] == "lab-vllm"
    assert made.cluster["deployments"]["m"]["hosts"] == ["spark-2", "spark-1"]
    assert made.cluster["deployments"]["m"]["parallel"] == {"tensor": 2, "pipeline": 1, "data": 1}
    assert made.cluster["name"] == "demo-rehearsal"

    native = rehearsal(made_of(tmp_path, pair, f"{SERVES}executor: native\n"))
    assert native.profiles["rehearsed-m"]["extends"] == "lab-vllm-native"
    wide = pair.replace("tensor: 2", "pipeline: 2")
    sizes = rehearsal(made_of(tmp_path, wide)).cluster["deployments"]["m"]["parallel"]
    assert sizes["pipeline"] == 2


def test_when_llama_stands_in_and_why(tmp_path: Path) -> None:
    line = "m: {profile: p, hosts: [spark-1], port: 9000}"
    for text, profile, why in (
        (line, SERVES.replace("vllm", "sglang"), "sglang has no form for CPUs"),
        (line, f"{SERVES}task: embed\n", "gives vectors by llama.cpp"),
        (line.replace("port", "share_gpu: true, memory: 1GiB, port"), SERVES, "shares a GPU"),
    ):
        made = rehearsal(made_of(tmp_path, text, profile))
        assert made.engines == ("llamacpp",)
        assert made.profiles["rehearsed-m"]["extends"] == "lab-llama"
        assert any(why in said for said in made.lacks), made.lacks
    many = "\n".join(f"m{n}: {{profile: p, hosts: [tower], port: {9000 + n}, gpus: [{n % 3}]}}"
                     for n in range(5))  # fmt: skip
    made = rehearsal(made_of(tmp_path, many, hosts=TOWER))
    assert any("5 ranks of vLLM, 4 at most" in said for said in made.lacks)
    ports = [one["rpc_port"] for one in made.profiles.values()]
    assert len(set(ports)) == 5


def test_what_is_left_out_is_told_by_name(tmp_path: Path) -> None:
    profile = f"{SERVES}env: {{A: 1}}\npackages: [x==1]\nwarmup: {{prompts: [50, 8000, 9000]}}\n"
    line = "m: {profile: p, hosts: [tower], gpus: [0, 1], parallel: {tensor: 2}, port: 9000,"
    line += " limits: {memory: 1GiB}, endpoint: {advertise: 1.2.3.4}, gate: {rdma: required}}"
    own = made_of(tmp_path, line, profile, TOWER)
    made = rehearsal(own)
    for part in (
        "m: the model org/large", "m: image, env, packages of profile p", "m: its 2 GPUs",
        "m: its endpoint's address", "m: long prompts", "gate on them: m", "limits: m",
    ):  # fmt: skip
        assert any(part in said for said in made.lacks), (part, made.lacks)
    assert made.profiles["rehearsed-m"]["warmup"] == {"prompts": [50, 200]}
    assert made.cluster["deployments"]["m"]["gate"]["rdma"] == "off"
    host = own.hosts["bare"].model_copy(update={"runtime": "process"})
    hosts = {**own.hosts, "bare": host}
    model = like.read(tmp_path / "own/inventory.yaml")
    rehearsed, lacks = lab_hosts(model, own.model_copy(update={"hosts": hosts}))
    assert lacks == ("bare: runtime process: docker",)
    assert rehearsed.raw["hosts"]["bare"]["runtime"] == "docker"
    assert "runtime" not in model.raw["hosts"]["bare"]
    assert replace(rehearsed, raw=model.raw) == model


def test_what_serves_nothing_is_left_out(tmp_path: Path) -> None:
    own = made_of(tmp_path, "m: {profile: p, hosts: [spark-1], port: 9000}")
    one = own.deployments["m"]
    ui = one.model_copy(
        update={"name": "ui", "profile": one.profile.model_copy(update={"model": ""})}
    )
    both = {"ui": ui, "m": one.model_copy(update={"after": ("ui",)})}
    made = rehearsal(own.model_copy(update={"deployments": both}))
    assert list(made.cluster["deployments"]) == ["m"]
    assert made.cluster["deployments"]["m"]["after"] == []
    assert any(said.startswith("ui: left out") for said in made.lacks)


def test_the_verb_shows_before_it_does() -> None:
    example = str(ROOT / "examples/three-sparks/cluster.yaml")
    shown = CliRunner().invoke(root, ["rehearse", example, "--dry-run"])
    assert shown.exit_code == 0, shown.output
    assert "profiles/rehearsed-vl.yaml" in shown.output
    assert "not rehearsed\n  · GPUs: there are none" in shown.output
    said = CliRunner().invoke(root, ["rehearse", example, "--dry-run", "--json"])
    (line,) = said.output.splitlines()
    assert any("RDMA" in one for one in json.loads(line)["not_rehearsed"])


@pytest.mark.parametrize(
    ("codes", "said", "drives"),
    [
        ({}, 0, ["up", "up", "down"]),
        ({"up": 4}, 4, ["up", "down"]),
        ({"down": 1}, 1, ["up", "up", "down"]),
    ],
)
def test_its_exit_code_is_the_first_that_is_not_0_and_the_lab_goes(
    codes: dict[str, int],
    said: int,
    drives: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done: list[str] = []

    def drive(site: object, file: Path, playbook: str) -> int:
        assert file.is_file()
        done.append(playbook)
        return codes.get(playbook, 0)

    def up(home: object, wish: Wish, progress: object) -> SimpleNamespace:
        assert (wish.hosts, wish.engines) == (("spark-1", "spark-2"), ("llamacpp",))
        wish.folder.mkdir()
        return SimpleNamespace(folder=wish.folder)

    monkeypatch.setenv("ORCH_LAB_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("orchestrator.cli.rehearse._drive", drive)
    monkeypatch.setattr("orchestrator.lab.up.bring_up", up)
    monkeypatch.setattr("orchestrator.lab.down.take_down", lambda *_: done.append("gone"))
    made_of(tmp_path, "m: {profile: p, hosts: [spark-1], port: 9000}")
    words = [
        "rehearse",
        str(tmp_path / "own/cluster.yaml"),
        "--light",
        "--dir",
        str(tmp_path / "r"),
    ]
    shown = CliRunner().invoke(root, words)
    assert shown.exit_code == said, shown.output
    assert done == [*drives, "gone"]
    assert ("the rehearsal went well" in shown.output) == (said == 0)
