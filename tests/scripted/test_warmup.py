"""Warm-up and counters: what is asked of a real server, in real shells, with the key on stdin only."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.contracts import Change
from orchestrator.errors import Refused, Unknown
from orchestrator.facts.answers import RdmaCounters
from orchestrator.facts.moved import Moved, ReadMoved, kept_line
from orchestrator.facts.rdma_counters import ReadRdmaCounters
from orchestrator.run.executor import Outcome
from orchestrator.run.proof import proofs
from orchestrator.script import Result, Script
from orchestrator.steps.counters import FabricAsked, FabricUsed, counters_steps
from orchestrator.steps.warmup import Warm, warmup_steps
from tests.gang_world import Site
from tests.gangs import SPARKS, cluster_of
from tests.local_shell import SHELLS, run_script

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


RAILS = ("rocep1s0f1", "roceP2p1s0f1")
PAIR = ("spark-2", "spark-3")


def ports(words: int, **odd: int) -> dict[str, dict[tuple[str, int], RdmaCounters]]:
    """Both rails of both hosts with this many words; `odd`: spark_3_roceP2p1s0f1=0."""
    return {
        host: {
            (rail, 1): RdmaCounters(
                {"port_xmit_data": odd.get(f"{host}_{rail}".replace("-", "_"), words), "port_rcv_data": 0},
                {},
            )
            for rail in RAILS
        }
        for host in PAIR
    }  # fmt: skip


def used(folder: Path, gate: str) -> tuple[Site, FabricAsked, FabricUsed]:
    site = Site(folder, VL.replace("GATE", gate), SPARKS)
    site.run(*site.ranks("vl"))
    asked, step = counters_steps(site.cluster, {})
    assert isinstance(asked, FabricAsked) and isinstance(step, FabricUsed)
    count(site, 5)
    keep(site, None)
    return site, asked, step


def count(site: Site, words: int, **odd: int) -> None:
    """The hosts' counters stand there now."""
    for host, told in ports(words, **odd).items():
        site.world[host].answers[ReadRdmaCounters] = told


def keep(site: Site, moved: Moved | None) -> None:
    site.world["spark-2"].answers[ReadMoved] = moved


def test_counters_are_asked_once_for_each_start(tmp_path: Path) -> None:
    site, asked, step = used(tmp_path, "required")
    assert asked.check(site.world) is not None and step.check(site.world) is not None
    keep(site, Moved("1", ports(0), None))
    assert asked.check(site.world) is None and step.check(site.world) is not None
    keep(site, Moved("1", ports(0), ports(10**7)))
    assert asked.check(site.world) is None and step.check(site.world) is None
    keep(site, Moved("other", ports(0), ports(10**7)))  # of a container that is gone
    assert asked.check(site.world) is not None and step.check(site.world) is not None


@pytest.mark.parametrize(("host", "rail"), [(h, r) for h in PAIR for r in RAILS])
def test_a_port_of_any_host_that_carried_nothing_is_named_and_refused_where_rdma_is_required(
    tmp_path: Path, host: str, rail: str
) -> None:
    after = ports(10**7, **{f"{host}_{rail}".replace("-", "_"): 0})
    site, _, step = used(tmp_path / "1", "required")
    keep(site, Moved("1", ports(0), after))
    with pytest.raises(Refused, match=f"vl answers, but {host} {rail}:1 carried nothing: its data"):
        step.check(site.world)
    site, _, step = used(tmp_path / "2", "degraded-ok")
    keep(site, Moved("1", ports(0), after))
    assert step.check(site.world) is None
    assert step.remarks(site.world) == [
        f"vl answers, but {host} {rail}:1 carried nothing: its data went over the other devices"
    ]


def test_where_no_device_carried_anything_it_is_a_fallback(tmp_path: Path) -> None:
    site, _, step = used(tmp_path, "required")
    keep(site, Moved("1", ports(0), ports(0)))
    with pytest.raises(Refused, match="spark-3 roceP2p1s0f1:1 carried nothing: TCP fallback"):
        step.check(site.world)


