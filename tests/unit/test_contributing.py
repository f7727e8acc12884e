"""The engine that CONTRIBUTING shows is one: it checks, it gives ranks, its words are quoted."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from textwrap import dedent
from types import ModuleType

import pytest
import yaml

import orchestrator.flags
from orchestrator.contracts import Engine
from orchestrator.facts.assumed import assumed_world
from orchestrator.ranks import arguments, rules
from orchestrator.runtimes import runtime
from tests.gangs import TOWER, cluster_of, only

TEXT = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text(encoding="utf-8")
PROFILE = """
    engine: textserve
    model: /models/m
    image: textserve:1
    args: {lora: [a, "b; rm -rf /"], verbose: true}
"""


def block(language: str) -> str:
    section = TEXT.split("## Add an engine")[1].split("\n## ")[0]
    (found,) = re.findall(rf"^ *```{language}\n(.*?)^ *```$", section, re.MULTILINE | re.DOTALL)
    return dedent(found)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Engine:
    table = yaml.safe_load(block("yaml"))
    for user in (arguments, rules):
        monkeypatch.setattr(
            user,
            "flags",
            lambda name: table if name == "textserve" else orchestrator.flags.flags(name),
        )
    module = ModuleType("textserve")
    monkeypatch.setitem(sys.modules, "textserve", module)
    exec(compile(block("python"), "CONTRIBUTING.md", "exec"), module.__dict__)
    made: Engine = module.ENGINE
    return made


def test_six_steps() -> None:
    section = TEXT.split("## Add an engine")[1].split("\n## ")[0]
    assert re.findall(r"^(\d)\. \*\*", section, re.MULTILINE) == list("123456")


def test_its_rank(engine: Engine, tmp_path: Path) -> None:
    cluster = cluster_of(
        tmp_path,
        "t: {profile: mine, hosts: [tower], gpus: [1], port: 9000}",
        TOWER,
        {"mine": PROFILE},
    )
    assert engine.validate(cluster, only(cluster)) == []
    (rank,) = engine.ranks(cluster, only(cluster), assumed_world(cluster))
    assert (rank.entrypoint, rank.gpus) == ("textserve", ("GPU-aaaa",))
    assert rank.ports == {9000}
    shown = runtime("docker").describe(rank)
    assert "--lora 'b; rm -rf /'" in shown
    assert engine.steps(cluster, only(cluster)) == ()


def test_it_refuses_what_it_can_not_do(engine: Engine, tmp_path: Path) -> None:
    own = PROFILE.replace("verbose: true", "port: 1")
    text = "t: {profile: mine, hosts: [tower, bare], port: 9000}"
    cluster = cluster_of(tmp_path, text, TOWER, {"mine": own})
    said = [one.message for one in engine.validate(cluster, only(cluster))]
    assert any("one host" in one for one in said)
    assert any("port" in one for one in said)
