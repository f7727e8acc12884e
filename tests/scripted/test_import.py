"""`orch import` as typed: files that are written, and never written over; containers of hosts, as docker tells them."""

from __future__ import annotations

import base64
import json
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from click.testing import CliRunner, Result

from orchestrator.cli import import_hosts
from orchestrator.cli.import_ import import_
from orchestrator.cli.options import Site
from orchestrator.cli.status import status
from orchestrator.errors import FilesWrong, OrchError, Unreachable
from orchestrator.facts.container_words import ReadContainerWords
from orchestrator.script import Result as Ran
from orchestrator.script import Script
from tests.local_shell import SHELLS, run_script, syntax
from tests.unit.take.test_inspect import HEAD_ENV, SERVE, TOKEN, WORKER_ENV, described
from tests.unit.take.test_recipes import V2

INVENTORY = """\
version: 1
hosts:
  a: {kind: gpu-host, address: a.lan, gpus: 1}
  b: {kind: gpu-host, address: b.lan, gpus: 1}
"""


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "inventory.yaml").write_text(INVENTORY)
    (tmp_path / "big.yaml").write_text(V2)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(command: click.Command, *words: str) -> Result:
    return CliRunner().invoke(command, words, catch_exceptions=False)


def refused(*words: str) -> OrchError:
    with pytest.raises(OrchError) as caught:
        call(import_, *words)
    return caught.value


# --- files ------------------------------------------------------------------------------------------


def test_a_recipe_becomes_files_that_pass_the_check(desk: Path) -> None:
    done = call(import_, "big.yaml", "--hosts", "b,a", "--name", "duo")
    assert done.exit_code == 0, done.output
    cluster = yaml.safe_load((desk / "cluster.yaml").read_text())
    assert (cluster["name"], cluster["deployments"]["big"]["hosts"]) == ("duo", ["b", "a"])
    assert yaml.safe_load((desk / "profiles/big.yaml").read_text())["model"] == "example/Big-FP8"
    assert "not translated of big.yaml" in done.stderr
    assert "pre_exec" in done.stderr
    assert "written: cluster.yaml" in done.stderr


def test_nothing_is_written_over(desk: Path) -> None:
    call(import_, "big.yaml")
    before = (desk / "profiles/big.yaml").read_text()
    error = refused("big.yaml")
    assert error.exit_code == 2
    assert "profiles/big.yaml" in str(error)
    assert "--force" in error.hint
    assert (desk / "profiles/big.yaml").read_text() == before
    done = call(import_, "big.yaml", "--force")
    assert "the old profiles/big.yaml is profiles/big.yaml.1.bak" in done.stderr
    assert (desk / "profiles/big.yaml.1.bak").read_text() == before


def test_a_cluster_file_that_is_there_is_left_alone(desk: Path) -> None:
    (desk / "cluster.yaml").write_text("version: 1\nname: mine\n")
    done = call(import_, "big.yaml")
    assert done.exit_code == 0
    assert (desk / "cluster.yaml").read_text() == "version: 1\nname: mine\n"
    assert "add this to it" in done.stdout
    added = yaml.safe_load(done.stdout)
    assert added["deployments"]["big"]["port"] == 8001
    assert (desk / "profiles/big.yaml").exists()


def test_print_writes_nothing(desk: Path) -> None:
    done = call(import_, "big.yaml", "--print")
    assert "# --- profiles/big.yaml" in done.stdout
    assert sorted(one.name for one in desk.iterdir()) == ["big.yaml", "inventory.yaml"]


def test_stdin_and_another_folder(desk: Path) -> None:
    done = CliRunner().invoke(
        import_, ["-", "-o", "there", "-i", "inventory.yaml"], input=V2, catch_exceptions=False
    )
    assert done.exit_code == 0, done.output
    assert yaml.safe_load((desk / "there/cluster.yaml").read_text())["inventory"] == str(
        desk / "inventory.yaml"
    )


def test_what_does_not_pass_the_check_is_two_and_says_why(desk: Path) -> None:
    (desk / "inventory.yaml").unlink()
    done = call(import_, "big.yaml")
    assert done.exit_code == 2
    assert "there is no inventory inventory.yaml" in done.stderr
    assert "orch init" in done.stderr
    (desk / "other.yaml").write_text(V2.replace("-tp {tensor_parallel}", "-tp 7"))
    (desk / "inventory.yaml").write_text(INVENTORY)
    done = call(import_, "other.yaml", "--print")
    assert done.exit_code == 2
    assert "needs 7 GPUs" in done.stderr


