"""The entrypoints of a Ray gang, run for real, with programs that stand for Ray and vLLM."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from orchestrator.data import read_template
from orchestrator.ranks.entrypoint import rendered

SHIMS = Path(__file__).parent / "shims"
HEAD, WORKER = "10.20.0.10", "10.20.0.11"
SERVE = ["vllm", "serve", "/models/x", "--hostile", '"; touch /tmp/never; $(touch /tmp/never)\n`x`']
FIGURES: dict[str, Any] = {
    "python": ["python3"],
    "packages": [],
    "patience": 20,
    "poll": 0.05,
    "watch": 0.05,
    "retries": 2,
    "delay": 0.05,
    "stable": 600,
    "grace": 2,
    "gives_up": 60,
    "connect": 1,
    "connects": 2,
    "gcs_port": 6379,
}


class Gang:
    """Entrypoints under way, and the state that the shims leave."""

    def __init__(self, folder: Path, shell: str) -> None:
        self.folder = folder
        self.shell = shell.split()
        self.running: list[subprocess.Popen[bytes]] = []
        (folder / "gang.py").write_text(read_template("vllm/ray-gang.py"))

    def start(self, name: str, text: str) -> subprocess.Popen[bytes]:
        script = self.folder / f"{name}.sh"
        script.write_text(text)
        env = {
            "SHIM": str(self.folder),
            "PATH": f"{SHIMS}:{os.environ['PATH']}",
            "PYTHONPATH": str(SHIMS / "python"),
            "HOME": str(self.folder / "home"),
        }
        log = (self.folder / f"{name}.log").open("ab")
        process = subprocess.Popen([*self.shell, script], env=env, stdout=log, stderr=log)
        log.close()
        self.running.append(process)
        return process

    def head(self, **more: Any) -> subprocess.Popen[bytes]:
        ray = ["ray", "start", "--head", f"--node-ip-address={HEAD}", "--num-gpus=1", "--block"]
        values = {
            **FIGURES,
            "run": str(self.folder / "run"),
            "ready": str(self.folder / "ready"),
            "gang_program": str(self.folder / "gang.py"),
            "address": HEAD,
            "ray_start": ray,
            "expect": [f"{HEAD}=1=spark-1", f"{WORKER}=1=spark-2"],
            "serve": SERVE,
            "per_host": '["VLLM_HOST_IP"]',
            **more,
        }
        return self.start("head", rendered(None, "vllm/ray-head.sh.j2", **values))

    def worker(
        self, head: str = "127.0.0.1", port: int = 1, **more: Any
    ) -> subprocess.Popen[bytes]:
        ray = ["ray", "start", f"--address={head}:{port}", f"--node-ip-address={WORKER}"]
        values = {**FIGURES, "gcs_port": port, "head": head, "address": WORKER, **more}
        values["ray_start"] = [*ray, "--num-gpus=1", "--block"]
        return self.start("worker", rendered(None, "vllm/ray-worker.sh.j2", **values))

    def node(self, address: str, gpus: float = 1) -> Path:
        """A node that is there without an entrypoint of its own."""
        (self.folder / "nodes").mkdir(exist_ok=True)
        path = self.folder / "nodes" / address
        whole = {"NodeManagerAddress": address, "NodeID": str(time.time_ns()), "Alive": True}
        path.write_text(json.dumps({**whole, "Resources": {"GPU": gpus}}))
        return path

    def calls(self, program: str) -> list[list[str]]:
        path = self.folder / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        return [call for call in map(json.loads, lines) if call[0] == program]

    def log(self, name: str) -> str:
        path = self.folder / f"{name}.log"
        return path.read_text() if path.exists() else ""

    def until(self, what: Callable[[], object], seconds: float = 40) -> None:
        deadline = time.monotonic() + seconds
        while not what():
            assert time.monotonic() < deadline, self.log("head") + self.log("worker")
            time.sleep(0.02)


@pytest.fixture(params=["dash", "bash --posix"])
def gang(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Gang]:
    made = Gang(tmp_path, request.param)
    yield made
    for process in made.running:
        process.terminate()
    for process in made.running:
        process.wait(40)


def test_the_engine_starts_only_when_exactly_the_expected_nodes_are_there(gang: Gang) -> None:
    gang.head()
    gang.until(
        lambda: "barrier: 1 of 2 nodes; spark-2 (10.20.0.11) has not joined" in gang.log("head")
    )
    assert gang.calls("vllm") == []
    gang.node(WORKER, gpus=0)
    gang.until(lambda: "spark-2 (10.20.0.11) has 0 of 1 GPUs" in gang.log("head"))
    stranger = gang.node("10.9.9.9")
    gang.node(WORKER)
    gang.until(
        lambda: "barrier: 2 of 2 nodes; 10.9.9.9 is no member of this gang" in gang.log("head")
    )
    assert gang.calls("vllm") == []
    stranger.unlink()
    gang.until(lambda: gang.calls("vllm"))
    assert gang.calls("vllm") == [SERVE]  # each word as it was, whatever is in it
    assert (gang.folder / "run" / "joined").exists()
    carried = gang.folder / "home/.config/vllm/ray_non_carry_over_env_vars.json"
    assert json.loads(carried.read_text()) == ["VLLM_HOST_IP"]


def test_a_bad_flag_is_not_retried(gang: Gang) -> None:
    gang.node(WORKER)
    (gang.folder / "vllm_code").write_text("2")
    head = gang.head()
    assert head.wait(40) == 2
    assert len(gang.calls("vllm")) == 1


def test_nothing_is_retried_before_the_gang_was_ready_once(gang: Gang) -> None:
    gang.node(WORKER)
    (gang.folder / "vllm_code").write_text("1")
    head = gang.head()
    assert head.wait(40) == 1
    assert len(gang.calls("vllm")) == 1
    assert "nothing is retried before the gang was ready once" in gang.log("head")


def test_after_readiness_the_engine_is_retried_a_bounded_number_of_times(gang: Gang) -> None:
    gang.node(WORKER)
    head = gang.head()
    gang.until(lambda: gang.calls("vllm"))
    (gang.folder / "ready").touch()
    for number in (1, 2, 3):
        gang.until(partial(_called, gang, number))
        (gang.folder / "vllm_code").write_text("1")
    assert head.wait(40) == 1
    assert len(gang.calls("vllm")) == 3  # the first, and two retries
    assert "no more retries (2 were made)" in gang.log("head")


def test_a_bad_flag_is_not_retried_after_readiness_either(gang: Gang) -> None:
    gang.node(WORKER)
    head = gang.head()
    gang.until(lambda: gang.calls("vllm"))
    (gang.folder / "ready").touch()
    (gang.folder / "vllm_code").write_text("2")
    assert head.wait(40) == 2
    assert len(gang.calls("vllm")) == 1


def test_restarts_of_the_container_count_as_retries(gang: Gang) -> None:
    """Docker's restart policy and the loop inside share one budget."""
    (gang.folder / "ready").touch()
    (gang.folder / "ray_code").write_text("1")
    codes = [gang.head().wait(40) for _ in range(3)]
    assert codes == [1, 1, 1]
    assert len(gang.calls("ray")) == 2
    assert "no more retries (2 were made)" in gang.log("head")


