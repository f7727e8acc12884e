"""Queries of all hosts as one script each: shared asks, Unknown for what fails, errors together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from orchestrator.contracts import Query
from orchestrator.errors import AuthRefused, NotRead, Unknown, Unreachable
from orchestrator.facts.containers import ReadContainers
from orchestrator.facts.ended import ReadEnded
from orchestrator.facts.identity import Identify
from orchestrator.facts.job import Job
from orchestrator.facts.rank_log import ReadRankLog
from orchestrator.hosts.reader import Answers, apply_and_read, read, script_with_reads, union
from orchestrator.script import Command, Request, Result, Script, Sh, sh
from tests.scripted.faults import Fault, FaultyHosts
from tests.scripted.hosts import ReplyHost, ScriptedHosts


@dataclass(frozen=True)
class Words:
    """Reads a file's words; shares the command with every other query of that file."""

    path: str
    number: int = 0

    def ask(self) -> Script:
        return Script({"it": Command(sh("cat {}", self.path)), "me": Command(sh("id -un"))})

    def parse(self, results: Mapping[str, Result]) -> str:
        if results["it"].rc != 0:
            raise Unknown(f"{self.path} can't be read")
        return results["it"].text.split()[self.number]


@dataclass(frozen=True)
class Health:
    port: int

    def ask(self) -> Request:
        return Request(self.port, "/health")

    def parse(self, results: Mapping[str, Result]) -> str:
        http = results["http"]
        return f"{http.rc} {http.text}{http.err.decode()}"


@dataclass(frozen=True)
class Changes:
    def ask(self) -> Script:
        return Script({"x": Command(Sh("reboot"))}, mutates=True)

    def parse(self, results: Mapping[str, Result]) -> None:
        return None


def reply(name: str, command: Command) -> Result | None:
    files = {"cat /a": b"one two", "cat /b": b"", "id -un": b"tom\n"}
    out = files.get(command.sh)
    return None if out is None else Result(0, out, b"", 0.0)


@pytest.fixture
def hosts() -> ScriptedHosts:
    return ScriptedHosts(
        {name: ReplyHost(reply) for name in ("h1", "h2")},
        {("h1", 80): lambda request: (503, [b"not", b" yet"])},
    )


def test_one_round_trip_a_host_and_shared_commands_run_once(hosts: ScriptedHosts) -> None:
    world = read(hosts, {(h, Words("/a", n)) for h in ("h1", "h2") for n in (0, 1)})
    assert world["h1"].get(Words("/a")) == "one" and world["h2"].get(Words("/a", 1)) == "two"
    assert hosts.round_trips == {"h1": 1, "h2": 1}
    asked = hosts.hosts["h1"].asked  # type: ignore[attr-defined]
    assert sorted(command.sh for _, command in asked) == ["cat /a", "id -un"]
    assert not world.errors


def test_what_can_t_be_read_is_unknown_and_never_a_default(hosts: ScriptedHosts) -> None:
    world = read(hosts, {("h1", Words("/a")), ("h1", Words("/none")), ("h1", Words("/b"))})
    assert world["h1"].get(Words("/a")) == "one"
    with pytest.raises(Unknown, match="/none can't be read") as caught:
        world["h1"].get(Words("/none"))
    assert caught.value.host == "h1"
    with pytest.raises(Unknown, match="IndexError"):  # a parser that trips is no crash
        world["h1"].get(Words("/b"))
    with pytest.raises(NotRead):
        world["h1"].get(Words("/a", 1))


def test_unreachable_hosts_are_told_together_and_others_are_read(hosts: ScriptedHosts) -> None:
    faulty = FaultyHosts(hosts, Fault("auth", host="h2"))
    world = read(faulty, {(h, Words("/a")) for h in ("h1", "h2", "h3")} | {("h2", Health(80))})
    assert world["h1"].get(Words("/a")) == "one"
    assert isinstance(world.errors["h2"], AuthRefused)
    assert type(world.errors["h3"]) is Unreachable
    for host, query in (("h2", Words("/a")), ("h3", Words("/a"))):
        with pytest.raises(Unknown, match="not read"):
            world[host].get(query)
    with pytest.raises(Unknown):
        world["h2"].get(Health(80))


