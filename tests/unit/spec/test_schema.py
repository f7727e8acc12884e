"""The published JSON Schemas are current, are JSON Schemas, and agree with the loader."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from orchestrator import data
from orchestrator.spec.schema import MODELS, described, schema, text

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("name", MODELS)
def test_current(name: str) -> None:
    path = ROOT / "docs/schema" / f"{name}.json"
    assert path.read_text(encoding="utf-8") == text(name), "run: orch schema --write docs/schema"


@pytest.mark.parametrize("name", MODELS)
def test_valid(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(schema(name))


def parts(name: str) -> list[tuple[str, dict[str, Any]]]:
    found = schema(name)
    named = [(MODELS[name].__name__, found), *found.get("$defs", {}).items()]
    return [(title, part["properties"]) for title, part in named if "properties" in part]


@pytest.mark.parametrize("name", MODELS)
def test_every_key_is_described(name: str) -> None:
    silent = [
        f"{title}.{key}"
        for title, properties in parts(name)
        for key, value in properties.items()
        if not value.get("description")
    ]
    assert silent == [], "say what they are for in orchestrator/spec/described.yaml"


def test_no_description_is_left_over() -> None:
    known = {(t, key) for name in MODELS for t, properties in parts(name) for key in properties}
    assert {(t, key) for t, keys in described().items() for key in keys} <= known


def test_nothing_else_lies_there() -> None:
    assert {path.stem for path in (ROOT / "docs/schema").iterdir()} == set(MODELS)


def _files() -> list[tuple[str, Path]]:
    design = ROOT / "examples/design"
    found = [("cluster", design / "cluster.yaml"), ("inventory", design / "inventory.yaml")]
    found += [("profile", path) for path in (design / "profiles").glob("*.yaml")]
    found += [("kind", path) for path in data.listing("kinds").values()]
    found += [("cluster", ROOT / "cluster.yaml"), ("inventory", ROOT / "inventory.yaml")]
    found += [("profile", path) for path in data.listing("profiles", suffix=".yaml").values()]
    found += [("playbook", path) for path in data.listing("playbooks", suffix=".yaml").values()]
    return found


@pytest.mark.parametrize(("name", "path"), _files(), ids=lambda value: str(value).split("/")[-1])
def test_right_files_are_right_by_schema(name: str, path: Path) -> None:
    document: Any = yaml.safe_load(path.read_text())
    jsonschema.validate(document, schema(name))


@pytest.mark.parametrize(
    ("name", "document"),
    [
        ("cluster", {"version": 1, "name": "a", "deploymnts": {}}),
        ("cluster", {"version": 2, "name": "a"}),
        ("cluster", {"version": 1, "name": "a", "deployments": {"b": {"hosts": "x"}}}),
        ("inventory", {"version": 1, "hosts": {"a": {"addres": "x"}}}),
        ("inventory", {"version": 1, "hosts": {}, "links": [{"switch": "s"}]}),
        ("profile", {"version": 1, "args": []}),
        ("kind", {"version": 1, "name": "-"}),
    ],
)
def test_wrong_files_are_wrong_by_schema(name: str, document: Any) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, schema(name))


def test_anchors_are_free(tmp_path: Path) -> None:
    jsonschema.validate({"version": 1, "name": "a", "x-common": {"any": 1}}, schema("cluster"))


def test_it_is_json() -> None:
    assert json.loads(text("profile"))["title"] == "orch profile"
