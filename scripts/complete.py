"""Fails unless every tier's report shows tests, none of them skipped: used by scripts/test."""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path


def complaints(report: Path) -> list[str]:
    """What is not as it must be in one junit report; REPORT may come without its .xml."""
    path = report.with_suffix(".xml")
    try:
        root = ET.parse(path).getroot()  # noqa: S314 - our own report
    except (OSError, ET.ParseError) as error:
        return [f"{path}: no report: {error}"]
    cases = list(root.iter("testcase"))
    found = [] if cases else [f"{path}: no test was run"]
    for case in cases:
        skipped = case.find("skipped")
        if skipped is not None:
            name = f"{case.get('classname')}::{case.get('name')}"
            found.append(f"{path}: skipped: {name}: {skipped.get('message', '')}")
    return found


def main(reports: Sequence[str]) -> int:
    if not reports:
        sys.stderr.write("no reports were named\n")
        return 2
    found = [line for report in reports for line in complaints(Path(report))]
    for line in found:
        sys.stderr.write(f"{line}\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
