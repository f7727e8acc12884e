"""An image that is built (`build:`): its Dockerfile and context on the user's machine, named by their content.

Like files with `sync: true` they are part of what the files say. `.dockerignore` counts: what it leaves out
is neither sent nor part of the name.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

from orchestrator.ranks.local import LARGEST, add, files_below
from orchestrator.spec.models import Build, Deployment

REPOSITORY = "orch-build"
IGNORE_FILE = ".dockerignore"
FILE, FOLDER = "Dockerfile", "context"  # what is packed


@dataclass(frozen=True)
class Context:
    """What a build reads. Read once in a run, so that what is planned and what is built are the same."""

    dockerfile: Path
    folder: Path

    @property
    def wrong(self) -> tuple[str, str, str]:
        """Which key is wrong, why, and what to do; ("", "", "") if nothing is."""
        if not _readable(self.dockerfile):
            return "dockerfile", f"there is no Dockerfile at {str(self.dockerfile)!r}", ""
        if not self.folder.is_dir():
            return "context", f"there is no folder at {str(self.folder)!r}", ""
        if self.size > LARGEST:
            limit = LARGEST // 1024**2
            what = f"{self.folder} is {self.size // 1024**2} MiB: a context may have {limit} MiB"
            return "context", what, f"leave out what the build does not need, in {IGNORE_FILE}"
        return "", "", ""

    @cached_property
    def files(self) -> tuple[tuple[str, Path], ...]:
        """Name in the context, and file; without what `.dockerignore` names."""
        left_out = Ignored.of(self.folder / IGNORE_FILE)
        named = ((one.relative_to(self.folder).as_posix(), one) for one in files_below(self.folder))
        return tuple((name, one) for name, one in named if not left_out.matches(name))

    @cached_property
    def size(self) -> int:
        return sum(one.stat().st_size for _, one in self.files)

    @cached_property
    def digest(self) -> str:
        """Sum of the Dockerfile, and of names, modes and contents; "absent" where it can't be built."""
        if self.wrong[0]:
            return "absent"
        found = hashlib.sha256(self.dockerfile.read_bytes())
        for name, one in self.files:
            stat = one.stat()
            found.update(f"\0{name}\0{stat.st_size}\0{stat.st_mode & 0o111}\0".encode())
            found.update(one.read_bytes())
        return found.hexdigest()[:12]

    def packed(self) -> bytes:
        """A tar with `Dockerfile` and the folder `context`."""
        made = io.BytesIO()
        with tarfile.open(fileobj=made, mode="w") as tar:
            add(tar, self.dockerfile, FILE)
            for name, one in self.files:
                add(tar, one, f"{FOLDER}/{name}")
        return made.getvalue()


@dataclass(frozen=True)
class Ignored:
    """The patterns of a `.dockerignore`: the last one that fits decides, `!` takes back."""

    rules: tuple[tuple[bool, re.Pattern[str]], ...]

    @classmethod
    def of(cls, file: Path) -> Ignored:
        return cls(tuple(_rules(file.read_text("utf-8"))) if file.is_file() else cls(()).rules)

    def matches(self, name: str) -> bool:
        """Whether a file, or a folder that it lies in, is left out."""
        parts = name.split("/")
        places = ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
        out = False
        for leaves_out, pattern in self.rules:
            if any(pattern.fullmatch(place) for place in places):
                out = leaves_out
        return out


def _rules(text: str) -> Iterator[tuple[bool, re.Pattern[str]]]:
    for line in text.splitlines():
        said = line.strip()
        if not said or said.startswith("#"):
            continue
        leaves_out = not said.startswith("!")
        clean = os.path.normpath(said.removeprefix("!").strip()).lstrip("/")
        if clean != ".":
            yield leaves_out, _pattern(clean)


# Source: docs.docker.com/build/concepts/context, "Syntax": Go's filepath.Match, and `**` for any number of folders
_SPECIAL = re.compile(r"\*\*/|\*\*|\*|\?|\[\^?[^\]]+\]|\\.")


def _pattern(text: str) -> re.Pattern[str]:
    made, at = "", 0
    for special in _SPECIAL.finditer(text):
        made += re.escape(text[at : special.start()]) + _special(special.group())
        at = special.end()
    try:
        return re.compile(made + re.escape(text[at:]))
    except re.error:  # a range that is none: Docker refuses it when it builds, and says so
        return re.compile(re.escape(text))


def _special(word: str) -> str:
    known = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    if word in known:
        return known[word]
    return word if word.startswith("[") else re.escape(word[1:])


@lru_cache(maxsize=64)
def _context(dockerfile: str, folder: str) -> Context:
    return Context(Path(dockerfile).expanduser(), Path(folder).expanduser())


def context(build: Build) -> Context:
    return _context(build.dockerfile, build.context)


def image_of(deployment: Deployment) -> str:
    """The image of a deployment's ranks: the one that is named, or the one that is built."""
    profile = deployment.profile
    if profile.build is None:
        return profile.image or ""
    name = re.sub(r"[^a-z0-9]+", "-", profile.name.lower()).strip("-") or "image"
    return f"{REPOSITORY}/{name}:{context(profile.build).digest}"


def subject(deployment: Deployment) -> str:
    """What a deployment serves, in a word: the model, else the image, the compose file, the unit."""
    profile = deployment.profile
    model = profile.served_name or profile.model
    if profile.compose is not None:
        return profile.compose.file or Path(profile.compose.send or "").name
    if profile.unit is not None:
        return profile.unit.name
    return model or image_of(deployment)


def _readable(path: Path) -> bool:
    try:
        return path.is_file() and os.access(path, os.R_OK)
    except (OSError, ValueError):
        return False
