"""A rank as podman's words: by hand from podman-create(1), podman-update(1) and NVIDIA's pages on CDI."""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import Any

import pytest

from orchestrator.contracts import Mount
from orchestrator.facts import ReadContainers
from orchestrator.facts.engine_words import anywhere
from orchestrator.ranks.files import words
from orchestrator.ranks.secret_marks import secret_values
from orchestrator.runtimes import runtime
from orchestrator.runtimes.podman import RUNTIME
from orchestrator.script import secret_mark
from tests.unit.runtimes.test_docker import PLAIN

ROOTS = runtime("sudo -n podman")
USERS = runtime("podman")
RANK = replace(
    PLAIN,
    env={"A": "1"},
    secrets=frozenset({"HF_TOKEN"}),
    gpus=("0", "GPU-aaaa"),
    mounts=(Mount("/models", "/models", read_only=True), Mount("~/.cache/x", "/root/.cache/x")),
    files={"/orch/entry.sh": "exit 0\n"},
    health="sh /orch/health.sh",
    health_start_s=60,
)
# The labels' values are those of every runtime: tests/unit/runtimes/test_docker.py.
CREATE = """\
--name orch-duo-vl-1 --network host --ipc host
--device nvidia.com/gpu=0 --device nvidia.com/gpu=GPU-aaaa
--mount type=bind,source=/models,target=/models,readonly --mount type=bind,source="$HOME"/.cache/x,target=/root/.cache/x
--mount type=bind,source=/var/lib/orch/ranks/orch-duo-vl-1/entry.sh,target=/orch/entry.sh,readonly
--health-cmd 'sh /orch/health.sh' --health-interval 15s --health-timeout 10s --health-retries 3
--health-start-period 60s --restart no
--pull never --security-opt label=disable --pids-limit=-1 --log-driver k8s-file --log-opt max-size=50m
--entrypoint vllm"""


def commands(script: Any) -> dict[str, str]:
    return {name: str(command.sh) for name, command in script.commands.items()}


def test_a_rank_is_these_words() -> None:
    assert words(RUNTIME.options(RANK, label=False)) == " ".join(CREATE.split("\n"))
    every = RUNTIME.options(replace(RANK, gpus="all"), label=False)
    assert "--device nvidia.com/gpu=all --mount" in words(every)
    none = words(RUNTIME.options(replace(RANK, gpus=None, shm_bytes=2**30), label=False))
    assert "nvidia.com" not in none
    assert "--shm-size 1073741824" in none
    assert "--ipc" not in none  # podman refuses the two together


def test_root_and_the_user_are_asked_each_for_their_own() -> None:
    for called, kind in (("sudo -n podman", ROOTS), ("podman", USERS)):
        start = commands(kind.start(RANK))
        assert start["start"] == f"{called} start orch-duo-vl-1"
        assert f'printf %s "$e" | {called} create --env-file /dev/stdin --name' in start["create"]
        assert start["create"].endswith("nvcr.io/nvidia/vllm:25.11-py3 serve m")
        assert f"l=$({called} container inspect" in start["free"]
        (stop,) = commands(kind.stop("orch-duo-vl-1", 20)).values()
        assert f"{called} stop -t 20 orch-duo-vl-1" in stop
        assert f"{called} rm -f orch-duo-vl-1" in stop
        (logs,) = commands(kind.logs("orch-duo-vl-1", 5)).values()
        assert logs == f"{called} logs --timestamps --tail 5 orch-duo-vl-1 2>&1"
        assert commands(kind.supervise("orch-duo-vl-1", "on-failure:10")) == {
            "mark": f"{called} exec -u 0 orch-duo-vl-1 sh -c 'mkdir -p /orch && : > /orch/ready'"
            " || case $? in 126|127) ;; *) (exit 1) ;; esac",
            "update": f"{called} update --restart on-failure:10 orch-duo-vl-1 >/dev/null",
        }
        assert kind.ours("duo") == ReadContainers(called, "duo")
        for text in (*start.values(), stop, logs):
            assert "docker" not in text


def test_what_a_line_can_not_hold_passes_sudo_as_a_word_and_no_secret_does() -> None:
    given = replace(RANK, env={"A": "1", "TWO": "a\nb"})
    roots = ROOTS.start(given).commands["create"]
    assert (
        "create --env-file /dev/stdin -e 'TWO=a\nb' --name" in roots.sh
    )  # sudo drops the environment
    users = USERS.start(given).commands["create"]
    assert "TWO='a\nb' podman create --env-file /dev/stdin -e TWO --name" in users.sh
    assert secret_values(given) == {"HF_TOKEN": secret_mark("vl/HF_TOKEN")}
    for create in (roots, users):
        assert create.stdin == f"A=1\nHF_TOKEN={secret_mark('vl/HF_TOKEN')}\n".encode()
        assert "secret:" not in create.sh


def test_what_is_shown_can_be_typed() -> None:
    line = shlex.split(ROOTS.describe(RANK).replace("\\\n", " "))
    assert line[:4] == ["sudo", "podman", "run", "-d"]
    assert line[-3:] == [RANK.image, "serve", "m"]
    assert shlex.split(USERS.describe(RANK).replace("\\\n", " "))[:3] == ["podman", "run", "-d"]


@pytest.mark.parametrize(
    ("image", "whole"),
    [
        ("python", "docker.io/library/python"),
        ("python:3.12", "docker.io/library/python:3.12"),
        ("vllm/vllm-openai:v0.11.0", "docker.io/vllm/vllm-openai:v0.11.0"),
        ("vllm/vllm-openai@sha256:ab", "docker.io/vllm/vllm-openai@sha256:ab"),
        ("nvcr.io/nvidia/vllm:25.11-py3", "nvcr.io/nvidia/vllm:25.11-py3"),
        ("localhost/x", "localhost/x"),
        ("hub:5000/x", "hub:5000/x"),
    ],
)
def test_podman_is_told_the_registry_that_docker_means(image: str, whole: str) -> None:
    assert anywhere("sudo -n podman", image) == whole
    assert anywhere("podman", image) == whole
    assert anywhere("docker", image) == image