def test_a_lost_rank_takes_the_engine_down(gang: Gang) -> None:
    worker = gang.node(WORKER)
    head = gang.head()
    gang.until(lambda: gang.calls("vllm"))
    worker.unlink()
    assert head.wait(40) == 1
    assert "lost rank: spark-2 (10.20.0.11) left the gang" in gang.log("head")
    gang.until(lambda: not _alive(gang, "vllm"))


def test_a_rank_that_came_back_is_a_lost_one_too(gang: Gang) -> None:
    """Same address, another node: its engine process is gone, so the gang must form anew."""
    gang.node(WORKER)
    head = gang.head()
    gang.until(lambda: gang.calls("vllm"))
    (gang.folder / "ready").touch()
    gang.node(WORKER)
    gang.until(lambda: len(gang.calls("vllm")) == 2)
    assert gang.log("head").count("gang complete") == 2  # it passed the barrier again
    assert head.poll() is None


def test_after_readiness_a_lost_rank_brings_the_head_back_to_the_barrier(gang: Gang) -> None:
    worker = gang.node(WORKER)
    head = gang.head()
    gang.until(lambda: gang.calls("vllm"))
    (gang.folder / "ready").touch()
    worker.unlink()
    gang.until(lambda: "barrier: 1 of 2 nodes" in gang.log("head").split("retry 1")[-1])
    assert len(gang.calls("vllm")) == 1
    gang.node(WORKER)
    gang.until(lambda: len(gang.calls("vllm")) == 2)
    assert head.poll() is None


