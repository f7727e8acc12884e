"""A network, mount and process namespace of our own: nothing is exposed, and nothing outlives the run.

The harness is process 1 in there, so the kernel ends every sshd, control master and worker when it ends,
however it ends.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys

MARK = "ORCH_BENCH_NAMESPACE"
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER, SIGKILL = 1, 36, 9


def missing() -> str:
    """Why a namespace can't be had here; empty when it can."""
    if os.geteuid() != 0:
        return "needs root for a namespace of its own"
    if shutil.which("unshare") is None:
        return "needs unshare (util-linux)"
    return ""


def run_inside(module: str, arguments: list[str]) -> int:
    """Run `python -m module` as process 1 of fresh namespaces; it dies with us."""
    command = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    command += [sys.executable, "-m", module, *arguments]
    return subprocess.run(
        command, env={**os.environ, MARK: "1"}, check=False, preexec_fn=_die_with_parent
    ).returncode


def inside() -> bool:
    return os.environ.get(MARK) == "1" and os.getpid() == 1


def loopback_up() -> None:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def bind(source: str, target: str) -> None:
    """Put `source` over `target`, for this mount namespace alone."""
    subprocess.run(["mount", "--bind", source, target], check=True)


def keep_orphans() -> None:
    """What this process's descendants leave behind becomes its own, and counts as its own."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, SIGKILL)
