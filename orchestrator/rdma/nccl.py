"""nccl-tests: argv of a collective, its table, and which network NCCL says it took."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from orchestrator.rdma.answers import Failure, Said

Collective = Literal["all_gather", "all_reduce"]
Network = Literal["rdma", "sockets", "unknown"]
MOST_BYTES = 2 * 2**30  # 16 GB takes 32 GB of a Spark's unified memory and has frozen nodes (playbooks issue 102)


@dataclass(frozen=True)
class Chosen:
    """What NCCL's own log says of the network; sockets wherever one rank took them."""

    network: Network
    devices: tuple[str, ...] = ()  # "rocep1s0f1:1"
    said: str = ""


@dataclass(frozen=True)
class Busbw:
    """What one collective gave; GB/s (10^9 bytes), as nccl-tests prints it."""

    collective: Collective
    bytes: int | None = None
    gbytes_per_s: float | None = None  # average bus bandwidth, out of place and in place
    wrong: int | None = None
    chosen: Chosen = Chosen("unknown")
    failure: Failure | None = None
    tool: str = ""  # "nccl-tests 2.17.6"


def command(collective: Collective, bytes_: int = 2**30) -> tuple[str, ...]:
    """argv for one GPU in each rank; more than 2 GB is refused."""
    raise NotImplementedError


def chosen(log: str) -> Chosen:
    """From NCCL_DEBUG=INFO lines of all ranks together."""
    raise NotImplementedError


def measured(collective: Collective, said: Said) -> Busbw:
    """The table's average, proven by its rows; wrong values or an unreadable table are no number."""
    raise NotImplementedError
