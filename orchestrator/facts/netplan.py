"""Why here: every netplan file with its text: what configures an interface is never stacked upon."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from orchestrator.facts.answers import NetplanFile
from orchestrator.facts.probe import count, good, probe, reading, script
from orchestrator.question import question
from orchestrator.script import Result, Script, sh

BODY = sh(
    """failed=0
for file in /lib/netplan/*.yaml /etc/netplan/*.yaml /run/netplan/*.yaml; do
  if [ -e "$file" ]; then
    printf 'file %s %s %s\\n' "$(stat -L -c %a -- "$file")" "$(wc -c <"$file")" "$file" || failed=1
    cat <"$file" || failed=1
    echo
  fi
done
for folder in /lib/netplan /etc/netplan /run/netplan; do
  if [ -d "$folder" ] && [ ! -r "$folder" ]; then echo "no access to $folder" >&2; failed=1; fi
done
echo end
(exit "$failed")"""
)


@question
class ReadNetplan:
    """Files of /lib, /etc and /run, in that order; most are readable by root alone."""

    sudo: bool = True

    def ask(self) -> Script:
        return script(netplan=probe(BODY, sudo=self.sudo, keep=1_048_576))

    def parse(self, results: Mapping[str, Result]) -> tuple[NetplanFile, ...]:
        with reading("netplan files"):
            rest = good(results, "netplan", "netplan files").out
            files: list[NetplanFile] = []
            while rest != b"end\n":
                head, newline, rest = rest.partition(b"\n")
                word, mode, size, path = head.decode().split(" ", 3)
                length = count(size)
                if word != "file" or not newline or rest[length : length + 1] != b"\n":
                    raise ValueError("the answer is cut")
                content, rest = rest[:length], rest[length + 1 :]
                files.append(
                    NetplanFile(
                        path=path,
                        mode=int(mode, 8),
                        sha256=hashlib.sha256(content).hexdigest(),
                        text=content.decode(errors="replace"),
                    )
                )
            return tuple(files)
