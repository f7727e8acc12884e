"""Asks an OpenAI API for one token after a prompt of about so many tokens, or for its vector, once for each size.

The key is on stdin. Runs on a host with whatever Python it has, or in the rank's container. A prompt that is refused is
told and passed over; a server that is gone is a failure.
"""

import json
import sys
import time
import urllib.error
import urllib.request


def say(text):
    print(text, flush=True)  # noqa: T201


def body_of(model, kind, size):
    prompt = "hello " * size
    if kind == "embeddings":
        return {"model": model, "input": prompt}
    return {"model": model, "prompt": prompt, "max_tokens": 1, "temperature": 0}


def ask(url, body, key, size):
    request = urllib.request.Request(url, json.dumps(body).encode())  # noqa: S310
    request.add_header("Content-Type", "application/json")
    if key:
        request.add_header("Authorization", "Bearer " + key)
    began = time.monotonic()
    try:
        with urllib.request.urlopen(request, timeout=3600) as reply:  # noqa: S310
            used = json.load(reply).get("usage", {}).get("prompt_tokens", "?")
    except urllib.error.HTTPError as refused:
        say(f"{size} tokens: HTTP {refused.code}: {refused.read(300).decode(errors='replace')}")
    else:
        say(f"{used} tokens in {time.monotonic() - began:.2f} s")


def main():
    address, port, model, kind = sys.argv[1:5]
    key = sys.stdin.readline().strip()
    for size in map(int, sys.argv[5:]):
        ask(f"http://{address}:{port}/v1/{kind}", body_of(model, kind, size), key, size)


main()
