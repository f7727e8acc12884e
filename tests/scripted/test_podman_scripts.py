"""Root's podman in real shells, through a sudo that hands no environment on: all arrives as the files say it."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.runtimes import runtime
from orchestrator.script import Script
from tests.local_shell import SHELLS, run_script
from tests.scripted.test_docker_scripts import HOSTILE, RANK, SHIMS, Docker

ROOTS = runtime("sudo -n podman")
SUDO = """#!/bin/sh
[ "$1" = -n ] && shift
exec env -i SHIM="$SHIM" PATH="$PATH" "$@"
"""


class Podman(Docker):
    """The shim under podman's name, and a sudo."""

    def __init__(self, folder: Path, shell: str) -> None:
        super().__init__(folder, shell)
        (folder / "bin").mkdir()
        (folder / "bin/podman").symlink_to(SHIMS / "docker")
        (folder / "bin/sudo").write_text(SUDO)
        (folder / "bin/sudo").chmod(0o755)

    def run(self, script: Script) -> dict[str, Any]:
        place = str(self.folder)
        path = f"{place}/bin:{os.environ['PATH']}"
        return run_script(script, self.shell, {"SHIM": place, "HOME": place, "PATH": path})


@pytest.fixture(params=SHELLS)
def podman(request: pytest.FixtureRequest, tmp_path: Path) -> Podman:
    made = Podman(tmp_path, request.param)
    made.answer(container_inspect=(1, ""))
    return made


def test_words_and_environment_arrive_byte_for_byte(podman: Podman) -> None:
    env = {f"V{number}": value for number, value in enumerate(HOSTILE)}
    rank = replace(RANK, state="~/.local/state/orch", argv=tuple(HOSTILE), env=env)
    results = podman.run(ROOTS.start(rank))
    assert {name: (one.rc, one.err) for name, one in results.items() if one.rc} == {}
    call = podman.call("create")
    assert call["argv"][-len(HOSTILE) - 1 :] == ["img:1", *HOSTILE]
    held = dict(line.split("=", 1) for line in call["stdin"].splitlines())
    given = [call["argv"][at + 1] for at, word in enumerate(call["argv"]) if word == "-e"]
    assert held | dict(one.split("=", 1) for one in given) == env
    assert [one["argv"][0] for one in podman.calls] == ["container", "create", "start"]


def test_stop_asks_whose_it_is_first(podman: Podman) -> None:
    podman.answer(container_inspect=(0, "duo\n"))
    assert podman.run(ROOTS.stop("orch-duo-vl-0", 5))["stop"].rc == 0
    assert [call["argv"] for call in podman.calls[1:]] == [
        ["stop", "-t", "5", "orch-duo-vl-0"],
        ["rm", "-f", "orch-duo-vl-0"],
    ]
    podman.answer(container_inspect=(0, "\n"))
    assert podman.run(ROOTS.stop("web", 5))["stop"].rc == 4
