"""Names of files, deployments and hosts from what people call things."""

from __future__ import annotations

import re
from collections.abc import Container

LONGEST = 63


def name_for(text: str, taken: Container[str] = ()) -> str:
    """A name that orch's files take; another one where it is taken."""
    plain = (
        re.sub(r"[^a-zA-Z0-9._-]+", "-", text).strip("-._")[:LONGEST].rstrip("-._") or "imported"
    )
    if plain not in taken:
        return plain
    number = 2
    while f"{plain[: LONGEST - 4]}-{number}" in taken:
        number += 1
    return f"{plain[: LONGEST - 4]}-{number}"
