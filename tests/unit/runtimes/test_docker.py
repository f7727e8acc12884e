"""A rank as docker's words: what a person who knows the notes would have typed."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from orchestrator.contracts import Mount, Rank
from orchestrator.errors import FilesWrong
from orchestrator.ranks.containers import environment
from orchestrator.ranks.files import words
from orchestrator.ranks.spec import canonical, digest
from orchestrator.runtimes.docker import RUNTIME

PLAIN = Rank(
    cluster="duo",
    deployment="vl",
    index=1,
    host="spark-3",
    role="worker",
    name="orch-duo-vl-1",
    image="nvcr.io/nvidia/vllm:25.11-py3",
    argv=("serve", "m"),
    entrypoint="vllm",
    env={"A": "1"},
    secrets=frozenset(),
)


def rank(**more: Any) -> Rank:
    return replace(PLAIN, **more)


def after(given: Rank, *, without: Mapping[str, int] | None = None) -> list[str]:
    """The options without name, labels and what every rank has."""
    line = shlex.split(words(RUNTIME.options(given, label=False)))
    assert line[:2] == ["--name", "orch-duo-vl-1"]
    assert line[2:4] == ["--network", "host"]
    tail = [
        *("--restart", "no", "--log-driver", "json-file"),
        *("--log-opt", "max-size=50m", "--log-opt", "max-file=3", "--entrypoint", "vllm"),
    ]
    assert line[-len(tail) :] == tail
    return line[4 : -len(tail)]


HOST_IPC = ["--ipc", "host"]
NO_HEALTH = ["--no-healthcheck"]
TABLE: list[tuple[dict[str, Any], list[str]]] = [
    ({}, [*HOST_IPC, *NO_HEALTH]),
    ({"shm_bytes": 10_995_116_277}, ["--shm-size", "10995116277", *NO_HEALTH]),
    ({"gpus": "all"}, [*HOST_IPC, "--gpus", "all", *NO_HEALTH]),
    ({"gpus": ("0",)}, [*HOST_IPC, "--gpus", '"device=0"', *NO_HEALTH]),
    ({"gpus": ("0", "GPU-aaaa")}, [*HOST_IPC, "--gpus", '"device=0,GPU-aaaa"', *NO_HEALTH]),
    (
        {"rdma": True},
        [
            *HOST_IPC,
            *("--device=/dev/infiniband", "--ulimit", "memlock=-1", "--cap-add", "IPC_LOCK"),
            *NO_HEALTH,
        ],
    ),
    (
        {"ulimits": {"stack": "67108864", "nofile": "1048576"}, "caps": frozenset({"SYS_NICE"})},
        [
            *HOST_IPC,
            *("--ulimit", "nofile=1048576", "--ulimit", "stack=67108864", "--cap-add", "SYS_NICE"),
            *NO_HEALTH,
        ],
    ),
    (
        {"memory_bytes": 536_870_912, "memory_swap_bytes": 805_306_368, "cpus": 1.5},
        [
            *HOST_IPC,
            *("--memory", "536870912", "--memory-swap", "805306368", "--cpus", "1.5"),
            *NO_HEALTH,
        ],
    ),
    (
        {
            "mounts": (
                Mount("/usr", "/usr", read_only=True),
                Mount("orch-cache-x", "/root/.cache/x"),
                Mount("", "/tmp", tmpfs=True, options="size=1g"),
                Mount("", "/run", tmpfs=True),
            )
        },
        [
            *HOST_IPC,
            *("--mount", "type=bind,source=/usr,target=/usr,readonly"),
            *("--mount", "type=volume,source=orch-cache-x,target=/root/.cache/x"),
            *("--tmpfs", "/tmp:size=1g", "--tmpfs", "/run"),
            *NO_HEALTH,
        ],
    ),
    (
        {"files": {"/orch/entry.sh": "exit 0\n"}},
        [
            *HOST_IPC,
            "--mount",
            "type=bind,source=/var/lib/orch/ranks/orch-duo-vl-1/entry.sh,target=/orch/entry.sh,readonly",
            *NO_HEALTH,
        ],
    ),
    (
        {"health": "sh /orch/health.sh a b", "health_start_s": 60},
        [
            *HOST_IPC,
            *("--health-cmd", "sh /orch/health.sh a b"),
            *("--health-interval", "15s", "--health-timeout", "10s", "--health-retries", "3"),
            *("--health-start-period", "60s"),
        ],
    ),
]


@pytest.mark.parametrize(("more", "words_"), TABLE, ids=lambda one: "-".join(one) if one else "")
def test_a_rank_is_these_words(more: dict[str, Any], words_: list[str]) -> None:
    assert after(rank(**more)) == words_


def test_a_home_folder_is_the_home_of_the_user_on_the_host() -> None:
    homes = {
        "~/a b": """--mount type=bind,source="$HOME"/'a b,target=/x'""",
        "~": """--mount type=bind,source="$HOME"/,target=/x""",
        '~/a,"b': """--mount 'type=bind,"source='"$HOME"/'a,""b",target=/x'""",
    }
    for source, expected in homes.items():
        made = words(RUNTIME.options(rank(mounts=(Mount(source, "/x"),)), label=False))
        assert expected in made


def test_labels_hold_what_is_compared() -> None:
    line = shlex.split(words(RUNTIME.options(PLAIN)))
    labels = dict(line[at + 1].split("=", 1) for at, word in enumerate(line) if word == "--label")
    assert labels == {
        "orch.cluster": "duo",
        "orch.deployment": "vl",
        "orch.rank": "1",
        "orch.role": "worker",
        "orch.host": "spark-3",
        "orch.hash": digest(PLAIN),
        "orch.spec": canonical(PLAIN),
    }
    assert json.loads(labels["orch.spec"])["env"] == {"A": "1"}


def test_an_env_file_takes_one_line_a_value_and_the_others_go_by_the_clients_environment() -> None:
    given = rank(
        env={"B": "x y='\"", "A": "a\nb", "C": "tail\r", "L": "l" * 60_001, "E": ""},
        secrets=frozenset({"HF_TOKEN", "VLLM_API_KEY=api_key"}),
    )
    held, loose = environment(given)
    assert held == {
        "B": "x y='\"",
        "E": "",
        "HF_TOKEN": "\x02secret:vl/HF_TOKEN\x03",
        "VLLM_API_KEY": "\x02secret:vl/api_key\x03",
    }
    assert set(loose) == {"A", "C", "L"}


@pytest.mark.parametrize("name", ["A B", "A;B", "", "1A", "A\n", "Ä"])
def test_a_name_that_is_no_variable_is_refused(name: str) -> None:
    with pytest.raises(FilesWrong):
        environment(rank(env={name: "x"}))


def test_no_secret_is_in_what_is_shown_or_compared() -> None:
    given = rank(env={"A": "1"}, secrets=frozenset({"HF_TOKEN"}))
    shown = RUNTIME.describe(given)
    assert "-e HF_TOKEN \\\n" in shown
    assert "secret:" not in shown + canonical(given)
    for command in RUNTIME.start(given).commands.values():
        assert "secret:" not in command.sh


def test_what_is_shown_can_be_typed() -> None:
    given = rank(argv=("serve", "m", "--limit", '{"video": 0}'), rdma=True, gpus="all")
    line = shlex.split(RUNTIME.describe(given).replace("\\\n", " "))
    assert line[:3] == ["docker", "run", "-d"]
    assert line[-5:] == [given.image, "serve", "m", "--limit", '{"video": 0}']


def test_the_same_rank_has_the_same_hash_however_it_was_filled() -> None:
    one = rank(env={"A": "1", "B": "2"}, secrets=frozenset({"X", "Y"}))
    other = rank(env={"B": "2", "A": "1"}, secrets=frozenset({"Y", "X"}))
    assert digest(one) == digest(other)
    assert digest(one) != digest(rank(env={"A": "1", "B": "3"}, secrets=frozenset({"X", "Y"})))
