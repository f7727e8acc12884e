"""`orch status` and `orch logs` as typed, against hosts that answer docker's own words."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from orchestrator.cli.logs import logs
from orchestrator.cli.options import Site
from orchestrator.cli.status import status
from orchestrator.errors import FilesWrong, NoAnswer, Unreachable
from orchestrator.script import Request, Script
from orchestrator.script import Result as Ran

FILES = {
    "inventory.yaml": """
version: 1
hosts:
  a: {kind: gpu-host, address: a.lan, gpus: 0}
  b: {kind: gpu-host, address: b.lan, gpus: 0}
  spare: {kind: gpu-host, address: spare.lan, gpus: 0}
""",
    "cluster.yaml": """
version: 1
name: duo
deployments:
  vl: {profile: big, hosts: [a, b], parallel: {tensor: 2}, port: 8000, gpus: 0}
""",
    "profiles/big.yaml": """
version: 1
engine: vllm
model: /models/big
served_name: big
image: vllm:1
heads: 64
""",
}
LOGS = {
    "orch-duo-vl-0": "2026-01-01T00:00:01.000000000Z head starts\n"
    "2026-01-01T00:00:05.000000000Z \x1b[32mready\x1b[0m\n",
    "orch-duo-vl-1": "2026-01-01T00:00:02.000000000Z worker joins\n",
}
NOBODYS = "now 1720\ndirectory /run/orch\n"
LEASE = "token t0ken\nsince 1000\nuntil {}\nowner tom@laptop\nrun r1\nclient c\npid 7\n"


class Stream:
    """What `hosts.http` gives: pieces, and a status."""

    def __init__(self, status: int, body: bytes) -> None:
        self.status = status
        self._body = body

    def __iter__(self) -> Iterator[bytes]:
        yield self._body


def container(name: str, state: str = "running") -> dict[str, Any]:
    deployment, rank = name.split("-")[2:]
    labels = {"orch.cluster": "duo", "orch.deployment": deployment, "orch.rank": rank}
    return {
        "name": f"/{name}",
        "id": "1",
        "image": "vllm:1",
        "image_id": "sha256:1",
        "status": state,
        "code": 0,
        "oom": False,
        "started": "2026-01-01T00:00:00Z",
        "health": "",
        "restarts": 0,
        "policy": {"Name": "no", "MaximumRetryCount": 0},
        "labels": labels,
    }


@dataclass
class DockerHosts:
    """Each host: its containers. Answers what the queries ask, by what stands in the command."""

    containers: dict[str, list[dict[str, Any]]]
    answer: bytes | None = b'data: {"choices":[{"delta":{"content":"Hi"}}]}\n\ndata: [DONE]\n\n'
    down: set[str] = field(default_factory=set)
    leases: dict[str, str] = field(default_factory=dict)
    jobs: dict[str, str] = field(default_factory=dict)
    scripts: list[str] = field(default_factory=list)

    def run(self, host: str, script: Script) -> Mapping[str, Ran]:
        if host in self.down:
            raise Unreachable("no route to host", host=host)
        self.scripts.append(host)
        return {name: self._answer(host, one.sh) for name, one in script.commands.items()}

    def _answer(self, host: str, sh: str) -> Ran:
        if "docker logs" in sh:
            name = next(name for name in LOGS if name in sh)
            return Ran(0, LOGS[name].encode(), b"", 0.1)
        if "ps -a -q" in sh:
            lines = [json.dumps(one) for one in self.containers[host]]
            return Ran(0, "\n".join([*lines, "end 0"]).encode(), b"", 0.1)
        if "ss -H" in sh:
            return Ran(0, b"ss\nend\n", b"", 0.1)
        if "/lease" in sh:
            return Ran(0, (NOBODYS + self.leases.get(host, "")).encode(), b"", 0.1)
        if "orch-jobs" in sh:
            return Ran(0, f"{self.jobs.get(host, '')}1720\nend\n".encode(), b"", 0.1)
        return Ran(1, b"", b"not asked in this test", 0.1)

    def http(self, host: str, request: Request) -> Stream:
        if self.answer is None:
            raise NoAnswer("connection refused", host=host)
        return Stream(200, self.answer)

    def close(self) -> None:
        """As a pool."""


@pytest.fixture
def hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DockerHosts:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    made = DockerHosts(
        {"a": [container("orch-duo-vl-0")], "b": [container("orch-duo-vl-1")], "spare": []}
    )
    monkeypatch.setattr(Site, "hosts", made)
    return made


def test_what_is_under_way_is_told_with_who_and_how_to_end_it(hosts: DockerHosts) -> None:
    hosts.leases = {"a": LEASE.format(2000), "b": LEASE.format(2000), "spare": LEASE.format(1700)}
    hosts.jobs = {"b": "running\timage-1f\t4711\t1000\tPulling\tDownloading 43%\t\n"}
    told = call(status)
    assert "  a, b: changed by tom@laptop (run r1) since" in told.output
    assert "  spare: left by tom@laptop (run r1) since" in told.output
    assert (
        "  b: job image-1f for 12:00: Downloading 43%"
        " (`orch exec --hosts b --sudo -- kill 4711` ends it)" in told.output
    )
    form = json.loads(call(status, "--json").output)
    assert form["leases"]["spare"] == {
        **{"owner": "tom@laptop", "run": "r1", "since": 1000, "until": 1700},
        "expired": True,
    }
    assert form["jobs"]["b"][0]["last_line"] == "Downloading 43%"
    assert "t0ken" not in json.dumps(form)


def call(command: click.Command, *words: str) -> Result:
    return CliRunner().invoke(command, words, catch_exceptions=False)


def test_a_cluster_that_answers_is_zero_and_costs_one_script_a_host(hosts: DockerHosts) -> None:
    done = call(status)
    assert done.exit_code == 0, done.output
    assert "vl          answers  http://a.lan:8000  big" in done.output
    assert "vl/1  b     worker  running" in done.output
    assert sorted(hosts.scripts) == ["a", "b", "spare"]


def test_a_silent_endpoint_is_one_with_its_reason(hosts: DockerHosts) -> None:
    hosts.answer = None
    done = call(status)
    assert done.exit_code == 1
    assert "silent" in done.output
    assert "connection refused" in done.output


def test_an_unreachable_host_is_named_and_three(hosts: DockerHosts) -> None:
    hosts.down = {"a"}
    done = call(status)
    assert done.exit_code == 3
    assert "a: no route to host" in done.output
    assert "vl/0  a     head    unknown" in done.output


def test_a_spare_host_that_is_down_is_named_and_hurts_nobody(hosts: DockerHosts) -> None:
    hosts.down = {"spare"}
    done = call(status)
    assert done.exit_code == 0
    assert "spare: no route to host" in done.output
    assert "spare" not in call(status, "--hosts", "a").output


def test_status_as_json(hosts: DockerHosts) -> None:
    hosts.containers["spare"] = [container("orch-duo-old-0", "exited")]
    told = json.loads(call(status, "--json").output)
    assert (told["version"], told["exit_code"], told["cluster"]) == (1, 0, "duo")
    (vl,) = told["deployments"]
    assert (vl["state"], vl["answers"], vl["url"]) == ("answers", True, "http://a.lan:8000")
    assert [(rank["host"], rank["state"]) for rank in vl["ranks"]] == [
        ("a", "running"),
        ("b", "running"),
    ]
    assert told["strangers"][0]["host"] == "spare"


def test_logs_are_merged_and_named(hosts: DockerHosts) -> None:
    done = call(logs)
    assert done.exit_code == 0
    assert done.output.splitlines() == [
        "a vl/0 | head starts",
        "b vl/1 | worker joins",
        "a vl/0 | ready",
    ]


def test_logs_take_a_deployment_a_file_or_both(hosts: DockerHosts) -> None:
    whole = call(logs).output
    assert call(logs, "vl").output == whole
    assert call(logs, "cluster.yaml", "vl").output == whole
    with pytest.raises(FilesWrong, match="there is no deployment 'vk'") as caught:
        call(logs, "vk")
    assert caught.value.hint == "there are: vl"


def test_logs_since_a_time_with_times_and_as_json(hosts: DockerHosts) -> None:
    since = call(logs, "--since", "2026-01-01T00:00:02Z").output
    assert [line.split("| ")[1] for line in since.splitlines()] == ["worker joins", "ready"]
    (first, *_) = call(logs, "--json").output.splitlines()
    assert json.loads(first) == {
        "v": 1,
        "at": "2026-01-01T00:00:01+00:00",
        "host": "a",
        "deployment": "vl",
        "rank": "0",
        "container": "orch-duo-vl-0",
        "text": "head starts",
    }
    assert ":01.000000 head starts" in call(logs, "-t").output
    assert call(logs, "--since", "yesterday").exit_code == 2


def test_logs_of_a_host_that_is_down_are_missed_and_the_rest_is_shown(hosts: DockerHosts) -> None:
    hosts.down = {"b"}
    done = call(logs)
    assert done.exit_code == 3
    assert "b: no route to host" in done.output
    assert "a vl/0 | ready" in done.output


def test_logs_of_a_start_that_failed_are_those_that_were_kept(
    hosts: DockerHosts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its ranks were stopped again, and the failure said: orch logs vl."""
    hosts.containers = {"a": [], "b": [], "spare": []}
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    done = call(logs, "vl")
    assert done.stdout == ""
    assert "vl has no rank\n" in done.stderr
    evidence = tmp_path / "state" / "orch" / "evidence"
    for run, cluster, said in (
        ("20260101T000000-a", "duo", "old"),
        ("20260102T000000-a", "duo", "bad flag"),
        ("20260103T000000-a", "another", "not ours"),
    ):
        folder = evidence / run / "vl"
        folder.mkdir(parents=True)
        (folder / "summary.json").write_text(json.dumps({"cluster": cluster}))
        (folder / "a.lan.orch-duo-vl-0.log").write_text(f"2026-01-01T00:00:01.0Z {said}\n")
    done = call(logs, "vl")
    assert done.stdout == "a.lan vl/0 | bad flag\n"
    assert "kept from its failed start: " in done.stderr
    assert done.exit_code == 0


def test_tab_completes_deployments(hosts: DockerHosts) -> None:
    param = next(one for one in logs.params if one.name == "names")
    with click.Context(logs) as ctx:
        assert [item.value for item in param.shell_complete(ctx, "v")] == ["vl"]
        Path("cluster.yaml").write_text("")
        assert param.shell_complete(ctx, "v") == []
