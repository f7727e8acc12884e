"""Docker: a rank as `docker create` and `docker start`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from orchestrator.ranks.containers import Containers
from orchestrator.ranks.files import Word

NAME = "docker"
LOG_OPTIONS = ("max-size=50m", "max-file=3")


@dataclass(frozen=True)
class Docker(Containers):
    """See contracts.Runtime."""

    name: str = NAME

    def gpus(self, gpus: Sequence[str] | Literal["all"]) -> Iterable[Word]:
        """By the NVIDIA runtime."""
        return ("--gpus", "all" if gpus == "all" else f'"device={",".join(gpus)}"')

    def own(self) -> Iterable[Word]:
        limits = (word for one in LOG_OPTIONS for word in ("--log-opt", one))
        return ("--log-driver", "json-file", *limits)


RUNTIME = Docker()
