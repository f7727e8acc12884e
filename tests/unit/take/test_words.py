"""The words of a server come out again as they were; and no text whatever gives anything but an answer or a refusal."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.errors import FilesWrong
from orchestrator.knowledge.servers import entrypoint, known, serves
from orchestrator.ranks.arguments import name_of, words
from orchestrator.spec.load import load_file
from orchestrator.spec.profile_entries import ProfileFile
from orchestrator.take.files import Place, Wish, files_of
from orchestrator.take.formats import formats
from orchestrator.take.line import read
from orchestrator.take.model import Taken, Wanted
from orchestrator.take.secrets import secret_flag, secret_name, secret_value, shown
from orchestrator.take.shell import NotPlain, commands, expand
from orchestrator.take.sources import source_of, take
from tests.unit.take.made import result

FREE = st.text(
    alphabet=st.characters(exclude_categories=("C", "Z"), exclude_characters="="),
    min_size=1,
    max_size=12,
)
ODD = [
    "0.70",
    "0.9",
    "1e-5",
    "true",
    "no",
    "null",
    "~",
    "0x10",
    "007",
    "1_000",
    '{"a":1.5}',
    '{"a":null}',
    '{"a":[1,{"b":"c"}]}',
    '["x"]',
    "a,b",
    "--",
    "-1",
    "12:30:00",
    "@x",
    "%h",
    "#x",
]
VALUE = st.one_of(
    st.integers(-(10**9), 10**9).map(str), st.sampled_from([*ODD, "", "a b", "{a: b}"]), FREE
)
NAME = st.from_regex(r"[a-z][a-z0-9]{2,8}(-[a-z0-9]{2,6})?", fullmatch=True).filter(
    lambda name: not secret_flag(name) and not name.startswith("no-")
    and name not in ("model", "port", "host", "headless", "nnodes")
)  # fmt: skip


def usable(value: str) -> bool:
    return not secret_value(value) and (not value.startswith("-") or value == "-1")


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(NAME, st.none() | VALUE.filter(usable)),
        max_size=6,
        unique_by=lambda pair: pair[0],
    )
)
def test_the_same_words_come_out_again(pairs: list[tuple[str, str | None]]) -> None:
    """Through the file as well: written as YAML, read by orch, put on a command line."""
    given_ = [
        word
        for name, value in pairs
        for word in ([f"--{name}"] if value is None else [f"--{name}={value}"])
    ]
    one = known(["vllm", "serve", "org/model", *given_])
    assert one is not None
    taken = Taken("test")
    served = read(one, taken, "here")
    taken.profiles["p"] = {"version": 1, "engine": "vllm", "args": served.args}
    taken.deployments = {}
    taken.deployments["p"] = Wanted("p")
    text = files_of({"x": taken}, Wish(places=(Place("a"),))).texts["profiles/p.yaml"]
    with TemporaryDirectory() as folder:
        path = Path(folder) / "p.yaml"
        path.write_text(text, encoding="utf-8")
        args = load_file(path, ProfileFile).args
    expected = [
        word
        for name, value in pairs
        for word in ([f"--{name}"] if value is None else [f"--{name}", value])
    ]
    assert same(list(words("vllm", args)), expected), (text, taken.left)


def same(got: list[str], expected: list[str]) -> bool:
    flat = [
        part
        for word in got
        for part in (word.split("=", 1) if word.startswith("--") and "=" in word else [word])
    ]
    return len(flat) == len(expected) and all(map(alike, flat, expected))


def alike(one: str, other: str) -> bool:
    """The same text, the same number, or the same JSON."""
    if one == other:
        return True
    try:
        return bool(json.loads(one) == json.loads(other))
    except ValueError:
        return False


PIECES = [
    "model: a/b",
    "runtime: vllm",
    "container: i",
    "command: vllm serve {model} {x}",
    "command: 'bash -c \"'",
    "env: [1]",
    "env: {A: {B: c}}",
    "defaults: 3",
    "defaults: {port: -1, tensor_parallel: x}",
    "min_nodes: true",
    "recipe_version: '1'",
    "mods: 1",
    "services: {a: {image: vllm/vllm-openai, command: [--model], volumes: [x], ports: ['a:b', 1, {}]}}",
    "services: {a: 1, b: {image: [], environment: [A, B=c], deploy: 1, gpus: [1]}}",
    "all: {hosts: {a: 1}, children: {b: }}",
    "[g]",
    "[g:vars]",
    "a=b",
    "host-[1:3] x=y",
    "h 'x",
    "Host a*b c",
    "  User %r",
    "Match all",
    "Include x",
    "\tPort 99999999",
    "version: 1",
    "- Config: {Env: [1], Entrypoint: x}",
    "  HostConfig: {Tmpfs: 1, DeviceRequests: [1], Memory: x}",
    "&a [*a]",
    "x: &a {b: *a}",
    "? [a]",
    "<<: 1",
    "{",
    "]",
    "a: !vault |",
]
LINES = st.lists(st.sampled_from([*PIECES, "\0", "\ufeff"]), max_size=8)


@settings(max_examples=150, deadline=None)
@given(LINES.map("\n".join) | st.text(max_size=60), st.sampled_from([None, *formats()]))
def test_no_text_gives_a_traceback(text: str, form: str | None) -> None:
    """Whatever is in a file, and whatever format it is said to be in."""
    try:
        one = take(source_of("x.yaml", text, "/f"), form)
        made = files_of({"x.yaml": one}, Wish(places=(Place("a", 1), Place("b"))))
    except FilesWrong:
        return
    assert made.texts
    for written in made.texts.values():
        yaml.safe_load(written)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda below: (
        st.lists(below, max_size=4) | st.dictionaries(st.text(max_size=6), below, max_size=4)
    ),
    max_leaves=12,
)
KEYS = [
    "Name",
    "Path",
    "Args",
    "Config",
    "HostConfig",
    "Mounts",
    "services",
    "model",
    "container",
    "command",
    "env",
    "defaults",
    "image",
    "entrypoint",
    "volumes",
    "ports",
    "deploy",
    "environment",
    "hosts",
    "children",
    "vars",
]
INNER = [
    "Env",
    "Cmd",
    "Image",
    "Tmpfs",
    "Binds",
    "PortBindings",
    "Ulimits",
    "Devices",
    "Entrypoint",
]


@settings(max_examples=100, deadline=None)
@given(
    st.dictionaries(st.sampled_from(KEYS), JSON | st.dictionaries(st.sampled_from(KEYS), JSON)),
    st.sampled_from(formats()),
    st.dictionaries(st.sampled_from(INNER), JSON),
)
def test_no_data_gives_a_traceback(
    data: dict[str, object], form: str, more: dict[str, object]
) -> None:
    for document in (
        data,
        {**data, "Config": more, "HostConfig": more},
        {"all": data},
        {"services": {"a": data}},
    ):
        try:
            take(source_of("x", json.dumps(document), "/f"), form)
        except FilesWrong:
            continue


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.text(max_size=30)
        | st.sampled_from(["bash", "-c", "sh -c 'sh -c x'", "vllm serve 'a", "$(x)", "${A:-b}"]),
        max_size=5,
    )
)
def test_no_command_gives_a_traceback(line: list[str]) -> None:
    try:
        found = commands(line)
    except NotPlain:
        return
    assert len(found.lines) == len(found.ends)
    for one in found.lines:
        serves(one, "x")


def test_what_yaml_would_take_for_something_else_stays_text(tmp_path: Path) -> None:
    """As the deployment has it, after merging: there a null would take its key away."""
    line = """--aa 0o17 --bb 1e5 --cc '{"x": null}' --dd on --ee 0x1F --ff ~ --gg 1.10 --hh '{"y": [1]}'"""
    text = "model: a/b\nruntime: vllm\ncontainer: i\ncommand: |\n  vllm serve a/b "
    made = result(tmp_path, f"{text}{line}\n")
    (one,) = made.cluster.deployments.values()
    assert one.profile.args == {
        "aa": "0o17", "bb": "1e5", "cc": '{"x": null}', "dd": "on",
        "ee": "0x1F", "ff": "~", "gg": 1.1, "hh": {"y": [1]},
    }  # fmt: skip


def test_shells() -> None:
    found = commands(
        ["/bin/bash", "-lc", "A=1 B=$A; export C=3 && exec env D=4 nohup vllm serve x | tee /log"]
    )
    assert found.env == {"A": "1", "B": "1", "C": "3", "D": "4"}
    assert found.lines == [["vllm", "serve", "x"], ["tee", "/log"]]
    assert commands(["sh", "script.sh"]).lines == [["sh", "script.sh"]]
    assert expand("$A-${B:-x}-${C}-$$", {"A": "1"}) == ("1-x-${C}-$", ["C"])


@pytest.mark.parametrize(
    ("line", "image", "engine"),
    [
        ("vllm serve a/b", "x", "vllm"),
        ("python3 -m vllm.entrypoints.openai.api_server --model a/b", "x", "vllm"),
        ("/app/llama-server -m x", "x", "llamacpp"),
        ("rpc-server -p 1", "x", "llamacpp"),
        ("bash -c exec\u0020vllm\u0020serve\u0020x", "x", "vllm"),
        ("ray start --head", "vllm/vllm-openai:1", "vllm"),
        ("ray start --head", "rayproject/ray:2", "ray"),
        ("vllm bench serve", "x", ""),
        ("nginx -g daemon", "nginx", ""),
        ("grep vllm", "x", ""),
    ],
)
def test_which_server_a_container_runs(line: str, image: str, engine: str) -> None:
    words_ = line.split(" ") if not line.startswith("bash") else ["bash", "-c", line[8:]]
    assert serves(words_, image) == engine


def test_images_whose_entrypoint_is_the_server() -> None:
    assert entrypoint("docker.io/vllm/vllm-openai:v1@sha256:0") == ("vllm", ("vllm", "serve"))
    assert entrypoint("registry:5000/vllm") is None
    assert known(["vllm", "bench"]) is None
    assert known([]) is None


@pytest.mark.parametrize(
    "name", ["HF_TOKEN", "MY_API_KEY", "DB_PASSWORD", "AWS_SECRET_ACCESS_KEY", "key"]
)
def test_names_of_secrets(name: str) -> None:
    assert secret_name(name)


@pytest.mark.parametrize(
    "name", ["TOKENIZERS_PARALLELISM", "OMP_NUM_THREADS", "KEYBOARD", "MAX_TOKENS", "PATH"]
)
def test_names_that_are_none(name: str) -> None:
    assert not secret_name(name)


def test_flags_and_values_that_are_secrets() -> None:
    assert secret_flag("api-key")
    assert secret_flag("hf-token")
    assert not secret_flag("max-num-batched-tokens")
    assert not secret_flag("tokenizer")
    assert secret_value("postgres://me:geheim@db/x")
    assert not secret_value("http://db:5432/x")
    assert shown("curl -H 'Authorization: Bearer abc.def' --api-key hunter2 HF_TOKEN=xyz") == (
        "curl -H 'Authorization: Bearer [secret]' --api-key [secret] HF_TOKEN=[secret]"
    )
    assert name_of("--a_b") == "a-b"
