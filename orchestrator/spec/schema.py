"""JSON Schema of each file that a user writes, so that editors complete and check it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import yaml
from pydantic import BaseModel

from orchestrator.spec.models import ClusterFile, InventoryFile, Kind, ProfileFile
from orchestrator.spec.playbook import PlaybookFile

MODELS: dict[str, type[BaseModel]] = {
    "cluster": ClusterFile,
    "inventory": InventoryFile,
    "kind": Kind,
    "playbook": PlaybookFile,
    "profile": ProfileFile,
}
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema(name: str) -> dict[str, Any]:
    """The schema of one kind of file."""
    model = MODELS[name]
    found = model.model_json_schema(by_alias=True)
    for title, part in ((model.__name__, found), *found.get("$defs", {}).items()):
        for key, value in part.get("properties", {}).items():
            said = described().get(title, {}).get(key)
            if said is not None:
                value["description"] = said
    return {"$schema": DIALECT, **found, "title": f"orch {name}"}


@cache
def described() -> Mapping[str, Mapping[str, str]]:
    """Model → key → what it is for, where the model itself does not say it."""
    text = files("orchestrator.spec").joinpath("described.yaml").read_text(encoding="utf-8")
    found: Mapping[str, Mapping[str, str]] = yaml.safe_load(text)
    return found


def text(name: str) -> str:
    """The schema as it is checked in under docs/schema/."""
    return json.dumps(schema(name), indent=2, ensure_ascii=False) + "\n"
