"""Whether a deployment makes text or vectors, and how its engine is told: in the words of its version."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.flags import flags
from orchestrator.flags.versions import Version, number
from orchestrator.ranks.arguments import name_of, words
from orchestrator.spec.models import Profile


def embeds(profile: Profile) -> bool:
    """An embedding server never gives a completion: by `task:`, or by what the arguments say."""
    return profile.task == "embed" or bool(_said(profile))


def task_words(profile: Profile, version: Version | None) -> tuple[str, ...]:
    """What `task: embed` adds to the engine's line; nothing where the arguments say it already."""
    if profile.task != "embed" or _said(profile):
        return ()
    return words(profile.engine_key, _form(profile, version))


def _form(profile: Profile, version: Version | None) -> Mapping[str, Any]:
    """The newest form, or an older one where the version is known to be older."""
    table = flags(profile.engine_key)["embed"]
    for older in table.get("before", ()):
        if version is not None and version < number(older["version"]):
            return dict(older["args"])
    return dict(table["args"])


def _said(profile: Profile) -> list[str]:
    """Arguments that make this engine an embedding server."""
    try:
        said_by = flags(profile.engine_key)["embed"]["said_by"]
    except (FileNotFoundError, KeyError):  # an engine without such a table
        return []
    given = {name_of(key): value for key, value in profile.args.items()}
    return [name for name, values in said_by.items() if given.get(name) in values]
