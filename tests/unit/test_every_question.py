"""Every question that orch can ask, found by itself: no answer, half an answer or noise is never a pass."""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import MISSING, fields, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import orchestrator
from orchestrator import contracts
from orchestrator.contracts import Query
from orchestrator.errors import Unknown
from orchestrator.script import Request, Result


def questions() -> dict[str, type[Any]]:
    """All classes that ask and parse: a new one is here without being named."""
    found = {}
    for info in pkgutil.walk_packages(orchestrator.__path__, "orchestrator."):
        if info.name.startswith(("orchestrator.lab.", "orchestrator.cli.")):
            continue
        module = importlib.import_module(info.name)
        classes = [one for one in vars(module).values() if isinstance(one, type)]
        for one in classes:
            if hasattr(one, "ask") and hasattr(one, "parse") and one is not contracts.Query:
                found[f"{one.__module__}.{one.__qualname__}"] = one
    return found


ARGUMENTS: dict[str, Any] = {
    "str": "x", "int": 1, "float": 1.0, "bool": False, "tuple[str, ...]": ("x",),
}  # fmt: skip


def asked(cls: type[Any]) -> Query[Any]:
    """One such question, with a word of the right type for each field that it needs."""
    needed = {
        one.name: "docker"
        if one.name == "runtime"
        else "/x"
        if one.name == "path"
        else ARGUMENTS[str(one.type)]
        for one in fields(cls)
        if one.default is MISSING and one.default_factory is MISSING
    }
    made: Query[Any] = cls(**needed)
    return made


EVERY = questions()
FOUND = sorted(EVERY)
THE_EXIT_CODE_ANSWERS = {"orchestrator.steps.shell.ShellCheck"}
ONLY_SHOWN = {"orchestrator.facts.rank_log.ReadRankLog"}


def parsed(name: str, result: Result | None) -> Any:
    """What comes of the same result for all that was asked; None for no result at all."""
    query = asked(EVERY[name])
    said = query.ask()
    names = ["http"] if isinstance(said, Request) else list(said.commands)
    if isinstance(said, Request) and result is not None and result.rc:
        result = replace(result, rc=500)  # there it is the status
    return query.parse({} if result is None else dict.fromkeys(names, result))


def test_they_are_found() -> None:
    assert len(FOUND) > 50
    assert "orchestrator.facts.gpus.ReadGpus" in FOUND


@pytest.mark.parametrize("name", FOUND)
def test_no_answer_is_unknown(name: str) -> None:
    with pytest.raises(Unknown):
        parsed(name, None)


@pytest.mark.parametrize("rc", [0, 1, 124, 137, 255])
@pytest.mark.parametrize("name", sorted({*FOUND} - THE_EXIT_CODE_ANSWERS - ONLY_SHOWN))
def test_an_empty_answer_is_never_a_pass(name: str, rc: int) -> None:
    try:
        answer = parsed(name, Result(rc, b"", b"", 0.0))
    except Unknown:
        return
    passed = getattr(answer, "answered", getattr(answer, "usable", answer))
    assert not passed, answer  # a proof that failed, an engine out of order, or "it is not there"


@settings(max_examples=60, deadline=None)
@given(
    out=st.one_of(
        st.binary(max_size=80),
        st.sampled_from(
            [b"end\n", b"x\nend\n", b"null\nend\n", b"[]", b"{}", b"\xff\nend\n", b"1e999\nend\n"]
        ),
    ),
    rc=st.sampled_from([0, 1, 126, 127]),
    truncated=st.booleans(),
)
@pytest.mark.parametrize("name", FOUND)
def test_noise_is_an_answer_or_unknown_and_never_a_traceback(
    name: str, out: bytes, rc: int, truncated: bool
) -> None:
    try:
        answer = parsed(name, Result(rc, out, b"Befehl nicht gefunden", 0.0, truncated=truncated))
    except Unknown as unknown:
        assert str(unknown)
    else:
        assert not getattr(answer, "answered", False), answer
