"""What README and docs show is true: commands parse, files load, links lead somewhere, named tests exist."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from xml.dom import minidom

import click
import pytest
import yaml
from click.testing import CliRunner

from orchestrator.cli import root
from orchestrator.run.journal import read_events
from orchestrator.run.record import fold
from orchestrator.spec.resolve import load
from scripts.reference import EXIT_CODES

ROOT = Path(__file__).parents[2]
MADE = {
    "files.md",
    "cli.md",
    "troubleshooting.md",
}  # tests/unit/test_reference.py; `orch` in them too
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "examples").glob("*/README.md")),
]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def called(path: Path) -> str:
    return str(path.relative_to(ROOT))


def blocks(text: str) -> Iterator[tuple[str, str]]:
    """(language, text) of each fenced block."""
    yield from BLOCK.findall(text)


def commands(path: Path) -> Iterator[str]:
    """Lines that a reader would type, in fenced and indented blocks."""
    text = path.read_text(encoding="utf-8")
    fenced = [body for language, body in blocks(text) if language in ("", "sh", "bash")]
    for body in fenced:
        yield from (line.strip() for line in body.splitlines() if re.match(r"\s*orch ", line))
    prose = BLOCK.sub("", text)
    yield from (line.strip() for line in prose.splitlines() if re.match(r" {4,}orch ", line))


def mentions(path: Path) -> Iterator[str]:
    """Commands between backticks, of which some leave out what is plain from the text."""
    yield from re.findall(r"`(orch [^`\n]+)`", BLOCK.sub("", path.read_text(encoding="utf-8")))


def typed() -> list[tuple[str, str]]:
    return [(called(path), line) for path in PAGES for line in commands(path)]


def mentioned() -> list[tuple[str, str]]:
    """Page and command; words in capitals stand for something, … for whatever you like."""
    return [
        (called(path), line)
        for path in PAGES
        for line in mentions(path)
        if "…" not in line and not re.search(r"\b[A-Z]{4,}\b", line)
    ]


def parsed(words: list[str]) -> None:
    """Parse as click would, to the last option, and run nothing."""
    command: click.Command = root
    name = "orch"
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        name, *words = words
        found = command.get_command(click.Context(command), name)
        if found is None:
            raise click.UsageError(f"there is no {name!r}")
        command = found
    try:
        command.make_context(name, words)
    except click.exceptions.Exit as stop:  # --help, --version, --list
        if stop.exit_code:
            raise


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a reader stands: with the files that the commands name."""
    for name in ("cluster.yaml", "inventory.yaml"):
        (tmp_path / name).write_text("version: 1\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("page", "line"), typed())
def test_every_command_parses(
    page: str, line: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parsed(shlex.split(line, comments=True)[1:])


@pytest.mark.parametrize(("page", "line"), mentioned())
def test_every_mentioned_command_is_one(
    page: str, line: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with suppress(click.MissingParameter, click.exceptions.NoArgsIsHelpError):
        parsed(shlex.split(line)[1:])


@pytest.mark.parametrize(
    "line", ["verify-roce", "up --dryrun", "lab pu", "runs show last more", "logs --since"]
)
def test_a_wrong_command_would_be_found(line: str, folder: Path) -> None:
    with pytest.raises(click.UsageError):
        parsed(line.split())


def test_there_are_commands() -> None:
    assert len(typed()) > 40
    assert len(mentioned()) > 40


@pytest.mark.parametrize("path", PAGES, ids=called)
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            assert (path.parent / target).exists(), target


@pytest.mark.parametrize("path", PAGES, ids=called)
def test_named_files_and_tests_exist(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for file, test in re.findall(
        r"`((?:tests|scripts|orchestrator)/[\w/.-]+\.\w+)(?:::(\w+))?`", text
    ):
        if "textserve" in file:  # the engine that CONTRIBUTING makes up
            continue
        assert (ROOT / file).is_file(), file
        assert not test or f"def {test}(" in (ROOT / file).read_text(encoding="utf-8"), test


@pytest.mark.parametrize("path", PAGES, ids=called)
def test_yaml_is_yaml(path: Path) -> None:
    for language, body in blocks(path.read_text(encoding="utf-8")):
        if language == "yaml":
            assert yaml.safe_load(body)


# --- README -----------------------------------------------------------------------------------------

README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_files_of_the_readme_are_right(tmp_path: Path) -> None:
    inventory, cluster = (body for language, body in blocks(README) if language == "yaml")
    (tmp_path / "inventory.yaml").write_text(inventory)
    (tmp_path / "cluster.yaml").write_text(cluster)
    loaded = load(tmp_path / "cluster.yaml")
    assert loaded.findings == ()
    done = CliRunner().invoke(root, ["render", str(tmp_path / "cluster.yaml")])
    assert done.exit_code == 0
    assert "40-orch.yaml" in done.output


def test_the_exit_codes_of_the_readme_are_those() -> None:
    line = README.split("Exit codes:")[1].split("`--json`")[0]
    assert [int(code) for code in re.findall(r"(?:^|·)\s*(\d+)\s", line)] == [
        code for code, *_ in EXIT_CODES
    ]


def test_every_verb_is_in_the_readme() -> None:
    table = README.split("## Verbs")[1].split("Exit codes:")[0]
    found = re.findall(r"`([\w-]+)`", "".join(re.findall(r"^\| (`[^|]+) \|", table, re.MULTILINE)))
    assert sorted(found) == sorted(root.list_commands(click.Context(root)))


def test_every_promise_has_its_test() -> None:
    table = README.split("## Promises")[1].split("## Limits")[0]
    rows = re.findall(r"^\| (?!promise|---)", table, re.MULTILINE)
    tests = re.findall(r"`(tests/lab/\w+\.py)::(\w+)`", table)
    assert len(rows) == len(tests) >= 10
    for file, test in tests:
        assert f"def {test}(" in (ROOT / file).read_text(encoding="utf-8")


def test_the_picture_is_of_the_run_beside_it() -> None:
    record = fold(event for event in read_events(ROOT / "docs/up.jsonl") if event is not None)
    assert (record.verb, record.exit_code) == ("up", 0)
    texts = minidom.parse(str(ROOT / "docs/up.svg")).getElementsByTagName("text")
    drawn = " ".join(text.firstChild.nodeValue or "" for text in texts if text.firstChild)
    for stage in {step.stage for step in record.steps.values() if step.state == "changed"}:
        assert stage in drawn
    changed = sum(step.state == "changed" for step in record.steps.values())
    assert f"{changed}\xa0steps\xa0changed" in drawn
