"""Many logs as one: in order, each line once, and nothing lost in silence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import Unreachable
from orchestrator.observe.logs import Batch, Follower, Line, Source, batch_of, fresh, merged, split
from orchestrator.script import Request, Result, Script

HEAD = Source("a", "docker", "orch-duo-vl-0", "vl", "0")
WORKER = Source("b", "docker", "orch-duo-vl-1", "vl", "1")


@dataclass
class LogHosts:
    """Hosts whose only answer is the end of a log."""

    logs: dict[str, list[str]]
    down: set[str] = field(default_factory=set)
    code: int = 0

    def run(self, host: str, script: Script) -> Mapping[str, Result]:
        if host in self.down:
            raise Unreachable("no route", host=host)
        (name, command), *_ = script.commands.items()
        limit = int(command.sh.split("--tail ")[1].split()[0])
        text = "".join(f"{line}\n" for line in self.logs[host][-limit:])
        return {name: Result(self.code, text.encode(), b"", 0.1)}

    def http(self, host: str, request: Request) -> Iterator[bytes]:
        raise NotImplementedError


def stamped(second: float, text: str) -> str:
    return f"2026-01-01T00:00:{second:012.9f}Z {text}"


def test_lines_come_in_the_order_of_their_times() -> None:
    hosts = LogHosts(
        {
            "a": [stamped(1, "head starts"), stamped(3.5, "all there")],
            "b": [stamped(2, "worker starts"), "  a line without a time", stamped(9, "ready")],
        }
    )
    lines, troubles = Follower(hosts, [HEAD, WORKER], 100).poll()
    assert [line.text for line in lines] == [
        "head starts",
        "worker starts",
        "  a line without a time",
        "all there",
        "ready",
    ]
    assert not troubles


def test_following_gives_each_line_once() -> None:
    hosts = LogHosts({"a": [stamped(1, "one")], "b": []})
    follower = Follower(hosts, [HEAD, WORKER], 100)
    assert [line.text for line in follower.poll()[0]] == ["one"]
    assert follower.poll() == ([], [])
    hosts.logs["a"] += [stamped(2, "two"), stamped(2, "two")]
    hosts.logs["b"] += [stamped(1.5, "late")]
    assert [line.text for line in follower.poll()[0]] == ["late", "two", "two"]


def test_the_first_look_may_show_less_than_it_reads() -> None:
    hosts = LogHosts({"a": [stamped(n, str(n)) for n in range(9)]})
    follower = Follower(hosts, [HEAD], 100)
    assert [line.text for line in follower.poll(most=2)[0]] == ["7", "8"]
    hosts.logs["a"].append(stamped(9, "9"))
    assert [line.text for line in follower.poll()[0]] == ["9"]
    assert Follower(hosts, [HEAD], 100).poll(most=0) == ([], [])


def test_lines_that_rushed_past_are_said_to_be_missing() -> None:
    hosts = LogHosts({"a": [stamped(1, "one")]})
    follower = Follower(hosts, [HEAD], 3)
    follower.poll()
    hosts.logs["a"] = [stamped(n, str(n)) for n in range(2, 12)]
    lines, troubles = follower.poll()
    assert [line.text for line in lines] == ["9", "10", "11"]
    assert troubles == [(HEAD, "wrote more than 3 lines at once; some are missing")]


def test_a_host_that_is_gone_is_told_once_and_again_after_it_came_back() -> None:
    hosts = LogHosts({"a": [stamped(1, "one")], "b": [stamped(1, "b")]}, down={"b"})
    follower = Follower(hosts, [HEAD, WORKER], 10)
    assert follower.poll()[1] == [(WORKER, "b: no route")]
    assert follower.poll()[1] == []
    hosts.down = set()
    assert [line.text for line in follower.poll()[0]] == ["b"]
    hosts.down = {"b"}
    assert follower.poll()[1] == [(WORKER, "b: no route")]


def test_what_the_runtime_complains_of_is_no_log_line() -> None:
    assert batch_of(Result(1, b"Error: No such container: x\n", b"", 0)) == Batch(
        error="Error: No such container: x"
    )
    assert batch_of(None).error == "no answer"
    assert batch_of(Result(3, b"", b"", 0)).error == "exit 3"


def test_a_cut_first_line_is_dropped() -> None:
    assert batch_of(Result(0, b"ut line\nwhole\n", b"", 0, truncated=True)).lines == ("whole",)


def test_no_log_moves_the_cursor() -> None:
    line = split(HEAD, stamped(1, "\x1b[31mred\x1b[0m \x1b]0;title\x07 \x9b2J\rover"))
    assert line.text == "red   2J over"


def test_nanoseconds_and_offsets_are_read() -> None:
    utc = split(HEAD, "2026-01-01T00:00:01.123456789Z x").at
    assert utc == split(HEAD, "2026-01-01T01:00:01.123456789+01:00 x").at
    assert split(HEAD, "2026 is a year").at is None


@given(st.lists(st.sampled_from("ab"), max_size=12), st.integers(0, 12), st.integers(1, 12))
def test_what_is_fresh_continues_what_was(log: list[str], seen: int, window: int) -> None:
    before, now = log[:seen][-window:], log[-window:]
    new, gap = fresh(before, now)
    if not gap:
        assert [*before, *new][-len(now) :] == now or not now


@given(st.lists(st.tuples(st.sampled_from([HEAD, WORKER]), st.none() | st.floats(0, 9))))
def test_merging_loses_nothing_and_keeps_each_ranks_order(
    given_lines: list[tuple[Source, float | None]],
) -> None:
    lines = [Line(source, at, str(n)) for n, (source, at) in enumerate(given_lines)]
    for source in (HEAD, WORKER):
        mine = [line for line in lines if line.source == source]
        assert [line for line in merged(lines) if line.source == source] == mine
    assert len(merged(lines)) == len(lines)
