"""A file of ssh's own that can't be read is the files' fault (2), whichever verb meets it first."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from orchestrator.cli import root
from tests.scripted.test_verify_nccl import PROFILE

INVENTORY = """
version: 1
defaults:
  kind: gpu-host
  ssh: {config: broken}
  ports: {p0: {halves: [{netdev: lo}], gbps: 100}}
hosts: {a: {address: 127.0.0.1}, b: {address: 127.0.0.2}}
links: [[a.p0, b.p0]]
"""
CLUSTER = """
version: 1
name: duo
inventory: inventory.yaml
deployments: {vl: {profile: p, hosts: [a, b], parallel: {tensor: 2}}}
"""
VERBS = [
    ("plan",),
    ("up",),
    ("up", "--dry-run"),
    ("down",),
    ("status",),
    ("init",),
    ("logs",),
    ("switch", "vl", "q"),
    ("run", "network"),
    ("exec", "--", "true"),
    ("unlock", "--reason", "x", "a"),
    ("verify-rdma",),
    ("verify-rdma", "--live"),
    ("verify-rdma", "--nccl"),
]


@pytest.mark.parametrize("words", VERBS, ids=" ".join)
def test_a_broken_ssh_config_is_two(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    Path("profiles").mkdir()
    for name, text in {
        "inventory.yaml": INVENTORY,
        "cluster.yaml": CLUSTER,
        "profiles/p.yaml": PROFILE,
        "profiles/q.yaml": PROFILE,
        "broken": "Host *\n  Port\n",
    }.items():
        Path(name).write_text(text)
    done = CliRunner().invoke(root, words, catch_exceptions=False)
    assert "broken can't be read: Unparsable line Port" in done.output
    assert done.exit_code == 2
