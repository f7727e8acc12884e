"""Everything on a desk that is no model: a container with a health check, a job, a compose project, a user's unit.

One `up` for all, beside a model that two of them wait for. Debian's docker-compose is brought into the host from this
machine: a rehearsal host has no network.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.conftest import SET_UP_SECONDS, Lab
from tests.lab.site import Site, changed

pytestmark = [pytest.mark.lab, pytest.mark.timeout(SET_UP_SECONDS)]

HOST = "spark-1"
CLUSTER = """\
version: 1
name: desk
inventory: inventory.yaml
deployments:
  tiny: {profile: lab-llama, hosts: [spark-1], port: 8000}
  prep: {profile: prep, hosts: [spark-1]}
  page: {profile: page, hosts: [spark-1], port: 9001, after: [prep, tiny]}
  beat: {profile: beat, hosts: [spark-1], port: 9002, after: [tiny]}
  traces: {profile: traces, hosts: [spark-1], port: 9003}
  phoenix: {profile: phoenix, hosts: [spark-1], port: 9004}
"""
# An image of nothing, and the host's own programs: as the lab's models have it.
BOX = """\
version: 1
image: orch-lab/host-tree:latest
mounts:
  - {from: /usr, to: /usr, read_only: true}
  - {from: /etc, to: /etc, read_only: true}
ready: {start: 1m, stall: 40s}
"""
SERVE = 'trap exit TERM; cd /etc; python3 -m http.server "$0" & wait'
PROFILES = {
    "box": BOX,
    "prep": f"{BOX}engine: job\ncommand: [sh, -c, 'echo begun; echo \"made $WHAT\"']\nenv: {{WHAT: it}}\n",
    "page": (
        f"{BOX.replace('40s}', '40s, http: /os-release}')}engine: container\ncontainer_port: 8000\n"
        f"ports: ['9011:8000']\ncommand: [sh, -c, '{SERVE}', '8000']\n"
    ),
    "beat": (
        f"{BOX.replace('40s}', '40s, command: test -e /etc/hostname}')}engine: container\n"
        "command: [sh, -c, 'trap exit TERM; sleep infinity & wait']\n"
    ),
    "traces": (
        "version: 1\nengine: compose\ncompose: {send: traces}\nenv: {WEB_PORT: 9003}\n"
        "secrets: {TOKEN: {env: TRACES_TOKEN}}\nready: {start: 2m, stall: 1m, http: /os-release}\n"
    ),
    "phoenix": "version: 1\nengine: unit\nunit: {name: phoenix.service, user: true}\n"
    "ready: {start: 1m, stall: 30s, http: /}\n",
}
COMPOSE = """\
version: "3.7"
services:
  web:
    image: orch-lab/host-tree:latest
    command: [sh, -c, "trap exit TERM; cd /etc; python3 -m http.server 8000 & wait"]
    volumes: [/usr:/usr:ro, /etc:/etc:ro]
    ports: ["${WEB_PORT:?unset}:8000"]
    environment: {TOKEN: "${TOKEN:?unset}"}
  migrate:
    image: orch-lab/host-tree:latest
    command: [echo, migrated]
    volumes: [/usr:/usr:ro, /etc:/etc:ro]
