"""Asks an OpenAI-compatible endpoint a question and prints the answer as it comes.

python scripts/ask.py http://10.77.0.11:8000 "hello"
"""

from __future__ import annotations

import json
import sys
import time

import httpx


def ask(url: str, question: str, model: str | None = None) -> tuple[str, float, float]:
    """The answer, seconds to its first piece, and seconds in all."""
    with httpx.Client(base_url=url, timeout=120, trust_env=False) as client:
        if model is None:
            model = client.get("/v1/models").raise_for_status().json()["data"][0]["id"]
        body = {
            "model": model,
            "messages": [{"role": "user", "content": question}],
            "max_tokens": 16,
            "temperature": 0,
            "stream": True,
        }
        began = time.monotonic()
        first = 0.0
        said = ""
        with client.stream("POST", "/v1/chat/completions", json=body) as reply:
            reply.raise_for_status()
            for line in reply.iter_lines():
                piece = _content(line)
                if not piece:
                    continue
                first = first or time.monotonic() - began
                said += piece
                sys.stdout.write(json.dumps(piece, ensure_ascii=False)[1:-1])
                sys.stdout.flush()
        sys.stdout.write("\n")
        return said, first, time.monotonic() - began


def _content(line: str) -> str:
    if not line.startswith("data: ") or line == "data: [DONE]":
        return ""
    choices = json.loads(line[6:]).get("choices") or [{}]
    return str(choices[0].get("delta", {}).get("content") or "")


if __name__ == "__main__":
    answer, first_s, all_s = ask(sys.argv[1], sys.argv[2])
    if not answer:
        sys.exit("no answer came")
    sys.stderr.write(f"(first token after {first_s:.2f} s, all after {all_s:.2f} s)\n")
