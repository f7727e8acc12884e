"""What a build reads: its name follows its content, `.dockerignore` is heeded, what can't be built is said."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.ranks import context as module
from orchestrator.ranks.context import Context, Ignored, image_of
from orchestrator.spec.resolve import load
from tests.gangs import LAB, cluster_of, only

BUILD = {"own": "engine: llamacpp\nmodel: /m.gguf\nbuild: {dockerfile: Dockerfile, context: c}\n"}
TINY = "tiny: {profile: own, hosts: [spark-1], port: 8000}"


def folder(base: Path, **files: str) -> Path:
    for name, text in files.items():
        path = base / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return base


def names(one: Context) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(one.packed())) as tar:
        return tar.getnames()


def test_the_name_follows_the_content(tmp_path: Path) -> None:
    folder(tmp_path, Dockerfile="FROM a\n", c__x="1")
    one = Context(tmp_path / "Dockerfile", tmp_path / "c")
    assert one.digest == Context(one.dockerfile, one.folder).digest
    seen = {one.digest}
    for change in ({"Dockerfile": "FROM b\n"}, {"c__x": "2"}, {"c__y": "1"}):
        folder(tmp_path, **change)
        seen.add(Context(one.dockerfile, one.folder).digest)
    (tmp_path / "c/x").chmod(0o755)
    seen.add(Context(one.dockerfile, one.folder).digest)
    assert len(seen) == 5


def test_what_is_ignored_is_neither_sent_nor_part_of_the_name(tmp_path: Path) -> None:
    folder(tmp_path, Dockerfile="FROM a\n", c__x="1", c__out__big="1", c__keep__log="1")
    (tmp_path / "c/.dockerignore").write_text("# built\nout/\n*/log\n")
    one = Context(tmp_path / "Dockerfile", tmp_path / "c")
    assert names(one) == ["Dockerfile", "context/.dockerignore", "context/x"]
    folder(tmp_path, c__out__big="2")
    assert Context(one.dockerfile, one.folder).digest == one.digest


@pytest.mark.parametrize(
    ("rules", "left_out", "kept"),
    [
        ("a", ["a", "a/b"], ["b/a", "ab"]),
        ("/a/*.py", ["a/x.py"], ["a/b/x.py", "x.py"]),
        ("**/*.py", ["x.py", "a/b/x.py"], ["x.pyc"]),
        ("a\n!a/keep", ["a/x"], ["a/keep"]),
        ("a?[0-9]", ["ab1"], ["ab", "a/1"]),
        ("a.b", ["a.b"], ["axb"]),
        ("", [], ["a"]),
    ],
)
def test_dockerignore(tmp_path: Path, rules: str, left_out: list[str], kept: list[str]) -> None:
    (tmp_path / ".dockerignore").write_text(rules)
    found = Ignored.of(tmp_path / ".dockerignore")
    assert [one for one in [*left_out, *kept] if found.matches(one)] == left_out


@given(
    st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=40),
    st.text(max_size=20),
)
def test_no_pattern_is_too_odd(text: str, name: str) -> None:
    for _, pattern in module._rules(text):
        pattern.fullmatch(name)


def test_the_image_is_called_by_profile_and_content(tmp_path: Path) -> None:
    folder(tmp_path, profiles__Dockerfile="FROM a\n", profiles__c__x="1")
    image = image_of(only(cluster_of(tmp_path, TINY, LAB, BUILD)))
    assert image.startswith("orch-build/own:")
    assert len(image.split(":")[1]) == 12


@pytest.mark.parametrize(
    ("profile", "at", "words"),
    [
        (
            "build: {dockerfile: Nowhere}",
            "5:21: error: build.dockerfile",
            "there is no Dockerfile at",
        ),
        (
            "build: {dockerfile: Dockerfile, context: no}",
            "5:42: error: build.context",
            "no folder at",
        ),
        ("build: {dockerfile: Dockerfile}\nimage: a:1", "5:1: error: build", "image: null"),
        (
            "build: {dockerfile: Dockerfile, context: c}",
            "5:42: error: build.context",
            "may have 0 MiB",
        ),
    ],
)
def test_what_can_not_be_built(
    tmp_path: Path, profile: str, at: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder(tmp_path, profiles__Dockerfile="FROM a\n", profiles__c__x="12")
    if "MiB" in words:
        monkeypatch.setattr(module, "LARGEST", 1)
    own = {"own": f"engine: llamacpp\nmodel: /m.gguf\n# here:\n{profile}\n"}
    cluster_of(tmp_path, TINY, LAB, own)
    (found,) = (str(one) for one in load(tmp_path / "cluster.yaml").errors)
    assert f"own.yaml:{at}" in found
    assert words in found
