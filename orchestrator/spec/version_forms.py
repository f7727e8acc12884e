"""`by_version:` of a profile: what is for the engine's version alone, beneath what the profile says anyway."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.flags.versions import Range, version
from orchestrator.spec.merge import merge
from orchestrator.spec.models import Profile


def version_form(data: Mapping[str, Any]) -> dict[str, Any]:
    """`args` and `env` of all entries whose versions are meant, in the order of the file."""
    keys = ("engine", "image", "engine_version")
    asked = Profile.model_validate(
        {"version": 1, **{key: data[key] for key in keys if key in data}}
    )
    here = version(asked)
    form: dict[str, Any] = {}
    for versions, entry in (data.get("by_version") or {}).items():
        if here in Range.of(versions):
            form = merge(form, entry)
    return form
