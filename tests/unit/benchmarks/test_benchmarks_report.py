"""What is printed: ratios to the floor, losses and failures by name, nothing for what was not measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.contestants import Ansible, Floor, Orch, Pyinfra, Ssh
from benchmarks.report import BEGIN, END, markdown, write

MACHINE = {"cpu": "two cores"}


def sample(wall: float, **more: Any) -> dict[str, Any]:
    base = {"client_cpu_s": wall / 2, "server_cpu_s": 1.0, "peak_bytes": 2**20 * 30, "changed": 0}
    return {"wall_s": wall, **base, "over": False, "error": "", **more}


def series(name: str, *samples: dict[str, Any], right: bool = True) -> dict[str, Any]:
    return {"name": name, "samples": {"cold": list(samples)}, "right": right}


def table(*found: dict[str, Any], given_up: dict[str, str] | None = None) -> str:
    round_ = {"hosts": 10, "limit_s": 60, "heavy_rc": False, "series": found}
    round_["given_up"] = given_up or {}
    nothing = {"rounds": [round_], "round_trips": {}, "refused": {}, "versions": {}}
    return markdown({"machine": MACHINE, "nothing": nothing})


def row(text: str, name: str) -> list[str]:
    (line,) = (line for line in text.splitlines() if f"| {name} |" in line)
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_ratio_is_of_medians_against_the_floor() -> None:
    floor = series(Floor.name, sample(1.0), sample(2.0), sample(9.0))
    cells = row(table(floor, series("slow", sample(6.0), sample(10.0))), "slow")
    assert cells[3:6] == ["2", "8.00 (6.00–10.0)", "4.0"]


def test_who_was_ended_at_the_limit_has_no_figure() -> None:
    text = table(series(Floor.name, sample(2.0)), series("slow", sample(60.2, over=True)))
    assert row(text, "slow")[4:7] == ["over 60", "> 30.0", "–"]


@pytest.mark.parametrize(
    "bad", [sample(1.0, changed=1), sample(1.0, changed=None), sample(1.0, error="exit 1: no")]
)
def test_a_wrong_result_is_not_a_fast_one(bad: dict[str, Any]) -> None:
    cells = row(table(series(Floor.name, sample(2.0)), series("odd", sample(1.0), bad)), "odd")
    assert cells[4].startswith(("wrong", "failed"))
    assert set(cells[5:]) == {"–"}


def test_hosts_left_in_another_state_are_told() -> None:
    assert row(table(series("odd", sample(1.0), right=False)), "odd")[4].startswith("wrong")


def test_who_gave_up_is_named() -> None:
    text = table(series(Floor.name, sample(1.0)), given_up={"ansible": "over 60 with 100 hosts"})
    assert row(text, "ansible")[4] == "not asked: over 60 with 100 hosts"


def test_what_could_not_be_measured_says_why() -> None:
    text = markdown(
        {"machine": MACHINE, "nothing": {"missing": "needs root"}, "up": {"missing": "no lab"}}
    )
    assert "needs root" in text
    assert "not measured: no lab" in text


def test_the_table_goes_between_its_marks_and_nowhere_else(tmp_path: Path) -> None:
    page = tmp_path / "performance.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    write(page, "new")
    assert page.read_text() == f"before\n{BEGIN}\n\nnew\n\n{END}\nafter\n"
    page.write_text("no marks\n")
    with pytest.raises(ValueError, match="no place"):
        write(page, "new")


def test_the_page_has_a_place_for_the_table() -> None:
    text = (Path(__file__).parents[3] / "docs" / "performance.md").read_text(encoding="utf-8")
    assert text.index(BEGIN) < text.index(END)


def test_each_contestant_is_taken_at_its_word() -> None:
    recap = (
        "h0 : ok=20 changed=3 unreachable=0 failed=0\nh1 : ok=20 changed=0 unreachable=0 failed=0"
    )
    assert Ansible("free").changed(recap) == 3
    assert Ansible("free").changed(recap.replace("failed=0", "failed=1")) is None
    total = "    Grand total   40      {}         {}       {}          \n"
    assert Pyinfra().changed(total.format("-", "-", 40)) == 0
    assert Pyinfra().changed(total.format(4, "-", 36)) == 4
    assert Pyinfra().changed(total.format("-", 2, 38)) is None
    assert Ssh().changed("changed=0\nchanged=2\n") == 2
    assert Ssh().changed("") is None


def test_orch_must_have_ended_well() -> None:
    done = '{"kind": "run-done", "data": {"exit_code": 0}}\n'
    step = '{"kind": "step-done", "data": {"changed": true}}\n'
    assert Orch().changed(done) == 0
    assert Orch().changed(step + done) == 1
    assert Orch().changed(step) is None
    assert Orch().changed(done.replace("0", "1")) is None
    assert Orch().changed("") is None
