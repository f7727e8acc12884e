"""Docker's scripts in real shells: what the files say arrives as plain text, whatever is in it."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.contracts import Mount, Rank
from orchestrator.runtimes.docker import RUNTIME
from orchestrator.script import Command, Script, sh
from tests.local_shell import SHELLS, run_script

SHIMS = Path(__file__).parent / "shims"
HOSTILE = [
    '"; rm -rf / #',
    "$(touch /tmp/never)",
    "`touch /tmp/never`",
    "a\nb\n",
    "'; exit 9; '",
    "-v",
    "*",
    "~",
    "\\",
    "${HOME}",
    "a\tb  c",
    "ümläut ✓",
    "",
]
RANK = Rank(
    cluster="duo",
    deployment="vl",
    index=0,
    host="spark-2",
    role="head",
    name="orch-duo-vl-0",
    image="img:1",
    argv=("serve",),
    entrypoint="vllm",
    env={},
    secrets=frozenset(),
)


class Docker:
    def __init__(self, folder: Path, shell: str) -> None:
        self.folder, self.shell = folder, shell

    def answer(self, **answers: tuple[int, str]) -> None:
        said = {start.replace("_", " "): list(one) for start, one in answers.items()}
        (self.folder / "answers").write_text(json.dumps(said))

    def run(self, script: Script) -> dict[str, Any]:
        env = {
            "SHIM": str(self.folder),
            "HOME": str(self.folder),
            "PATH": f"{SHIMS}:{os.environ['PATH']}",
        }
        (self.folder / "docker_calls").unlink(missing_ok=True)
        return run_script(script, self.shell, env)

    @property
    def calls(self) -> list[dict[str, Any]]:
        path = self.folder / "docker_calls"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def call(self, verb: str) -> dict[str, Any]:
        return next(call for call in self.calls if call["argv"][0] == verb)


@pytest.fixture(params=SHELLS)
def docker(request: pytest.FixtureRequest, tmp_path: Path) -> Docker:
    made = Docker(tmp_path, request.param)
    made.answer(container_inspect=(1, ""))
    return made


def start(docker: Docker, **more: Any) -> dict[str, Any]:
    rank = replace(RANK, state="~/.local/state/orch", **more)
    results = docker.run(RUNTIME.start(rank))
    assert {name: (one.rc, one.err) for name, one in results.items() if one.rc} == {}
    return docker.call("create")


def test_arguments_arrive_byte_for_byte(docker: Docker) -> None:
    call = start(docker, argv=tuple(HOSTILE))
    assert call["argv"][-len(HOSTILE) - 1 :] == ["img:1", *HOSTILE]


def test_environment_arrives_byte_for_byte(docker: Docker) -> None:
    env = {f"V{number}": value for number, value in enumerate(HOSTILE)}
    call = start(docker, env=env)
    held = dict(line.split("=", 1) for line in call["stdin"].splitlines())
    loose = [call["argv"][at + 1] for at, word in enumerate(call["argv"]) if word == "-e"]
    assert held | {name: call["env"][name] for name in loose} == env
    assert not any(value in call["argv"] for value in HOSTILE[:4])


def test_secrets_are_on_stdin_only(docker: Docker) -> None:
    rank = replace(RANK, secrets=frozenset({"HF_TOKEN"}), env={"A": "1"})
    script = RUNTIME.start(rank)
    command = script.commands["create"]
    filled = command.stdin.replace(b"\x02secret:vl/HF_TOKEN\x03", b"hf_s3cr3t")
    results = docker.run(Script({"create": replace(command, stdin=filled)}))
    assert results["create"].rc == 0
    call = docker.call("create")
    assert call["stdin"] == "A=1\nHF_TOKEN=hf_s3cr3t\n"
    assert "hf_s3cr3t" not in json.dumps(call["argv"])
    assert "HF_TOKEN" not in call["env"]


def test_a_secret_with_a_line_break_is_refused_and_not_a_second_variable(docker: Docker) -> None:
    rank = replace(RANK, secrets=frozenset({"HF_TOKEN"}))
    command = RUNTIME.start(rank).commands["create"]
    filled = command.stdin.replace(b"\x02secret:vl/HF_TOKEN\x03", b"x\nLD_PRELOAD=/evil")
    results = docker.run(Script({"create": replace(command, stdin=filled)}))
    assert results["create"].rc == 2
    assert b"line break" in results["create"].err
    assert docker.calls == []


def test_files_are_written_for_root_to_own_and_all_to_run(docker: Docker) -> None:
    start(docker, files={"/orch/entry.sh": "#!/bin/sh\necho '$x'\n"})
    written = docker.folder / ".local/state/orch/ranks/orch-duo-vl-0/entry.sh"
    assert written.read_text() == "#!/bin/sh\necho '$x'\n"
    assert written.stat().st_mode & 0o777 == 0o755
    mounted = f"type=bind,source={written},target=/orch/entry.sh,readonly"
    assert mounted in docker.call("create")["argv"]


def test_files_of_root_are_written_as_root() -> None:
    script = RUNTIME.start(replace(RANK, files={"/orch/entry.sh": "x"}))
    assert script.commands["file /orch/entry.sh"].sudo
    assert not script.commands["create"].sudo


def test_a_stale_rank_of_ours_goes_first(docker: Docker) -> None:
    docker.answer(container_inspect=(0, "duo/vl\n"))
    start(docker)
    verbs = [call["argv"][:2] for call in docker.calls]
    assert verbs == [
        ["container", "inspect"],
        ["rm", "-f"],
        ["create", "--env-file"],
        ["start", RANK.name],
    ]


def test_a_container_that_is_not_ours_is_refused_by_name(docker: Docker) -> None:
    docker.answer(container_inspect=(0, "/\n"))
    results = docker.run(RUNTIME.start(RANK))
    assert list(results) == ["free"]
    assert b"orch-duo-vl-0 exists that orch did not start" in results["free"].err
    assert [call["argv"][0] for call in docker.calls] == ["container"]


CACHE = Mount("~/.cache/a, b", "/root/.cache/x")


def test_a_cache_is_made_before_it_is_mounted(docker: Docker) -> None:
    """In the form in which docker makes no folder of another source that is missing."""
    call = start(docker, mounts=(CACHE, Mount("/no/such", "/y", read_only=True)))
    made = docker.folder / CACHE.source.removeprefix("~/")
    assert made.is_dir()
    mounted = [call["argv"][at + 1] for at, word in enumerate(call["argv"]) if word == "--mount"]
    assert mounted == [
        f'type=bind,"source={made}",target={CACHE.target}',
        "type=bind,source=/no/such,target=/y,readonly",
    ]


def test_a_cache_is_made_before_anything_looks_into_an_image(docker: Docker) -> None:
    text = RUNTIME.question(replace(RANK, mounts=(CACHE,)), sh("vllm --help"))
    docker.run(Script({"ask": Command(text)}))
    assert (docker.folder / CACHE.source.removeprefix("~/")).is_dir()
    assert docker.call("run")["argv"][-3:] == ["img:1", "-c", "vllm --help"]


def test_stop_leaves_what_is_not_ours_alone(docker: Docker) -> None:
    docker.answer(container_inspect=(0, "\n"))
    assert docker.run(RUNTIME.stop("web", 5))["stop"].rc == 4
    assert [call["argv"][0] for call in docker.calls] == ["container"]


def test_stop_of_what_is_gone_is_done(docker: Docker) -> None:
    assert docker.run(RUNTIME.stop("orch-duo-vl-0", 5))["stop"].rc == 0


def test_stop_stops_then_removes(docker: Docker) -> None:
    docker.answer(container_inspect=(0, "duo\n"))
    assert docker.run(RUNTIME.stop("orch-duo-vl-0", 5))["stop"].rc == 0
    assert [call["argv"] for call in docker.calls[1:]] == [
        ["stop", "-t", "5", "orch-duo-vl-0"],
        ["rm", "-f", "orch-duo-vl-0"],
    ]


def test_supervision_marks_readiness_before_it_sets_the_policy(docker: Docker) -> None:
    docker.run(RUNTIME.supervise("orch-duo-vl-0", "on-failure:10"))
    assert [call["argv"] for call in docker.calls] == [
        ["exec", "-u", "0", "orch-duo-vl-0", "sh", "-c", "mkdir -p /orch && : > /orch/ready"],
        ["update", "--restart", "on-failure:10", "orch-duo-vl-0"],
    ]


TEXT = st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), max_size=30)


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(TEXT, min_size=20, max_size=40))
def test_any_text_arrives_as_it_is(tmp_path: Path, values: list[str]) -> None:
    docker = Docker(tmp_path, "dash")
    docker.answer(container_inspect=(1, ""))
    env = {f"V{number}": value for number, value in enumerate(values)}
    call = start(docker, argv=tuple(values), env=env)
    assert call["argv"][-len(values) :] == values
    held = dict(line.split("=", 1) for line in call["stdin"].split("\n") if line)
    loose = [call["argv"][at + 1] for at, word in enumerate(call["argv"]) if word == "-e"]
    assert held | {name: call["env"][name] for name in loose} == env
