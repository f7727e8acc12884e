"""Engines and runtimes are found by themselves, and imported only when one is asked for."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

from orchestrator.engines import engine, engines
from orchestrator.errors import FilesWrong
from orchestrator.runtimes import runtime, runtimes


def test_every_file_is_an_engine_that_registers_itself() -> None:
    assert engines() == (
        "compose",
        "container",
        "job",
        "llamacpp",
        "sglang",
        "tensorrtllm",
        "unit",
        "vllm",
    )
    for name in engines():
        module = importlib.import_module(f"orchestrator.engines.{name}")
        assert engine(name) is module.ENGINE
        assert module.ENGINE.name == name


def test_every_file_is_a_runtime_that_registers_itself() -> None:
    assert runtimes() == ("docker", "podman", "process")
    for name in runtimes():
        module = importlib.import_module(f"orchestrator.runtimes.{name}")
        assert runtime(name) is module.RUNTIME
        assert module.RUNTIME.name == name


def test_llama_cpp_may_be_written_as_it_is_called() -> None:
    assert engine("llama.cpp") is engine("llamacpp")


def test_an_unknown_engine_is_the_files_fault() -> None:
    with pytest.raises(FilesWrong) as wrong:
        engine("vlm")
    assert wrong.value.hint == "did you mean 'vllm'?"


def test_the_list_of_engines_imports_none() -> None:
    code = (
        "import sys, orchestrator.engines as e; e.engines();"
        "sys.exit(any(n.startswith('orchestrator.engines.') for n in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
