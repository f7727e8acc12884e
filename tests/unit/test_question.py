"""What hosts are asked is looked up a million times in a large plan: each question has a hash of its own."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator
from importlib import import_module
from inspect import isclass

import orchestrator.facts
from orchestrator.facts import Identify, ReadImage, ReadNetwork
from orchestrator.question import question


def questions() -> Iterator[type]:
    """All classes of orchestrator/facts that ask."""
    for info in pkgutil.iter_modules(orchestrator.facts.__path__):
        module = import_module(f"orchestrator.facts.{info.name}")
        for one in vars(module).values():
            if isclass(one) and one.__module__ == module.__name__ and hasattr(one, "ask"):
                yield one


def test_questions_with_the_same_fields_have_other_hashes() -> None:
    assert hash(ReadNetwork()) != hash(Identify())


def test_equal_questions_have_one_hash() -> None:
    one, other = ReadImage("docker", "vllm:1"), ReadImage("docker", "vllm:1")
    assert one == other
    assert hash(one) == hash(other)
    assert {one: "here"}[other] == "here"
    assert ReadImage("docker", "vllm:2") not in {one}


def test_a_question_without_fields_is_there_once_and_no_kind_of_it_is_taken_for_it() -> None:
    class Nearer(ReadNetwork):
        """A kind of its own."""

    assert ReadNetwork() is ReadNetwork()
    assert type(Nearer()) is Nearer


def test_every_fact_asks_by_such_a_question() -> None:
    found = list(questions())
    assert len(found) > 40
    assert [one for one in found if one.__hash__.__module__ != question.__module__] == []
