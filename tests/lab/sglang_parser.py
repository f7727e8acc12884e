"""Run by test_sglang_parser.py: SGLang's own argument parser, out of an unpacked wheel, without what it needs to serve.

python sglang_parser.py FOLDER  <  a JSON list of command lines    one JSON object a line: what was understood

Its parser, the fields that it is made of and the lists of names that it allows are the wheel's; everything else that
they import (torch, the rest of SGLang) is an empty stand-in, for none of it decides which arguments there are.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.abc
import importlib.machinery
import json
import sys
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

ITS_OWN = (
    "sglang.srt.server_args",
    "sglang.srt.arg_groups",
    "sglang.srt.environ",
    "sglang.srt.parser.reasoning_parser_names",
    "sglang.srt.function_call.parser_names",
)
FOLDERS = ("sglang", "sglang.srt", "sglang.srt.parser", "sglang.srt.function_call")


class Empty(types.ModuleType):
    """A module in which everything is there and does nothing."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        made = MagicMock(name=name)
        setattr(self, name, made)
        return made


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Takes ITS_OWN from the folder, and makes empty modules of the rest."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name.split(".")[0] in sys.stdlib_module_names or name.startswith("msgspec"):
            return None
        if any(name == own or name.startswith(f"{own}.") for own in ITS_OWN):
            return importlib.machinery.PathFinder.find_spec(name, path)
        return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        made = Empty(spec.name)
        made.__path__ = (
            [str(self.folder.joinpath(*spec.name.split(".")))] if spec.name in FOLDERS else []
        )
        return made

    def exec_module(self, module: types.ModuleType) -> None:
        """There is nothing to run."""


def main(folder: Path) -> None:
    sys.path.insert(0, str(folder))
    sys.meta_path.insert(0, Finder(folder))
    parser = argparse.ArgumentParser(prog="sglang")
    importlib.import_module("sglang.srt.server_args").ServerArgs.add_cli_args(parser)
    for words in json.load(sys.stdin):
        print(json.dumps(vars(parser.parse_args(words)), default=str))  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]))
