"""The image's own `--help` has the last word: llama-server's decides how things are said, or refuses them.

One gang for all: what is refused leaves it serving.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import httpx
import pytest

from tests.lab.conftest import Lab
from tests.lab.site import Site, changed

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]
OWN = """\
version: 1
extends: lab-llama
by_version: {unknown: {args: {no-mmap: true}}}
args: {flash-attn: true}
"""


@pytest.fixture(scope="module")
def served(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(lab, tmp_path_factory.mktemp("arguments"))
    site.write("profiles/own.yaml", OWN)
    text = (site.folder / "cluster.yaml").read_text().replace("lab-llama", "own")
    site.write("cluster.yaml", text)
    lab.run("spark-1", ["rm", "-rf", ".cache/orch/programs"])  # another file's test may have asked
    try:
        assert "tiny/arguments/spark-1" in changed(site.events("up"))
        yield site
    finally:
        site.orch("down", rc=None)


def entry(site: Site) -> str:
    """The head's script, as its container has it."""
    return site.lab.run(
        "spark-1", ["docker", "exec", "orch-t-tiny-0", "cat", "/orch/entry.sh"]
    ).stdout


def answers(site: Site) -> bool:
    url = f"http://{site.lab.address('spark-1')}:8000/v1/chat/completions"
    question = [{"role": "user", "content": "hello"}]
    body = {"model": "tiny", "messages": question, "max_tokens": 4, "temperature": 0}
    reply = httpx.post(url, json=body, timeout=60, trust_env=False).raise_for_status()
    return bool(reply.json()["choices"])


def test_things_are_said_as_this_build_takes_them(served: Site) -> None:
    last = entry(served).splitlines()[-1]
    assert " --load-mode none" in last
    assert "mmap" not in last
    assert " --flash-attn on " in last
    assert last.endswith(" --fit off"), "-ngl is said, so that nothing is fitted"
    assert answers(served)


def test_both_ends_say_which_rpc_they_speak(served: Site) -> None:
    for host in ("spark-1", "spark-2"):
        kept = served.lab.run(host, ["sh", "-c", "cat ~/.cache/orch/programs/*"]).stdout
        assert re.search(r"^yes rpc \d+\.\d+\.\d+$", kept, re.MULTILINE), kept


def test_it_is_read_once(served: Site) -> None:
    before = served.ranks()
    assert changed(served.events("up")) == []
    assert served.ranks() == before
    again = changed(served.events("up", "--set", "tiny.args.batch-size=64"))
    assert "tiny/rank/0" in again
    assert "tiny/arguments/spark-1" not in again


def test_what_it_has_not_is_refused_before_the_old_gang_stops(served: Site) -> None:
    before = served.ranks()
    sets = ("--set", "tiny.args.no-such-flag=1", "--set", "tiny.args.bath-size=64")
    events = served.events("up", *sets, rc=4)
    (said,) = (one for one in events if one["kind"] == "gate-refused")
    assert (
        "llama-server in orch-lab/host-tree:latest has no --no-such-flag, --bath-size"
        in said["text"]
    )
    assert said["host"] == "spark-1"
    assert served.ranks() == before
    assert answers(served)
    hint = served.orch("plan", "--json", "--set", "tiny.args.bath-size=64", rc=4).stdout
    assert "did you mean --batch-size?" in json.dumps(json.loads(hint))