@pytest.mark.parametrize("at", [0, 60, 200])
def test_answers_that_arrived_before_a_cut_count(hosts: ScriptedHosts, at: int) -> None:
    faulty = FaultyHosts(hosts, Fault("truncate", at=at))
    world = read(faulty, {("h1", Words("/a"))})
    assert world.errors["h1"]
    with pytest.raises(Unknown):
        world["h1"].get(Words("/a"))


def test_http_queries(hosts: ScriptedHosts) -> None:
    world = read(hosts, {("h1", Health(80)), ("h1", Health(81)), ("h1", Words("/a"))})
    assert world["h1"].get(Health(80)) == "503 not yet"
    assert world["h1"].get(Health(81)).startswith("0 ") and "nothing listens" in world["h1"].get(
        Health(81)
    )
    assert not world.errors  # a closed port is an answer


def test_an_http_query_of_a_host_that_is_gone(hosts: ScriptedHosts) -> None:
    world = read(hosts, {("h9", Health(80))})
    assert isinstance(world.errors["h9"], Unreachable)
    with pytest.raises(Unknown):
        world["h9"].get(Health(80))


def test_known_answers_stay_and_newer_ones_win(hosts: ScriptedHosts) -> None:
    known = {"h1": Answers("h1", {Words("/a"): "old", Words("/b"): "kept"})}
    world = read(hosts, {("h1", Words("/a")), ("h2", Words("/a"))}, known)
    assert world["h1"].get(Words("/a")) == "one" and world["h1"].get(Words("/b")) == "kept"
    assert set(world) == {"h1", "h2"} and Words("/a") in world["h1"]
    with pytest.raises(NotRead):
        world["h1"].without([Words("/a")]).get(Words("/a"))


def test_a_query_that_changes_is_refused() -> None:
    with pytest.raises(TypeError):
        union([Changes()])


def test_a_script_and_its_reads_are_one_round_trip(hosts: ScriptedHosts) -> None:
    script = Script(
        {"do": Command(Sh("fails")), "never": Command(Sh("id -un"))},
        mutates=True,
        stop_on_error=True,
    )
    joined = script_with_reads(script, [Words("/a")])
    results, answers = joined.split("h1", hosts.run("h1", joined.script))
    assert set(results) == {"do"} and results["do"].rc == 127
    assert answers.get(Words("/a")) == "one"  # whatever the change did
    results, answers = apply_and_read(hosts, "h1", script, [Words("/a", 1), Health(80)])
    assert answers.get(Health(80)) == "503 not yet" and set(results) == {"do"}
    assert hosts.round_trips["h1"] == 3


@pytest.mark.parametrize("reverse", [False, True])
def test_how_a_job_stands_is_asked_before_what_it_brings(reverse: bool) -> None:
    """Else it may end between the two, and looks as if it had brought nothing."""
    queries: list[Query[Any]] = [Job("image-take-1"), Words("/image"), Identify(), Words("/other")]
    joined = union(queries[::-1] if reverse else queries)
    assert next(iter(joined.names)) == Job("image-take-1")
    first = next(iter(joined.commands.values()))
    assert first in Job("image-take-1").ask().commands.values()


@pytest.mark.parametrize("reverse", [False, True])
def test_whether_a_job_ended_well_is_asked_after_its_container_and_its_log(reverse: bool) -> None:
    """Else "it runs", and a moment later an exited container: a job that did its work would have failed."""
    done = ReadEnded("docker", "orch-c-prep-0", "/m", "d")
    queries: list[Query[Any]] = [
        done,
        ReadContainers("docker", "c"),
        ReadRankLog("orch-c-prep-0"),
        Words("/other"),
    ]
    joined = union(queries[::-1] if reverse else queries)
    assert list(joined.names)[-1] == done
    assert set(list(joined.commands.values())[-2:]) == set(done.ask().commands.values())
