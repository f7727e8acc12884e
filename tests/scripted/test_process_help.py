"""A process's program is asked for its arguments on the host itself, as the rank would find and call it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli.playbooks import load_playbook
from orchestrator.contracts import Query, Step
from orchestrator.errors import Refused
from orchestrator.facts.assumed import assumed_world
from orchestrator.facts.help import ReadHostHelp
from orchestrator.plan.build import build
from orchestrator.ranks.help import help_of
from orchestrator.script import Result
from orchestrator.spec.models import Cluster
from tests.gangs import cluster_of, only
from tests.local_shell import SHELLS, run_script

HPC = """
    version: 1
    hosts: {hpc-1: {kind: gpu-host, address: 10.0.0.1, gpus: 2, runtime: process, become: never}}
"""
PROFILE = """
    engine: llamacpp
    model: /scratch/m.gguf
    venv: my env
    cuda_home: /usr/local/cuda-13
    env: {MODE: "it's; exit 3", VLLM_CONFIG_ROOT: /orch/vllm}
    args: {ctx-size: 4096, n-gpu-layers: 99}
"""
# What it lists tells how it was called: with its arguments, in which environment.
PROGRAM = """#!/bin/sh
[ "$*" = --help ] || exit 9
[ "$CUDA_HOME" = /usr/local/cuda-13 ] || { echo "CUDA_HOME is not set" >&2; exit 8; }
[ "$MODE" = "it's; exit 3" ] && [ -z "$VLLM_CONFIG_ROOT" ] || exit 7
cat
printf 'usage: it\\n\\n-m,    --model FNAME   the model\\n-c,    --ctx-size N    its context\\n'
printf '%s\\n' '--host HOST' '--port PORT' '--fit [on|off]'
"""
LAYERS = "echo '-ngl,  --n-gpu-layers N'\n"


@dataclass
class Host:
    """A home with a venv, and what a step does there."""

    home: Path
    shell: str
    cluster: Cluster
    step: Step = field(init=False)

    def __post_init__(self) -> None:
        steps = build(self.cluster, load_playbook("up", self.home))
        self.step = steps["m/arguments/hpc-1"]
        assert "m/arguments/hpc-1" in steps["m/stop/hpc-1"].needs

    @property
    def query(self) -> ReadHostHelp:
        found = help_of(self.cluster, only(self.cluster), "hpc-1", ["llama-server"])
        assert isinstance(found, ReadHostHelp)
        assert ("hpc-1", found) in self.step.reads
        return found

    @property
    def env(self) -> dict[str, str]:
        return {"HOME": str(self.home)}

    def program(self, text: str) -> Path:
        path = self.home / "my env/bin/llama-server"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
        return path

    def known(self) -> dict[str, bool] | None:
        found = self.query.parse(run_script(self.query.ask(), self.shell, self.env))
        return None if found is None else dict(found)

    def check(self) -> Any:
        return self.step.check({"hpc-1": Answers(self)})

    def read(self) -> Result:
        """The step's apply, as it goes to the host."""
        world = {"hpc-1": Answers(self)}
        change = self.step.check(world)
        assert change is not None
        return run_script(self.step.apply(change, world), self.shell, self.env)["read"]


@dataclass
class Answers:
    """What the host says of its program; what the files say of everything else."""

    host: Host

    def get(self, query: Query[Any]) -> Any:
        if query == self.host.query:
            return self.host.known()
        return assumed_world(self.host.cluster)["hpc-1"].get(query)


@pytest.fixture(params=SHELLS)
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Host:
    one = "m: {profile: bare, hosts: [hpc-1], port: 8000}"
    return Host(tmp_path, request.param, cluster_of(tmp_path, one, HPC, {"bare": PROFILE}))


def test_what_it_lists_passes_and_is_read_once(host: Host) -> None:
    host.program(PROGRAM + LAYERS)
    assert host.known() is None
    assert host.check().summary == "read which arguments llama-server on hpc-1 takes"
    done = host.read()
    assert (done.rc, done.err) == (0, b"")
    assert host.known() is not None
    assert host.check() is None


def test_what_it_does_not_list_is_refused_by_name(host: Host) -> None:
    host.program(PROGRAM)
    assert host.read().rc == 0
    with pytest.raises(Refused) as refused:
        host.check()
    told = "llama-server on hpc-1 has no --n-gpu-layers: its own --help does not list it"
    assert refused.value.message == told


@pytest.mark.parametrize("what", ["my env/bin/llama-server", "my env/lib/python3.12/site-packages"])
def test_what_is_built_or_installed_anew_is_read_anew(host: Host, what: str) -> None:
    host.program(PROGRAM + LAYERS)
    (host.home / "my env/lib/python3.12/site-packages").mkdir(parents=True)
    assert host.read().rc == 0
    assert host.known() is not None
    os.utime(host.home / what, (1, 1))
    assert host.known() is None


def test_no_answer_is_no_list(host: Host) -> None:
    host.program("#!/bin/sh\necho 'libcudart.so.13: cannot open' >&2\nexit 127\n")
    done = host.read()
    assert done.rc != 0
    assert b"libcudart.so.13" in done.err
    host.program("#!/bin/sh\necho 'usage: none'\n")
    assert b"its --help lists no options" in host.read().err
    assert host.known() is None
    host.program("").unlink()
    assert b"there is no llama-server in ~/my env/bin and " in host.read().err
