"""`orch exec` and `orch unlock` over a real sshd, with files as a user writes them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from orchestrator.cli.errors import run_guarded
from orchestrator.cli.hosts import exec_, unlock
from orchestrator.run.lease import Holder, acquire
from orchestrator.script import Command, Script
from tests.sshd.conftest import Servers, Sshd, make_host, no_secrets

pytestmark = pytest.mark.sshd


@pytest.fixture
def inventory(servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sshd:
    """An inventory of two hosts that are there and one that is not, in the current folder."""
    server = servers("ListenAddress 127.0.0.2\n")
    ssh = server.ssh()
    (tmp_path / "inventory.yaml").write_text(
        f"""
version: 1
defaults:
  kind: gpu-host
  ssh: {{user: {ssh.user}, key: {ssh.key}, port: {ssh.port}, host_key: {ssh.host_key}, config: /dev/null}}
hosts:
  a: {{address: 127.0.0.1}}
  b: {{address: 127.0.0.2}}
  gone: {{address: 127.0.0.3}}
groups: {{up: [a, b]}}
"""
    )
    monkeypatch.chdir(tmp_path)
    return server


def orch(command: object, *words: str) -> Result:
    return CliRunner().invoke(command, list(words))  # type: ignore[arg-type]


@pytest.mark.usefixtures("inventory")
def test_exec_shows_what_each_host_said() -> None:
    done = orch(exec_, "--hosts", "up", "--", "echo", "it's", "$HOME")
    assert done.stdout.splitlines() == ["a | it's $HOME", "b | it's $HOME"]
    assert done.exit_code == 0
    shell = orch(exec_, "--hosts", "a", "--", "echo one | tr o 0; exit 3")
    assert shell.stdout == "0ne\n" and "a: exit code 3" in shell.stderr and shell.exit_code == 1


@pytest.mark.usefixtures("inventory")
def test_exec_reports_the_hosts_that_are_not_there() -> None:
    done = orch(exec_, "--", "true")
    assert done.exit_code == 3 and "gone: 127.0.0.3 port" in done.stderr
    document = json.loads(orch(exec_, "--json", "--", "echo hi").stdout)
    assert document["version"] == 1
    assert document["hosts"]["a"]["out"] == "hi\n" and document["hosts"]["a"]["rc"] == 0
    assert "refused" in document["hosts"]["gone"]["error"]


@pytest.mark.usefixtures("inventory")
def test_exec_of_an_unknown_host_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    done = orch(exec_, "--hosts", "c", "--", "true")
    assert getattr(done.exception, "exit_code", 0) == 2


def test_unlock_says_whose_lease_it_was_and_keeps_the_reason(
    inventory: Sshd,
) -> None:
    from orchestrator.hosts.ssh import SshHosts

    hosts = SshHosts({"a": make_host("a", inventory.ssh())}, no_secrets)
    take = acquire(Holder("tom@laptop", "run-1", "c", os.getpid()))
    assert hosts.run("a", Script({"l": Command(take, sudo=True)}))["l"].rc == 0
    hosts.close()
    done = orch(unlock, "a", "--reason", "tom is on holiday")
    assert "a: broken; it was held by tom@laptop (run run-1) since" in done.stdout
    assert done.exit_code == 0
    assert "tom is on holiday" in (inventory.folder / "state/history").read_text()
    assert orch(unlock, "a", "--reason", "again").stdout == "a: nobody holds it\n"
    assert orch(unlock, "gone", "--reason", "x").exit_code == 3
    assert orch(unlock, "a").exit_code == 2


def test_help_needs_no_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["orch", "--help"])
    assert run_guarded(exec_) == 0
