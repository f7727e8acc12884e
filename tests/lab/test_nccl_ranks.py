"""nccl-tests between hosts, without ssh and keys: real Open MPI between two network namespaces.

What it starts is a stand-in that does MPI's part of nccl-tests for real and prints nccl-tests' table: no GPU is here.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from orchestrator.data import packed
from orchestrator.rdma.answers import Said
from orchestrator.rdma.nccl import command, measured

SPACES = "/run/netns"
ADDRESSES = ("10.231.7.10", "10.231.7.11")
PERF = f"""#!{sys.executable}
# Linked with libmpi.so.40, as nccl-tests is that was made with MPI=1.
import ctypes, os, sys
mpi = ctypes.CDLL("libmpi.so.40", ctypes.RTLD_GLOBAL)
mpi.MPI_Init(None, None)
world = ctypes.c_void_p(ctypes.addressof(ctypes.c_char.in_dll(mpi, "ompi_mpi_comm_world")))
rank, size = ctypes.c_int(), ctypes.c_int()
mpi.MPI_Comm_rank(world, ctypes.byref(rank))
mpi.MPI_Comm_size(world, ctypes.byref(size))
print(f"h{{rank.value}}:1:1 [0] NCCL INFO NET/IB : Using [0]{{os.environ['NCCL_IB_HCA']}}:1/RoCE [RO]", flush=True)
mpi.MPI_Barrier(world)
if rank.value == 0:
    print("# nccl-tests version 2.17.6 nccl-headers=22803 nccl-library=22803")
    print("h0:1:1 [0] NCCL INFO Using network IB")
    half = "1000.0 1073.74 536.87 0"
    print("# size count type redop root time algbw busbw #wrong time algbw busbw #wrong")
    print(f"{{sys.argv[2]}} 134217728 float none -1 {{half}} {{half}}")
    print(f"# Out of bounds values : 0 {{'OK' if size.value == 2 else 'FAILED'}}")
    print("# Avg bus bandwidth    : 536.87", flush=True)
mpi.MPI_Finalize()
"""


@pytest.fixture
def spaces() -> Iterator[tuple[str, str]]:
    """Two hosts as far as a network goes, with a cable."""
    one, other = (f"orch-nccl-{os.getpid()}-{number}" for number in (0, 1))
    mounted = holds_spaces()
    try:
        for name in (one, other):
            typed("ip", "netns", "add", name)
        typed("ip", "link", "add", "rail0", "netns", one, "type", "veth",
              "peer", "name", "rail0", "netns", other)  # fmt: skip
        for name, address in zip((one, other), ADDRESSES, strict=True):
            typed("ip", "-n", name, "address", "add", f"{address}/24", "dev", "rail0")
            for device in ("lo", "rail0"):
                typed("ip", "-n", name, "link", "set", device, "up")
        yield one, other
    finally:
        for name in (one, other):
            with suppress(subprocess.CalledProcessError):
                typed("ip", "netns", "del", name)
        if holds_spaces() and not mounted:
            typed("umount", SPACES)  # the first `ip netns add` on a machine mounts it for good


def holds_spaces() -> bool:
    return f" {SPACES} " in Path("/proc/mounts").read_text(encoding="utf-8")


def typed(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True)


def ranks(spaces: tuple[str, str], folders: tuple[Path, Path]) -> list[tuple[int, str]]:
    """Both ranks of a test as their containers run them: (exit code, log) of each."""
    script = packed("templates") / "rdma" / "nccl_rank.py"
    begun = []
    for number, (space, folder) in enumerate(zip(spaces, folders, strict=True)):
        env = {
            "PATH": f"{folder}:{os.environ['PATH']}", "RANK": str(number), "ORCH_RUN": "x",
            "ORCH_HOSTS": ",".join(ADDRESSES), "MASTER_PORT": "29555", "NCCL_IB_HCA": f"rail{number}",
            "OMPI_MCA_btl_tcp_if_include": "lo",  # a host's own word, which is for what serves
        }  # fmt: skip
        inside = ("ip", "netns", "exec", space, "unshare", "--uts", "sh", "-c")
        call = (*inside, 'hostname "$0"; exec "$@"', f"h{number}", sys.executable, str(script))
        words = (*call, "all_gather", str(2**30), *command("all_gather", 2**30))
        begun.append(
            subprocess.Popen(
                words, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            )
        )
    try:
        logs = [one.communicate(timeout=60)[0] for one in begun]
        return [(one.returncode, log) for one, log in zip(begun, logs, strict=True)]
    finally:
        for one in begun:
            one.kill()


def test_nccl_tests_runs_over_both_hosts_each_with_its_own_environment(
    spaces: tuple[str, str], tmp_path: Path
) -> None:
    perf = tmp_path / "all_gather_perf"
    perf.write_text(PERF)
    perf.chmod(0o755)
    (code, head), (other, _) = ranks(spaces, (tmp_path, tmp_path))
    found = measured("all_gather", Said(code, head))
    assert found.reason is None, head
    assert (found.tool, found.bytes, found.gbytes_per_s) == ("nccl-tests 2.17.6", 2**30, 536.87)
    assert set(found.chosen.devices) == {"rail0:1", "rail1:1"}
    assert other == 0


def test_an_end_of_nccl_tests_is_the_heads_end(spaces: tuple[str, str], tmp_path: Path) -> None:
    perf = tmp_path / "all_gather_perf"
    perf.write_text(
        "#!/bin/sh\n# libmpi.so.40\necho 'h1: Test NCCL failure common.cu:1' >&2\nexit 3\n"
    )
    perf.chmod(0o755)
    (code, head), _ = ranks(spaces, (tmp_path, tmp_path))
    found = measured("all_gather", Said(code, head))
    assert found.failure is not None and found.failure.kind == "nccl-failed"


@pytest.mark.parametrize("lacking", [0, 1])
def test_where_one_rank_lacks_it_all_take_torch_and_it_is_said(
    spaces: tuple[str, str], tmp_path: Path, lacking: int
) -> None:
    folders = (tmp_path / "0", tmp_path / "1")
    for number, folder in enumerate(folders):
        folder.mkdir()
        (folder / "python3").symlink_to(sys.executable)
        if number != lacking:
            (folder / "all_gather_perf").write_text(PERF)
            (folder / "all_gather_perf").chmod(0o755)
    (_, head), (_, other) = ranks(spaces, folders)
    assert f"# not nccl-tests: rank {lacking}: there is no all_gather_perf" in head
    assert "No module named 'torch'" in head and "No module named 'torch'" in other
