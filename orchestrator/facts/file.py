"""Why here: one file of a host, whole and verified by its sum, or known to be absent."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from orchestrator.errors import Unknown
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

LARGEST = 1_048_576  # configuration files; weights are not read this way


@question
class ReadFile:
    """The bytes of a regular file; None where there is none. Unknown where it can't be read."""

    path: str
    sudo: bool = False

    def ask(self) -> Script:
        body = sh(
            """{}
{}
if [ -f "$p" ]; then
  sum=$(sha256sum <"$p") && printf 'file %s %s\\n' "$(wc -c <"$p")" "${sum%% *}" && cat <"$p"
elif [ -e "$p" ]; then echo "$p is not a file" >&2; (exit 1)
elif [ -d "$near" ] && [ ! -x "$near" ]; then echo "no access to $near" >&2; (exit 1)
else echo absent; fi""",
            Raw(host_path(self.path)),
            Raw(NEAREST),
        )
        return script(file=probe(body, keep=LARGEST + 200, sudo=self.sudo))

    def parse(self, results: Mapping[str, Result]) -> bytes | None:
        what = f"file {self.path}"
        with reading(what):
            result = answered(results, "file", what)
            if result.rc != 0:
                raise Unknown(f"{what}: {said(result)}")
            head, newline, content = result.out.partition(b"\n")
            if not newline:
                raise ValueError("the answer is cut")
            if head == b"absent" and not content:
                return None
            word, size, digest = head.decode("ascii").split()
            if word != "file" or count(size) != len(content):
                raise ValueError("its size is another one")
            if hashlib.sha256(content).hexdigest() != digest:
                raise ValueError("its sum is another one")
            return content
