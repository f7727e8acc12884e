"""Data parallel over two hosts with real vLLM: one API, and both hosts' engines answer; native, and on Ray."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.lab.conftest import Lab
from tests.lab.site import Site, changed

pytestmark = [pytest.mark.lab, pytest.mark.timeout(1500)]

ENGINE_SECONDS = 600
TOKENS = 24
ASKED = 8  # at once, so that one engine alone would have to queue them
CLUSTER = """\
version: 1
name: dp
inventory: inventory.yaml
deployments:
  tiny: {profile: own, hosts: [spark-1, spark-2], parallel: {data: 2}, gate: {rdma: "off"}, port: 8000}
"""
# One process of the API server is enough here: each more is half a gigabyte.
PROFILE = "version: 1\nextends: {}\nargs: {{api-server-count: 1}}\n"
DONE = re.compile(r'^vllm:request_success_total\{.*engine="(\d)".*\} ([\d.]+)$', re.M)


def ask(site: Site, number: int) -> int:
    """Tokens of an answer; the model is random, and may have nothing else to say."""
    body = {"model": "tiny", "prompt": f"{number} hello", "max_tokens": TOKENS, "ignore_eos": True}
    url = f"http://{site.lab.address('spark-1')}:8000/v1/completions"
    reply = httpx.post(url, json=body, timeout=120, trust_env=False).raise_for_status()
    return int(reply.json()["usage"]["completion_tokens"])


def served(site: Site) -> dict[str, float]:
    """Engine → requests that it has finished."""
    url = f"http://{site.lab.address('spark-1')}:8000/metrics"
    found: dict[str, float] = {}
    for engine, value in DONE.findall(httpx.get(url, timeout=60, trust_env=False).text):
        found[engine] = found.get(engine, 0) + float(value)
    return found


@pytest.mark.parametrize("profile", ["lab-vllm-native", "lab-vllm"])
def test_both_hosts_answer_behind_one_api(lab: Lab, tmp_path: Path, profile: str) -> None:
    site = Site(lab, tmp_path, "dp")
    site.write("cluster.yaml", CLUSTER)
    site.write("profiles/own.yaml", PROFILE.format(profile))
    try:
        site.orch("up", timeout=ENGINE_SECONDS)
        before = served(site)
        assert set(before) == {"0", "1"}
        with ThreadPoolExecutor(ASKED) as pool:
            told = list(pool.map(lambda number: ask(site, number), range(ASKED)))
        assert told == [TOKENS] * ASKED
        after = served(site)
        assert all(after[engine] > before[engine] for engine in before), (before, after)
        assert changed(site.events("up")) == []
    finally:
        site.orch("down")
    assert site.ranks() == {}
