"""Warm-up and counters: what is asked of a real server, in real shells, with the key on stdin only."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from orchestrator.contracts import Change
from orchestrator.errors import Refused
from orchestrator.facts.moved import ReadMoved, counters
from orchestrator.run.executor import Outcome
from orchestrator.run.proof import proofs
from orchestrator.script import Command, Result, Script
from orchestrator.steps.counters import FabricUsed, counters_steps
from orchestrator.steps.warmup import Warm, warmup_steps
from tests.gang_world import Site
from tests.gangs import SPARKS, cluster_of
from tests.local_shell import SHELLS, run_script, syntax

SHIMS = Path(__file__).parent / "shims"
PROFILE = """
    engine: vllm
    model: m
    image: i
    api_key: {env: KEY}
    warmup: {prompts: [3, 5]}
"""


class Api(BaseHTTPRequestHandler):
    seen: list[tuple[str, dict[str, Any]]]
    refuse: bool

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        type(self).seen.append((self.headers.get("Authorization", ""), body))
        self.send_response(400 if type(self).refuse else 200)
        self.end_headers()
        self.wfile.write(b'{"usage": {"prompt_tokens": 3}}')

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def api() -> Iterator[tuple[type[Api], int]]:
    made = type("Made", (Api,), {"seen": [], "refuse": False})
    server = HTTPServer(("127.0.0.1", 0), made)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield made, server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def warm(folder: Path, port: int) -> Warm:
    line = f"m: {{profile: p, hosts: [spark-1], port: {port}}}"
    (step,) = warmup_steps(cluster_of(folder, line, SPARKS, {"p": PROFILE}), {})
    assert isinstance(step, Warm)
    return step


def run(folder: Path, script: Script, shell: str) -> Result:
    env = {"SHIM": str(folder), "HOME": str(folder), "PATH": f"{SHIMS}:{os.environ['PATH']}"}
    ((_, result),) = run_script(script, shell, env).items()
    return result


@pytest.mark.parametrize("shell", SHELLS)
def test_each_size_is_asked_and_the_rank_is_marked(
    tmp_path: Path, api: tuple[type[Api], int], shell: str
) -> None:
    made, port = api
    step = warm(tmp_path, port)
    script = step.apply(Change(""), Nothing())
    (command,) = script.commands.values()
    assert "secret:m/api_key" not in command.sh
    filled = command.stdin.replace(b"\x02secret:m/api_key\x03", b"k3y")
    done = run(tmp_path, Script({"warm": replace(command, stdin=filled)}), shell)
    assert done.rc == 0, done.err
    assert [(key, body["prompt"], body["model"]) for key, body in made.seen] == [
        ("Bearer k3y", "hello " * 3, "m"),
        ("Bearer k3y", "hello " * 5, "m"),
    ]
    calls = (tmp_path / "docker_calls").read_text()
    assert "mkdir -p /orch/run && : > /orch/run/warm-" in calls
    assert "k3y" not in calls


def test_a_prompt_that_is_refused_does_not_take_a_loaded_model_down(
    tmp_path: Path, api: tuple[type[Api], int]
) -> None:
    made, port = api
    made.refuse = True
    step = warm(tmp_path, port)
    done = run(tmp_path, step.apply(Change(""), Nothing()), "dash")
    assert done.rc == 0
    assert b"3 tokens: HTTP 400" in done.out


def test_a_server_that_is_gone_is_a_failure_and_leaves_no_mark(tmp_path: Path) -> None:
    step = warm(tmp_path, 1)
    done = run(tmp_path, step.apply(Change(""), Nothing()), "dash")
    assert done.rc != 0
    assert not (tmp_path / "docker_calls").exists()


class Nothing(dict[str, Any]):
    """A world whose hosts have no marks."""

    def __missing__(self, host: str) -> Any:
        return self

    def get(self, *_: object) -> Any:
        return False


VL = """
    vl: {profile: qwen3-vl-235b-awq, hosts: [spark-2, spark-3], parallel: {tensor: 2}, gate: {rdma: GATE}}
