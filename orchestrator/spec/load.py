"""Reads YAML files into models and keeps every finding, so that all are told at once."""

from __future__ import annotations

import json
import shlex
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from orchestrator import data as shipped
from orchestrator.errors import FilesWrong
from orchestrator.spec import salvage, scalars, shape, tree, wording
from orchestrator.spec.models import Finding
from orchestrator.spec.tree import Node

MAX_BYTES = 1 << 20  # a cluster file is a few KiB; more is a mistake or an attack
_SALVAGE_ROUNDS = 5

M = TypeVar("M", bound=BaseModel)
Path_ = Sequence[str | int]
Trap = tuple[wording.Path, Node]


@dataclass(frozen=True)
class Document(Generic[M]):
    """A file that was read. `model` is None where too much is wrong to go on with it.

    `data` and `model` leave out what is wrong; `wrong` says where that was, so that what builds on
    it is not blamed for it.
    """

    path: Path
    label: str
    node: Node
    data: dict[str, Any]
    model: M | None
    wrong: tuple[wording.Path, ...] = ()
    kind: type[BaseModel] = BaseModel

    @cached_property
    def said(self) -> dict[str, Any]:
        """What the file says, nulls included: a null takes away what it builds on."""
        data = shape.strip(self.kind, self.node.data(), nulls=True)
        if not isinstance(data, dict):
            return {}
        salvage.blank(data, self.wrong)
        return data

    def touched(self, *path: str | int) -> bool:
        """Whether something at, below or above this path is wrong."""
        return any(
            place[: len(path)] == path or path[: len(place)] == place for place in self.wrong
        )


class Files:
    """What was read so far, and what is wrong with it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.findings: list[Finding] = []
        self.sources: list[str] = []

    def label(self, path: Path) -> str:
        """How the file is called in findings."""
        return shipped.label(path, self.root)

    def read(self, path: Path) -> Node | None:
        """The tree of a file, as far as it is one."""
        label = self.label(path)
        text = self._text(path, label)
        if text is None:
            return None
        self.sources.append(label)
        node, findings = tree.parse(text, label)
        self.findings.extend(findings)
        return node

    def check(self, path: Path, node: Node, model: type[M]) -> Document[M]:
        """The tree as a model; errors become findings."""
        wrong: list[wording.Path] = []
        value, spelt = None, node
        data = shape.strip(model, node.data())
        for attempt in range(_SALVAGE_ROUNDS):
            try:
                value = model.model_validate_json(json.dumps(data), strict=True)
                break
            except ValidationError as error:
                if attempt == 0 or (attempt == 1 and spelt is not node):
                    wrong += self._report(model, spelt, error)
                if attempt == 0:
                    spelt = salvage.respell(model, node, error)
                    data = shape.strip(model, spelt.data())
                if (attempt > 0 or spelt is node) and not salvage.take_out(data, error):
                    break
        self.findings += [_trap(place, word) for place, word in _old_booleans(node)]
        fields = data if isinstance(data, dict) else {}
        return Document(path, self.label(path), spelt, fields, value, tuple(wrong), model)

    def _report(
        self, model: type[BaseModel], node: Node, error: ValidationError
    ) -> list[wording.Path]:
        """New findings are kept; all places are given back."""
        known = {(one.file, one.line, one.column, one.message) for one in self.findings}
        found = wording.findings(model, node, error)
        for _, one in found:
            if (one.file, one.line, one.column, one.message) not in known:
                self.findings.append(one)
        return [place for place, _ in found]

    def add(
        self,
        document: Document[Any],
        path: Path_,
        message: str,
        suggestion: str = "",
        *,
        severity: str = "error",
        key: bool = False,
    ) -> None:
        """A finding at a path of a document; the nearest thing that is there gives the line."""
        mark = wording.mark_of(document.node, path, key=key)
        self.findings.append(
            Finding(
                severity="warning" if severity == "warning" else "error",
                message=message,
                suggestion=suggestion,
                path=wording.dotted(path),
                file=mark.file,
                line=mark.line,
                column=mark.column,
            )
        )

    @property
    def errors(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.severity == "error"]

    def raise_errors(self) -> None:
        """FilesWrong with all errors, in the order of the files."""
        raise_errors(self.errors)

    def _text(self, path: Path, label: str) -> str | None:
        try:
            return _read(path)
        except UnicodeDecodeError as error:
            at = f"byte {error.start}"
            message, hint = f"is not UTF-8 text ({at})", "save it as UTF-8"
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            message, hint = f"can't be read: {reason}", starting_hint(path)
        self.findings.append(
            Finding(message=message, suggestion=hint, file=label, line=1, column=1)
        )
        return None


def load_file(path: Path, model: type[M], root: Path | None = None) -> M:
    """One file as a model, checked like all others; FilesWrong with every error in it."""
    files = Files(path.parent if root is None else root)
    node = files.read(path)
    document = files.check(path, node, model) if node is not None else None
    raise_errors(files.errors)
    if document is None or document.model is None:
        raise FilesWrong(f"{files.label(path)} can't be read")
    return document.model


def raise_errors(errors: Sequence[Finding]) -> None:
    """One exception for all errors; nothing when there are none."""
    if not errors:
        return
    ordered = sorted(dict.fromkeys(errors), key=lambda finding: (finding.file, finding.line))
    count, files = len(ordered), len({finding.file for finding in ordered})
    raise FilesWrong(
        f"{count} error{'s' if count > 1 else ''} in {files} file{'s' if files > 1 else ''}; "
        "nothing was touched",
        findings=tuple(ordered),
    )


def starting_hint(path: Path) -> str:
    """Where to take a first file of this name from, for who has none."""
    if path.name not in shipped.STARTING_FILES or is_there(path):
        return ""
    starting = shipped.starting_point() / path.name
    return f"to start with: cp {shlex.quote(str(starting))} {shlex.quote(str(path))}"


def _read(path: Path) -> str:
    """The text of a regular file of bounded size; looked at before it is opened."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("it is not a regular file")
    if status.st_size > MAX_BYTES:
        raise ValueError(f"{status.st_size} bytes are more than the limit of {MAX_BYTES} (1 MiB)")
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ValueError(f"it grew beyond the limit of {MAX_BYTES} bytes (1 MiB)")
    return content.decode("utf-8-sig")


def is_there(path: Path) -> bool:
    """Whether there is something at a path that a file names, be it as odd as it may."""
    try:
        return path.exists()
    except (OSError, ValueError):  # too long, a loop of links, no right to look
        return False


def expanded(path: str) -> Path:
    """A path with its `~`; left alone where nobody has that home."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def _old_booleans(node: Node, path: wording.Path = (), inside: bool = False) -> Iterator[Trap]:
    """Arguments of engines that YAML 1.1 would have read as true or false."""
    if inside and not node.quoted and node.raw.lower() in scalars.OLD_BOOLEANS:
        yield path, node
    for key, entry in (node.entries or {}).items():
        if inside or key in ("args", "deployments") or path[:1] == ("deployments",):
            at_args = inside or key == "args"
            yield from _old_booleans(entry.node, (*path, key), at_args)


def _trap(path: wording.Path, node: Node) -> Finding:
    value = str(scalars.OLD_BOOLEANS[node.raw.lower()]).lower()
    return Finding(
        severity="warning",
        message=f"{node.raw!r} is text here; write {value} for a switch",
        suggestion=f'or "{node.raw}" for the text',
        path=wording.dotted(path),
        file=node.mark.file,
        line=node.mark.line,
        column=node.mark.column,
    )
