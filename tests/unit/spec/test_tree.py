"""YAML with positions: what it reads, where it says things stand, and what it refuses."""

from __future__ import annotations

import time

import pytest

from orchestrator.spec import tree


def parsed(text: str) -> object:
    node, findings = tree.parse(text, "f.yaml")
    assert findings == []
    assert node is not None
    return node.data()


def refused(text: str) -> str:
    _, findings = tree.parse(text, "f.yaml")
    assert findings, "nothing was found wrong"
    return str(findings[0])


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("no", "no"),
        ("Yes", "Yes"),
        ("off", "off"),
        ("true", True),
        ("FALSE", False),
        ("~", None),
        ("", None),
        ("8000", 8000),
        ("-5", -5),
        ("0x1F", 31),
        ("0o17", 15),
        ("0755", "0755"),
        ("22:22", "22:22"),
        ("12:30:45", "12:30:45"),
        ("2024-01-01", "2024-01-01"),
        ("1_000", "1_000"),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("0.70", 0.7),
        (".inf", ".inf"),
        ("25.11-py3", "25.11-py3"),
        ('"8000"', "8000"),
        ("'no'", "no"),
        ("!!str 8000", "8000"),
        ("!!float 8", 8.0),
        ('"; rm -rf / #"', "; rm -rf / #"),
        ("$(reboot)", "$(reboot)"),
    ],
)
def test_words_are_what_they_look_like(word: str, value: object) -> None:
    data = parsed(f"a: {word}")
    assert isinstance(data, dict)
    assert data["a"] == value
    assert type(data["a"]) is type(value)


def test_keys_are_text_as_written() -> None:
    assert parsed("no: 1\n8000: 2\nnull: 3\n0755: 4") == {"no": 1, "8000": 2, "null": 3, "0755": 4}


def test_every_key_and_value_knows_its_place() -> None:
    node, _ = tree.parse("a:\n  b: [1, {c: 2}]\n", "f.yaml")
    assert node is not None
    assert node.entries is not None
    inner = node.entries["a"].node
    assert inner.entries is not None
    assert inner.entries["b"].mark == tree.Mark("f.yaml", 2, 3)
    listed = inner.entries["b"].node
    assert listed.items is not None
    assert listed.items[0].mark == tree.Mark("f.yaml", 2, 7)
    assert listed.items[1].entries is not None
    assert listed.items[1].entries["c"].node.mark == tree.Mark("f.yaml", 2, 14)


def test_merge_keys_and_anchors() -> None:
    text = "x: &base {a: 1, b: 2}\ny: &other {b: 9, c: 3}\nz: {<<: [*base, *other], a: 0}\n"
    assert parsed(text) == {
        "x": {"a": 1, "b": 2},
        "y": {"b": 9, "c": 3},
        "z": {"a": 0, "b": 2, "c": 3},
    }


def test_a_quoted_merge_key_is_a_key() -> None:
    assert parsed('a: {"<<": 1}') == {"a": {"<<": 1}}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "f.yaml:1:1: error: the file is empty"),
        ("# only a comment\n", "the file is empty"),
        ("a: 1\nb: 2\na: 3\n", "f.yaml:3:1: error: the key 'a' stands twice; first in line 1"),
        ("a: [1\n", "f.yaml:2:1: error: not YAML"),
        ("a:\n\t- 1\n", "indent with spaces, not tabs"),
        ("a: b: c\n", "f.yaml:1:5: error: not YAML: mapping values are not allowed"),
        ("a: 1\n---\nb: 2\n", "f.yaml:2:1: error: a second document starts here"),
        ("? [1, 2]\n: x\n", "f.yaml:1:3: error: a key must be a word"),
        ("a: *b\n", "f.yaml:1:4: error: there is no anchor &b above this alias"),
        ("a: &a [1, *a]\n", "the alias *a stands inside its own anchor"),
        ("a: !!python/object:os.system x\n", "f.yaml:1:4: error: the tag"),
        ("a: !!python/object/new:x {b: 1}\n", "plain values only"),
        ("a: !!int x\n", "is not of the tag"),
        ("a: !!binary aGk=\n", "is not supported"),
        ("a: {<<: 1}\n", "`<<` takes a mapping"),
        ('a: "x\\0y"\n', "NUL"),
        ("a: b\x07\n", "f.yaml:1:5: error: the control character U+0007"),
        ("a: " + "9" * 5000, "is too large for a number; quote it"),
        ("a: 1e999\n", "is too large for a number"),
        ("[" * 5000, "nested more than 48 levels deep"),
        ("{a: " * 5000, "nested more than 48 levels deep"),
        ("%YAML 9.9\n---\na: 1\n", "not YAML"),
    ],
)
def test_what_is_refused_says_where_and_why(text: str, said: str) -> None:
    assert said in refused(text)


def test_an_alias_bomb_costs_nothing() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    before = time.process_time()
    assert "more than 200000 values, aliases written out" in refused("\n".join(lines))
    assert time.process_time() - before < 1


def test_a_merge_bomb_costs_nothing() -> None:
    keys = "a: &a {" + ", ".join(f"k{n}: 1" for n in range(20_000)) + "}\n"
    bomb = keys + "".join(f"b{n}: {{<<: *a}}\n" for n in range(2_000))
    before = time.process_time()
    assert "more than 200000 values through `<<`" in refused(bomb)
    assert time.process_time() - before < 5


def test_aliases_can_not_nest_without_end() -> None:
    lines = ["a0: &a0 [x]"] + [f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 200)]
    assert "levels deep through aliases" in refused("\n".join(lines))


def test_too_many_aliases() -> None:
    assert "more than 10000 aliases" in refused("a: &a 1\nb: [" + "*a, " * 10_001 + "]\n")


def test_all_errors_of_a_file_are_found() -> None:
    _, findings = tree.parse("a: 1\na: 2\nb: 3\nb: 4\n", "f.yaml")
    assert [finding.line for finding in findings] == [2, 4]


def test_findings_end_somewhere() -> None:
    _, findings = tree.parse("a: 1\n" * 5000, "f.yaml")
    assert len(findings) == tree.MAX_FINDINGS
