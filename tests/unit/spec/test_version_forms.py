"""`by_version:` gives each version of an engine its own words; what the files say anyway wins over it."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.errors import FilesWrong
from orchestrator.spec.models import Profile
from tests.gangs import TOWER, cluster_of

BASE = """
    engine: vllm
    model: m
    args: {max-num-seqs: 4}
    by_version:
      below 0.15 or unknown: {env: {VLLM_ATTENTION_BACKEND: TRITON_ATTN}}
      from 0.15: {args: {attention-backend: TRITON_ATTN}}
      from 0.20 below 0.30: {args: {linear-backend: marlin}}
"""


def profile(folder: Path, own: str, deployment: str = "") -> Profile:
    profiles = {"base": BASE, "p": f"extends: base\n{own}"}
    line = f"v: {{profile: p, hosts: [tower]{deployment}}}"
    return cluster_of(folder, line, TOWER, profiles).deployments["v"].profile


def test_each_version_has_its_own(tmp_path: Path) -> None:
    old = profile(tmp_path, "image: vllm/vllm-openai:v0.14.1")
    assert (old.args, old.env) == ({"max-num-seqs": 4}, {"VLLM_ATTENTION_BACKEND": "TRITON_ATTN"})
    new = profile(tmp_path, "image: vllm/vllm-openai:v0.15.0")
    assert (new.args, new.env) == ({"attention-backend": "TRITON_ATTN", "max-num-seqs": 4}, {})
    both = profile(tmp_path, "image: mine:1\nengine_version: '0.29'")
    assert set(both.args) == {"attention-backend", "linear-backend", "max-num-seqs"}


def test_a_version_that_is_not_known_gets_what_is_said_for_it(tmp_path: Path) -> None:
    found = profile(tmp_path, "image: vllm/vllm-openai:nightly")
    assert (found.args, set(found.env)) == ({"max-num-seqs": 4}, {"VLLM_ATTENTION_BACKEND"})


def test_what_the_files_say_wins(tmp_path: Path) -> None:
    own = "image: mine:1\nengine_version: '0.29'\nargs: {attention-backend: FLASHINFER}"
    found = profile(tmp_path, own, ", args: {linear-backend: null}")
    assert found.args == {"attention-backend": "FLASHINFER", "max-num-seqs": 4}
    own = "image: i:v0.15.0\nby_version: {from 0.15: {args: {attention-backend: null, x: 1}}}"
    assert profile(tmp_path, own).args == {"x": 1, "max-num-seqs": 4}


@pytest.mark.parametrize(
    ("own", "text"),
    [
        ("by_version: {above 0.15: {args: {x: 1}}}", "'above 0.15' is no range"),
        ("by_version: {from 0.15: {argz: {x: 1}}}", "did you mean 'args'"),
        ("engine_version: latest", "'latest' is no version"),
    ],
)
def test_mistakes_are_told(tmp_path: Path, own: str, text: str) -> None:
    with pytest.raises(FilesWrong) as wrong:
        profile(tmp_path, f"image: i\n{own}")
    assert text in str([str(one) for one in wrong.value.findings])
