"""The two layers of supervision with real Ray and real docker; a small program stands for the engine.

vLLM itself takes minutes on two cores, and is tested elsewhere; what restarts whom does not depend on it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.lab.conftest import Lab
from tests.lab.site import Site, changed

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]

HEAD, WORKER = "orch-t-tiny-0", "orch-t-tiny-1"
# Serves one streamed token, refuses --bogus as vLLM does though its help lists it, and notes each start.
ENGINE = """
import json, os, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
if any(word.startswith("--help") for word in sys.argv):
    names = "bogus host port served-model-name tensor-parallel-size pipeline-parallel-size "
    names += "distributed-executor-backend dtype max-model-len max-num-seqs kv-cache-memory-bytes "
    names += "compilation-config enforce-eager"
    print("".join(f"  --{name} VALUE\\n" for name in names.split()))
    sys.exit(0)
if "--bogus" in sys.argv:
    sys.stderr.write("engine: error: unrecognized arguments: --bogus\\n")
    sys.exit(2)
with open("/orch/starts", "a") as file:
    file.write("x\\n")
class Api(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.end_headers()
        part = {"choices": [{"delta": {"content": "hi"}}]}
        self.wfile.write(f"data: {json.dumps(part)}\\n\\ndata: [DONE]\\n\\n".encode())
    def log_message(self, *_):
        pass
HTTPServer(("0.0.0.0", int(sys.argv[sys.argv.index("--port") + 1])), Api).serve_forever()
"""
PROFILE = """
version: 1
extends: lab-vllm
commands: {vllm: python3 -u /engine.py}
args: ARGS
mounts:
  - {from: /usr, to: /usr, read_only: true}
  - {from: /etc, to: /etc, read_only: true}
  - {from: /opt/orch-lab, to: /opt/orch-lab, read_only: true}
  - {from: /models, to: /models, read_only: true}
  - {from: ./engine.py, to: /engine.py, read_only: true, sync: true}
"""
CLUSTER = """
version: 1
name: t
inventory: inventory.yaml
deployments:
  tiny: {profile: stand-in, hosts: [spark-1, spark-2], parallel: {tensor: 2}, port: 8000, gate: {rdma: "off"}}
"""


@pytest.fixture
def site(lab: Lab, tmp_path: Path) -> Iterator[Site]:
    one = Site(lab, tmp_path)
    one.write("cluster.yaml", CLUSTER)
    one.write("profiles/stand-in.yaml", PROFILE.replace("ARGS", "{}"))
    one.write("profiles/engine.py", ENGINE)
    try:
        yield one
    finally:
        one.orch("down", rc=None)


def log(site: Site, host: str, name: str) -> str:
    done = site.lab.run(host, ["docker", "logs", name], check=False)
    return done.stdout + done.stderr


def starts(site: Site) -> int:
    """How often the engine was started in this head container."""
    done = site.lab.run("spark-1", ["docker", "exec", HEAD, "cat", "/orch/starts"], check=False)
    return done.stdout.count("x")


def crash(site: Site, host: str, name: str) -> None:
    """As a crash looks to docker; `docker kill` would count as the user's wish."""
    form = "{{.State.Pid}}"
    pid = site.lab.run(host, ["docker", "inspect", "-f", form, name]).stdout.strip()
    site.lab.run(host, ["sudo", "kill", "-9", pid])


def until(what: Callable[[], bool], seconds: float = 180) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline
        time.sleep(1)


def test_a_gang_on_ray_comes_back_whole_after_readiness_and_not_before(site: Site) -> None:
    events = site.events("up")
    done = changed(events)
    assert done.index("tiny/rank/0") < done.index("tiny/supervise/0")
    assert "gang complete: 2 nodes, 2 GPUs" in log(site, "spark-1", HEAD)
    assert changed(site.events("up")) == []

    crash(site, "spark-2", WORKER)
    until(lambda: "lost rank: spark-2" in log(site, "spark-1", HEAD))
    until(lambda: starts(site) == 2)
    said = log(site, "spark-1", HEAD)
    assert said.count("gang complete: 2 nodes, 2 GPUs") == 2  # through the barrier again
    assert changed(site.events("up")) == []  # by itself, and still what the files say

    crash(site, "spark-1", HEAD)
    until(lambda: log(site, "spark-1", HEAD).count("gang complete") == 3)
    until(lambda: log(site, "spark-2", WORKER).count("joining as") >= 3)
    until(lambda: starts(site) == 3)


def test_a_bad_flag_fails_at_once_with_the_engines_own_words(site: Site) -> None:
    site.write("profiles/stand-in.yaml", PROFILE.replace("ARGS", "{bogus: true}"))
    failed = site.orch("up", rc=1)
    assert "unrecognized arguments: --bogus" in failed.stdout + failed.stderr
    assert "ended with code 2" in failed.stdout + failed.stderr
    assert site.ranks() == {}  # what it had started is stopped


def test_a_taken_port_is_refused_before_anything_starts(site: Site) -> None:
    listen = ["systemd-run", "--user", "--unit=taken", "python3", "-m", "http.server", "6379"]
    sudo = ["sudo", *[word for word in listen if word != "--user"]]
    site.lab.run("spark-1", sudo)
    try:
        refused = site.orch("up", rc=4)
        assert "6379 by python3" in refused.stdout + refused.stderr
        assert site.ranks() == {}
    finally:
        site.lab.run("spark-1", ["sudo", "systemctl", "stop", "taken"])


def test_an_image_that_no_registry_has_is_copied_host_to_host(site: Site) -> None:
    build = "printf 'FROM orch-lab/host-tree:latest\nENV A=b\n' | docker build -q -t only-here:1 -"
    site.lab.run("spark-1", ["sh", "-c", build])
    own = PROFILE.replace("ARGS", "{}") + "image: only-here:1\n"
    site.write("profiles/stand-in.yaml", own)
    try:
        assert "tiny/image/spark-2" in changed(site.events("up"))
        form = ["docker", "image", "inspect", "-f", "{{.Id}}", "only-here:1"]
        assert site.lab.run("spark-1", form).stdout == site.lab.run("spark-2", form).stdout
    finally:
        site.orch("down", rc=None)
        for host in site.lab.hosts:
            site.lab.run(host, ["docker", "rmi", "-f", "only-here:1"], check=False)
