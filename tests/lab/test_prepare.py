"""Facts and preparation against rehearsal hosts, over SSH as orch does it: nothing here is made up."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator import facts
from orchestrator.contracts import Query, Step
from orchestrator.errors import Refused
from orchestrator.facts.job import Job, JobState
from orchestrator.hosts.pool import Pool
from orchestrator.hosts.reader import Answers, apply_and_read, read
from orchestrator.script import argv, sh
from orchestrator.spec.models import Cluster
from orchestrator.spec.resolve import load_cluster
from orchestrator.steps.job import end_job, job_name, job_script
from tests.lab.conftest import SET_UP_SECONDS, Lab
from tests.unit.steps.clusters import steps

pytestmark = [pytest.mark.lab, pytest.mark.timeout(SET_UP_SECONDS)]

BORROWED = ["-v", "/usr:/usr:ro", "-v", "/etc:/etc:ro"]
TREE = "orch-lab/host-tree:latest"
SERVE = "trap 'exit 0' TERM; sleep 1000 & wait"  # process 1 ends at TERM only if it says so
CLUSTER = """\
version: 1
name: prep
inventory: {inventory}
takeover: [old-head]
deployments:
  a: {{profile: p, hosts: [spark-1], port: 8000}}
"""
PROFILE = f"version: 1\nengine: llamacpp\nmodel: /srv/m.gguf\nimage: {TREE}\n"


@pytest.fixture(scope="module")
def prep(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    folder = tmp_path_factory.mktemp("prep")
    (folder / "profiles").mkdir()
    (folder / "profiles" / "p.yaml").write_text(PROFILE)
    (folder / "cluster.yaml").write_text(CLUSTER.format(inventory=lab.inventory))
    return load_cluster(folder / "cluster.yaml", purpose="look")


@pytest.fixture
def pool(prep: Cluster) -> Iterator[Pool]:
    with Pool(prep.hosts, lambda name: "") as made:
        yield made


def ask(pool: Pool, host: str, *queries: Query[Any]) -> Answers:
    reading = read(pool, {(host, query) for query in queries})
    assert not reading.errors
    return reading[host]


def one(of: Cluster, stage: str, id_: str) -> Step:
    return steps(stage, of)[id_]


def satisfied(pool: Pool, step: Step) -> bool:
    """Check, apply, and check again, as the executor does it. Was there anything to do?"""
    assert step.host is not None
    queries = [query for _, query in step.reads]
    now = {step.host: ask(pool, step.host, *queries)}
    change = step.check(now)
    if change is None:
        return False
    results, after = apply_and_read(pool, step.host, step.apply(change, now), queries)
    assert all(result.rc == 0 for result in results.values()), results
    assert step.check({step.host: after}) is None
    return True


def job_until(pool: Pool, host: str, job: Job, states: Iterable[str]) -> JobState:
    for _ in range(400):  # each look is a round trip
        state = ask(pool, host, job).get(job)
        if state.state in states:
            return state
    raise AssertionError(state)


def test_each_host_tells_who_it_is(lab: Lab, pool: Pool) -> None:
    wanted = {(host, facts.Identify()) for host in lab.hosts} | {
        (host, facts.ReadNetwork()) for host in lab.hosts
    }
    reading = read(pool, wanted)
    identities = {host: reading[host].get(facts.Identify()) for host in lab.hosts}
    assert len({one.machine_id for one in identities.values()}) == len(lab.hosts)
    assert all(one.in_lab and one.user == "orch" for one in identities.values())
    for host in lab.hosts:
        network = reading[host].get(facts.ReadNetwork())
        assert (network.ssh_netdev, network.ssh_address) == ("eth0", lab.address(host))
        assert network.renderer == "networkd"
        assert "enp1s0f1np1" in network.netdevs


def test_what_only_root_sees_is_seen_through_sudo(pool: Pool) -> None:
    answers = ask(
        pool, "spark-1", facts.ReadNetplan(), facts.ReadListening(), facts.ReadPrivilege()
    )
    assert answers.get(facts.ReadPrivilege()).sudo
    assert any(file.mode == 0o600 for file in answers.get(facts.ReadNetplan()))
    ports = {one.port: one.process for one in answers.get(facts.ReadListening())}
    assert ports[22] == "sshd"


def test_gates_pass_and_the_kernel_is_left_alone(pool: Pool, prep: Cluster) -> None:
    for stage in (
        "reachable",
        "privilege",
        "engine-ready",
        "packages",
        "swap",
        "read-ahead",
        "limits",
    ):
        for step in steps(stage, prep).values():
            if step.host == "spark-1":
                assert not satisfied(pool, step), step.id


def test_a_stopped_docker_is_told_with_what_to_type(lab: Lab, pool: Pool, prep: Cluster) -> None:
    step = one(prep, "engine-ready", "spark-1/engine-ready")
    lab.run("spark-1", ["sudo", "systemctl", "stop", "docker.socket", "docker.service"])
    try:
        answers = ask(pool, "spark-1", *[query for _, query in step.reads])
        with pytest.raises(Refused) as caught:
            step.check({"spark-1": answers})
        assert "systemctl start docker" in caught.value.hint
    finally:
        lab.run("spark-1", ["sudo", "systemctl", "start", "docker.socket", "docker.service"])


@pytest.mark.parametrize("sudo", [True, False])
def test_a_job_outlives_the_connection_and_holds_no_lock(
    lab: Lab, pool: Pool, prep: Cluster, sudo: bool
) -> None:
    gate = f"/tmp/gate-{sudo}"
    job = Job(job_name("lab", gate), sudo=sudo)
    program = sh("echo up; id -u; while [ ! -e {} ]; do sleep 0.2; done; echo down", gate)
    pool.run("spark-1", job_script(job.name, program, sudo=sudo))
    assert job_until(pool, "spark-1", job, ["running"]).log_bytes > 0
    unit = lab.run("spark-1", ["systemctl", "is-active", f"orch-job-{job.name}"], check=False)
    assert unit.stdout.strip() == ("active" if sudo else "inactive")
    pool.close()
    with Pool(prep.hosts, lambda name: "") as other:  # the next run
        assert job_until(other, "spark-1", job, ["running"]).state == "running"
        again = other.run("spark-1", job_script(job.name, argv("false"), sudo=sudo))
        assert again["job"].text == "under way\n"
        lab.run("spark-1", ["touch", gate])
        done = job_until(other, "spark-1", job, ["done", "lost"])
        assert (done.state, done.rc) == ("done", 0)
        assert done.tail == f"up\n{0 if sudo else 1000}\ndown\n"


def test_a_job_is_stopped_with_its_children(lab: Lab, pool: Pool) -> None:
    job = Job(job_name("lab", "endless"), sudo=True)
    pool.run("spark-1", job_script(job.name, sh("sleep 4321 & sleep 4321"), sudo=True))
    job_until(pool, "spark-1", job, ["running"])
    pool.run("spark-1", end_job(job.name, sudo=True, grace=1))
    assert job_until(pool, "spark-1", job, ["done"]).rc not in (0, None)
    assert lab.run("spark-1", ["pgrep", "-f", "sleep 4321"], check=False).returncode == 1


def containers(lab: Lab) -> set[str]:
    return set(lab.run("spark-1", ["docker", "ps", "-a", "--format", "{{.Names}}"]).stdout.split())


def start(lab: Lab, name: str, *labels: str, run: str = SERVE) -> None:
    marks = [word for label in labels for word in ("--label", label)]
    words = [
        "docker",
        "run",
        "-d",
        "--name",
        name,
        "--network",
        "host",
        "--restart",
        "always",
        *marks,
    ]
    if run != SERVE:
        words.remove("--restart")
        words.remove("always")
    lab.run("spark-1", [*words, *BORROWED, TREE, "/usr/bin/sh", "-c", run])


@pytest.fixture
def no_containers(lab: Lab) -> Iterator[None]:
    yield
    left = sorted(containers(lab))
    if left:
        lab.run("spark-1", ["docker", "rm", "-f", *left])


@pytest.mark.usefixtures("no_containers")
def test_takeover_keeps_what_it_moves_aside(lab: Lab, pool: Pool, prep: Cluster) -> None:
    start(lab, "old-head")
    start(lab, "web")
    step = one(prep, "takeover", "spark-1/takeover")
    assert satisfied(pool, step)
    names = containers(lab)
    assert "web" in names and "old-head" not in names
    (kept,) = (name for name in names if name.startswith("old-head-orch-taken-"))
    found = {
        one.name: one
        for one in ask(pool, "spark-1", facts.ReadContainers("docker")).get(
            facts.ReadContainers("docker")
        )
    }
    assert (found[kept].state, found[kept].restart_policy) == ("exited", "no")
    assert found["web"].state == "running"
    assert not satisfied(pool, step), "a second time there is nothing to do"


@pytest.mark.usefixtures("no_containers")
def test_stale_removes_ours_and_nothing_else(lab: Lab, pool: Pool, prep: Cluster) -> None:
    start(lab, "gone", "orch.cluster=prep", "orch.deployment=old")
    start(lab, "ended", "orch.cluster=prep", "orch.deployment=a", run="exit 3")
    start(lab, "serves", "orch.cluster=prep", "orch.deployment=a")
    start(lab, "theirs", "orch.cluster=other", "orch.deployment=old")
    start(lab, "users")
    step = one(prep, "stale", "spark-1/stale")
    for _ in range(100):
        query = facts.ReadContainers("docker", "prep")
        states = {one.name: one.state for one in ask(pool, "spark-1", query).get(query)}
        if states["ended"] == "exited":
            break
    assert satisfied(pool, step)
    assert containers(lab) == {"serves", "theirs", "users"}
    assert not satisfied(pool, step)


def test_a_folder_fingerprint_is_the_same_on_two_hosts(
    lab: Lab, pool: Pool, tmp_path: Path
) -> None:
    query = facts.ReadPath("~/model dir")
    for host in lab.hosts:
        lab.run(host, ["sh", "-c", 'mkdir -p "$HOME/model dir" && echo x >"$HOME/model dir/a b"'])
    prints = {ask(pool, host, query).get(query).fingerprint for host in lab.hosts}
    assert len(prints) == 1
    lab.run("spark-2", ["sh", "-c", 'echo xy >"$HOME/model dir/a b"'])
    assert ask(pool, "spark-2", query).get(query).fingerprint not in prints
