"""Secrets of a rank: which variables hold them; their values are put in as they are sent."""

from __future__ import annotations

from orchestrator.contracts import Rank
from orchestrator.script import secret_mark


def secret_values(rank: Rank) -> dict[str, str]:
    """Variable → mark. `NAME` is the secret of that name, `NAME=other` another one's (api_key)."""
    pairs = (one.partition("=") for one in sorted(rank.secrets))
    return {name: secret_mark(f"{rank.deployment}/{key or name}") for name, _, key in pairs}
