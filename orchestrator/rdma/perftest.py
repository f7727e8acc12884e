"""ib_write_bw and ib_write_lat: argv of both ends, and the text row that they print.

Both ends get the same flags: where they differ, perftest hangs. The GID index is left to rdma_cm (-R), which takes
the one that fits the address. JSON is invalid before 24.01 and lacks the unit, so the row is what is read.
"""

from __future__ import annotations

from orchestrator.rdma.answers import Measured, Said, Test

__all__ = ["Said", "client", "measured", "server", "version"]


def server(test: Test) -> tuple[str, ...]:
    """What the server of the lane runs; it serves one client and ends."""
    raise NotImplementedError


def client(test: Test) -> tuple[str, ...]:
    """What the client runs, once the server waits."""
    raise NotImplementedError


def measured(test: Test, client: Said, server: Said) -> Measured:
    """A number, or why there is none."""
    raise NotImplementedError


def version(text: str) -> str | None:
    """From `ib_write_bw --version` or --help: "6.06"."""
    raise NotImplementedError
