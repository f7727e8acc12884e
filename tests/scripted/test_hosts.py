"""The scripted hosts themselves, and each fault over them."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.errors import AuthRefused, NoAnswer, OutcomeUnknown, ScriptTimeout, Unreachable
from orchestrator.script import Command, Request, Result, Script, Sh
from tests.scripted.faults import Fault, FaultyHosts, mutating
from tests.scripted.hosts import ReplyHost, ScriptedHosts, ShellHost, encode

COUNT = 'echo x >>"$STATE/calls"; wc -l <"$STATE/calls"'
CHANGE = Script({"one": Command(Sh("count"))}, mutates=True)
READ = Script({"two": Command(Sh("echo two"))})


@pytest.fixture
def hosts(tmp_path: Path) -> ScriptedHosts:
    return ScriptedHosts(
        {"real": ShellHost(tmp_path / "real", {"count": COUNT}), "said": ReplyHost(said)},
        {("real", 8000): lambda request: (200, [b"hel", b"lo"])},
    )


def said(name: str, command: Command) -> Result | None:
    return Result(0, f"{name}!".encode(), b"", 0.1) if name == "two" else None


def calls(hosts: ScriptedHosts, tmp_path: Path) -> int:
    log = tmp_path / "real/state/calls"
    return len(log.read_text().splitlines()) if log.exists() else 0


def test_a_real_shell_with_fakes_that_keep_state(hosts: ScriptedHosts) -> None:
    assert hosts.run("real", CHANGE)["one"].out.strip() == b"1"
    assert hosts.run("real", CHANGE)["one"].out.strip() == b"2"
    assert hosts.round_trips["real"] == 2 and len(hosts.mutations) == 2
    assert hosts.sent["real"] > 0 < hosts.received["real"]


def test_answers_from_a_function(hosts: ScriptedHosts) -> None:
    assert hosts.run("said", READ)["two"].out == b"two!"
    assert hosts.run("said", CHANGE)["one"].rc == 127
    with pytest.raises(Unreachable):
        hosts.run("absent", READ)


def test_http_answers(hosts: ScriptedHosts) -> None:
    answer = hosts.http("real", Request(8000, "/health"))
    assert answer.status == 200 and b"".join(answer) == b"hello"
    with pytest.raises(NoAnswer):
        hosts.http("real", Request(8001, "/health"))


@pytest.mark.parametrize(
    ("kind", "error", "effects"),
    [
        ("refuse", Unreachable, 0),
        ("auth", AuthRefused, 0),
        ("drop-before", OutcomeUnknown, 0),
        ("drop-after", OutcomeUnknown, 1),
        ("hang", ScriptTimeout, 1),
        ("truncate", OutcomeUnknown, 1),
    ],
)
def test_each_fault_has_its_error_and_effect(
    hosts: ScriptedHosts, tmp_path: Path, kind: str, error: type[Exception], effects: int
) -> None:
    faulty = FaultyHosts(hosts, Fault(kind, host="real", when=mutating, times=1))  # type: ignore[arg-type]
    assert faulty.run("real", READ)["two"].rc == 0
    with pytest.raises(error):
        faulty.run("real", CHANGE)
    assert calls(hosts, tmp_path) == effects
    assert faulty.run("real", CHANGE)["one"].rc == 0  # only once
    assert len(faulty.struck) == 1


def test_a_reply_cut_anywhere(hosts: ScriptedHosts) -> None:
    whole = hosts.run("real", READ)
    length = len(encode(whole, READ, "m" * 32))
    for at in range(length - 1):
        with pytest.raises(OutcomeUnknown):
            FaultyHosts(_Fixed(whole), Fault("truncate", at=at)).run("real", READ)


class _Fixed(ScriptedHosts):
    """Answers the same each time."""

    def __init__(self, results: object) -> None:
        super().__init__({})
        self._results = results

    def run(self, host: str, script: Script) -> dict[str, Result]:
        return dict(self._results)  # type: ignore[call-overload, no-any-return]


def test_garbage_and_slow(hosts: ScriptedHosts) -> None:
    waits: list[float] = []
    faulty = FaultyHosts(
        hosts,
        Fault("garbage", host="real", times=1),
        Fault("slow", host="said", seconds=3),
        sleep=waits.append,
    )
    assert b"garbage" in faulty.run("real", READ)["two"].out
    assert faulty.run("said", READ)["two"].rc == 0 and waits == [3]
