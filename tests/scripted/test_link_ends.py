"""A link whose ends have different MTUs starts no model: the reason, and what to type, as `orch` prints them."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from orchestrator.cli.options import Site
from orchestrator.cli.run import run
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
