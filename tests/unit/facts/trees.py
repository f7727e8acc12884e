"""Folders in the form of sysfs and procfs, for probes to be run over: what they say here, hosts say there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from orchestrator.contracts import Query
from orchestrator.script import Command, Result, Script, Sh
from tests.local_shell import run_script

# Captured: hw_counters of a Soft-RoCE device (kernel 6.1); it has no counters/.
RXE_COUNTERS = {
    "ack_deferred": 0,
    "completer_retry_err": 0,
    "duplicate_request": 0,
    "lifespan": 12,
    "link_downed": 0,
    "out_of_seq_request": 0,
    "rcvd_pkts": 0,
    "rcvd_rnr_err": 0,
    "rcvd_seq_err": 0,
    "rdma_recvs": 0,
    "rdma_sends": 0,
    "retry_exceeded_err": 0,
    "retry_rnr_exceeded_err": 0,
    "send_err": 0,
    "send_rnr_err": 0,
    "sent_pkts": 0,
}
# Constructed from NVIDIA's "Understanding mlx5 Linux Counters": a ConnectX-7 port after some work.
MLX5_COUNTERS = {
    "link_downed": 1,
    "port_rcv_data": 2_000,
    "port_rcv_errors": 0,
    "port_rcv_packets": 10,
    "port_xmit_data": 1_000,
    "port_xmit_discards": 0,
    "port_xmit_packets": 5,
    "port_xmit_wait": 7,
}
MLX5_HW_COUNTERS = {
    "lifespan": 10,
    "local_ack_timeout_err": 0,
    "np_cnp_sent": 3,
    "out_of_sequence": 4,
    "packet_seq_err": 0,
    "rx_icrc_encapsulated": 0,
}


def write(folder: Path, files: Mapping[str, object]) -> None:
    """A file for each, with a newline, as the kernel ends them."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{value}\n")


def function(root: Path, netdev: str, **link: str) -> None:
    """A netdev's PCIe function, constructed: `32.0 GT/s PCIe` and 4 lanes unless it is said otherwise."""
    told = {
        "current_link_speed": "32.0 GT/s PCIe",
        "current_link_width": "4",
        "max_link_speed": "32.0 GT/s PCIe",
        "max_link_width": "16",
    }
    write(root / netdev / "device", {**told, **link})


def asked(query: Query[object], shell: str, moved: Mapping[str, Path]) -> dict[str, Result]:
    """What a query's own shell says of such folders; `moved`: real folder → the one to look at instead."""
    script = query.ask()
    if not isinstance(script, Script):
        raise TypeError("not shell")
    commands = {}
    for name, command in script.commands.items():
        text = str(command.sh)
        for real, there in moved.items():
            if real not in text:
                raise ValueError(f"{real} is not asked for")
            text = text.replace(real, str(there))
        commands[name] = Command(Sh(text), stdin=command.stdin)
    found = {}
    for name, result in run_script(Script(commands), shell).items():
        out = result.out
        for real, there in moved.items():
            out = out.replace(str(there).encode(), real.encode())
        found[name] = Result(result.rc, out, result.err, result.seconds)
    return found
