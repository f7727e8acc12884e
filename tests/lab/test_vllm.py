"""The demo's path with real vLLM in containers on real hosts: alone, on Ray, native; with faults injected.

An engine start costs about 55 CPU-seconds, so each class has one gang, and its tests take turns with it
in the order written here; each of them leaves the gang as it found it: up, and answering.
"""

from __future__ import annotations

import json
import signal
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import httpx
import pytest
from click.testing import CliRunner

from orchestrator.cli import root
from orchestrator.hosts.http import HttpStream
from orchestrator.hosts.pool import Pool
from orchestrator.lab.faults import break_
from orchestrator.script import Request, Result, Script
from tests.lab.conftest import RAILS, Lab
from tests.lab.site import Site, changed, events_of

pytestmark = [pytest.mark.lab, pytest.mark.timeout(1500)]

ENGINE_SECONDS = (
    600  # patience of a test with an engine's start, on a machine that does other things too
)
ANSWER_SECONDS = 60  # a request to a gang that lost a rank must have failed by then
QUESTIONS = ("hello", "What is a cable?", "1 2 3 4")
RAIL = RAILS[0]
TOKENS = 160
RAIL_BYTES_PER_TOKEN = (
    4096  # TP=2 of this model was measured with 18 to 20 KB a token, both ways together
)
HEADER = "version: 1\nname: t\ninventory: inventory.yaml\ndeployments:\n"
BOTH = 'hosts: [spark-1, spark-2], gate: {rdma: "off"}'
ALONE = HEADER + "  tiny: {profile: alone, hosts: [spark-1], port: 8000}\n"
ALONE_PROFILE = "version: 1\nextends: lab-vllm\nexecutor: mp\n"
RPC = HEADER + f"  tiny: {{profile: lab-llama, {BOTH}, port: 8000}}\n"
RAY = HEADER + f"  tiny: {{profile: lab-vllm, {BOTH}, parallel: {{tensor: 2}}, port: 8000}}\n"
NATIVE = RAY.replace("lab-vllm", "lab-vllm-native")


def ask(site: Site, question: str, tokens: int = 24, **more: Any) -> str:
    """A completion through the API, as a user would ask."""
    body = {
        "model": "tiny",
        "messages": [{"role": "user", "content": question}],
        "max_tokens": tokens,
        "temperature": 0,
        **more,
    }
    url = f"http://{site.lab.address('spark-1')}:8000/v1/chat/completions"
    reply = httpx.post(url, json=body, timeout=ANSWER_SECONDS, trust_env=False).raise_for_status()
    made = reply.json()
    assert made["usage"]["completion_tokens"] > 0
    return str(made["choices"][0]["message"]["content"])


def answers(site: Site) -> list[str]:
    return [ask(site, question) for question in QUESTIONS]


def until_it_answers(site: Site) -> None:
    deadline = time.monotonic() + ENGINE_SECONDS
    while True:
        try:
            ask(site, "hello")
        except httpx.HTTPError:
            assert time.monotonic() < deadline
            time.sleep(1)
        else:
            return


def status(site: Site) -> dict[str, Any]:
    """What `orch status` says of the one deployment; the exit code must be its own."""
    done = site.orch("status", "--json", rc=None)
    said: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == said["exit_code"]
    (one,) = said["deployments"]
    return {"exit_code": done.returncode, **one}


def place(lab: Lab, folder: Path, cluster: str) -> Site:
    site = Site(lab, folder)
    site.write("cluster.yaml", cluster)
    return site


