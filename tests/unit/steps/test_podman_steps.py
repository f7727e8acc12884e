"""A gang on podman, root's on the one host and the user's on the other: what the steps ask and do there."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli.playbooks import load_playbook
from orchestrator.contracts import Query
from orchestrator.errors import Refused
from orchestrator.facts import Identify, ReadImage, ReadLimits
from orchestrator.facts.answers import ContainerEngine, Identity, Image, Limits
from orchestrator.facts.container_engine import ReadContainerEngine
from orchestrator.plan.build import build
from orchestrator.script import Script
from orchestrator.steps.rdma_gate import rdma_gate_steps
from tests.gang_world import IMAGE, Site
from tests.gangs import LAB, SPARKS, cluster_of

PODMEN = {"spark-1": "sudo -n podman", "spark-2": "podman"}
INVENTORY = LAB.replace("spark-1: {", "spark-1: {runtime: podman, ").replace(
    "spark-2: {", "spark-2: {runtime: podman, become: never, "
)
TINY = "tiny: {profile: lab-vllm, hosts: [spark-1, spark-2], parallel: {tensor: 2}, port: 8000}"
IDENTITY = Identity("debian", "12", "6", "x86_64", "b", "m", "h", 0.0, 2, "orch", 1000, True)
ABSENT = Image(IMAGE.reference, False, "", ())


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path, TINY, INVENTORY)


def sent(script: Script) -> str:
    """All that a script says, a job's program too."""
    return "\n".join(f"{one.sh}\n{one.stdin.decode()}" for one in script.commands.values())


def applied(site: Site, step: str) -> str:
    one = site.steps[step]
    change = one.check(site.world)
    assert change is not None
    return sent(one.apply(change, site.world))


def test_who_may_be_root_has_roots_podman(site: Site) -> None:
    assert {name: host.runtime for name, host in site.cluster.hosts.items()} == PODMEN


def test_a_login_as_root_needs_no_sudo(tmp_path: Path) -> None:
    as_root = INVENTORY.replace("version: 1", "version: 1\n    defaults: {ssh: {user: root}}")
    hosts = cluster_of(tmp_path, TINY, as_root).hosts
    assert {host.runtime for host in hosts.values()} == {"podman"}


CALLS = re.compile(r"(?<![\w/.])(?:docker|podman) (?:ps|info|inspect|image|logs|exec|container) ")


@pytest.mark.parametrize("playbook", ["up", "down"])
def test_every_question_of_a_plan_is_to_the_hosts_own_engine(site: Site, playbook: str) -> None:
    steps = build(site.cluster, load_playbook(playbook, site.cluster.root))
    reads = frozenset[tuple[str, Query[Any]]]().union(*(step.reads for step in steps.values()))
    asked = [(host, query.ask()) for host, query in reads]
    calls = [
        (host, text[max(0, found.start() - 8) : found.end()])
        for host, ask in asked
        if isinstance(ask, Script)
        for text in (sent(ask),)
        for found in CALLS.finditer(text)
    ]
    assert {host for host, _ in calls} == set(PODMEN)
    for host, call in calls:
        assert "podman " in call, (host, call)
        assert ("sudo -n " in call) == (host == "spark-1"), (host, call)


def test_an_image_is_pulled_by_its_whole_name(site: Site) -> None:
    digest = "vllm/vllm-openai@sha256:" + "d" * 64
    for told in site.world.values():
        told.answers[ReadImage] = ABSENT
    assert "sudo -n podman pull docker.io/orch-lab/host-tree:latest\n" in applied(
        site, "tiny/image/spark-1"
    )
    site.world["spark-1"].answers[ReadImage] = replace(IMAGE, digests=(digest,))
    text = applied(site, "tiny/image/spark-2")
    whole = "docker.io/orch-lab/host-tree:latest"
    assert f"podman pull docker.io/{digest}" in text
    assert f"podman tag docker.io/{digest} {whole}" in text
    assert "sudo" not in text


def test_an_image_is_copied_from_one_podman_to_the_other_and_named(site: Site) -> None:
    site.world["spark-2"].answers[ReadImage] = ABSENT
    for told in site.world.values():
        told.answers[Identify] = IDENTITY
    offer = applied(site, "tiny/image-offer/spark-1")
    assert " 'sudo -n podman' orch-lab/host-tree:latest" in offer
    take = applied(site, "tiny/image/spark-2")
    assert "{ podman load\n}" in take
    assert f"{{ podman tag {IMAGE.id} orch-lab/host-tree:latest\n}}" in take


def test_ranks_start_and_the_image_is_looked_into_by_podman(site: Site) -> None:
    assert "sudo -n podman create" in applied(site, "tiny/rank/0")
    assert "| podman create" in applied(site, "tiny/rank/1")
    assert "sudo -n podman run --rm --network none" in applied_unread(site, "tiny/programs/spark-1")


def applied_unread(site: Site, step: str) -> str:
    """Of a step that looks once."""
    one: Any = site.steps[step]
    site.world[one.host].answers[one.query] = None
    return applied(site, step)


@pytest.mark.parametrize(
    ("version", "stuck"),
    [("4.3.1", True), ("5.0.3", True), ("5.1.0", False), ("10.0", False), ("?", True)],
)
def test_a_podman_that_can_not_change_the_restart_policy_says_so(
    site: Site, version: str, stuck: bool
) -> None:
    site.run(*site.ranks(), restart_policy="no")
    engine = ContainerEngine("podman", True, True, version, "/", "")
    for name, called in PODMEN.items():
        site.world[name].answers[ReadContainerEngine(called)] = engine
    step = site.steps["tiny/supervise/1"]
    change, remarks = step.check(site.world), step.remarks(site.world)
    assert (change is None) == stuck
    assert bool(remarks) == stuck
    if stuck:
        assert "nothing starts orch-demo-tiny-1 again" in remarks[0]
    else:
        assert "update --restart on-failure:10" in applied(site, "tiny/supervise/1")


def test_a_users_podman_gives_no_more_locked_memory_than_the_user_has(tmp_path: Path) -> None:
    line = "vl: {profile: qwen3-vl-235b-awq, hosts: [spark-2, spark-3], parallel: {tensor: 2}}"
    line = line.replace("}}", "}, gate: {rdma: required}}")
    podmen = SPARKS.replace("{kind", "{runtime: podman, become: never, kind")
    site = Site(tmp_path, line, podmen)
    step = next(one for one in rdma_gate_steps(site.cluster, {}) if one.host == "spark-2")
    told = site.world["spark-2"].answers
    told |= {Identify: IDENTITY, ReadLimits: Limits(1024, None, raisable=True)}
    assert step.check(site.world) is None
    told[ReadLimits] = Limits(1024, 8 * 2**20, raisable=True)
    with pytest.raises(Refused, match="locked memory") as refused:
        step.check(site.world)
    assert "memlock unlimited" in refused.value.hint
    told[Identify] = replace(IDENTITY, user="root", uid=0)
    assert step.check(site.world) is None
