"""The line of cluster.yaml that names a deployment's profile: looked at first, changed when the change has held."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import Failed, FilesWrong
from orchestrator.meant import did_you_mean
from orchestrator.spec.edit import value_at, with_value
from orchestrator.spec.load import MAX_BYTES, Files

BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class ProfileLine:
    """`deployments.<deployment>.profile` of a file: what it said when it was first read, and what it shall say."""

    file: Path
    deployment: str
    old: str
    new: str

    @property
    def path(self) -> tuple[str, ...]:
        return ("deployments", self.deployment, "profile")

    @property
    def told(self) -> str:
        return f"{self.file}: {'.'.join(self.path)}: {self.old} → {self.new}"

    def check(self) -> None:
        """Whether it can be written later: known before anything is touched."""
        with_value(_text(self.file), self.path, self.new, str(self.file))
        real = self.file.resolve()
        if not (os.access(real, os.W_OK) and os.access(real.parent, os.W_OK)):
            raise FilesWrong(
                f"{self.file} can't be written",
                hint="with --no-write it is left as it is, and you change it yourself",
            )

    def write(self) -> None:
        """The new word in the place of the old one; Failed where somebody changed the file meanwhile."""
        try:
            _replace(self.file.resolve(), self._changed(_text(self.file)))
        except (FilesWrong, OSError) as error:
            raise Failed(
                f"{self.deployment} runs {self.new}, but {self.file} could not be changed: {error}",
                hint=f"write {'.'.join(self.path)}: {self.new} into it, or `orch up` goes back",
            ) from error

    def _changed(self, text: str) -> str:
        said = value_at(text, self.path, str(self.file))
        if said != self.old:
            raise FilesWrong(f"it says {said!r} now")
        return with_value(text, self.path, self.new, str(self.file))


def profile_line(file: Path, deployment: str, new: str) -> ProfileLine:
    """What the file says now. FilesWrong where it can't be read, or has no such deployment."""
    files = Files(file.parent)
    root = files.read(file)
    files.raise_errors()
    data = root.data() if root is not None else None
    known = data.get("deployments") if isinstance(data, dict) else None
    entry = known.get(deployment) if isinstance(known, dict) else None
    if entry is None:
        names = list(known) if isinstance(known, dict) else []
        hint = did_you_mean(deployment, names) or "there are: none"
        raise FilesWrong(f"{file} has no deployment {deployment[:60]!r}", hint=hint)
    old = entry.get("profile") if isinstance(entry, dict) else None
    if not isinstance(old, str):
        raise FilesWrong(f"{file}: deployments.{deployment}.profile is no name of a profile")
    return ProfileLine(file, deployment, old, new)


def _text(file: Path) -> str:
    """As it stands, line ends too. The files were loaded before: this one can be read."""
    with file.open("rb") as opened:
        return opened.read(MAX_BYTES + 1).removeprefix(BOM).decode()


def _replace(file: Path, text: str) -> None:
    """All of it or nothing of it, whenever the power goes; mode and owner stay."""
    status = file.stat()
    with file.open("rb") as opened:
        mark = BOM if opened.read(len(BOM)) == BOM else b""
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    fresh = Path(name)
    try:
        with os.fdopen(handle, "wb") as opened:
            opened.write(mark + text.encode())
            opened.flush()
            os.fsync(opened.fileno())
        shutil.copymode(file, fresh)
        with contextlib.suppress(PermissionError):
            os.chown(fresh, status.st_uid, status.st_gid)
        fresh.replace(file)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
