"""Why here: the GPU driver's version without nvidia-smi, which takes a second to say it."""

from __future__ import annotations

import re
from collections.abc import Mapping

from orchestrator.facts.probe import fields, listed, probe, reading, script
from orchestrator.question import question
from orchestrator.script import Result, Script, sh

BODY = sh(
    """version=
{ read -r version </sys/module/nvidia/version; } 2>/dev/null
echo "driver $version"
echo end"""
)


@question
class ReadDriver:
    """The version of NVIDIA's kernel module that is loaded; "" where none is."""

    def ask(self) -> Script:
        return script(driver=probe(BODY))

    def parse(self, results: Mapping[str, Result]) -> str:
        with reading("the GPU driver"):
            version = fields(listed(results, "driver", "the GPU driver"))["driver"]
            if version and not re.fullmatch(r"\d+(\.\d+)+", version):
                raise ValueError(f"not a version: {version[:40]!r}")
            return version