def test_an_inventory_is_taken_and_then_used(desk: Path) -> None:
    (desk / "inventory.yaml").unlink()
    (desk / "hosts.ini").write_text("[sparks]\ns1\ns2\ns3\n")
    done = call(import_, "hosts.ini", "big.yaml", "--kind", "dgx-spark", "--hosts", "s2,s3")
    assert done.exit_code == 0, done.output
    assert yaml.safe_load((desk / "inventory.yaml").read_text())["groups"] == {
        "sparks": ["s2", "s3"]
    }
    assert "not in --hosts" in done.stderr


def test_as_json(desk: Path) -> None:
    told = json.loads(call(import_, "big.yaml", "--json").stdout)
    assert told["ok"] is True
    assert told["written"] == ["profiles/big.yaml", "cluster.yaml"]
    assert {"source", "where", "what", "why"} == set(told["left"][0])


def test_what_can_not_be_read_is_told(desk: Path) -> None:
    assert "there is no file nothing.yaml" in str(refused("nothing.yaml"))
    (desk / "odd").write_bytes(b"\xff\xfe\x00")
    assert "can't be read" in str(refused("odd"))
    (desk / "large").write_text(" " * 1_100_000)
    assert "larger than 1 MiB" in str(refused("large"))
    assert "nothing to import" in str(refused())
    assert "unknown format" in str(refused("big.yaml", "--format", "nosuch"))


# --- hosts ------------------------------------------------------------------------------------------


@dataclass
class Hosts:
    """Each host: its containers as `docker inspect` has them, and processes by container."""

    containers: dict[str, list[dict[str, Any]]]
    processes: dict[str, list[list[str]]] = field(default_factory=dict)
    down: str = ""
    broken: bool = False

    def __enter__(self) -> Hosts:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def close(self) -> None:
        pass

    def run(self, host: str, script: Script) -> Mapping[str, Ran]:
        if host == self.down:
            raise Unreachable("no route to host", host=host)
        return {name: self._answer(host, one.sh) for name, one in script.commands.items()}

    def _answer(self, host: str, sh: str) -> Ran:
        if "ps -a -q" in sh:
            lines = [json.dumps(brief(one)) for one in self.containers[host]]
            return Ran(0, "\n".join([*lines, "end 0"]).encode(), b"", 0.1)
        lines = []
        for one in self.containers[host]:
            name = one["Name"].lstrip("/")
            if f"n={name}\n" not in sh:
                continue
            lines += [f"container {json.dumps(one)}", 'image {"Config": {"Env": ["NVARCH=sbsa"]}}']
            for words in self.processes.get(name, []):
                lines.append(
                    "process " + base64.b64encode("\0".join([*words, ""]).encode()).decode()
                )
        if self.broken:
            lines = ["absent permission denied while trying to connect to the docker API"]
        return Ran(
            0, "\n".join([*lines, "absent Error: No such container: x", "end"]).encode(), b"", 0.1
        )


def brief(one: dict[str, Any]) -> dict[str, Any]:
    """The same container as the facts ask for it."""
    return {
        "name": one["Name"], "id": "1", "image": one["Config"]["Image"], "image_id": "sha256:1", "status": "running",
        "code": 0, "oom": False, "started": "2026-01-01T00:00:00Z", "health": "", "restarts": 0, "policy": None,
        "labels": one["Config"].get("Labels"), "path": one["Path"], "args": one["Args"],
    }  # fmt: skip


RAY = ["ray", "start", "--head", "--block"]


@pytest.fixture
def hosts(desk: Path, monkeypatch: pytest.MonkeyPatch) -> Hosts:
    head = described("vllm-head", RAY, HEAD_ENV)
    worker = described("vllm-worker", ["ray", "start", "--address=a:6379", "--block"], WORKER_ENV)
    served = [["/usr/bin/python3", "/usr/local/bin/vllm", *SERVE[1:]]]
    made = Hosts({"a": [head], "b": [worker]}, {"vllm-head": [RAY, *served]})
    monkeypatch.setattr(import_hosts, "_pool", lambda cluster, accept: made)
    monkeypatch.setattr(Site, "hosts", made)
    return made


