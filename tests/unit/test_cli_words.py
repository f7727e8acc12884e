"""Words of the command line that name nothing: told as usage, before anything is looked for or written."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from orchestrator.cli import root


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
