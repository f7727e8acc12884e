"""What counts as an embedding server's answer, and what does not."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import Unknown
from orchestrator.facts.completion import Answer
from orchestrator.facts.embedding import Embedding, from_reply
from orchestrator.script import Request, Result

QUERY = Embedding(port=8090, model="m", key="vec/api_key")


def reply(*vectors: object, **more: object) -> str:
    return json.dumps({"data": [{"embedding": one} for one in vectors], **more})


def test_the_question_is_one_word_and_its_key_is_a_mark() -> None:
    request = QUERY.ask()
    assert isinstance(request, Request)
    assert request.path == "/v1/embeddings"
    assert json.loads(request.body) == {"model": "m", "input": "hello"}
    assert ("Authorization", "Bearer \x02secret:vec/api_key\x03") in request.headers


def test_a_vector_is_an_answer() -> None:
    said = reply([0.5, 0, -1.5], usage={"prompt_tokens": 3})
    assert from_reply(said) == Answer(3, "a vector of 3 numbers", 200)
    assert from_reply(reply([1])).tokens == 1  # a server that counts nothing


@pytest.mark.parametrize(
    "text",
    [
        '{"data": []}',
        reply([]),
        reply([0, 0.0]),
        reply([True, 1]),
        reply(["1"]),
        reply("0.1"),
        reply(None),
        '{"data": [{"embedding": [NaN]}]}',
        '{"data": [{"embedding": [1, Infinity]}]}',
    ],
)
def test_no_vector_is_no_answer(text: str) -> None:
    try:
        answer = from_reply(text)
    except Unknown:
        return
    assert answer.tokens == 0


@pytest.mark.parametrize("text", ["", "<html>", "[]", '{"data": 3}', '{"data": [3]}', "{}"])
def test_what_cannot_be_read_is_unknown(text: str) -> None:
    with pytest.raises(Unknown):
        from_reply(text)


def test_a_server_that_does_not_embed_says_so_at_once() -> None:
    """llama-server without --embedding: 501."""
    error = b'{"error": {"message": "This server does not support embeddings", "code": 501}}'
    answer = QUERY.parse({"http": Result(501, error, b"", 0.1)})
    assert answer.hopeless
    assert "does not support embeddings" in answer.why
    loading = QUERY.parse({"http": Result(503, b"{}", b"", 0.1)})
    assert not loading.hopeless
    assert not loading.tokens


def test_nothing_asked_is_unknown() -> None:
    with pytest.raises(Unknown):
        QUERY.parse({})


@given(st.text())
def test_nothing_that_a_server_sends_makes_the_reader_fall_over(text: str) -> None:
    with suppress(Unknown):
        assert from_reply(text).tokens == 0
