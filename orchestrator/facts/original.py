"""Why here: a file of a model that a patch is for, and where in the model's folder it lies (a snapshot has a name)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.errors import Unknown
from orchestrator.facts.file import LARGEST
from orchestrator.facts.probe import (
    NEAREST,
    answered,
    count,
    host_path,
    probe,
    reading,
    said,
    script,
)
from orchestrator.question import question
from orchestrator.script import Raw, Result, Script, sh


@dataclass(frozen=True)
class Original:
    """Its bytes, None where there is no such file; its path below the folder. `known`: a host was asked."""

    content: bytes | None
    below: str
    known: bool = True


@question
class ReadOriginal:
    """One file of at most a mebibyte. `ref`: the folder is a hub cache's, and this its branch, tag or commit."""

    folder: str
    file: str
    ref: str = ""

    @property
    def below(self) -> str:
        """Where it lies in the folder, as far as that is known without asking."""
        return f"snapshots/<{self.ref}>/{self.file}" if self.ref else self.file

    def ask(self) -> Script:
        body = sh(
            """{}
f={}
ref={}
if [ -n "$ref" ]; then
  rev=$(cat "$p/refs/$ref" 2>/dev/null) || rev=$ref
  f=snapshots/$rev/$f
fi
p=$p/$f
{}
if [ -f "$p" ]; then
  sum=$(sha256sum <"$p") && printf '%s\\nfile %s %s\\n' "$f" "$(wc -c <"$p")" "${sum%% *}" && cat <"$p"
elif [ -e "$p" ]; then echo "$p is not a file" >&2; (exit 1)
elif [ -d "$near" ] && [ ! -x "$near" ]; then echo "no access to $near" >&2; (exit 1)
else printf '%s\\nabsent\\n' "$f"; fi""",
            Raw(host_path(self.folder)),
            self.file,
            self.ref,
            Raw(NEAREST),
        )
        return script(original=probe(body, keep=LARGEST + 1000))

    def parse(self, results: Mapping[str, Result]) -> Original:
        what = f"file {self.file} in {self.folder}"
        with reading(what):
            result = answered(results, "original", what)
            if result.rc != 0:
                raise Unknown(f"{what}: {said(result)}")
            below, _, rest = result.out.partition(b"\n")
            head, newline, content = rest.partition(b"\n")
            if not newline or not below:
                raise ValueError("the answer is cut")
            if head == b"absent" and not content:
                return Original(None, below.decode())
            word, size, digest = head.decode("ascii").split()
            if word != "file" or count(size) != len(content):
                raise ValueError("its size is another one")
            if hashlib.sha256(content).hexdigest() != digest:
                raise ValueError("its sum is another one")
            return Original(content, below.decode())
