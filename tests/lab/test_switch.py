"""`orch switch` on real hosts: there and back, and back to the old profile when the new one is broken.

llama.cpp over two hosts, so that a gang is up in a second; a second deployment beside it, which nobody touches.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.lab.conftest import Lab
from tests.lab.site import Site, changed, events_of

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]

CLUSTER = """\
# what shall run
version: 1
name: t
inventory: inventory.yaml
deployments:
  tiny:
    profile: small   # the one that works
    hosts: [spark-1, spark-2]
    gate: {rdma: "off"}
    port: 8000
  other: {profile: lab-llama, hosts: [spark-1], port: 8010, share_gpu: true}
"""
PROFILES = {
    "small": "served_name: small\n",
    "large": "served_name: large\nargs: {'-c': 2048}\n",
    "broken": "served_name: broken\nargs: {chat-template-file: /no/such/template}\n",
    "mute": "served_name: mute\ntask: embed\nargs: {pooling: none}\n",
    "absent": "served_name: absent\nmodel: /models/no-such.gguf\n",
    "imageless": "served_name: imageless\nimage: orch-lab/no-such-image:latest\n",
}


@pytest.fixture(scope="module")
def site(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Both deployments up; each test leaves `tiny` on the profile that the file names."""
    one = Site(lab, tmp_path_factory.mktemp("switch"))
    one.write("cluster.yaml", CLUSTER)
    for name, text in PROFILES.items():
        one.write(f"profiles/{name}.yaml", f"version: 1\nextends: lab-llama\n{text}")
    try:
        one.orch("up")
        yield one
    finally:
        one.orch("down", rc=None)


def model(site: Site, port: int = 8000) -> str:
    """The model that answers a real question."""
    url = f"http://{site.lab.address('spark-1')}:{port}/v1/chat/completions"
    message = {"role": "user", "content": "hello"}
    body = {"messages": [message], "max_tokens": 24, "temperature": 0}
    reply = httpx.post(url, json=body, timeout=30, trust_env=False).raise_for_status()
    return str(reply.json()["model"])


def text(site: Site) -> str:
    return (site.folder / "cluster.yaml").read_text(encoding="utf-8")


def told(event: Mapping[str, Any]) -> str:
    return str(event.get("text", ""))


def test_there_and_back_and_nobody_else_notices(site: Site) -> None:
    other, files = site.ranks("other"), sorted(path.name for path in site.folder.iterdir())
    before = site.ranks()
    assert model(site) == "small"
    did = changed(site.events("switch", "tiny", "large"))
    assert {"tiny/stop/spark-1", "tiny/stop/spark-2", "tiny/rank/0", "tiny/rank/1"} <= set(did)
    assert not [step for step in did if step.startswith("other/")]
    assert model(site) == "large"
    assert text(site) == CLUSTER.replace("profile: small ", "profile: large ")
    assert changed(site.events("up")) == []  # the files say what runs
    assert changed(site.events("switch", "tiny", "large")) == []
    after = site.ranks()
    assert all(after[host] != before[host] for host in before)
    assert site.orch("switch", "tiny", "small").stdout.count("small") >= 1
    assert (model(site), text(site)) == ("small", CLUSTER)
    assert (site.ranks("other"), model(site, 8010)) == (other, "tiny")
    assert sorted(path.name for path in site.folder.iterdir()) == files


def test_a_profile_that_does_not_answer_and_the_old_one_is_back(site: Site) -> None:
    other = site.ranks("other")
    events = site.events("switch", "tiny", "broken", rc=1)
    assert {"tiny/stop/spark-1", "back/tiny/rank/0", "back/tiny/rank/1"} <= set(changed(events))
    failed = [one for one in events if one["kind"] == "step-failed"]
    assert "ended with code 1" in " ".join(told(one) for one in failed)
    evidence = Path(events[-1]["data"]["evidence"])
    assert "template" in "".join(one.read_text() for one in evidence.rglob("*") if one.is_file())
    assert "tiny is back on small, which answers" in told(events[-1])
    assert [one["deployment"] for one in events[-1]["data"]["served"]] == ["tiny"]
    assert (model(site), text(site)) == ("small", CLUSTER)
    assert site.ranks("other") == other


def test_what_can_be_known_before_is_refused_before_the_old_one_is_touched(site: Site) -> None:
    before = site.ranks()
    missing = site.orch("switch", "tiny", "absent", rc=4).stdout
    assert "/models/no-such.gguf is missing on spark-1" in missing
    assert "nothing was touched: tiny stays on small" in missing
    pulled = site.orch("switch", "tiny", "imageless", rc=1).stdout
    assert "no-such-image" in pulled
    assert "tiny was not touched, small answers" in pulled
    unknown = site.orch("switch", "tiny", "larg", rc=2)
    assert "did you mean 'large'" in unknown.stdout + unknown.stderr
    nobody = site.orch("switch", "tinny", "large", rc=2)
    assert "did you mean 'tiny'" in nobody.stdout + nobody.stderr
    assert (site.ranks(), text(site)) == (before, CLUSTER)


def killed_at(site: Site, profile: str, kind: str, step: str) -> None:
    """A switch that is killed as soon as it has told this of a step."""
    with site.running("switch", "tiny", profile, "--json") as process:
        for event in events_of(process):
            if (event["kind"], event.get("step")) == (kind, step):
                break
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=30)
    assert text(site) == CLUSTER


def test_killed_when_the_old_gang_is_down_the_same_switch_finishes_and_up_undoes(
    site: Site,
) -> None:
    killed_at(site, "large", "step-done", "tiny/stop/spark-1")
    site.orch("switch", "tiny", "large", "--no-write")
    assert (model(site), text(site)) == ("large", CLUSTER)
    killed_at(site, "broken", "step-done", "tiny/stop/spark-1")
    site.orch("up")
    assert model(site) == "small"


def test_killed_when_the_new_ranks_run_the_same_switch_goes_back_and_holds_the_hosts_for_it(
    site: Site,
) -> None:
    """Healthy, and never answers: on the way there nothing has to be changed, on the way back all has."""
    killed_at(site, "mute", "step-started", "tiny/answer")
    events = site.events("switch", "tiny", "mute", rc=1)
    kinds = [(one["kind"], one.get("host"), one.get("step")) for one in events]
    stops = [
        at
        for at, (kind, _, step) in enumerate(kinds)
        if kind == "step-done" and "/stop/" in str(step)
    ]
    leases = {host: at for at, (kind, host, _) in enumerate(kinds) if kind == "lease"}
    assert leases.keys() == {"spark-1", "spark-2"}
    assert max(leases.values()) < min(stops)
    assert (model(site), text(site)) == ("small", CLUSTER)
