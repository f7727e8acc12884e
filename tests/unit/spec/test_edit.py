"""One value of a file is replaced, and not a letter beside it."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import FilesWrong
from orchestrator.spec.edit import value_at, with_value
from orchestrator.spec.tree import parse

PATH = ("deployments", "vl", "profile")
FORMS = (
    "deployments:\n  vl:\n    profile: @@   # why\n    hosts: pair\n",
    "# first\r\ndeployments:\r\n  other: {profile: @@}\r\n  vl: {hosts: pair, profile: @@, port: 1} # x\r\n",
    "{deployments: {vl: {profile: @@}}}",
    "deployments:\n  'vl':\n    ? profile\n    : @@\n",
    "x-ü: 'ä\u2028ö'\ndeployments: {vl: {profile: @@}}\n",
    "deployments:\n  vl:\n    profile: !!str @@\n",
)
WORDS = ("old", "'old'", '"old"', "'it''s'", '"o\\"ld"', "qwen3.5-122b")
names = st.from_regex(r"[a-zA-Z0-9][a-zA-Z0-9._-]{0,20}", fullmatch=True) | st.sampled_from(
    (
        "8",
        "1e3",
        "true",
        "null",
        "~",
        "./my.yaml",
        "../a b.yaml",
        "it's",
        'a"b',
        "a: b",
        "a #b",
        "é",
        "0x1F",
    )
)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("word", WORDS)
@given(new=names)
def test_the_value_changes_and_all_else_stays(form: str, word: str, new: str) -> None:
    text = form.replace("@@", word)
    made = with_value(text, PATH, new, "cluster.yaml")
    assert value_at(made, PATH, "cluster.yaml") == new
    # what stands before and behind the value is there, letter by letter
    at = text.rindex(word)
    assert made.startswith(text[:at])
    assert made.endswith(text[at + len(word) :])
    before, _ = parse(text, "")
    after, _ = parse(made, "")
    assert before is not None
    assert after is not None
    expected = before.data()
    expected["deployments"]["vl"]["profile"] = new
    assert after.data() == expected


@pytest.mark.parametrize(
    "text",
    [
        "x-p: &p old\ndeployments: {vl: {profile: *p}}\n",  # an alias: its anchor stands elsewhere
        "deployments:\n  vl: {profile: &p old}\n  b: {profile: *p}\n",  # another would change too
        "x-b: &b {profile: old}\ndeployments:\n  vl: {<<: *b, hosts: pair}\n",
        "deployments:\n  vl:\n    profile: |\n      old\n",
        "deployments:\n  vl:\n    profile: >-\n      old\n",
        "deployments:\n  vl:\n    profile: old\n      word\n",  # over two lines
        "deployments:\n  vl: {hosts: pair}\n",
    ],
)
def test_what_is_no_word_of_its_own_is_refused(text: str) -> None:
    with pytest.raises(FilesWrong, match=re.escape("deployments.vl.profile does not stand there")):
        with_value(text, PATH, "new", "cluster.yaml")


def test_a_file_that_is_not_right_is_left_alone() -> None:
    with pytest.raises(FilesWrong, match="is not right"):
        with_value("deployments: {vl: {profile: a, profile: b}}", PATH, "new", "cluster.yaml")
