"""`address: local`: the same results and errors as over SSH."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.errors import FilesWrong, NoAnswer, OutcomeUnknown, ScriptTimeout
from orchestrator.hosts.local import LocalHosts
from orchestrator.hosts.pool import Pool, run_all
from orchestrator.script import Command, Request, Script, Sh
from orchestrator.spec.models import Ssh
from tests.sshd.conftest import free_port, make_host, no_secrets

HERE = {"here": make_host("here", Ssh(), address="local")}


@pytest.fixture
def hosts(tmp_path: Path) -> LocalHosts:
    return LocalHosts(HERE, no_secrets, env={"ORCH_STATE": str(tmp_path)})


def test_a_script_and_a_change(hosts: LocalHosts) -> None:
    data = b"\x00\xff" * 200_000
    script = Script(
        {
            "one": Command(Sh("echo out; echo err >&2; exit 3")),
            "two": Command(Sh("cat"), stdin=data, keep=1_000_000),
        },
        mutates=True,
    )
    results = hosts.run("here", script)
    assert (results["one"].rc, results["one"].err) == (3, b"err\n")
    assert results["two"].out == data


def test_a_shell_that_is_killed_leaves_the_outcome_unknown(hosts: LocalHosts) -> None:
    # Up from the command: its sh, timeout, the program's subshell.
    kill = Sh("read -r _ _ _ p _ </proc/$PPID/stat; kill -9 $p; sleep 0.1")
    with pytest.raises(OutcomeUnknown) as caught:
        hosts.run("here", Script({"a": Command(Sh("echo a")), "b": Command(kill)}, mutates=True))
    assert set(caught.value.results) == {"a"} and caught.value.host == "here"


def test_a_script_that_says_nothing(hosts: LocalHosts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.reply.Reply.patience", lambda self: 0.2)
    with pytest.raises(ScriptTimeout):
        hosts.run("here", Script({"a": Command(Sh("sleep 1"))}))


def test_no_such_host_and_no_such_port(hosts: LocalHosts) -> None:
    with pytest.raises(FilesWrong):
        hosts.run("there", Script({}))
    with pytest.raises(NoAnswer, match="nothing listens"):
        hosts.http("here", Request(free_port(), "/x"))


def test_the_pool_keeps_each_hosts_outcome(hosts: LocalHosts) -> None:
    outcomes = run_all(
        hosts, {name: Script({"a": Command(Sh("echo a"))}) for name in ("here", "x")}
    )
    assert isinstance(outcomes["x"], FilesWrong)
    assert not isinstance(outcomes["here"], Exception) and outcomes["here"]["a"].out == b"a\n"
    with Pool(HERE, no_secrets) as pool:
        assert pool.run("here", Script({"a": Command(Sh("echo a"))}))["a"].rc == 0
