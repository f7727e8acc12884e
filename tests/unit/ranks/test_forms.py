"""llama.cpp's settings in the words of its build, as its --help has them, and as written where nobody has asked."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.ranks.forms import fitting

# As builds had them (llama.cpp b5000 and b11200, `--help`): name → takes a value
OLD = {
    "mlock": False,
    "no-mmap": False,
    "flash-attn": False,
    "fa": False,
    "n-gpu-layers": True,
    "c": True,
}
NEW = {"load-mode": True, "lm": True, "flash-attn": True, "fa": True, "fit": True, "n-gpu-layers": True,
       "ngl": True, "tensor-split": True, "split-mode": True}  # fmt: skip
BETWEEN = {**OLD, **NEW, "mmap": False, "direct-io": False}

CASES: list[tuple[dict[str, Any], dict[str, bool] | None, dict[str, Any]]] = [
    ({"no-mmap": True, "c": 1}, NEW, {"c": 1, "load-mode": "none"}),
    ({"mmap": False}, NEW, {"load-mode": "none"}),
    ({"mlock": True}, NEW, {"load-mode": "mmap+mlock"}),
    ({"load-mode": "none"}, OLD, {"no-mmap": True}),
    ({"lm": "mmap+mlock"}, OLD, {"mlock": True}),
    ({"no-mmap": True}, BETWEEN, {"load-mode": "none"}),
    ({"load-mode": "auto"}, OLD, {"load-mode": "auto"}),  # there is no older word for it: --help refuses it
    ({"no-mmap": False}, NEW, {"no-mmap": False}),
    ({"flash-attn": True}, NEW, {"flash-attn": "on"}),
    ({"-fa": False}, NEW, {"-fa": "off"}),
    ({"fa": "auto"}, NEW, {"fa": "auto"}),
    ({"flash-attn": "on"}, OLD, {"flash-attn": True}),
    ({"flash-attn": "off", "c": 1}, OLD, {"c": 1}),
    ({"flash-attn": "auto"}, OLD, {}),
    ({"-ngl": 99}, NEW, {"-ngl": 99, "fit": "off"}),
    ({"n-gpu-layers": 99}, OLD, {"n-gpu-layers": 99}),
    ({"tensor-split": [3, 1]}, NEW, {"tensor-split": [3, 1], "fit": "off"}),
    ({"split-mode": "row"}, NEW, {"split-mode": "row", "fit": "off"}),
    ({"split-mode": "layer"}, NEW, {"split-mode": "layer"}),
    ({"-ngl": 99, "fit": "on"}, NEW, {"-ngl": 99, "fit": "on"}),
    ({"c": 4096}, NEW, {"c": 4096}),
    ({"no-mmap": True, "flash-attn": True, "-ngl": 99}, None,
     {"no-mmap": True, "flash-attn": True, "-ngl": 99}),
]  # fmt: skip


@pytest.mark.parametrize(("args", "options", "wanted"), CASES)
def test_forms(
    args: dict[str, Any], options: dict[str, bool] | None, wanted: dict[str, Any]
) -> None:
    assert fitting("llamacpp", args, options) == wanted


def test_an_engine_without_forms_is_left_alone() -> None:
    assert fitting("vllm", {"swap-space": 4}, {}) == {"swap-space": 4}
