"""No input file, however malformed, gives a traceback: it loads, or it is FilesWrong with findings."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.errors import FilesWrong
from orchestrator.spec import tree
from orchestrator.spec.resolve import load, load_cluster
from tests.unit.spec.conftest import CLUSTER, INVENTORY, PROFILE, Site

FILES = {"cluster.yaml": CLUSTER, "inventory.yaml": INVENTORY, "profiles/big.yaml": PROFILE}
KIND = "version: 1\nname: dgx-spark\nports: {p1: {halves: [{netdev: a}]}}\nenv: {A: {value: 1, source: s}}\n"

quick = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

words = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=12),
    st.sampled_from(
        ["spark-1", "pair", "vl", "big", "all", "8000", "10.0.0.0/8", "x-a", "../..", "a.b", "~"]
    ),
)
values = st.recursive(
    words,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(st.text(max_size=8), st.integers()), inner, max_size=3),
    ),
    max_leaves=8,
)


def survives(site: Site) -> None:
    """The promise."""
    try:
        cluster = load_cluster(site.root / "cluster.yaml", purpose="up")
    except FilesWrong as wrong:
        assert wrong.exit_code == 2
        assert wrong.findings
        assert all(str(finding) for finding in wrong.findings)
    else:
        assert cluster.model_dump()


def reset(site: Site) -> None:
    for name, text in FILES.items():
        site.write(name, text)


@quick
@given(name=st.sampled_from([*FILES, "kinds/dgx-spark.yaml"]), content=st.binary(max_size=200))
def test_any_bytes(site: Site, name: str, content: bytes) -> None:
    reset(site)
    site.write(name, content)
    survives(site)


@quick
@given(content=st.text(alphabet="{}[]:,-&*!|>%@`'\"#?~ \n\tab01<=", max_size=60))
def test_any_punctuation(content: str) -> None:
    node, findings = tree.parse(content, "f.yaml")
    assert node is not None or findings


@quick
@given(name=st.sampled_from([*FILES, "kinds/dgx-spark.yaml"]), value=values)
def test_any_yaml(site: Site, name: str, value: object) -> None:
    reset(site)
    site.write(name, yaml.safe_dump(value, allow_unicode=True))
    survives(site)


def places(data: object, path: tuple[object, ...] = ()) -> Iterator[tuple[object, ...]]:
    """Every place in a document."""
    yield path
    if isinstance(data, dict):
        for key, value in data.items():
            yield from places(value, (*path, key))
    elif isinstance(data, list):
        for index, value in enumerate(data):
            yield from places(value, (*path, index))


def spoil(data: object, path: tuple[object, ...], value: object) -> object:
    """The document with another value at one place."""
    if not path:
        return value
    if isinstance(data, dict):
        return {k: spoil(v, path[1:], value) if k == path[0] else v for k, v in data.items()}
    if isinstance(data, list):
        return [spoil(v, path[1:], value) if i == path[0] else v for i, v in enumerate(data)]
    return data


@settings(quick, max_examples=150)
@given(name=st.sampled_from([*FILES, "kinds/dgx-spark.yaml"]), pick=st.randoms(), value=values)
def test_a_right_file_with_one_value_spoilt(
    site: Site, name: str, pick: random.Random, value: object
) -> None:
    reset(site)
    data = yaml.safe_load(FILES.get(name, KIND))
    place = pick.choice(list(places(data)))
    site.write(name, yaml.safe_dump(spoil(data, place, value), allow_unicode=True))
    survives(site)


@settings(quick, max_examples=150)
@given(name=st.sampled_from(list(FILES)), pick=st.randoms(), text=st.text(max_size=4))
def test_a_right_file_with_characters_spoilt(
    site: Site, name: str, pick: random.Random, text: str
) -> None:
    reset(site)
    original = FILES[name]
    at = pick.randrange(len(original))
    spoilt = original[:at] + text + original[at + pick.randrange(4) :]
    site.write(name, spoilt.encode("utf-8", "surrogatepass"))
    survives(site)


@quick
@given(st.lists(st.tuples(st.text(max_size=12), st.text(max_size=12)), max_size=3))
def test_any_override(site: Site, sets: list[tuple[str, str]]) -> None:
    texts = [f"{path}={value}" for path, value in sets]
    try:
        load(site.root / "cluster.yaml", texts)
    except FilesWrong as wrong:
        assert wrong.findings


@settings(quick, max_examples=100)
@given(
    path=st.lists(
        st.sampled_from(
            ["vl", "deployments", "parallel", "tensor", "args", "profiles", "big", "inventory", "0",
             "hosts", "spark-1", "ssh", "links", "x", "env", "gpus", "network", "pool", "1.5", "name"]
        ),
        min_size=1,
        max_size=6,
    ),
    value=values,
)  # fmt: skip
def test_any_value_at_any_path(site: Site, path: list[str], value: object) -> None:
    text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True)
    try:
        loaded = load(site.root / "cluster.yaml", [f"{'.'.join(path)}={text}"])
    except FilesWrong as wrong:
        assert wrong.findings
    else:
        assert loaded.cluster.model_dump()


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? ", "&a [", "!!seq [", "a:\n "])
@pytest.mark.parametrize("depth", [40, 100, 20_000])
def test_deep_nesting(site: Site, opening: str, depth: int) -> None:
    site.write("cluster.yaml", "version: 1\nname: a\nx-deep: " + opening * depth)
    survives(site)
    site.write("profiles/big.yaml", opening * depth)
    reset(site)
    survives(site)


def test_deep_but_allowed(site: Site) -> None:
    deep = "{a: " * 40 + "1" + "}" * 40
    site.edit("profiles/big.yaml", "nested:", f"deep: {deep}, nested:")
    assert site.load().deployments["vl"].profile.args["deep"]


def test_paths_that_no_system_takes(site: Site) -> None:
    for path in ("a" * 5000, "~nobody-has-this-name/x", "/proc/self/mem", "/dev/zero", "."):
        site.edit("cluster.yaml", "name: duo", f"name: duo\ninventory: {path}")
        assert site.errors()
        reset(site)
    site.write("profiles/loop.yaml", "")
    (site.root / "profiles/loop.yaml").unlink()
    (site.root / "profiles/loop.yaml").symlink_to(Path("loop.yaml"))
    site.deploy("a: {profile: loop, hosts: spark-1}")
    assert site.errors()
