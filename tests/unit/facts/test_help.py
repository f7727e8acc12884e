"""`--help` of argparse, click and llama.cpp as options; what is no list of options gives none, and never a guess."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import Unknown
from orchestrator.facts.help import MARK, ReadHelp, options
from orchestrator.script import Result

LINES = {
    # llama-server
    "-fa,   --flash-attn [on|off|auto]       set Flash Attention use": {
        "fa": True, "flash-attn": True},
    "-fa,   --flash-attn                     enable Flash Attention": {
        "fa": False, "flash-attn": False},
    "--mmap, --no-mmap                       DEPRECATED in favor of `--load-mode`": {
        "mmap": False, "no-mmap": False},
    "-ngl,  --gpu-layers, --n-gpu-layers N   max. number of layers": {
        "ngl": True, "gpu-layers": True, "n-gpu-layers": True},
    "--spec-draft-ngl, -ngld, --gpu-layers-draft, --n-gpu-layers-draft N": {
        "spec-draft-ngl": True, "ngld": True, "gpu-layers-draft": True, "n-gpu-layers-draft": True},
    "-hf,   -hfr, --hf-repo <user>/<model>[:quant]": {"hf": True, "hfr": True, "hf-repo": True},
    "--mlock                                 DEPRECATED in favor of": {"mlock": False},
    # argparse
    "  --tensor-parallel-size TENSOR_PARALLEL_SIZE, -tp TENSOR_PARALLEL_SIZE": {
        "tensor-parallel-size": True, "tp": True},
    "  --enable-prefix-caching, --no-enable-prefix-caching": {
        "enable-prefix-caching": False, "no-enable-prefix-caching": False},
    "  --kv-cache-dtype {auto,bfloat16,fp8}": {"kv-cache-dtype": True},
    "  --cudagraph-capture-sizes CUDAGRAPH_CAPTURE_SIZES [CUDAGRAPH_CAPTURE_SIZES ...]": {
        "cudagraph-capture-sizes": True},
    "  -h, --help            show this help message and exit": {"h": False, "help": False},
    # click
    "  --tp_size, --tensor_parallel_size INTEGER": {"tp-size": True, "tensor-parallel-size": True},
    "  --trust_remote_code             Flag for HF transformers.": {"trust-remote-code": False},
    # neither
    "  - \"auto\" will use the first": {},
    "": {},
}  # fmt: skip


@pytest.mark.parametrize(("line", "wanted"), LINES.items())
def test_a_line(line: str, wanted: dict[str, bool]) -> None:
    assert options([line]) == wanted


@given(st.lists(st.text()))
def test_whatever_comes_is_read(lines: list[str]) -> None:
    assert all(name and not name.startswith("-") for name in options(lines))


def read(text: str, rc: int = 0) -> object:
    result = Result(rc=rc, out=text.encode(), err=b"", seconds=0.1)
    return ReadHelp("docker", "i:1", "m").parse({"help": result})


def test_what_is_kept_is_whole_or_nothing() -> None:
    assert read(f"--a N\n{MARK}\nend\n") == {"a": True}
    assert read("end\n") is None, "nobody has looked yet"
    assert read("--a N\nend\n") is None, "a file that was cut"
    for cut in ("--a N\n", ""):
        with pytest.raises(Unknown):
            read(cut)
    with pytest.raises(Unknown):
        read("end\n", rc=1)


def test_a_mounted_program_is_read_again_when_it_is_built_again() -> None:
    asked = str(ReadHelp("docker", "i:1", "m", "~/llama.cpp/build/bin/llama-server").place)
    assert "p='~/llama.cpp/build/bin/llama-server'" in asked
    assert 'stat -L -c %Y.%s -- "$p"' in asked
    assert "stat" not in str(ReadHelp("docker", "i:1", "m").place)


def test_the_real_text_of_a_build() -> None:
    text = (Path(__file__).parent / "llama-help.txt").read_text(encoding="utf-8")
    found = options([line for line in text.splitlines() if line.lstrip().startswith("-")])
    assert len(found) > 300
    wanted = {"load-mode": True, "flash-attn": True, "fit": True, "metrics": False, "rpc": True}
    assert {name: found[name] for name in wanted} == wanted
    assert "port" in found
    assert "swap-space" not in found
