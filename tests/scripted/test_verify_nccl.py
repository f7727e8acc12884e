"""`orch verify-rdma --nccl` leaves no container behind, however it ends; and takes nobody else's away."""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from orchestrator.cli.options import Site
from orchestrator.cli.verify import verify
from orchestrator.cli.verify_nccl import why
from orchestrator.errors import Locked
from orchestrator.rdma.nccl import measured
from orchestrator.run.converge import converge
from orchestrator.run.retry import POLICIES, Policy
from orchestrator.script import Request, Script
from tests import captured
from tests.scripted.faults import Fault, FaultyHosts, mutating
from tests.scripted.hosts import ShellHost, TimelyHosts
from tests.scripted.test_verify import INVENTORY, IP, LINK

CLUSTER = """
version: 1
name: duo
inventory: inventory.yaml
deployments:
  vl: {profile: p, hosts: [a, b], port: 8000, gate: {rdma: degraded-ok}}
"""
PROFILE = "version: 1\nengine: vllm\nexecutor: ray\nmodel: /srv/m\nimage: img:1\n"
DOCKER = f'exec {sys.executable} {Path(__file__).parent / "shims" / "containers"} "$@"'
GPU = "echo '0, GPU-7b1f2c3d-0001-0002-0003-00000000000a, 0000000F:01:00.0, 580.142, [N/A], [N/A], [N/A], NVIDIA GB10'"
FOREIGN = {"orch.cluster": "duo", "orch.deployment": "vl.nccl", "orch.spec": '{"env": {"ORCH_RUN": "x"}}'}  # fmt: skip


class Duo:
    """Two hosts with a docker that remembers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        fakes = {"ip": IP, "ss": "true", "docker": DOCKER, "nvidia-smi": GPU}
        self.hosts = TimelyHosts({name: ShellHost(folder / name, fakes) for name in ("a", "b")})
        for name, address in (("a", "10.9.0.10"), ("b", "10.9.0.11")):
            info = [{"local": address, "prefixlen": 24}]
            state = folder / name / "state"
            (state / "addr").write_text(json.dumps([{**LINK[0], "addr_info": info}]) + "\n")
            (state / "containers").mkdir()

    def left(self) -> list[str]:
        return [
            one.name for name in ("a", "b")
            for one in sorted((self.folder / name / "state" / "containers").iterdir())
        ]  # fmt: skip

    def another_runs(self, host: str, name: str) -> None:
        """A container of the same name that another run started."""
        made = {
            "name": f"/{name}", "id": name, "image": "img:1", "image_id": "sha256:1",
            "status": "running", "code": 0, "oom": False, "started": "", "health": "",
            "restarts": 0, "policy": {"Name": "no"}, "labels": FOREIGN,
        }  # fmt: skip
        (self.folder / host / "state" / "containers" / name).write_text(json.dumps(made))


@pytest.fixture
def duo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Duo:
    (tmp_path / "inventory.yaml").write_text(INVENTORY)
    (tmp_path / "cluster.yaml").write_text(CLUSTER)
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "p.yaml").write_text(PROFILE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state-home"))
    monkeypatch.setitem(POLICIES, "connect", Policy(attempts=1))
    return Duo(tmp_path)


def run(monkeypatch: pytest.MonkeyPatch, hosts: Any) -> Result:
    monkeypatch.setattr(Site, "hosts", hosts)
    return CliRunner().invoke(verify, ["--nccl"], catch_exceptions=False)


def starts(sent: Script | Request) -> bool:
    """A rank on its way."""
    return mutating(sent) and says(sent, "docker start")


def says(sent: Script | Request, words: str) -> bool:
    """Whether a command of it has these words."""
    return isinstance(sent, Script) and any(words in one.sh for one in sent.commands.values())


def looks(sent: Script | Request) -> bool:
    """A question for the ranks that run."""
    return says(sent, "docker logs")


def started(duo: Duo) -> set[str]:
    """Hosts on which there was a rank."""
    return {host for host, script in duo.hosts.mutations if starts(script)}


class Interrupting(FaultyHosts):
    """Ctrl-C as soon as the ranks are asked after a start."""

    started = done = False

    def run(self, host: str, script: Script) -> Any:
        self.started |= starts(script)
        try:
            return super().run(host, script)
        finally:
            if self.started and looks(script) and not self.done:
                self.done = True
                os.kill(os.getpid(), signal.SIGINT)


def test_ctrl_c_leaves_no_rank(duo: Duo, monkeypatch: pytest.MonkeyPatch) -> None:
    done = run(monkeypatch, Interrupting(duo.hosts))
    assert done.exit_code == 130, done.output
    assert started(duo) == {"a", "b"}
    assert duo.left() == []


def test_a_start_whose_reply_is_lost_leaves_no_rank(
    duo: Duo, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosts = FaultyHosts(duo.hosts, Fault("drop-after", "b", when=starts))
    assert run(monkeypatch, Interrupting(hosts)).exit_code != 0
    assert duo.left() == []


def test_an_error_of_the_run_itself_leaves_no_rank(
    duo: Duo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lease is taken away in the middle: converge raises."""

    def fenced(*words: Any) -> Any:
        converge(*words)
        raise Locked("b is locked by eve", host="b")

    monkeypatch.setattr("orchestrator.run.converge.converge", fenced)
    assert run(monkeypatch, Interrupting(duo.hosts)).exit_code == 5
    assert started(duo) == {"a", "b"}
    assert duo.left() == []


def test_another_runs_ranks_stay(duo: Duo, monkeypatch: pytest.MonkeyPatch) -> None:

    def locked(*words: Any) -> Any:
        raise Locked("a is locked by eve", host="a")

    duo.another_runs("a", "orch-duo-vl-nccl-all-gather-0")
    monkeypatch.setattr("orchestrator.run.converge.converge", locked)
    assert run(monkeypatch, duo.hosts).exit_code == 5
    assert duo.left() == ["orch-duo-vl-nccl-all-gather-0"]


def test_a_host_that_can_not_be_asked_is_told(duo: Duo, monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes away for good after its rank was started."""
    count = [0]

    def gone(sent: Script | Request) -> bool:
        count[0] += starts(sent)
        return count[0] > 0 and not starts(sent)

    hosts = FaultyHosts(duo.hosts, Fault("refuse", "b", when=gone))
    done = run(monkeypatch, Interrupting(hosts))
    assert done.exit_code != 0
    assert "b: whether containers of the test are left is not known" in done.output
    assert [one for one in duo.left() if one.endswith("-0")] == []


def test_what_nccl_said_stands_beside_the_cause() -> None:
    reason = measured("all_gather", captured.nccl("h100_verify_gather")).reason
    assert reason is not None
    assert why(reason).splitlines()[-1] == "  seen   NCCL_IB_DISABLE set by environment to 1."
    assert "seen" not in why(replace(reason, evidence=""))
