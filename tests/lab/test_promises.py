"""Design §8: each promise, with its fault injected, on real hosts with the small llama.cpp gang."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.lab.conftest import Lab
from tests.lab.site import Site, changed, events_of

pytestmark = [pytest.mark.lab, pytest.mark.timeout(900)]


@pytest.fixture
def site(lab: Lab, tmp_path: Path) -> Iterator[Site]:
    one = Site(lab, tmp_path)
    try:
        yield one
    finally:
        one.orch("down", rc=None)


def ask(site: Site, question: str = "hello") -> str:
    """A completion through the API, as a user would ask."""
    url = f"http://{site.lab.address('spark-1')}:8000/v1/chat/completions"
    body = {
        "model": "tiny",
        "messages": [{"role": "user", "content": question}],
        "max_tokens": 16,
        "temperature": 0,
    }
    reply = httpx.post(url, json=body, timeout=60, trust_env=False).raise_for_status()
    return str(reply.json()["choices"][0]["message"]["content"])


def test_second_up_changes_nothing(site: Site) -> None:
    """Promise 1: no container touched, no lease taken."""
    assert "tiny/rank/0" in changed(site.events("up"))
    before = site.ranks()
    answer = ask(site)
    again = site.events("up")
    assert changed(again) == []
    assert [event for event in again if event["kind"] == "lease"] == []
    assert site.ranks() == before
    assert ask(site) == answer


def test_down_leaves_nothing_and_says_what_it_did(site: Site) -> None:
    """Promise 9."""
    site.orch("up")
    assert set(site.ranks()) == {"spark-1", "spark-2"}
    assert changed(site.events("down")) != []
    assert site.ranks() == {}
    assert changed(site.events("down")) == []


def test_gang_restarts_whole(site: Site) -> None:
    """Promise 8: with one rank killed, the next `up` starts both anew."""
    site.orch("up")
    before = site.ranks()
    site.lab.run("spark-2", ["docker", "kill", before["spark-2"]])
    assert {"tiny/rank/0", "tiny/rank/1"} <= set(changed(site.events("up")))
    after = site.ranks()
    assert all(after[host] != before[host] for host in before)
    assert ask(site)


def test_what_orch_did_not_make_is_left_alone(site: Site) -> None:
    """Promise 10: a stranger's container, netplan file and models."""
    run = site.lab.run
    run("spark-1", ["docker", "create", "--name", "mine", "orch-lab/host-tree:latest", "true"])
    run("spark-1", ["sudo", "cp", "/etc/netplan/01-mgmt.yaml", "/tmp/before.yaml"])
    models = run("spark-1", ["ls", "-laR", "/models"]).stdout
    try:
        site.orch("up")
        site.orch("down")
        assert run("spark-1", ["docker", "inspect", "-f", "{{.State.Status}}", "mine"]).stdout == (
            "created\n"
        )
        run("spark-1", ["sudo", "cmp", "/etc/netplan/01-mgmt.yaml", "/tmp/before.yaml"])
        assert run("spark-1", ["ls", "-laR", "/models"]).stdout == models
    finally:
        run("spark-1", ["docker", "rm", "mine"])


def test_second_operator_is_told_who_since_and_until(site: Site) -> None:
    """Promise 5."""
    site.write(
        "playbooks/slow.yaml",
        "version: 1\nname: slow\nstages:\n"
        "  - {name: slow, shell: {check: 'test -e /tmp/never', apply: 'touch /tmp/slow; sleep 60'}}\n",
    )
    with site.running("run", "slow", "--json") as first:
        next(event for event in events_of(first) if event["kind"] == "step-started")
        refused = site.orch("up", rc=5)
        assert re.search(
            r"locked by \S+@\S+ \(run \S+\) since \d\d:\d\d, until \d\d:\d\d", refused.stdout
        )
        assert "orch unlock" in refused.stdout
        assert re.search(r"changed by \S+@\S+ \(run \S+\) since", site.orch("status", rc=1).stdout)
    for host in site.lab.hosts:  # the ghost's sleep still holds the host's lock
        site.lab.run(host, ["sudo", "pkill", "-f", "sleep 60"], check=False)


def steps_of(site: Site) -> list[str]:
    """Steps that an `up` from nothing starts, in the order in which it did."""
    events = site.events("up")
    site.orch("down")
    found = [e["step"] for e in events if e["kind"] == "step-started" and e.get("text")]
    return list(dict.fromkeys(found))


