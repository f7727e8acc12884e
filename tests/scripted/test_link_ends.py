"""Links that can't work start no model: the reason, and what to type, as `orch` prints them."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from orchestrator.cli.files import check
from orchestrator.cli.options import Site
from orchestrator.cli.run import run
from orchestrator.cli.up import up
from orchestrator.errors import FilesWrong
from tests.scripted.test_verify import INVENTORY, SERVER, Fabric
from tests.scripted.test_verify_nccl import CLUSTER, PROFILE

STAGES = {"link": "[{stage: link}]", "network": "[{stage: network}, {stage: link}]"}


@pytest.fixture
def fabric(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fabric:
    """Two hosts with a deployment over them, and playbooks with the stages of `up` that look at links."""
    cluster = CLUSTER.replace("port: 8000", "port: 8000, parallel: {tensor: 2}")
    (tmp_path / "inventory.yaml").write_text(INVENTORY)
    (tmp_path / "cluster.yaml").write_text(cluster)
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "p.yaml").write_text(PROFILE)
    (tmp_path / "playbooks").mkdir()
    for name, stages in STAGES.items():
        book = f"version: 1\nname: {name}\nstages: {stages}\n"
        (tmp_path / "playbooks" / f"{name}.yaml").write_text(book)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state-home"))
    made = Fabric(tmp_path, SERVER)
    monkeypatch.setattr(Site, "hosts", made.hosts)
    return made


def typed(playbook: str) -> Result:
    return CliRunner().invoke(run, [playbook], catch_exceptions=False)


def test_ends_that_differ_are_refused_with_the_reason_and_what_to_type(
    fabric: Fabric, tmp_path: Path
) -> None:
    fabric.give(tmp_path, "b", "10.9.0.11", mtu=1500)
    done = typed("link")
    assert done.exit_code == 4, done.output
    assert "the ends of a.p0~b.p0 have different MTUs (1500 at b lo, 9000 at a lo)" in done.output
    assert "on b: sudo ip link set dev lo mtu 9000" in done.output
    assert "nothing moved" not in done.output  # nobody waited for it


def test_where_orch_may_not_set_it_the_host_is_refused_with_what_to_type(
    fabric: Fabric, tmp_path: Path
) -> None:
    fabric.give(tmp_path, "b", "10.9.0.11", mtu=1500)
    done = typed("network")
    assert done.exit_code == 4, done.output
    assert "lo has MTU 1500, not 9000; and `become: never` forbids to change that" in done.output
    assert "on b: sudo ip link set dev lo mtu 9000" in done.output


@pytest.mark.parametrize(
    ("link", "said", "typed"),
    [
        (
            "[a.p0, b.p1]",
            "the cable of two hosts goes from a.p0 to b.p1: a pair has it in the same port on both",
            "plug it into b.p0",
        ),
        (
            "{ends: [a.p1, b.p1], subnets: [10.9.0.0/24, 10.9.0.0/24]}",
            "links.0.subnets.1: both halves of a port in one subnet (10.9.0.0/24, 10.9.0.0/24)",
            "give each half its own",
        ),
    ],
    ids=["crossed", "one subnet"],
)
@pytest.mark.parametrize("verb", ["check", "up"])
def test_cables_and_subnets_that_can_not_work_are_refused_before_a_host_is_asked(
    fabric: Fabric, tmp_path: Path, verb: str, link: str, said: str, typed: str
) -> None:
    (tmp_path / "inventory.yaml").write_text(
        f"version: 1\ndefaults: {{kind: dgx-spark}}\nhosts: {{a: {{}}, b: {{}}}}\nlinks: [{link}]\n"
    )
    done = CliRunner().invoke({"check": check, "up": up}[verb], [])
    refused = done.exception if isinstance(done.exception, FilesWrong) else None
    findings = [] if refused is None else [str(one) for one in refused.findings]
    told = " ".join(" ".join([done.output, *findings]).split())
    assert "inventory.yaml:4:" in told and said in told and typed in told, told
    assert (done.exit_code if refused is None else refused.exit_code) == 2
    assert not fabric.hosts.round_trips
