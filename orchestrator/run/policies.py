"""How often something that failed is tried again, by name; `retry.py` carries it out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Policy:
    """How often, and how long to wait: a random time below first * 2**n, at most `most` seconds."""

    attempts: int
    first: float = 0.0
    most: float = 0.0


POLICIES: Mapping[str, Policy] = {
    "none": Policy(attempts=1),
    "connect": Policy(attempts=5, first=0.5, most=8),  # a host that boots, an sshd that is busy
    "transfer": Policy(attempts=4, first=1, most=20),  # picks up where the bytes ended
    "pull": Policy(attempts=5, first=2, most=60),  # registries ask for patience when they throttle
    "apply": Policy(attempts=3, first=1, most=10),
    "measure": Policy(attempts=3, first=0.5, most=8),  # of a link: both ends of its tool begin anew
}
