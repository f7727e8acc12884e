"""Real verbs between three virtual machines: every link measured there and back, one pair after the other."""

from __future__ import annotations

import json
import os
from itertools import permutations
from pathlib import Path

import pytest

from orchestrator.errors import FilesWrong
from orchestrator.lab import records
from orchestrator.lab.down import take_down
from orchestrator.lab.progress import Progress
from orchestrator.lab.vm import processes
from tests.lab.conftest import Vms, running_vms
from tests.lab.site import Site
from tests.vm.test_lab import speak_over_every_link

pytestmark = [pytest.mark.lab, pytest.mark.timeout(1800)]

CLUSTER = "version: 1\nname: ring\ninventory: inventory.yaml\n"
SECONDS = 1200.0


@pytest.fixture(scope="module", autouse=True)
def rails_as_they_come() -> None:
    """The session's two machines are not needed here."""


def test_three_in_a_ring_are_measured_and_down_leaves_nothing(tmp_path: Path) -> None:
    name, folder = f"x{os.getpid()}", tmp_path / "ring"
    with running_vms(folder, name, ("a", "b", "c"), "ring") as ring:
        speak_over_every_link(ring)
        the_matrix_is_filled_both_ways(ring, tmp_path / "site")
        (folder / "notes.txt").write_text("mine")
        own = records.path_of(ring.home, name).parent
        assert len(processes.of_folder(own)) == 3
        take_down(ring.home, name, Progress(print))
        assert [file.name for file in folder.iterdir()] == ["notes.txt"]
        assert not processes.of_folder(own)
        assert not own.exists()
        assert name not in records.names(ring.home)
        with pytest.raises(FilesWrong, match="no lab"):
            take_down(ring.home, name, Progress(print))


def the_matrix_is_filled_both_ways(ring: Vms, folder: Path) -> None:
    """What a user sees, what is remembered of it, and that nobody was in two pairs at once."""
    folder.mkdir()
    site = Site(ring, folder, name="ring")
    site.write("cluster.yaml", CLUSTER)
    quick = ("--quick", "--size", "16KiB", "--qps", "1")
    shown = site.orch("verify-rdma", *quick, rc=None, timeout=SECONDS).stdout
    assert "TCP" not in shown
    for pair, cell in cells(shown).items():
        assert cell[0].isdigit() and float(cell.rstrip("Fdu")) > 0, (pair, shown)
    past = json.loads(site.orch("verify-rdma", "--history", "--json").stdout)["links"]
    assert len(past) == 3
    assert all(each[-1]["gbps"] > 0 for each in past.values()), past
    journal = max((site.folder / "state" / "orch" / "runs").glob("*.jsonl"))
    busy = pairs_in_order(journal)
    assert len(busy) == 3  # a triangle has three rounds of one pair each
    assert len(set(busy)) == 3


def cells(shown: str) -> dict[tuple[str, str], str]:
    """(from, to) → what the host-by-host matrix says."""
    _, _, text = shown.partition("FROM \\ TO")
    head, *rows = [line.split() for line in text.splitlines()[:4]]
    assert head == ["a", "b", "c"], shown
    table = {(row[0], to): cell for row in rows for to, cell in zip(head, row[1:], strict=True)}
    return {pair: table[pair] for pair in permutations(head, 2)}


def pairs_in_order(journal: Path) -> list[str]:
    """Links as their tools were at work: each time that another one begins, its name."""
    found: list[str] = []
    for line in journal.read_text(encoding="utf-8").splitlines():
        event = json.loads(line)
        step = str(event.get("step"))
        if event["kind"] == "step-done" and step.endswith(("/serve", "/ask")):
            link = step.split("/")[1]
            if found[-1:] != [link]:
                found.append(link)
    return found
