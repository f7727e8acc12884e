"""What counts as an answer, and what does not; nothing that a server sends makes the reader fall over."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import Unknown
from orchestrator.facts.completion import Answer, Completion, from_stream
from orchestrator.facts.rank_log import RankLog, ReadRankLog
from orchestrator.script import Request, Result

QUERY = Completion(port=8000, model="m", key="vl/api_key")


def stream(*events: object) -> str:
    return "".join(f"data: {json.dumps(one)}\n\n" for one in events) + "data: [DONE]\n\n"


def delta(**fields: object) -> dict[str, object]:
    return {"choices": [{"delta": fields}]}


def answer(status: int, body: bytes = b"", error: bytes = b"") -> Answer:
    return QUERY.parse({"http": Result(status, body, error, 0.1)})


def test_the_question_is_small_streamed_and_its_key_is_a_mark() -> None:
    request = QUERY.ask()
    assert isinstance(request, Request)
    body = json.loads(request.body)
    assert body["stream"] is True
    assert body["max_tokens"] == 8
    assert ("Authorization", "Bearer \x02secret:vl/api_key\x03") in request.headers


def test_tokens_are_counted_by_the_server_or_by_pieces() -> None:
    text = stream(delta(role="assistant"), delta(content="a"), delta(content="b"))
    assert from_stream(text) == Answer(2, "ab", 200)
    usage = {"choices": [], "usage": {"completion_tokens": 8}}
    assert from_stream(stream(delta(content="a"), usage)).tokens == 8


@pytest.mark.parametrize("field", ["content", "reasoning", "reasoning_content"])
def test_thinking_is_answering(field: str) -> None:
    assert from_stream(": ping\r\n\r\n" + stream(delta(**{field: "x"}))).tokens == 1


@pytest.mark.parametrize("text", ["", "data: [DONE]\n\n", stream(delta(content="")), "<html>"])
def test_a_stream_without_a_token_is_no_answer(text: str) -> None:
    assert from_stream(text) == Answer(0, "", 200, "the stream ended without a token")


def test_an_error_in_the_stream_is_no_answer() -> None:
    text = stream(delta(content="a"), {"error": {"message": "EngineDeadError", "code": 500}})
    assert from_stream(text) == Answer(0, "", 200, "EngineDeadError")


def test_refusals_are_hopeless_and_the_rest_is_waited_for() -> None:
    refused = answer(404, b'{"error": {"message": "The model `m` does not exist."}}')
    assert refused.why == "HTTP 404: The model `m` does not exist."
    assert refused.hopeless
    assert not answer(503, b'{"error":{"code":503,"message":"Loading model"}}').hopeless
    assert answer(0, error=b"connection refused") == Answer(0, "", 0, "connection refused")
    assert answer(500, b"<h1>no</h1>").why == "HTTP 500: <h1>no</h1>"


def test_a_cut_stream_can_not_be_read() -> None:
    with pytest.raises(Unknown):
        from_stream('data: {"choices": [{"del')


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["choices", "delta", "usage", "content", "completion_tokens", "error"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)


@given(st.lists(JSON, max_size=4), st.text(max_size=20))
def test_nothing_makes_it_fall_over(events: list[object], noise: str) -> None:
    try:
        found = from_stream(noise + "\n" + stream(*events))
    except Unknown:
        return
    assert found.tokens >= 0


@given(st.integers(0, 599), st.binary(max_size=40))
def test_no_status_and_no_body_makes_it_fall_over(status: int, body: bytes) -> None:
    try:
        answer(status, body)
    except Unknown:
        return


def log(rc: int, text: str, *, truncated: bool = False) -> RankLog:
    query = ReadRankLog("n")
    return query.parse({"log": Result(rc, text.encode(), b"", 0.1, truncated)})


def test_a_log_is_its_lines_and_the_last_ones_time() -> None:
    found = log(0, "2026-01-01T00:00:01Z one\n2026-01-01T00:00:02Z two words\n")
    assert found == RankLog(True, ("one", "two words"), "2026-01-01T00:00:02Z")
    assert found.last == "two words"
    assert log(0, "") == RankLog(True)
    assert log(0, "cut off\nt2 b\n", truncated=True).lines == ("b",)


def test_what_a_rank_reads_from_disks_is_progress_too() -> None:
    def loaded(text: str, rc: int = 0) -> int:
        results = {
            "log": Result(0, b"t1 loading", b"", 0.1),
            "loaded": Result(rc, text.encode(), b"", 0.1),
        }
        return ReadRankLog("n").parse(results).loaded

    stat = "8:0 rbytes={} wbytes=1 rios=5\n259:0 rbytes=67108864 wbytes=0 rios=1\n"
    assert [loaded(stat.format(size)) for size in (0, 4_096, 67_108_864)] == [1, 1, 2]
    assert loaded("") == loaded("rbytes=x") == loaded(stat, rc=1) == 0


def test_docker_is_asked_for_an_id_only_where_the_kernel_counts_for_containers(
    tmp_path: Path,
) -> None:
    docker, cgroups = tmp_path / "docker", tmp_path / "cgroup"
    docker.write_text(f"#!/bin/sh\necho asked >>{tmp_path}/asked\necho abc\n")
    docker.chmod(0o755)
    asks = ReadRankLog("n").ask().commands["loaded"].sh.replace("/sys/fs/cgroup", str(cgroups))

    def told() -> str:
        path = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
        argv = ["sh", "-c", asks]
        return subprocess.run(argv, env=path, check=True, capture_output=True, text=True).stdout

    assert told() == ""
    assert not (tmp_path / "asked").exists()
    for one in ("abc", "def"):
        folder = cgroups / "system.slice" / f"docker-{one}.scope"
        folder.mkdir(parents=True)
        (folder / "io.stat").write_text(f"8:0 rbytes={one}\n")
    assert told() == "8:0 rbytes=abc\n"
    assert (tmp_path / "asked").read_text() == "asked\n"


def test_a_container_that_is_not_there_has_no_log_and_anything_else_is_unknown() -> None:
    assert log(1, "Error response from daemon: No such container: n\n") == RankLog(False)
    with pytest.raises(Unknown):
        log(1, "Cannot connect to the Docker daemon\n")
    with pytest.raises(Unknown):
        log(124, "")
