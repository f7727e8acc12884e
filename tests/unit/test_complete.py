"""CI is red when a tier was skipped, ran nothing, or left no report."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.complete import complaints, main

CASE = '<testcase classname="tests.lab.test_up" name="test_up">{}</testcase>'


def report(folder: Path, *bodies: str) -> Path:
    cases = "".join(CASE.format(body) for body in bodies)
    path = folder / "lab.xml"
    path.write_text(f"<testsuites><testsuite>{cases}</testsuite></testsuites>")
    return path


def test_a_tier_that_ran_is_complete(tmp_path: Path) -> None:
    assert complaints(report(tmp_path, "", "")) == []
    assert main([str(tmp_path / "lab")]) == 0


@pytest.mark.parametrize("kind", ["pytest.skip", "pytest.xfail"])
def test_one_skipped_test_is_named(tmp_path: Path, kind: str) -> None:
    (told,) = complaints(report(tmp_path, "", f'<skipped type="{kind}" message="no docker"/>'))
    assert told.endswith("skipped: tests.lab.test_up::test_up: no docker")


def test_nothing_run_no_report_and_a_broken_report_are_not_passes(tmp_path: Path) -> None:
    assert "no test was run" in complaints(report(tmp_path))[0]
    assert "no report" in complaints(tmp_path / "gone")[0]
    (tmp_path / "cut.xml").write_text("<testsuites>")
    assert "no report" in complaints(tmp_path / "cut.xml")[0]
    assert main([]) == 2