def test_a_gang_that_a_script_started_is_taken(desk: Path, hosts: Hosts) -> None:
    words = ["--from-host", "a", "--from-host", "b", "vllm-head", "vllm-worker"]
    done = call(import_, *words)
    assert done.exit_code == 0, done.output
    cluster = yaml.safe_load((desk / "cluster.yaml").read_text())
    assert cluster["takeover"] == ["vllm-head", "vllm-worker"]
    assert cluster["deployments"]["vllm"]["hosts"] == ["a", "b"]
    profile = yaml.safe_load((desk / "profiles/vllm.yaml").read_text())
    assert (profile["executor"], profile["env_by_host"]) == ("ray", {"b": {"OMP_NUM_THREADS": "2"}})
    assert profile["secrets"] == {"HF_TOKEN": {"env": "HF_TOKEN"}}
    written = [path for path in desk.rglob("*") if stat.S_ISREG(path.stat().st_mode)]
    assert not [path for path in written if TOKEN in path.read_text()]
    assert TOKEN not in done.output


def test_status_names_what_people_started(desk: Path, hosts: Hosts) -> None:
    (desk / "cluster.yaml").write_text("version: 1\nname: mine\ntakeover: [vllm-worker]\n")
    told = call(status).stdout
    assert "a: vllm-head (running) serves with vllm" in told
    assert "`orch import --from-host a vllm-head` reads it into files" in told
    assert "b: vllm-worker (running) serves with vllm" in told
    assert "`orch up` takes it over" in told


def test_which_containers_is_told(hosts: Hosts) -> None:
    error = refused("--from-host", "a", "--from-host", "b")
    assert error.hint == "these serve models: a:vllm-head (vllm), b:vllm-worker (vllm)"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--from-host", "a", "nosuch"], "a: there is no container nosuch"),
        (["--from-host", "a", "--from-host", "b", "a:vllm-worker"], "a: there is no container vllm-worker"),
        (["--from-host", "c", "x"], "c: not in inventory.yaml"),
        (["--from-host", "a", "x;reboot"], "'x;reboot' is no name of a container"),
    ],
)  # fmt: skip
def test_what_is_not_there_is_told(hosts: Hosts, words: list[str], said: str) -> None:
    assert said in str(refused(*words))


def test_not_knowing_is_not_absent(hosts: Hosts) -> None:
    hosts.broken = True
    assert "permission denied" in str(refused("--from-host", "a", "vllm-head"))
    hosts.down = "a"
    assert refused("--from-host", "a", "vllm-head").exit_code == 3


def test_a_rank_of_orch_is_not_taken(hosts: Hosts) -> None:
    hosts.containers["a"][0]["Config"]["Labels"] = {"orch.cluster": "duo"}
    assert "a rank of orch's cluster duo" in str(refused("--from-host", "a", "vllm-head"))


def test_without_an_inventory_nothing_is_asked(desk: Path, hosts: Hosts) -> None:
    (desk / "inventory.yaml").unlink()
    error = refused("--from-host", "a", "vllm-head")
    assert isinstance(error, FilesWrong)
    assert error.hint == "orch init a writes one"


# --- the question -----------------------------------------------------------------------------------


@pytest.mark.parametrize("shell", SHELLS)
def test_the_question_is_shell(shell: str) -> None:
    asked = ReadContainerWords("docker", ("a", "b")).ask()
    assert isinstance(asked, Script)
    assert [syntax(one, shell) for one in asked.commands.values()] == [""]


@pytest.mark.parametrize("shell", SHELLS)
def test_the_question_as_a_shell_runs_it(shell: str, tmp_path: Path) -> None:
    """With a docker that knows one container, whose process is this one's child."""
    program = tmp_path / "docker"
    program.write_text(
        "#!/bin/sh\n"
        "for last; do :; done\n"
        '[ "$1" != top ] || { echo PID; echo $$; exit 0; }\n'
        '[ "$1" != image ] || { echo \'{"Config": {"Env": ["A=b"]}}\'; exit 0; }\n'
        '[ "$last" = there ] || { echo "Error: No such container: $last" >&2; exit 1; }\n'
        'case $* in *.Image*) echo sha256:1;; *) echo \'{"Name": "/there"}\';; esac\n'
    )
    program.chmod(0o755)
    query = ReadContainerWords("docker", ("there", "not"))
    asked = query.ask()
    assert isinstance(asked, Script)
    path = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    (found,) = query.parse(run_script(asked, shell, path))
    assert found.container["Name"] == "/there"
    assert found.image["Config"]["Env"] == ["A=b"]