@pytest.mark.parametrize("host", PAIR)
def test_counters_that_can_not_be_read_prove_nothing(tmp_path: Path, host: str) -> None:
    site, _, step = used(tmp_path, "required")
    keep(site, Moved("1", ports(0), {**ports(10**7), host: {}}))
    with pytest.raises(
        Refused, match=f"{host} rocep1s0f1:1, {host} roceP2p1s0f1:1 carried it is not"
    ):
        step.check(site.world)


def test_ranks_that_were_given_no_device_are_no_proof_of_rdma(tmp_path: Path) -> None:
    site, _, step = used(tmp_path, "required")
    for host in PAIR:
        held = site.world[host].containers
        for name, one in held.items():
            held[name] = replace(one, labels={**one.labels, "orch.spec": "garbled"})
    with pytest.raises(Refused, match="its ranks were given no RDMA device"):
        step.check(site.world)


def test_what_the_first_answer_went_over_is_said_once(tmp_path: Path) -> None:
    """In the run that asked, and in no later one; it speaks of both hosts."""
    site, _, step = used(tmp_path, "required")
    keep(site, Moved("1", ports(0), ports(775 * 10**5)))
    steps = {step.id: step}
    world: Any = site.world
    (told,) = proofs(steps, Outcome({step.id: "changed"}), world)
    assert told == ("spark-2", "vl: RoCE in use on both rails, 1.24 GB moved")
    assert list(proofs(steps, Outcome({step.id: "unchanged"}), world)) == []
    keep(site, Moved("1", ports(0), ports(10**7, spark_3_rocep1s0f1=0)))
    assert list(proofs(steps, Outcome({step.id: "changed"}), world)) == []  # its step says it


def test_replicas_that_say_nothing_to_each_other_move_no_counter(tmp_path: Path) -> None:
    """They would be taken for a fallback to TCP; experts that are shared do cross the fabric."""
    apart = VL.replace("GATE", "required").replace("tensor: 2", "data: 2")
    assert list(counters_steps(Site(tmp_path / "1", apart, SPARKS).cluster, {})) == []
    experts = apart.replace("gate:", "args: {enable_expert_parallel: true}, gate:")
    assert len(list(counters_steps(Site(tmp_path / "2", experts, SPARKS).cluster, {}))) == 2


@pytest.mark.parametrize("shell", SHELLS)
def test_what_is_kept_is_what_was_read_before_and_after_the_question(
    tmp_path: Path, shell: str, api: tuple[type[Api], int]
) -> None:
    made, port = api
    site, asked, step = used(tmp_path, "required")
    one = site.cluster.deployments["vl"].model_copy(update={"port": port})
    asked, step = replace(asked, deployment=one), replace(step, deployment=one)
    query = ReadMoved(".cache/orch/moved/demo-vl")
    env = {"HOME": str(tmp_path)}
    assert query.parse(run_script(query.ask(), shell, env)) is None
    change = asked.check(site.world)
    assert change is not None
    first = run(tmp_path, asked.apply(change, site.world), shell)
    assert (first.rc, len(made.seen)) == (0, 1)
    assert query.parse(run_script(query.ask(), shell, env)) == Moved("1", ports(5), None)
    count(site, 10**7)
    for _ in range(2):  # once more writes the same
        assert run(tmp_path, step.apply(change, site.world), shell).rc == 0
        kept = query.parse(run_script(query.ask(), shell, env))
        assert kept == Moved("1", ports(5), ports(10**7))


WHOLE = f"asked 1\n{kept_line('before', ports(0))}\n{kept_line('after', ports(10**7))}\n"


@given(st.integers(0, len(WHOLE) - 1), st.text(max_size=5))
def test_what_was_cut_or_garbled_is_no_proof(at: int, more: str) -> None:
    """Either it can't be read, or it says nothing that was not kept."""
    text = WHOLE[:at] + more + WHOLE[at + len(more) :] if more else WHOLE[:at]
    results = {"moved": Result(0, f"{text}\nend\n".encode(errors="replace"), b"", 0.0)}
    with suppress(Unknown):
        found = ReadMoved("x").parse(results)
        if not more and found is not None:
            assert (found.asked, found.before) == ("1", ports(0))
            assert found.after in (None, ports(10**7))
