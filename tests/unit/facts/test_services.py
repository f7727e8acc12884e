"""What a service's host says of it: pages, health, ends, projects, units. What can't be read is never a yes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import Unknown
from orchestrator.facts.compose import ProjectUp, ReadComposeProgram, ReadSum
from orchestrator.facts.ended import ReadEnded
from orchestrator.facts.health import ReadHealth
from orchestrator.facts.kept_services import Kept, ReadKept
from orchestrator.facts.unit import ReadUnit, UnitActive
from orchestrator.facts.visit import Visit
from orchestrator.script import Result

ENDED = ReadEnded("docker", "orch-c-j-0", "/var/lib/orch/done/c/j", "abc")
QUERIES: list[Any] = [
    *(Visit(80, "/"), ReadHealth("docker", "x"), ENDED, ProjectUp("p"), ReadComposeProgram()),
    *(
        ReadSum("~/x/c.yml"),
        ReadKept("c"),
        ReadUnit("x.service", True),
        UnitActive("x.service", False),
    ),
]


def told(out: str, rc: int = 0, err: str = "") -> Result:
    return Result(rc, out.encode(), err.encode(), 0.1)


@pytest.mark.parametrize("query", QUERIES, ids=lambda one: type(one).__name__)
def test_no_answer_is_not_known(query: Any) -> None:
    with pytest.raises(Unknown):
        query.parse({})


@pytest.mark.parametrize("query", QUERIES[1:], ids=lambda one: type(one).__name__)
@given(text=st.text(max_size=60))
def test_whatever_is_said_is_read_or_not_known(query: Any, text: str) -> None:
    names = ("health", "mark", "job", "project", "compose", "sum", "kept", "unit")
    try:
        found = query.parse(dict.fromkeys(names, told(text)))
    except Unknown:
        return
    assert not getattr(found, "answered", False)


@pytest.mark.parametrize(
    ("status", "answered", "hopeless"),
    [
        (200, True, False),
        (302, True, False),
        (404, False, False),
        (503, False, False),
        (401, False, True),
    ],
)
def test_a_page(status: int, answered: bool, hopeless: bool) -> None:
    found = Visit(80, "/health").parse({"http": told("<html>", status)})
    assert (found.answered, found.hopeless) == (answered, hopeless)
    assert answered or f"/health: HTTP {status}" in found.why


def health(state: str, said: Any) -> Any:
    line = json.dumps({"state": state, "health": said})
    return ReadHealth("docker", "x").parse({"health": told(line)})


def test_health() -> None:
    assert health("running", {"Status": "healthy", "Log": []}).answered
    bad = health("running", {"Status": "unhealthy", "Log": [{"Output": "a\nno route\n"}]})
    assert (bad.answered, bad.why) == (False, "unhealthy: no route")
    without = health("running", None)
    assert not without.answered
    assert without.hopeless  # running is not working
    assert not health("exited", {"Status": "healthy", "Log": []}).answered


def ended(mark: str, code: int, digest: str = "abc", state: str = "exited") -> Any:
    job = told(f"state {state}\ncode {code}\nhash {digest}\nend\n")
    return ENDED.parse({"mark": told(mark), "job": job})


def test_a_job_is_done_by_its_mark_or_by_its_end() -> None:
    gone = told("", 1, "Error: No such container: orch-c-j-0")
    assert ENDED.parse({"mark": told("mark abc\nend\n"), "job": gone}).answered
    assert not ENDED.parse({"mark": told("mark abd\nend\n"), "job": gone}).answered
    well = ended("end\n", 0)
    assert (well.answered, well.recorded) == (True, False)
    bad = ended("end\n", 3)
    assert (bad.answered, bad.state, bad.hopeless) == (False, "failed", True)
    assert not ended("end\n", 0, digest="old").answered
    assert not ended("end\n", 0, state="running").answered


def piece(
    service: str, state: str = "running", code: int = 0, health: str = "", **labels: str
) -> str:
    said = {"com.docker.compose.project": "p", "com.docker.compose.service": service, **labels}
    return json.dumps(
        {"name": "/x", "state": state, "code": code, "health": health, "labels": said}
    )


def project(*pieces: str) -> Any:
    return ProjectUp("p").parse({"project": told("".join(f"{one}\n" for one in pieces) + "end\n")})


def test_a_project() -> None:
    assert project(piece("web"), piece("db", health="healthy"), piece("init", "exited")).answered
    assert project().why == "nothing of p runs"
    assert not project(piece("init", "exited")).answered
    assert project(piece("web"), piece("db", "exited", 1)).why == "db is exited with code 1"
    assert project(piece("web", health="starting")).why == "web is starting"
    oneoff = piece("run", "exited", 1, **{"com.docker.compose.oneoff": "True"})
    assert project(piece("web"), oneoff).answered


def unit(active: str, load: str = "loaded") -> dict[str, Result]:
    lines = (
        f"LoadState {load}",
        f"ActiveState {active}",
        "SubState x",
        "Result y",
        "linger no",
        "end",
    )
    return {"unit": told("\n".join(lines))}


def test_a_unit() -> None:
    query = UnitActive("x.service", user=True)
    assert query.parse(unit("active")).answered
    assert not query.parse(unit("activating")).answered
    assert query.parse(unit("failed")).hopeless
    assert not ReadUnit("x.service", True).parse(unit("active")).lingers


def test_what_was_started_is_read_back() -> None:
    kept = Kept("d-1", "unit", "x.service", user=True)
    found = ReadKept("c").parse({"kept": told(f"{kept.text}\nend\n")})
    assert found == {"d-1": kept}
    with pytest.raises(Unknown):
        ReadKept("c").parse({"kept": told("unreadable\nend\n")})
