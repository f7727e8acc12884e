"""Playbooks, plans and the small verbs on real hosts: what a user changes in a file is what happens."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.lab.conftest import SET_UP_SECONDS, Lab
from tests.lab.site import ROOT, Site, changed, events_of
from tests.lab.test_bad_input import Hosts

pytestmark = [pytest.mark.lab, pytest.mark.timeout(SET_UP_SECONDS)]

OURS = "ls /etc/netplan/40-orch.yaml 2>/dev/null; true"
SOLO = """\
version: 1
name: t
inventory: inventory.yaml
deployments:
  tiny: {profile: lab-llama, hosts: [spark-1], port: 8000}
"""


@pytest.fixture
def site(lab: Lab, tmp_path: Path) -> Iterator[Site]:
    """One deployment on one host: quick, and it needs no fabric."""
    one = Site(lab, tmp_path)
    one.write("cluster.yaml", SOLO)
    try:
        yield one
    finally:
        one.orch("down", rc=None)


@pytest.fixture(scope="module")
def served(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A gang that is up; tests look at it and leave it as it is."""
    one = Site(lab, tmp_path_factory.mktemp("served"), name="gang")
    text = (one.folder / "cluster.yaml").read_text()
    one.write("cluster.yaml", text.replace("port: 8000", "port: 8100"))
    try:
        one.orch("up")
        yield one
    finally:
        one.orch("down", rc=None)


@pytest.fixture
def hosts(lab: Lab) -> Hosts:
    return Hosts(lab)


