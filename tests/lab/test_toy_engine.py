"""CONTRIBUTING's six steps to the letter: a copy of orch, two files written into it, no other edited, and it serves.

Its server is a few lines that read the model's config.json: so what `patches:` makes of that is seen here too.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.lab.conftest import SET_UP_SECONDS, Lab
from tests.lab.site import ROOT, Site, changed
from tests.unit.test_contributing import block

pytestmark = [pytest.mark.lab, pytest.mark.timeout(SET_UP_SECONDS)]

SERVER = '''\
#!/usr/bin/env python3
"""A toy: it answers with what its model's configuration says, one word at a time."""
import argparse
import json
import pathlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

parser = argparse.ArgumentParser()
parser.add_argument("--model", required=True)
parser.add_argument("--port", type=int, required=True)
parser.add_argument("--greeting", action="append", default=[])
given = parser.parse_args()
config = json.loads((pathlib.Path(given.model) / "config.json").read_text())
said = [*given.greeting, str(config["rope_theta"]), config["model_type"]]


class Handler(BaseHTTPRequestHandler):
    def send(self, kind, content):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.end_headers()
        self.wfile.write(content)

    def do_GET(self):
        self.send("application/json", json.dumps({"data": [{"id": given.model}]}).encode())

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not asked.get("stream"):
            choices = [{"message": {"content": " ".join(said)}, "text": " ".join(said)}]
            self.send("application/json", json.dumps({"choices": choices}).encode())
            return
        parts = [
            json.dumps({"choices": [{"delta": {"content": word}, "text": word}]}) for word in said
        ]
        lines = "".join(f"data: {part}\\n\\n" for part in [*parts, "[DONE]"])
        self.send("text/event-stream", lines.encode())


ThreadingHTTPServer(("0.0.0.0", given.port), Handler).serve_forever()
'''
PROFILE = """\
version: 1
engine: textserve
model: /models/tiny-llama
image: orch-lab/host-tree:latest
args: {greeting: [hello, "a; b $HOME"]}
env: {PATH: "/opt/textserve:/usr/local/bin:/usr/bin:/bin"}
mounts:
  - {from: /usr, to: /usr, read_only: true}
  - {from: /etc, to: /etc, read_only: true}
  - {from: /models, to: /models, read_only: true}
  - {from: ./bin, to: /opt/textserve, read_only: true, sync: true}
patches: {config.json: {rope_theta: 10000000, text_config: {made: up}}}
"""
CLUSTER = """\
version: 1
name: c
inventory: inventory.yaml
deployments:
  toy: {profile: toy, hosts: [spark-1], port: 8020}
"""
ORIGINAL = "/models/tiny-llama/config.json"
FLAGS = "lists: {others: repeated}"


@dataclass
class Copy(Site):
    """`orch` from the copy, called as from a checkout."""

    @property
    def environment(self) -> dict[str, str]:
        return {**super().environment, "PYTHONPATH": str(self.folder / "checkout")}


def contributed(folder: Path) -> None:
    """Steps 2 and 3: two new files, where the text says."""
    for name in ("orchestrator", "profiles", "playbooks", "templates"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path, language in (("flags/textserve.yaml", "yaml"), ("engines/textserve.py", "python")):
        new = folder / "orchestrator" / path
        assert not new.exists()
        new.write_text(block(language))
    assert FLAGS in block("yaml")


@pytest.fixture
def site(lab: Lab, tmp_path: Path) -> Iterator[Copy]:
    contributed(tmp_path / "checkout")
    one = Copy(lab, tmp_path, "c")
    one.write("cluster.yaml", CLUSTER)
    one.write("profiles/toy.yaml", PROFILE)
    one.write("profiles/bin/textserve", SERVER).chmod(0o755)
    before = lab.inside("spark-1", f"cat {ORIGINAL}")
    try:
        yield one
    finally:
        one.orch("down", rc=None)
        lab.run("spark-1", ["sh", "-c", f"cat >{ORIGINAL}"], given=before)
        lab.inside("spark-1", "rm -rf /var/lib/orch/sync/c /var/lib/orch/patched/c")


def answer(site: Site) -> str:
    """What it says, asked from the host itself."""
    ask = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
    url = "http://127.0.0.1:8020/v1/chat/completions"
    words = ["curl", "-sf", "-H", "Content-Type: application/json", "-d", json.dumps(ask), url]
    reply = json.loads(site.lab.run("spark-1", words).stdout)
    return str(reply["choices"][0]["message"]["content"])


def overlays(site: Site) -> dict[str, dict[str, object]]:
    found = site.lab.inside("spark-1", "ls /var/lib/orch/patched/c").split()
    where = "/var/lib/orch/patched/c"
    return {name: json.loads(site.lab.inside("spark-1", f"cat {where}/{name}")) for name in found}


def test_it_serves_and_is_taken_down(site: Copy) -> None:
    original = site.lab.inside("spark-1", f"cat {ORIGINAL}")
    assert "textserve" in site.orch("check").stdout
    assert "--greeting 'a; b $HOME'" in site.orch("render").stdout
    first = changed(site.events("up"))
    assert {"toy/sync/spark-1/0", "toy/patches/spark-1/0", "toy/rank/0"} <= set(first)
    assert answer(site) == "hello a; b $HOME 10000000 llama"  # the model's own says 10000.0
    assert site.lab.inside("spark-1", f"cat {ORIGINAL}") == original
    ((name, there),) = overlays(site).items()
    assert there == {
        **json.loads(original),
        "rope_theta": 10000000,
        "text_config": {"made": "up"},
    }
    assert changed(site.events("up")) == []

    # another original: told by the plan, patched anew, and the rank is another one
    drifted = json.dumps({**json.loads(original), "model_type": "other"})
    site.lab.run("spark-1", ["sh", "-c", f"cat >{ORIGINAL}"], given=drifted)
    planned = site.orch("plan", "-v").stdout
    assert "make a patched config.json" in planned
    assert "toy/rank/0" in planned
    again = changed(site.events("up"))
    assert {"toy/patches/spark-1/0", "toy/rank/0"} <= set(again)
    assert answer(site) == "hello a; b $HOME 10000000 other"
    assert set(overlays(site)) > {name}

    # an original that is gone: refused by name, and what runs is left alone
    site.lab.run("spark-1", ["sh", "-c", f"rm {ORIGINAL}"])
    refused = site.orch("up", rc=4)
    assert f"{ORIGINAL}, which toy patches, is not there" in refused.stdout + refused.stderr
    assert answer(site) == "hello a; b $HOME 10000000 other"
    site.orch("down")
    assert site.ranks("toy") == {}