def test_the_barrier_ends_with_its_patience(gang: Gang) -> None:
    head = gang.head(patience=0)
    assert head.wait(40) == 1
    assert "the gang did not become complete" in gang.log("head")


def test_a_bad_option_of_ray_ends_the_head_with_its_code(gang: Gang) -> None:
    (gang.folder / "ray_code").write_text("2")
    assert gang.head().wait(40) == 2


def test_a_ray_that_ran_out_of_its_own_patience_is_started_again(gang: Gang) -> None:
    """A busy machine: the head's node did not come up within the time that Ray gives it."""
    gang.node(WORKER)
    (gang.folder / "ray_gives_up").write_text("3")
    head = gang.head(gives_up=1)
    gang.until(lambda: gang.calls("vllm"))
    assert len(gang.calls("ray")) == 2
    assert "ended before the gang was complete (code 1), try 2 of 2" in gang.log("head")
    assert head.poll() is None


def test_a_ray_that_is_refused_is_not_started_again(gang: Gang) -> None:
    (gang.folder / "ray_code").write_text("1")
    assert gang.head().wait(40) == 1
    assert len(gang.calls("ray")) == 1


def test_stopping_the_head_stops_what_it_started(gang: Gang) -> None:
    gang.node(WORKER)
    head = gang.head()
    gang.until(lambda: gang.calls("vllm"))
    head.terminate()
    assert head.wait(40) == 143
    gang.until(lambda: not _alive(gang, "vllm") and not _alive(gang, "ray"))


def test_a_worker_waits_for_its_head_and_ends_when_it_is_no_member_any_more(gang: Gang) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        worker = gang.worker(port=port)
        gang.until(lambda: (gang.folder / "nodes" / WORKER).exists())
        gang.until(lambda: worker.poll() is None and _older_than(gang, 1.1))
        (gang.folder / f"kill-{WORKER}").touch()
        assert worker.wait(40) == 1
    assert "this node left the gang" in gang.log("worker")
    assert len(gang.calls("ray")) == 1


def test_a_worker_without_a_head_ends_with_its_patience(gang: Gang) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    worker = gang.worker(port=port, patience=0)
    assert worker.wait(40) == 1
    assert gang.calls("ray") == []


def test_a_worker_tries_to_join_a_bounded_number_of_times(gang: Gang) -> None:
    (gang.folder / "ray_code").write_text("1")
    with socket.create_server(("127.0.0.1", 0)) as server:
        worker = gang.worker(port=server.getsockname()[1], connect=60)
        assert worker.wait(40) == 1
    assert len(gang.calls("ray")) == 2


def test_a_worker_with_a_bad_option_is_not_retried(gang: Gang) -> None:
    (gang.folder / "ray_code").write_text("2")
    with socket.create_server(("127.0.0.1", 0)) as server:
        worker = gang.worker(port=server.getsockname()[1], connect=60)
        assert worker.wait(40) == 2
    assert len(gang.calls("ray")) == 1


def _called(gang: Gang, times: int) -> bool:
    return len(gang.calls("vllm")) == times


def _alive(gang: Gang, program: str) -> bool:
    """Is a shim of this test still running?"""
    wanted = f"SHIM={gang.folder}".encode()
    for path in Path("/proc").glob("[0-9]*"):
        try:
            line = (path / "cmdline").read_bytes()
            if f"{SHIMS}/{program}".encode() in line and wanted in (path / "environ").read_bytes():
                return True
        except OSError:
            continue
    return False


def _older_than(gang: Gang, seconds: float) -> bool:
    return time.time() - (gang.folder / "nodes" / WORKER).stat().st_mtime > seconds
