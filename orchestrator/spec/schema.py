"""JSON Schema of each file that a user writes, so that editors complete and check it."""

from __future__ import annotations

import json
from typing import Any

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
    found = MODELS[name].model_json_schema(by_alias=True)
    return {"$schema": DIALECT, **found, "title": f"orch {name}"}


def text(name: str) -> str:
    """The schema as it is checked in under docs/schema/."""
    return json.dumps(schema(name), indent=2, ensure_ascii=False) + "\n"