@pytest.fixture(scope="module")
def alone(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What vLLM on one host says."""
    site = place(lab, tmp_path_factory.mktemp("alone"), ALONE)
    site.write("profiles/alone.yaml", ALONE_PROFILE)
    try:
        site.orch("up", timeout=ENGINE_SECONDS)
        return answers(site)
    finally:
        site.orch("down")


def test_llama_over_two_hosts_says_what_vllm_says_on_one(
    lab: Lab, tmp_path: Path, alone: list[str]
) -> None:
    assert all(alone)
    assert len(set(alone)) == len(QUESTIONS)  # a model that heard the question
    site = place(lab, tmp_path, RPC)
    try:
        site.orch("up")
        assert answers(site) == alone
    finally:
        site.orch("down")


def killed_when(site: Site, kinds: set[str], steps: set[str]) -> str:
    """An `orch up` that is killed as soon as it has told of all these steps; the step of the last."""
    with site.running("up", "--json") as process:
        left = set(steps)
        for event in events_of(process):
            if event["kind"] in kinds:
                left.discard(str(event["step"]))
            if not left:
                process.send_signal(signal.SIGKILL)
                break
        process.communicate(timeout=60)
    assert not left, f"it ended before {left}"
    assert process.returncode == -signal.SIGKILL
    return str(event["step"])


@pytest.fixture(scope="class")
def ray(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """TP=2 over two hosts on Ray; stopped by `orch down`, which must leave nothing."""
    site = place(lab, tmp_path_factory.mktemp("ray"), RAY)
    try:
        yield site
    finally:
        site.orch("down")
        assert site.ranks() == {}


class TestRay:
    """One gang on Ray."""

    def test_orch_killed_three_times_and_the_gang_is_started_once(self, ray: Site) -> None:
        """Promise 2: after the ranks were started, during the join, while the engine loads."""
        killed_when(ray, {"step-done"}, {"tiny/rank/0", "tiny/rank/1"})
        started = ray.ranks()
        assert set(started) == {"spark-1", "spark-2"}
        killed_when(ray, {"step-progress"}, {"tiny/join"})
        killed_when(ray, {"step-progress"}, {"tiny/answer"})
        did = changed(ray.events("up", timeout=ENGINE_SECONDS))
        assert set(did) == {"tiny/supervise/0", "tiny/supervise/1"}
        assert ray.ranks() == started

    def test_two_hosts_say_what_one_says(self, ray: Site, alone: list[str]) -> None:
        assert answers(ray) == alone

    def test_second_up_asks_each_host_once_and_the_model_once(
        self, ray: Site, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Promise 1, counted where orch meets the world."""
        before = ray.ranks()
        monkeypatch.setenv("XDG_STATE_HOME", str(ray.folder / "state"))
        monkeypatch.setattr("orchestrator.hosts.pool.Pool", Counted)
        done = CliRunner().invoke(root, ["up", str(ray.folder / "cluster.yaml")])
        assert done.exit_code == 0, done.output
        (hosts,) = Counted.made
        assert hosts.scripts == {"spark-1": 1, "spark-2": 1}
        assert hosts.requests == [("spark-1", "/v1/chat/completions")]
        assert ray.ranks() == before

    def test_each_token_crosses_the_cable(self, ray: Site) -> None:
        before = wires(ray)
        ask(ray, "hello", tokens=TOKENS, ignore_eos=True)
        after = wires(ray)
        for host in ray.lab.hosts:
            for way in ("rx", "tx"):
                rail = after[host, RAIL, way] - before[host, RAIL, way]
                management = after[host, "eth0", way] - before[host, "eth0", way]
                assert rail >= RAIL_BYTES_PER_TOKEN * TOKENS, (host, way, rail)
                assert management < rail / 10, (host, way, management, rail)

    def test_a_worker_that_crashes_takes_the_engine_down_and_both_come_back(
        self, ray: Site, alone: list[str]
    ) -> None:
        """What supervision does by itself, with nobody there: see templates/vllm."""
        before = ray.ranks()
        break_(ray.lab.home, ray.lab.name, "spark-2", f"container-killed:{before['spark-2']}")
        no_answer(ray)
        found = status(ray)
        assert found["exit_code"] == 1
        assert found["state"] in ("silent", "starting")
        until_it_answers(ray)
        assert ray.ranks() == before
        assert answers(ray) == alone
        found = status(ray)
        assert found["exit_code"] == 0
        assert [rank["restarts"] for rank in found["ranks"]] == [0, 1]
        log = ray.lab.run("spark-1", ["docker", "logs", before["spark-1"]]).stdout
        assert "; retry 1 of " in log
        assert log.count("orch: gang complete: 2 nodes") == 2  # through the barrier again

    def test_with_the_worker_gone_up_starts_the_whole_gang_anew(
        self, ray: Site, alone: list[str]
    ) -> None:
        """Promise 8. `docker kill` is a wish: nothing restarts it but orch."""
        before = ray.ranks()
        ray.lab.run("spark-2", ["docker", "kill", before["spark-2"]])
        no_answer(ray)
        found = status(ray)
        assert found["exit_code"] == 1
        assert [rank["state"] for rank in found["ranks"]] == ["running", "exited"]
        did = changed(ray.events("up", timeout=ENGINE_SECONDS))
        assert {"tiny/rank/0", "tiny/rank/1"} <= set(did)
        after = ray.ranks()
        assert all(after[host] != before[host] for host in before)
        assert answers(ray) == alone
        assert status(ray)["exit_code"] == 0


@pytest.fixture(scope="class")
def native(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """TP=2 over two hosts by vLLM's own multi-node mode."""
    site = place(lab, tmp_path_factory.mktemp("native"), NATIVE)
    try:
        site.orch("up", timeout=ENGINE_SECONDS)
        yield site
    finally:
        site.orch("down")
        assert site.ranks() == {}


class TestNative:
    """One gang without Ray."""

    def test_two_hosts_say_what_one_says(self, native: Site, alone: list[str]) -> None:
        assert answers(native) == alone

    def test_with_the_worker_gone_nothing_answers_and_status_says_so(self, native: Site) -> None:
        """Left broken: the last test of its gang."""
        native.lab.run("spark-2", ["docker", "kill", native.ranks()["spark-2"]])
        no_answer(native)
        found = status(native)
        assert found["exit_code"] == 1
        assert found["ranks"][1]["state"] == "exited"


def no_answer(site: Site) -> None:
    """The next request fails, and soon: no hang."""
    began = time.monotonic()
    with pytest.raises(httpx.HTTPError):
        ask(site, "hello")
    assert time.monotonic() - began < ANSWER_SECONDS


def wires(site: Site) -> dict[tuple[str, str, str], int]:
    """Bytes of each host's first rail and management interface, as the kernel counts them."""
    paths = [
        f"/sys/class/net/{dev}/statistics/{way}_bytes"
        for dev in (RAIL, "eth0")
        for way in ("rx", "tx")
    ]
    with ThreadPoolExecutor() as pool:
        told = pool.map(lambda host: site.lab.run(host, ["cat", *paths]).stdout, site.lab.hosts)
        return {
            (host, path.split("/")[4], path.split("/")[-1][:2]): int(value)
            for host, text in zip(site.lab.hosts, told, strict=True)
            for path, value in zip(paths, text.split(), strict=True)
        }


class Counted(Pool):
    """The hosts of a run, which count what is sent to them."""

    made: ClassVar[list[Counted]] = []

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.scripts: Counter[str] = Counter()
        self.requests: list[tuple[str, str]] = []
        self.made.append(self)

    def run(self, host: str, script: Script) -> Mapping[str, Result]:
        self.scripts[host] += 1
        return super().run(host, script)

    def http(self, host: str, request: Request) -> HttpStream:
        self.requests.append((host, request.path))
        return super().http(host, request)
