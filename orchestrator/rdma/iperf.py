"""iperf3 where there is no RDMA device: argv of both ends, and the JSON that it prints."""

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
