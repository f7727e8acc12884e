"""Words of the command line that name nothing: told as usage, before anything is looked for or written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from orchestrator.cli import root
from orchestrator.errors import FilesWrong


@pytest.mark.parametrize(
    "words",
    [
        ("check",),
        ("plan",),
        ("render",),
        ("render", "--output"),
        ("schema", "--write"),
        ("init", "spark-1", "-i"),
        ("verify-rdma", "--html"),
        ("status", "--hosts", "a"),
        ("exec", "-f"),
        ("exec", "-i"),
        ("export", "--output"),
        ("lab", "up", "--dir"),
    ],
    ids=" ".join,
)
def test_an_empty_path_is_not_this_folder(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(root, [*words, ""])
    assert done.exit_code == 2
    assert "the path is empty" in done.output
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "word",
    [
        "",
        " ",
        "a b",
        "a\nb",
        "*",
        "a/b",
        "a@",
        "@b",
        "h:0",
        "h:65536",
        "h:x",
        "[::1]:22",
        "x" * 300,
    ],
)
def test_what_can_be_no_host_is_not_asked(
    word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(root, ["init", word])
    assert f"{word!r} is no host" in str(done.exception)
    assert not list(tmp_path.iterdir())


INVENTORY = """
version: 1
defaults: {kind: gpu-host, ports: {p0: {halves: [{netdev: lo}], gbps: 100}}}
hosts: {a: {address: 127.0.0.1}, b: {address: 127.0.0.2}}
links: [[a.p0, b.p0]]
"""


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--live --nccl", "--live and --nccl exclude each other"),
        ("--history --html x.html", "--history and --html exclude each other"),
        ("--nccl --link a.p0", "--nccl and --link exclude each other"),
        ("--live --all-pairs", "--live and --all-pairs exclude each other"),
        ("--html nowhere/x.html", "there is no folder nowhere"),
        ("--hosts a", r"no link to measure lies between the hosts of --hosts \(a\)"),
    ],
)
def test_what_can_not_be_measured_so_is_told_before_it_begins(
    words: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("inventory.yaml").write_text(INVENTORY)
    with pytest.raises(FilesWrong, match=told):
        CliRunner().invoke(root, ["verify-rdma", *words.split()], catch_exceptions=False)


def test_a_closed_stdout_is_nowhere_to_write_to(tmp_path: Path) -> None:
    unread = INVENTORY.replace("kind: gpu-host", "kind: gpu-host, ssh: {config: nowhere}")
    (tmp_path / "inventory.yaml").write_text(unread)
    (tmp_path / "cluster.yaml").write_text("version: 1\nname: c\ninventory: inventory.yaml\n")
    orch = f"{sys.executable} -m orchestrator.cli up --dry-run"
    root_of = str(Path(__file__).parents[2])
    env = {**os.environ, "XDG_STATE_HOME": str(tmp_path), "PYTHONPATH": root_of}
    line = ["sh", "-c", f"{orch} >&-"]
    done = subprocess.run(line, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.returncode == 2  # what it would have said without the redirection
