"""vLLM without Ray in other sizes: a pipeline over two hosts, tensor × pipeline over four; real, on CPUs.

The same weights in llama.cpp on one host, up in a second, say what the answer must be: layers or halves of matrices
that got lost between hosts would make it another.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import httpx
import pytest

from tests.lab.conftest import Lab, running_lab
from tests.lab.site import Site

pytestmark = [pytest.mark.lab, pytest.mark.timeout(1500)]

ENGINE_SECONDS = 600
HOSTS = tuple(f"spark-{number}" for number in range(1, 5))
QUESTIONS = ("hello", "What is a cable?", "1 2 3 4")
CLUSTER = """\
version: 1
name: sizes
inventory: inventory.yaml
deployments:
  tiny: {{profile: {profile}, hosts: [{hosts}], parallel: {parallel}, gate: {{rdma: "off"}}, port: 8000}}
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Four hosts at a switch, in a lab of their own."""
    folder = tmp_path_factory.mktemp("lab")
    with running_lab(folder, f"n{os.getpid()}", HOSTS, "switch") as four:
        yield Site(four, tmp_path_factory.mktemp("sizes"), "sizes")


@pytest.fixture(scope="module")
def wanted(site: Site) -> list[str]:
    """What llama.cpp says with the same weights on one host."""
    said = brought_up(site, "lab-llama", 1, "{}")
    assert all(said)
    assert len(set(said)) == len(QUESTIONS)  # a model that heard the question
    return said


def brought_up(site: Site, profile: str, hosts: int, parallel: str) -> list[str]:
    """Up, asked, down; what it said."""
    names = ", ".join(HOSTS[:hosts])
    site.write("cluster.yaml", CLUSTER.format(profile=profile, hosts=names, parallel=parallel))
    try:
        site.orch("up", timeout=ENGINE_SECONDS)
        assert set(site.ranks()) == set(HOSTS[:hosts])
        return [ask(site.lab, question) for question in QUESTIONS]
    finally:
        site.orch("down")
        assert site.ranks() == {}


def ask(lab: Lab, question: str) -> str:
    body = {
        "model": "tiny",
        "messages": [{"role": "user", "content": question}],
        "max_tokens": 24,
        "temperature": 0,
    }
    url = f"http://{lab.address('spark-1')}:8000/v1/chat/completions"
    reply = httpx.post(url, json=body, timeout=120, trust_env=False).raise_for_status()
    return str(reply.json()["choices"][0]["message"]["content"])


@pytest.mark.parametrize(
    ("hosts", "parallel"),
    [(2, "{pipeline: 2}"), (4, "{tensor: 2, pipeline: 2}")],
    ids=["pipeline-2", "tensor-2-pipeline-2"],
)
def test_it_says_what_one_host_says(
    site: Site, wanted: list[str], hosts: int, parallel: str
) -> None:
    assert brought_up(site, "lab-vllm-native", hosts, parallel) == wanted