"""
UNIT = "[Service]\nExecStart=/usr/bin/python3 -u -m http.server 9004\n"
SECRET = 'it\'s $HOME "quoted"'
UNITS = ".config/systemd/user"
WRAPPER = """#!/bin/sh
PYTHONPATH=/opt/compose exec python3 -c 'from compose.cli.main import main; main()' "$@"
"""


@pytest.fixture(scope="module")
def desk(lab: Lab) -> Iterator[Lab]:
    """A host with docker-compose and a user whose units go on."""
    (distutils,) = Path("/usr/lib").glob("python3.*/distutils")
    what = ["/usr/lib/python3/dist-packages", ".", "-C", str(distutils.parent), distutils.name]
    packed = subprocess.run(["tar", "-cf", "-", "-C", *what], stdout=subprocess.PIPE, check=True)
    unpack = "mkdir -p /opt/compose && tar -xf - -C /opt/compose"
    container = lab.container(HOST)
    lab.docker.inside(container, "sh", "-c", unpack, stdin=packed.stdout)
    program = "/usr/local/bin/docker-compose"
    lab.run(HOST, ["sudo", "sh", "-c", f"cat >{program}; chmod 755 {program}"], given=WRAPPER)
    lab.inside(HOST, "loginctl enable-linger orch")
    lab.run(HOST, ["sh", "-c", f"mkdir -p {UNITS}; cat >{UNITS}/phoenix.service"], given=UNIT)
    lab.run(HOST, ["systemctl", "--user", "daemon-reload"])
    try:
        yield lab
    finally:
        lab.run(HOST, ["sh", "-c", f"rm -rf {UNITS}/phoenix.service ~/.local/state/orch/compose"])
        lab.inside(HOST, f"loginctl disable-linger orch; rm -rf /opt/compose {program}")
        lab.inside(HOST, "rm -rf /var/lib/orch/done/desk")


@pytest.fixture
def site(desk: Lab, tmp_path: Path) -> Iterator[Site]:
    one = Site(desk, tmp_path, "desk", env={"TRACES_TOKEN": SECRET})
    one.write("cluster.yaml", CLUSTER)
    for name, text in PROFILES.items():
        one.write(f"profiles/{name}.yaml", text)
    one.write("profiles/traces/docker-compose.yml", COMPOSE)
    try:
        yield one
    finally:
        one.orch("down", rc=None)


def said(site: Site, *argv: str) -> str:
    return site.lab.run(HOST, argv, check=False).stdout.strip()


def states(site: Site, rc: int) -> dict[str, str]:
    shown = json.loads(site.orch("status", "--json", rc=rc).stdout)
    assert shown["strangers"] == []
    return {one["name"]: one["state"] for one in shown["deployments"]}


def is_active(site: Site) -> str:
    return said(site, "systemctl", "--user", "is-active", "phoenix.service")


def test_a_whole_desk(site: Site) -> None:
    done = changed(site.events("up"))
    assert {
        f"{name}/rank/0" for name in ("tiny", "prep", "page", "beat", "traces", "phoenix")
    } <= set(done)
    place = done.index("page/rank/0")
    assert max(done.index("tiny/rank/0"), done.index("prep/rank/0")) < place
    assert "prep/record" in done

    for port in ("9001", "9011", "9003"):  # the first two lead into the container's own network
        assert "ID=" in said(site, "curl", "-sf", f"http://127.0.0.1:{port}/os-release")
    beat = said(site, "docker", "inspect", "-f", "{{.State.Health.Status}}", "orch-desk-beat-0")
    assert beat == "healthy"
    policy = "{{.HostConfig.RestartPolicy.Name}}"
    assert said(site, "docker", "inspect", "-f", policy, "orch-desk-page-0") == "unless-stopped"
    token = said(site, "docker", "exec", "orch-desk-traces_web_1", "printenv", "TOKEN")
    assert token == SECRET
    assert is_active(site) == "active"

    assert changed(site.events("up")) == []
    up = {**dict.fromkeys(("tiny", "page", "beat", "traces", "phoenix"), "answers"), "prep": "done"}
    assert states(site, 0) == up
    logs = site.orch("logs").stdout
    for line in ("prep/0 ", "made it", "migrate: migrated", "web: ", "phoenix/0 "):
        assert line in logs

    # out of the files: shown, and stopped by the next `up`, which touches nothing else
    site.write("cluster.yaml", CLUSTER.partition("  traces:")[0])
    left = json.loads(site.orch("status", "--json").stdout)["strangers"]
    assert [one["what"].partition(",")[0] for one in left] == [
        "unit phoenix.service of deployment phoenix",
        "compose orch-desk-traces of deployment traces",
    ]
    assert changed(site.events("up")) == [f"{HOST}/stale-services"]
    assert is_active(site) == "inactive"
    assert said(site, "docker", "ps", "-aq", "--filter", "name=orch-desk-traces") == ""
    assert json.loads(site.orch("status", "--json").stdout)["strangers"] == []
    site.write("cluster.yaml", CLUSTER)
    assert set(changed(site.events("up"))) == {"traces/rank/0", "phoenix/rank/0"}

    site.orch("down")
    assert is_active(site) == "inactive"
    assert said(site, "docker", "ps", "-aq", "--filter", "name=orch-desk") == ""
    assert said(site, "docker", "network", "ls", "-q", "--filter", "name=orch-desk") == ""
    assert "prep/rank/0" not in site.orch("plan").stdout  # done stays done
    assert states(site, 1) == {**dict.fromkeys(up, "down"), "prep": "done", "traces": "silent"} | {
        "phoenix": "silent"
    }


ONLY_JOB = CLUSTER.partition("  page:")[0].replace(
    "  tiny: {profile: lab-llama, hosts: [spark-1], port: 8000}\n", ""
)


def test_a_job_runs_again_when_it_says_something_else_and_fails_with_its_last_lines(
    site: Site,
) -> None:
    site.write("cluster.yaml", ONLY_JOB)
    for what in ("one", "two"):
        site.write("profiles/prep.yaml", PROFILES["prep"].replace("WHAT: it", f"WHAT: {what}"))
        done = changed(site.events("up"))
        assert changed(site.events("up")) == []
    assert done == ["prep/stop/spark-1", "prep/rank/0", "prep/record"]
    site.write(
        "profiles/prep.yaml", PROFILES["prep"].replace("echo begun;", "echo no room >&2; exit 3;")
    )
    events = site.events("up", rc=1)
    (failed,) = (one["text"] for one in events if one["kind"] == "step-failed")
    assert "rank orch-desk-prep-0 ended with code 3" in failed
    assert "no room" in failed
    evidence = Path(events[-1]["data"]["evidence"])
    assert "no room" in (evidence / f"{HOST}.orch-desk-prep-0.log").read_text()
    assert "no room" in site.orch("logs", "prep").stdout
    site.write("profiles/prep.yaml", PROFILES["prep"])
    assert "prep/rank/0" in changed(site.events("up"))


def test_what_ran_before_is_not_stopped(site: Site) -> None:
    """A unit of the user's that is active, and a project that is up: they are what was asked for, and stay."""
    named = ONLY_JOB.partition("  prep:")[0] + (
        "  traces: {profile: traces, hosts: [spark-1], port: 9003}\n"
        "  phoenix: {profile: phoenix, hosts: [spark-1], port: 9004}\n"
    )
    site.write("cluster.yaml", named)
    file = "compose: {file: ~/traces/docker-compose.yml}"
    site.write("profiles/traces.yaml", PROFILES["traces"].replace("compose: {send: traces}", file))
    site.lab.run(
        HOST, ["sh", "-c", "mkdir -p traces; cat >traces/docker-compose.yml"], given=COMPOSE
    )
    bring = "cd traces && WEB_PORT=9003 TOKEN=x docker-compose up -d"
    site.lab.run(HOST, ["sh", "-c", f"systemctl --user start phoenix; {bring}"])
    try:
        assert changed(site.events("up")) == []
        site.orch("down")
        assert is_active(site) == "active"
        assert "ID=" in said(site, "curl", "-sf", "http://127.0.0.1:9003/os-release")
        # one that does not run any more, and that orch never started, is the user's to start
        said(site, "docker", "kill", "traces_web_1")
        assert "was not started by orch" in site.orch("up", rc=4).stdout
        # out of the files: still the user's
        site.write("cluster.yaml", ONLY_JOB)
        assert f"{HOST}/stale-services" not in changed(site.events("up"))
        assert is_active(site) == "active"
    finally:
        gone = "WEB_PORT=9003 TOKEN=x docker-compose -f traces/docker-compose.yml down"
        site.lab.run(HOST, ["sh", "-c", f"systemctl --user stop phoenix; {gone}; rm -r traces"])