def killed_at(site: Site, step: str, how: signal.Signals, rc: int) -> None:
    """An `orch up` that is sent a signal as soon as it says that it starts this step, and ends with `rc`."""
    with site.running("up", "--json") as process:
        said = []
        for event in events_of(process):
            said.append(event)
            if event["kind"] == "step-started" and event.get("step") == step:
                process.send_signal(how)
                break
        process.communicate(timeout=120)
        assert process.returncode == rc, (step, said[-5:])


def test_killed_at_each_step_the_next_up_converges(site: Site) -> None:
    """Promise 2: kill -9 at every step that does something, the network's too."""
    site.lab.forget_network()
    steps = steps_of(site)
    assert {"tiny/rank/0", "tiny/rank/1", "spark-1/network/apply"} <= set(steps)
    for step in steps:
        if "/network/" in step:
            site.lab.forget_network()
        killed_at(site, step, signal.SIGKILL, -signal.SIGKILL)
        site.orch("up")
        assert ask(site), step
        assert changed(site.events("up")) == [], step
        site.orch("down")
        assert site.ranks() == {}, step


def test_interrupted_ends_with_130_and_the_next_up_converges(site: Site) -> None:
    """Promise 2, the polite way."""
    killed_at(site, "tiny/rank/0", signal.SIGINT, 130)
    site.orch("up")
    assert ask(site)


def test_one_hosts_failure_stops_only_what_needs_it(site: Site) -> None:
    """Promise 3: docker is down on one host; what runs on the other comes up."""
    site.write(
        "cluster.yaml",
        "version: 1\nname: t\ninventory: inventory.yaml\ndeployments:\n"
        "  one: {profile: lab-llama, hosts: [spark-1], port: 8000}\n"
        "  two: {profile: lab-llama, hosts: [spark-2], port: 8000}\n",
    )
    site.lab.run("spark-2", ["sudo", "systemctl", "stop", "docker.socket", "docker"])
    try:
        failed = site.orch("up", rc=None)
        assert failed.returncode != 0
        assert "spark-2" in failed.stdout
        assert "docker" in failed.stdout
        assert site.ranks("one", ["spark-1"]).keys() == {"spark-1"}
        assert ask(site)
    finally:
        site.lab.run("spark-2", ["sudo", "systemctl", "start", "docker"])
    site.orch("up")
    assert site.ranks("two").keys() == {"spark-2"}


def test_secrets_are_nowhere_but_in_the_rank(site: Site) -> None:
    """Promise 6: argv, labels, journal, plan, evidence, output."""
    secret = "hunter2-very-secret"
    site.env["MY_TOKEN"] = secret
    site.write(
        "profiles/secretive.yaml",
        "version: 1\nextends: lab-llama\nsecrets: {HF_TOKEN: {env: MY_TOKEN}}\n",
    )
    text = (site.folder / "cluster.yaml").read_text().replace("lab-llama", "secretive")
    site.write("cluster.yaml", text)
    said = [
        site.orch(*words).stdout for words in (("plan", "-v"), ("render",), ("up",), ("status",))
    ]
    rank = site.ranks()["spark-1"]
    inside = site.lab.run("spark-1", ["docker", "exec", rank, "sh", "-c", "echo $HF_TOKEN"]).stdout
    assert inside.strip() == secret
    labels = site.lab.run("spark-1", ["docker", "inspect", "-f", "{{json .Config.Labels}}", rank])
    processes = site.lab.run("spark-1", ["ps", "axww"])
    logs = [path.read_text() for path in (site.folder / "state").rglob("*") if path.is_file()]
    for place in (*said, labels.stdout, processes.stdout, *logs):
        assert secret not in place


def test_unreachable_is_not_down(site: Site) -> None:
    """Promise 9: a host that can't be reached is named, and the exit code says so."""
    site.orch("up")
    text = (site.folder / "inventory.yaml").read_text()
    site.write("inventory.yaml", text.replace(site.lab.address("spark-2"), "127.0.0.9"))
    try:
        done = site.orch("down", rc=3)
        assert "spark-2" in done.stdout
        assert set(site.ranks()) == {"spark-2"}
    finally:
        site.write("inventory.yaml", text)
