"""Podman: as docker, with GPUs by CDI, a log that is a file, and defaults that docker does not have taken back.

Root's where the host has `become: sudo`, the user's own where it says never; spec.models.Host has the words.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from orchestrator.ranks.containers import Containers
from orchestrator.ranks.files import Word

NAME = "podman"
# Sources: podman-create(1) 4.3. Images are looked after before the start, never pulled by it; labels of SELinux
# would keep a rank from the host's folders; 2048 processes are too few for an engine with a thread a core and
# GPU; the journal, which is the default, keeps what was written as long as it likes.
OWN = (
    *("--pull", "never", "--security-opt", "label=disable", "--pids-limit=-1"),
    *("--log-driver", "k8s-file", "--log-opt", "max-size=50m"),
)


@dataclass(frozen=True)
class Podman(Containers):
    """See contracts.Runtime."""

    name: str = NAME

    def gpus(self, gpus: Sequence[str] | Literal["all"]) -> Iterator[Word]:
        """By the names that `nvidia-ctk cdi generate` gives: an index, a UUID, all."""
        for one in ("all",) if gpus == "all" else gpus:
            yield from ("--device", f"nvidia.com/gpu={one}")

    def own(self) -> Iterable[Word]:
        return OWN


RUNTIME = Podman()