def copied(site: Site, change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> None:
    """playbooks/up.yaml beside cluster.yaml, with its stages changed."""
    book = yaml.safe_load((ROOT / "playbooks" / "up.yaml").read_text())
    book["stages"] = change(book["stages"])
    site.write("playbooks/up.yaml", yaml.safe_dump(book, sort_keys=False))


def place(stages: Sequence[dict[str, Any]], name: str) -> int:
    return next(at for at, one in enumerate(stages) if name in (one.get("stage"), one.get("name")))


def without(*names: str) -> Callable[[list[dict[str, Any]]], list[dict[str, Any]]]:
    def change(stages: list[dict[str, Any]]) -> list[dict[str, Any]]:
        kept = [one for one in stages if one.get("stage") not in names]
        for one in kept:
            if "needs" in one:
                one["needs"] = [need for need in one["needs"] if need not in names]
        return kept

    return change


def mark(name: str, **more: Any) -> dict[str, Any]:
    """A stage of one's own that leaves a file."""
    shell = {
        "check": f"test -e /tmp/{name}",
        "apply": f"touch /tmp/{name}",
        "undo": f"rm /tmp/{name}",
    }
    return {"name": name, "shell": shell, **more}


@pytest.fixture
def unmarked(lab: Lab) -> Iterator[None]:
    """None of the files that own stages leave, before and after."""
    remove = ["sudo", "sh", "-c", "rm -f /tmp/own-*"]
    for when in ("before", "after"):
        for host in lab.hosts:
            lab.run(host, remove)
        if when == "before":
            yield


def moment(events: Sequence[dict[str, Any]], kind: str, step: str, at: int = 0) -> int:
    """Where in the run a step came to this; the first such event, or with at=-1 the last."""
    found = [
        number
        for number, one in enumerate(events)
        if one["kind"] == kind and re.fullmatch(step, one.get("step") or "")
    ]
    assert found, (kind, step)
    return found[at]


# --- changed playbooks ------------------------------------------------------------------------------


def test_a_stage_that_is_taken_out_is_not_done(site: Site, hosts: Hosts) -> None:
    site.lab.forget_network()
    copied(site, without("network", "link"))
    events = site.events("up")
    assert "tiny/rank/0" in changed(events)
    assert not [one for one in events if "/network/" in (one.get("step") or "")]
    assert [hosts.inside(host, OURS) for host in site.lab.hosts] == ["", ""]
    assert "playbooks/up.yaml" in site.orch("check").stdout  # it says whose playbook that is
    (site.folder / "playbooks" / "up.yaml").unlink()
    assert "spark-1/network/apply" in changed(site.events("up"))
    assert hosts.inside("spark-1", OURS)


@pytest.mark.usefixtures("unmarked")
def test_a_stage_that_is_put_in_runs_there_and_nowhere_else(site: Site) -> None:
    def before_start(stages: list[dict[str, Any]]) -> list[dict[str, Any]]:
        at = place(stages, "start")
        return [*stages[:at], mark("own-a"), *stages[at:]]

    copied(site, before_start)
    events = site.events("up")
    own = moment(events, "step-done", "spark-1/own-a")
    assert moment(events, "step-done", "tiny/room/spark-1") < own
    assert own < moment(events, "step-started", "tiny/rank/0")
    site.orch("down")

    def after_answer(stages: list[dict[str, Any]]) -> list[dict[str, Any]]:
        at = place(stages, "answer") + 1
        return [*stages[:at], mark("own-b"), *stages[at:]]

    copied(site, after_answer)
    events = site.events("up")
    assert moment(events, "step-started", "spark-1/own-b") > moment(
        events, "step-done", "tiny/answer"
    )
    assert not [one for one in events if "own-a" in (one.get("step") or "")]
    assert changed(site.events("up")) == []


def test_a_stage_that_fails_stops_what_comes_after_it(site: Site) -> None:
    def wrong(stages: list[dict[str, Any]]) -> list[dict[str, Any]]:
        shell = {"check": "false", "apply": "echo no such thing >&2; exit 7"}
        at = place(stages, "start")
        return [*stages[:at], {"name": "own-wrong", "shell": shell}, *stages[at:]]

    copied(site, wrong)
    failed = site.orch("up", rc=1).stdout
    assert "no such thing" in failed
    assert "exit 7" in failed
    assert site.ranks() == {}


@pytest.mark.usefixtures("unmarked")
def test_an_own_playbook_runs_again_and_is_undone(site: Site) -> None:
    book = {"version": 1, "name": "own", "stages": [mark("own-a"), mark("own-b")]}
    site.write("playbooks/own.yaml", yaml.safe_dump(book))
    files = ["ls", "/tmp"]
    all_ = {f"{host}/{one}" for host in site.lab.hosts for one in ("own-a", "own-b")}
    assert set(changed(site.events("run", "own"))) == all_
    assert "own-b" in site.lab.run("spark-1", files).stdout
    assert changed(site.events("run", "own")) == []
    undone = changed(site.events("run", "own", "--undo"))
    assert set(undone) == all_
    assert undone.index("spark-1/own-b") < undone.index("spark-1/own-a")  # the last one first
    assert "own-" not in site.lab.run("spark-1", files).stdout
    assert changed(site.events("run", "own", "--undo")) == []


@pytest.mark.usefixtures("unmarked")
def test_hooks_run_around_a_stage_of_up(site: Site) -> None:
    for name in ("own-a", "own-b"):
        book = {"version": 1, "name": name, "stages": [mark(name)]}
        site.write(f"playbooks/{name}.yaml", yaml.safe_dump(book))
    hooks = "hooks:\n  before: {start: [own-a]}\n  after: {answer: [own-b]}\n"
    site.write("cluster.yaml", SOLO + hooks)
    events = site.events("up")
    assert moment(events, "step-done", "spark-1/own-a") < moment(
        events, "step-started", "tiny/rank/0"
    )
    assert moment(events, "step-done", "tiny/answer") < moment(
        events, "step-started", "spark-1/own-b"
    )
    site.write("cluster.yaml", SOLO + hooks.replace("start:", "strat:"))
    wrong = site.orch("up", rc=2)
    assert "strat" in wrong.stdout + wrong.stderr


@pytest.mark.usefixtures("unmarked")
def test_only_the_hosts_that_are_named(served: Site) -> None:
    book = {"version": 1, "name": "own", "stages": [mark("own-a")]}
    served.write("playbooks/own.yaml", yaml.safe_dump(book))
    assert changed(served.events("run", "own", "--hosts", "spark-2")) == ["spark-2/own-a"]
    assert "own-a" not in served.lab.run("spark-1", ["ls", "/tmp"]).stdout
    half = served.orch("up", "--hosts", "spark-1", rc=2)
    assert "a gang is started whole" in half.stdout + half.stderr
    nobody = served.orch("plan", "--hosts", "spark-9", rc=2)
    assert "did you mean 'spark-" in nobody.stdout + nobody.stderr


# --- values for one run, plans ----------------------------------------------------------------------


def models(site: Site, port: int) -> list[str]:
    url = f"http://{site.lab.address('spark-1')}:{port}/v1/models"
    reply = httpx.get(url, timeout=30, trust_env=False).raise_for_status()
    return [str(one["id"]) for one in reply.json()["data"]]


def test_a_value_for_one_run_changes_the_real_endpoint(site: Site) -> None:
    events = site.events("up", "--set", "tiny.port=8010")
    assert events[-1]["data"]["served"][0]["url"].endswith(":8010")
    assert models(site, 8010) == ["tiny"]
    with pytest.raises(httpx.ConnectError):
        models(site, 8000)
    assert {"tiny/rank/0"} <= set(changed(site.events("up")))  # the files say 8000
    assert models(site, 8000) == ["tiny"]


def test_a_plan_shows_the_diff_of_the_container_and_changes_nothing(served: Site) -> None:
    before = served.ranks()
    clean = served.orch("plan").stdout
    assert "nothing to change" in clean
    plan = served.orch("plan", "--set", "tiny.port=8110").stdout
    lines = [line.strip() for line in plan.splitlines()]
    assert any(line.startswith("-") and "--port 8100" in line for line in lines), plan
    assert any(line.startswith("+") and "--port 8110" in line for line in lines), plan
    assert "a gang restarts whole" in plan
    served.write("profiles/own.yaml", "version: 1\nextends: lab-llama\nargs: {'-c': 512}\n")
    more = served.orch("plan", "--set", "tiny.profile=own").stdout
    assert re.search(r"^ *-.* -c 1024", more, re.MULTILINE), more
    assert re.search(r"^ *\+.* -c 512", more, re.MULTILINE), more
    assert served.ranks() == before
    assert served.orch("up", "--dry-run", "--set", "tiny.port=8110").returncode == 0
    assert served.ranks() == before


def test_a_plan_with_problems_does_not_end_well(site: Site, hosts: Hosts) -> None:
    create = "docker create --name orch-t-tiny-0 orch-lab/host-tree:latest true"
    with hosts.changed("spark-1", create, "docker rm orch-t-tiny-0"):
        shown = site.orch("plan", rc=4).stdout
        assert "1 wrong" in shown
        assert "orch-t-tiny-0" in shown
        document = json.loads(site.orch("plan", "--json", rc=4).stdout)
        assert document["counts"]["wrong"] == 1
        assert site.orch("up", "--dry-run", rc=4)


# --- the documented forms ---------------------------------------------------------------------------


def documented(heading: str) -> dict[str, str]:
    """Field (or kind) → what docs/json.md says of it, from the tables below a heading."""
    text = (ROOT / "docs" / "json.md").read_text()
    part = text.split(f"## {heading}", 1)[1].split("\n## ", 1)[0]
    rows = re.findall(r"^\| `([^|]+)` \|(.*)\|$", part, re.MULTILINE)
    return {name.strip("` "): about for name, about in rows}


def named(about: str) -> set[str]:
    return set(re.findall(r"`([a-z_-]+)`", about))


def test_events_are_as_documented(site: Site) -> None:
    table = documented("Events")
    for events in (site.events("up"), site.events("up"), site.events("down")):
        for event in events:
            assert event.keys() <= {"v", "at", "run", "kind", "step", "host", "text", "data"}
            assert event["v"] == 1
            assert event["kind"] in table, event
            extra = event.get("data", {}).keys() - named(table[event["kind"]])
            assert not extra, (event["kind"], extra)
        assert events[0]["kind"] == "run-started"
        assert events[-1]["kind"] == "run-done"
        assert len({event["run"] for event in events}) == 1
        assert [event["at"] for event in events] == sorted(event["at"] for event in events)


def test_plans_are_as_documented(served: Site) -> None:
    table = documented("`orch plan --json`")
    for words in ((), ("--set", "tiny.port=8110")):
        plan = json.loads(served.orch("plan", "--json", *words).stdout)
        assert plan.keys() <= table.keys()
        assert plan["version"] == 1
        assert plan["counts"].keys() == named(table["counts"])
        assert sum(plan["counts"].values()) == len(plan["steps"])
        for step in plan["steps"]:
            assert step.keys() <= named(table["steps"]), step
            assert step["state"] in named(table["steps"]), step
        states = [step["state"] for step in plan["steps"]]
        assert plan["counts"]["change"] == states.count("change") == (4 if words else 0)


# --- looking ----------------------------------------------------------------------------------------


def test_status_names_strangers(served: Site, hosts: Hosts) -> None:
    shown = served.orch("status").stdout
    assert re.search(r"tiny +answers +http://\S+:8100", shown)
    label = "--label orch.cluster=gang --label orch.deployment=old --label orch.rank=0"
    ours = f"docker create --name orch-gang-old-0 {label} orch-lab/host-tree:latest true"
    with hosts.changed("spark-2", ours, "docker rm orch-gang-old-0"):
        told = json.loads(served.orch("status", "--json").stdout)
        assert told["exit_code"] == 0
        (stranger,) = told["strangers"]
        assert stranger["host"] == "spark-2"
        assert "orch-gang-old-0" in stranger["what"]
        assert "orch-gang-old-0" in served.orch("status").stdout


def test_logs_of_all_ranks_with_their_hosts(served: Site) -> None:
    lines = served.orch("logs").stdout.splitlines()
    assert any(re.match(r"spark-1 tiny/0 +\| .*orch: gang complete", line) for line in lines)
    assert any(line.startswith("spark-2 tiny/1") for line in lines)
    one = json.loads(served.orch("logs", "--json", "tiny").stdout.splitlines()[0])
    assert one.keys() == {"v", "at", "host", "deployment", "rank", "container", "text"}
    assert served.orch("logs", "--since", "1s").returncode == 0


def test_exec_says_what_each_host_said(served: Site) -> None:
    done = served.orch("exec", "--", "hostname")
    assert sorted(done.stdout.splitlines()) == ["spark-1 | spark-1", "spark-2 | spark-2"]
    failed = served.orch("exec", "--hosts", "spark-2", "--", "echo '$HOME' \"it's\"; exit 3", rc=1)
    assert failed.stdout == "$HOME it's\n"
    assert "spark-2: exit code 3" in failed.stderr
    assert served.orch("exec", "--sudo", "--hosts", "spark-1", "--", "id", "-u").stdout == "0\n"


def test_a_past_run_is_shown(served: Site) -> None:
    served.orch("up")
    shown = served.orch("runs", "show", "last").stdout
    assert "up gang" in shown
    listed = json.loads(served.orch("runs", "--json").stdout)["runs"]
    assert listed[0]["verb"] == "up"
    assert listed[0]["outcome"] == "done"
    first = next(run["id"] for run in reversed(listed) if run["verb"] == "up")
    path = json.loads(served.orch("runs", "show", first, "--json").stdout)
    assert "tiny/answer" in [hop["id"] for hop in path["critical_path"]]
    assert served.orch("runs", "show", "no-such-run", rc=2)


# --- leases of runs that died -----------------------------------------------------------------------


def killed_while_it_holds(site: Site) -> dict[str, Any]:
    """A run that was killed while its step waits on spark-1, and what it had said of its lease."""
    shell = {"check": "test -e /tmp/never", "apply": "sleep 3; exit 1"}
    book = {"version": 1, "name": "slow", "stages": [{"name": "slow", "shell": shell}]}
    site.write("playbooks/slow.yaml", yaml.safe_dump(book))
    with site.running("run", "slow", "--json") as process:
        said: dict[str, Any] = {}
        for event in events_of(process):
            if event["kind"] == "lease" and event["data"]["action"] == "taken":
                said = event["data"]
            if event["kind"] == "step-started" and event.get("text"):
                break
        os.kill(process.pid, signal.SIGKILL)
        process.wait(timeout=30)
    assert said["owner"]
    return said


def held(hosts: Hosts) -> str:
    return hosts.inside("spark-1", "cat /run/orch/lease 2>/dev/null; true")


def test_the_lease_of_a_dead_run_of_this_machine_is_taken_over(site: Site, hosts: Hosts) -> None:
    killed_while_it_holds(site)
    assert "owner" in held(hosts)
    site.orch("up")
    assert models(site, 8000) == ["tiny"]
    assert held(hosts) == ""
    assert "its process has ended" in hosts.inside("spark-1", "tail -n 1 /run/orch/history")


def test_the_lease_of_a_run_elsewhere_is_broken_with_a_reason(site: Site, hosts: Hosts) -> None:
    said = killed_while_it_holds(site)
    # a laptop that died: from here nobody can tell whether its process lives
    hosts.inside("spark-1", "sed -i 's/^client .*/client another/' /run/orch/lease")
    refused = site.orch("up", rc=5).stdout
    assert said["owner"] in refused
    assert "orch unlock spark-1 --reason" in refused
    assert site.orch("unlock", "spark-1", rc=2)  # not without a reason
    broken = site.orch("unlock", "spark-1", "--reason", "its laptop is gone").stdout
    assert said["owner"] in broken
    assert held(hosts) == ""
    history = hosts.inside("spark-1", "tail -n 1 /run/orch/history")
    assert "its laptop is gone" in history
    assert "nobody holds it" in site.orch("unlock", "spark-1", "--reason", "again").stdout
    site.orch("up")
