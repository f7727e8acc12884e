"""The reference examples load, and leave no key of any file out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from orchestrator.spec import check, shape
from orchestrator.spec.models import ClusterFile, InventoryFile, Kind, ProfileFile
from orchestrator.spec.resolve import load
from orchestrator.spec.schema import schema

REFERENCE = Path(__file__).parents[3] / "examples/reference"
FILES: list[tuple[str, shape.Model, str]] = [
    ("inventory", InventoryFile, "inventory.yaml"),
    ("cluster", ClusterFile, "cluster.yaml"),
    ("profile", ProfileFile, "profiles/everything.yaml"),
    ("kind", Kind, "kinds/my-box.yaml"),
]


def test_it_loads_with_the_real_engines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert not isinstance(check._engine("vllm"), str)
    loaded = load(REFERENCE / "cluster.yaml")
    assert loaded.errors == (), "\n".join(map(str, loaded.errors))
    assert loaded.cluster.hosts["box"].kind.prepare.read_ahead_kb == 4096


def said(annotation: Any, data: Any) -> Iterator[tuple[shape.Model, str]]:
    """Every key of every model that the data has."""
    if isinstance(data, dict):
        model = shape.model_for(annotation, data)
        for key, value in data.items():
            inner = shape.fields(model).get(key, Any) if model else shape.value_type(annotation)
            if model:
                yield model, key
            yield from said(inner or Any, value)
    elif isinstance(data, list):
        for item in data:
            yield from said(shape.item_type(annotation), item)


def models(annotation: Any) -> Iterator[shape.Model]:
    """Every model below an annotation."""
    for leaf in shape.leaves(annotation):
        if shape.is_model(leaf):
            yield leaf
            for inner in shape.fields(leaf).values():
                yield from models(inner)
        elif inner := shape.value_type(leaf):
            yield from models(inner)
        elif isinstance(leaf, type(tuple[int, ...])):
            yield from models(shape.item_type(leaf))


@pytest.mark.parametrize(("name", "model", "path"), FILES)
def test_every_key_is_shown(name: str, model: shape.Model, path: str) -> None:
    text = (REFERENCE / path).read_text()
    shown = set(said(model, yaml.safe_load(text)))
    missing = [
        f"{one.__name__}.{key}"
        for one in dict.fromkeys(models(model))
        for key in shape.fields(one)
        if (one, key) not in shown and f"{{{key}: " not in text and f", {key}: " not in text
    ]
    assert missing == []


@pytest.mark.parametrize(("name", "model", "path"), FILES[:2])
def test_it_fits_the_published_schema(name: str, model: shape.Model, path: str) -> None:
    data = shape.strip(model, yaml.safe_load((REFERENCE / path).read_text()))
    jsonschema.validate(data, schema(name))
