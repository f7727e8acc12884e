"""README's quick start, command by command, on rehearsal hosts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.conftest import Lab
from tests.lab.site import Site

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]

README = Path(__file__).parents[2] / "README.md"


def quick_start() -> list[list[str]]:
    """The words behind `orch` of each line of the block that ends with `orch down`."""
    for body in re.findall(r"^```sh\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL):
        lines = [line.split("#")[0].split() for line in body.splitlines()]
        if lines[-1] == ["orch", "down"]:
            return [words[1:] for words in lines]
    raise LookupError("README has no quick start")


@pytest.fixture
def site(lab: Lab, tmp_path: Path) -> Iterator[Site]:
    one = Site(lab, tmp_path)
    try:
        yield one
    finally:
        one.orch("down", rc=None)


def test_the_quick_start_works_as_it_stands(site: Site) -> None:
    verbs = []
    for words in quick_start():
        verbs.append(words[0])
        if "--follow" not in words:
            site.orch(*words)
            continue
        with site.running(*words) as followed:  # until somebody presses Ctrl-C
            assert followed.stdout is not None
            assert followed.stdout.readline().startswith("spark-")
    assert verbs == ["check", "render", "plan", "up", "verify-rdma", "status", "logs", "down"]
    assert site.ranks() == {}
