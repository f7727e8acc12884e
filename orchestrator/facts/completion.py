"""A port that is open and a `/health` that says 200 are not an answer; only streamed tokens are."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from orchestrator.errors import Unknown
from orchestrator.facts.probe import json_of, reading, text_of, whole
from orchestrator.question import question
from orchestrator.script import Request, Result, secret_mark

PROMPT = "Say hello in one short sentence."
TEXT_FIELDS = ("content", "reasoning", "reasoning_content")  # which one depends on the engine's age


@dataclass(frozen=True)
class Answer:
    """What came back: tokens, or why there are none."""

    tokens: int
    text: str = ""
    status: int = 0  # HTTP; 0: no connection
    why: str = ""

    @property
    def answered(self) -> bool:
        return self.tokens > 0

    @property
    def hopeless(self) -> bool:
        """The server understood and refuses: asking again gives the same."""
        return self.tokens == 0 and self.status in (400, 401, 403, 404, 405, 422, 501)


class ToApi(Protocol):
    """A question to an engine's API. `key`: the name of the secret that is the API key; "": it has none."""

    @property
    def port(self) -> int: ...
    @property
    def address(self) -> str: ...
    @property
    def key(self) -> str: ...
    @property
    def timeout(self) -> float: ...


def post(to: ToApi, path: str, body: Mapping[str, Any]) -> Request:
    """JSON to a path of the API."""
    headers = [("Content-Type", "application/json")]
    if to.key:
        headers.append(("Authorization", f"Bearer {secret_mark(to.key)}"))
    return Request(
        to.port,
        path,
        body=json.dumps(body).encode(),
        address=to.address,
        headers=tuple(headers),
        timeout=to.timeout,
    )


@question
class Completion:
    """One small streamed chat completion. `key`: the name of the secret that is the API key."""

    port: int
    model: str
    address: str = "127.0.0.1"
    key: str = ""
    max_tokens: int = 8
    prompt: str = PROMPT
    timeout: float = 120

    def ask(self) -> Request:
        body = {
            "model": self.model,
            "messages": [{"role": "user", "content": self.prompt}],
            "max_tokens": self.max_tokens,
            "temperature": 0,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        return post(self, "/v1/chat/completions", body)

    def parse(self, results: Mapping[str, Result]) -> Answer:
        result = results.get("http")
        if result is None:
            raise Unknown("completion: no answer")
        if result.rc != 200:
            return Answer(0, status=result.rc, why=why(result))
        return from_stream(result.text)


def why(result: Result) -> str:
    """Why a request gave nothing: what the server says, or that there is none."""
    if result.rc == 0:
        return result.err.decode(errors="replace").strip() or "no connection"
    try:
        said = json_of(result.text)
    except ValueError:
        return f"HTTP {result.rc}: {result.text.strip()[:300]}"
    error = said.get("error", said.get("detail", said)) if isinstance(said, dict) else said
    message = _message(error)
    return f"HTTP {result.rc}: {message}"


def events(text: str) -> Iterator[dict[str, Any]]:
    """The JSON objects of a server-sent event stream; comments and the end mark are skipped."""
    for line in text.splitlines():
        data = line.removeprefix("data:").strip()
        if not line.startswith("data:") or data == "[DONE]":
            continue
        try:
            found = json_of(data)
        except ValueError as cut:
            raise Unknown(f"completion: the stream can't be read: {data[:80]!r}") from cut
        if isinstance(found, dict):
            yield found


def from_stream(text: str) -> Answer:
    """Tokens by the server's own count where it gives one, else by the pieces that held text."""
    pieces: list[str] = []
    counted = 0
    with reading("completion"):
        for event in events(text):
            if event.get("error"):
                return Answer(0, status=200, why=_message(event["error"]))
            usage = event.get("usage") or {}
            counted = max(counted, whole(usage.get("completion_tokens", 0)))
            for choice in event.get("choices") or []:
                delta = choice.get("delta") or {}
                pieces += [text_of(delta[name]) for name in TEXT_FIELDS if delta.get(name)]
    tokens = counted or len(pieces)
    why = "" if tokens else "the stream ended without a token"
    return Answer(tokens, "".join(pieces), status=200, why=why)


def _message(error: object) -> str:
    """What a server calls an error: text, or an object with a message."""
    return str(error.get("message", error) if isinstance(error, dict) else error)[:300]
