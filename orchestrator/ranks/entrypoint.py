"""Entrypoints from templates: every value that goes in is quoted, because nothing else can come out.

A template's `{{ value }}` is one shell word; `{{ list | words }}` is a command line.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined, Template

from orchestrator.data import read_template
from orchestrator.errors import FilesWrong
from orchestrator.script import Raw, Sh, Value, argv, quote

FOLDER = "/orch"  # where entrypoints lie in a rank
ENTRY = f"{FOLDER}/entry.sh"
READY = f"{FOLDER}/ready"  # exists once the gang has answered
RUN = f"{FOLDER}/run"  # the entrypoint's own notes


def _final(value: Any) -> str:
    return value.piece if isinstance(value, Raw) else quote(value)


def _words(values: Iterable[Value]) -> Raw:
    return Raw(argv(*values))


@cache
def _environment() -> Environment:
    made = Environment(  # noqa: S701  (shell, not HTML: `finalize` quotes)
        finalize=_final,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters["words"] = _words
    return made


def rendered(root: Path | None, name: str, **values: Any) -> Sh:
    """The template (the user's own of that name wins) with its values."""
    for value in values.values():
        if isinstance(value, str) and "\0" in value:
            raise FilesWrong(f"{name}: a NUL byte can't be in a script")
    return Sh(_compiled(read_template(name, root)).render(**values))


@lru_cache(maxsize=32)
def _compiled(text: str) -> Template:
    return _environment().from_string(text)


def verbatim(root: Path | None, name: str) -> str:
    """A program that takes its values from its arguments."""
    return read_template(name, root)
