"""Replicas on a real host: one deployment twice, ports counted up, an embedding server beside each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.lab.conftest import Lab
from tests.lab.site import Site, changed

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]

CLUSTER = """\
version: 1
name: r
inventory: inventory.yaml
deployments:
  chat: {profile: lab-llama, hosts: [spark-1], replicas: {per: gpu, count: 2}, port: {from: 8080}}
  vec: {profile: vectors, with: chat, port: {from: 8090}}
"""
VECTORS = "version: 1\nextends: lab-llama\nserved_name: vec\ntask: embed\nargs: {pooling: mean}\n"


@pytest.fixture
def site(lab: Lab, tmp_path: Path) -> Iterator[Site]:
    one = Site(lab, tmp_path, "r")
    one.write("cluster.yaml", CLUSTER)
    one.write("profiles/vectors.yaml", VECTORS)
    inventory = yaml.safe_load((tmp_path / "inventory.yaml").read_text())
    inventory["hosts"]["spark-1"]["gpus"] = 2
    one.write("inventory.yaml", yaml.safe_dump(inventory))
    try:
        yield one
    finally:
        one.orch("down", rc=None)


def ask(site: Site, port: int, path: str, **body: object) -> dict[str, Any]:
    url = f"http://{site.lab.address('spark-1')}:{port}{path}"
    reply = httpx.post(url, json=body, timeout=30, trust_env=False).raise_for_status()
    said: dict[str, Any] = reply.json()
    return said


def test_each_replica_answers_and_so_does_what_stands_beside_it(site: Site) -> None:
    events = site.events("up")
    ranks = {f"{one}-{number}/rank/0" for one in ("chat", "vec") for number in (0, 1)}
    assert ranks <= set(changed(events))
    served = {one["deployment"]: one["url"] for one in events[-1]["data"]["served"]}
    ports = {name: int(url.rsplit(":", 1)[1]) for name, url in served.items()}
    assert ports == {"chat-0": 8080, "chat-1": 8081, "vec-0": 8090, "vec-1": 8091}
    for port in (8080, 8081):
        message = {"role": "user", "content": "hello"}
        body: dict[str, Any] = {"messages": [message], "max_tokens": 24, "temperature": 0}
        said = ask(site, port, "/v1/chat/completions", **body)
        assert said["model"] == "tiny"
        assert said["choices"]
    for port in (8090, 8091):
        said = ask(site, port, "/v1/embeddings", model="vec", input="hello")
        assert [len(one["embedding"]) > 1 for one in said["data"]] == [True]
    assert changed(site.events("up")) == []
    site.lab.run("spark-1", ["docker", "kill", "orch-r-chat-1-0"])
    did = changed(site.events("up"))
    assert "chat-1/rank/0" in did
    assert not {"chat-0/rank/0", "vec-0/rank/0", "vec-1/rank/0"} & set(did)  # the others served on
    site.orch("down")
    label = ["docker", "ps", "-aq", "--filter", "label=orch.cluster=r"]
    assert site.lab.run("spark-1", label).stdout == ""