"""


def used(folder: Path, gate: str) -> tuple[Site, FabricUsed]:
    site = Site(folder, VL.replace("GATE", gate), SPARKS)
    site.run(*site.ranks("vl"))
    (step,) = counters_steps(site.cluster, {})
    assert isinstance(step, FabricUsed)
    return site, step


def test_counters_are_asked_once_for_each_start(tmp_path: Path) -> None:
    site, step = used(tmp_path, "required")
    told = site.world["spark-2"].answers
    told[ReadMoved] = None
    assert step.check(site.world) is not None
    moved = {"rocep1s0f1": 10**7, "roceP2p1s0f1": 10**7, "container:1": 0}
    told[ReadMoved] = moved
    assert step.check(site.world) is None
    told[ReadMoved] = {**moved, "container:other": 0} | {"container:1": 0}
    assert step.check(site.world) is None
    del moved["container:1"]
    told[ReadMoved] = moved
    assert step.check(site.world) is not None  # measured on another container


def test_a_fallback_to_tcp_is_refused_where_rdma_is_required(tmp_path: Path) -> None:
    site, step = used(tmp_path / "1", "required")
    moved = {"rocep1s0f1": 10**7, "roceP2p1s0f1": 0, "container:1": 0}
    site.world["spark-2"].answers[ReadMoved] = moved
    with pytest.raises(Refused, match="roceP2p1s0f1 carried nothing: TCP fallback"):
        step.check(site.world)
    site, step = used(tmp_path / "2", "degraded-ok")
    site.world["spark-2"].answers[ReadMoved] = {**moved, "rocep1s0f1": 0}
    assert step.check(site.world) is None
    assert step.remarks(site.world) == [
        "vl answers, but rocep1s0f1, roceP2p1s0f1 carried nothing: TCP fallback"
    ]


def test_counters_that_can_not_be_read_prove_nothing(tmp_path: Path) -> None:
    """Soft-RoCE has none of bytes: that is not known, and no fallback either."""
    site, step = used(tmp_path, "required")
    site.world["spark-2"].answers[ReadMoved] = {"rocep1s0f1": 10**7, "container:1": 0}
    with pytest.raises(Refused, match="whether roceP2p1s0f1 carried it is not known"):
        step.check(site.world)


def test_what_the_first_answer_went_over_is_said_once(tmp_path: Path) -> None:
    """In the run that asked, and in no later one."""
    site, step = used(tmp_path, "required")
    moved = {"rocep1s0f1": 62 * 10**7, "roceP2p1s0f1": 62 * 10**7, "container:1": 0}
    site.world["spark-2"].answers[ReadMoved] = moved
    steps = {step.id: step}
    world: Any = site.world
    (told,) = proofs(steps, Outcome({step.id: "changed"}), world)
    assert told == ("spark-2", "vl: RoCE in use on both rails, 1.24 GB moved")
    assert list(proofs(steps, Outcome({step.id: "unchanged"}), world)) == []
    site.world["spark-2"].answers[ReadMoved] = {**moved, "roceP2p1s0f1": 0}
    assert list(proofs(steps, Outcome({step.id: "changed"}), world)) == []  # its step says it


def test_replicas_that_say_nothing_to_each_other_move_no_counter(tmp_path: Path) -> None:
    """They would be taken for a fallback to TCP; experts that are shared do cross the fabric."""
    apart = VL.replace("GATE", "required").replace("tensor: 2", "data: 2")
    assert list(counters_steps(Site(tmp_path / "1", apart, SPARKS).cluster, {})) == []
    experts = apart.replace("gate:", "args: {enable_expert_parallel: true}, gate:")
    assert len(list(counters_steps(Site(tmp_path / "2", experts, SPARKS).cluster, {}))) == 1


def test_what_is_kept_is_read_as_it_was_written(tmp_path: Path) -> None:
    (tmp_path / "moved").write_text(
        "before lo 10\nbefore container:1 0\nafter lo 25\nafter container:1 0\n"
    )
    query = ReadMoved("moved")
    results = run_script(query.ask(), "dash", {"HOME": str(tmp_path)})
    assert query.parse(results) == {"lo": 15, "container:1": 0}
    (tmp_path / "moved").unlink()
    assert query.parse(run_script(query.ask(), "dash", {"HOME": str(tmp_path)})) is None


@pytest.mark.parametrize("shell", SHELLS)
def test_counters_of_this_machine_are_read(tmp_path: Path, shell: str) -> None:
    site, step = used(tmp_path, "required")
    site.world["spark-2"].answers[ReadMoved] = None
    script = step.apply(step.check({**site.world}) or pytest.fail("measured"), site.world)
    assert [syntax(command, shell) for command in script.commands.values()] == [""]
    look = Script({"look": Command(counters((("no such", 1),), ("lo", "none")))})
    out = run_script(look, shell)["look"].text.split()
    assert out[0] == "lo"
    assert out[1].isdigit()
    assert len(out) == 2
