"""`orch up` where a host's clock is wrong: refused with the host's name, and nothing is sent that changes a host."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from orchestrator.cli.options import Site
from orchestrator.cli.plan import plan
from orchestrator.cli.up import up
from tests.scripted.hosts import ScriptedHosts, ShellHost

FILES = {
    "inventory.yaml": """
version: 1
hosts:
  a: {kind: gpu-host, address: a.lan, gpus: 1}
  b: {kind: gpu-host, address: b.lan, gpus: 1}
""",
    "cluster.yaml": """
version: 1
name: duo
deployments:
  vl: {profile: big, hosts: [a, b], port: 8000}
""",
    "profiles/big.yaml": """
version: 1
engine: llamacpp
model: /models/big.gguf
image: llama:1
""",
    "playbooks/up.yaml": """
version: 1
name: up
stages:
  - {stage: reachable}
  - {name: mark, shell: {check: test -e mark, apply: touch mark}}
""",
}
# The real one, so many seconds off. The path is not searched: this is `date` itself.
DATE = 'exec /bin/date -d "{} seconds" "$@"'


@pytest.fixture
def hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ScriptedHosts:
    """A cluster in the current folder, whose hosts are folders of this machine."""
    for name, text in FILES.items():
        path = tmp_path / "site" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.chdir(tmp_path / "site")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    found = ScriptedHosts({name: ShellHost(tmp_path / name) for name in ("a", "b")})
    monkeypatch.setattr(Site, "hosts", found)
    return found


def off(hosts: ScriptedHosts, host: str, seconds: int) -> None:
    one = hosts.hosts[host]
    assert isinstance(one, ShellHost)
    hosts.hosts[host] = ShellHost(one.root, {"date": DATE.format(f"{seconds:+d}")})


def called(command: click.Command, *words: str) -> Result:
    return CliRunner().invoke(command, list(words))


def events(done: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize(
    ("seconds", "what"), [(600, "s ahead of ours"), (-600, "s behind ours"), (12, "s ahead of the")]
)
def test_a_wrong_clock_is_refused(
    hosts: ScriptedHosts, seconds: int, what: str, tmp_path: Path
) -> None:
    off(hosts, "b", seconds)
    done = called(up, "--json")
    assert done.exit_code == 4, done.output
    refused = [one for one in events(done) if one["kind"] == "gate-refused"]
    assert {one["data"]["at"] for one in refused} == {"b"}
    assert any(what in one["text"] for one in refused), refused
    assert all("timedatectl set-ntp true" in one["data"]["hint"] for one in refused)
    assert hosts.mutations == []
    assert not list(tmp_path.glob("[ab]/orch/*"))  # no lease was taken
    assert called(plan).exit_code == 4
    assert "its clock is" in called(up).stdout


def test_clocks_that_agree_are_no_hindrance(hosts: ScriptedHosts, tmp_path: Path) -> None:
    assert called(up).exit_code == 0
    assert (tmp_path / "a" / "home" / "mark").exists()
    assert (tmp_path / "b" / "home" / "mark").exists()
