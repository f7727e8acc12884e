"""Each known failure is recognised in a real line; an unknown log gives no cause."""

import re
from pathlib import Path
from typing import Any

import pytest

from orchestrator.knowledge import _failures, diagnose, telling_first

GPU = Path(__file__).parents[2] / "captured/gpu"
LINES = {
    "unknown-argument": "vllm: error: unrecognized arguments: --swap-space 4",
    "cpu-ray": "ValueError: current platform cpu does not support ray.",
    "no-ray": "bash: line 1: ray: command not found",
    "memory-at-start": "Free memory on device cuda:0 (55.2/119.7 GiB) on startup is less than desired GPU memory",
    "context-too-long": "the estimated maximum model length is 83520. Try increasing",
    "heads": "Total number of attention heads (40) must be divisible by tensor parallel size (3).",
    "gloo-interface": "RuntimeError: Unable to find address for: enp1s0f1np1",
    "shm": "Insufficient space in /dev/shm: 160 MiB required",
    "memlock": "error setting rlimit type 8: operation not permitted",
    "no-cdi": "Error: setting up CDI devices: unresolvable CDI devices nvidia.com/gpu=GPU-aaaa",
    "podman-limit": "Error: crun: setrlimit `RLIMIT_MEMLOCK`: Operation not permitted: OCI permission denied",
    "podman-short-name": 'Error: short-name "python:3.12" did not resolve to an alias and no unqualified-search'
    ' registries are defined in "/etc/containers/registries.conf"',
    "no-kernel": "ptxas fatal   : Value 'sm_121a' is not defined for option 'gpu-name'",
    "disk-full": "OSError: [Errno 28] No space left on device: '/root/.cache/huggingface/hub/x'",
    "gated": "huggingface_hub.errors.GatedRepoError: 401 Client Error. (Request ID: Root=1) https://huggingface.co/x",
    "register-memory": "NCCL WARN Call to ibv_reg_mr_iova2 failed with error Cannot allocate memory",
    "old-driver": "RuntimeError: The NVIDIA driver is too old: CUDA driver version is insufficient for CUDA runtime",
    "no-gpu-runtime": 'could not select device driver "" with capabilities: [[gpu]]',
}


@pytest.mark.parametrize(("name", "line"), LINES.items())
def test_known_failures(name: str, line: str) -> None:
    causes = diagnose(f"INFO starting\n{line}\nINFO bye")
    assert [one.name for one in causes] == [name]
    assert causes[0].line == line
    assert "{" not in causes[0].cause + causes[0].remedy


@pytest.mark.parametrize(
    ("pattern", "entry"),
    _failures(),
    ids=lambda part: part["name"] if isinstance(part, dict) else "",
)
def test_each_is_recognised_in_what_the_docs_show(
    pattern: re.Pattern[str], entry: dict[str, Any]
) -> None:
    assert pattern.search(entry["says"])
    assert diagnose(entry["says"])[0].name == entry["name"]


def test_unknown_log_gives_no_cause() -> None:
    assert diagnose("all is well\n") == ()
    assert diagnose("") == ()


def test_where_an_engine_only_says_that_it_died_the_first_error_of_its_log_is_told() -> None:
    """Recorded: what went wrong stands 80 lines before the end."""
    for log in ("native", "ray"):
        (cause,) = diagnose((GPU / f"h200_vllm_{log}_head.log").read_text())
        assert cause.general
        assert cause.cause == (
            "vLLM's engine process died; its first error: RuntimeError: An attempt has been made to"
            " start a new process before the"
        )


def test_an_engine_that_died_without_an_error_of_its_own_points_up() -> None:
    (cause,) = diagnose("2026-11-27T10:00:00.1Z RuntimeError: Engine core initialization failed.\n")
    assert cause.cause == "vLLM's engine process died; its first error: none that names itself"
    (cause,) = diagnose(
        "2026-11-27T10:00:00.1Z (Worker pid=3) ERROR 11-27 10:00:00 [w.py:1] ValueError: no such head\n"
        "2026-11-27T10:00:01.1Z RuntimeError: Engine core initialization failed.\n"
    )
    assert cause.cause == "vLLM's engine process died; its first error: ValueError: no such head"


def test_what_failed_on_a_worker_comes_before_that_the_head_died() -> None:
    head = diagnose("RuntimeError: Engine core initialization failed.")
    worker = diagnose("torch.OutOfMemoryError: x\nException: WorkerProc initialization failed")
    assert [one.name for one in telling_first([*head, *worker])] == ["out-of-memory", "engine-dead"]
    assert telling_first([*head, *worker])[1] is head[0]
    both = diagnose("torch.OutOfMemoryError: x\nInsufficient space in /dev/shm: 160 MiB required")
    assert telling_first([*both, *worker]) == (*both, worker[-1])
