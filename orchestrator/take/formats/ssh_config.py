"""An ssh_config: its `Host` blocks as hosts, the first value of each option winning, as with ssh."""

from __future__ import annotations

import fnmatch
import re
import shlex
from dataclasses import dataclass, field

from orchestrator.take.model import Document, Source, Taken
from orchestrator.take.names import name_for

LINE = re.compile(r"\s*([A-Za-z][A-Za-z0-9]*)(?:\s*=\s*|\s+)(.*?)\s*$")
HOST = re.compile(r"^\s*host(?:\s*=\s*|\s+)\S", re.IGNORECASE | re.MULTILINE)
TAKEN = {"user": "user", "identityfile": "key", "proxyjump": "jump", "port": "port"}
GIT = frozenset(("git",))


@dataclass
class Block:
    patterns: list[str]
    options: list[tuple[str, str]] = field(default_factory=list)

    def fits(self, alias: str) -> bool:
        negated = [one[1:] for one in self.patterns if one.startswith("!")]
        plain = [one for one in self.patterns if not one.startswith("!")]
        if any(fnmatch.fnmatchcase(alias, one) for one in negated):
            return False
        return any(fnmatch.fnmatchcase(alias, one) for one in plain)


class SshConfig:
    """See model.Format."""

    name = "ssh-config"
    what = "an ssh_config"

    def fits(self, source: Source) -> bool:
        if isinstance(source.data, (dict, list)):
            return False
        first = next(
            (line for line in source.text.splitlines() if line.strip() and line.strip()[0] != "#"),
            "",
        )
        return HOST.search(source.text) is not None and LINE.match(first) is not None

    def take(self, source: Source) -> Taken:
        taken = Taken(self.name)
        blocks = _blocks(source.text, taken)
        aliases = dict.fromkeys(
            one for block in blocks for one in block.patterns if not set(one) & set("*?!")
        )
        for alias in aliases:
            _host(alias, blocks, taken)
        if not aliases:
            taken.leave("Host", "", "only patterns: no host has a name")
        return taken


def _blocks(text: str, taken: Taken) -> list[Block]:
    blocks = [Block(["*"])]
    skipped = False
    for number, line in enumerate(text.splitlines(), start=1):
        match = LINE.match(line)
        if match is None or line.lstrip().startswith("#"):
            if line.strip() and not line.lstrip().startswith("#"):
                taken.leave(f"line {number}", line, "not understood")
            continue
        key, value = match[1].lower(), match[2]
        if key == "host":
            skipped = False
            blocks.append(Block(_words(value)))
        elif key == "match":
            skipped = True
            taken.leave(
                f"line {number}", line, "a `Match` block is decided by ssh: write its hosts by hand"
            )
        elif key == "include":
            taken.leave(f"line {number}", line, "give that file too")
        elif not skipped:
            blocks[-1].options.append((key, value))
    return blocks


def _words(value: str) -> list[str]:
    try:
        return shlex.split(value)
    except ValueError:
        return value.split()


def _host(alias: str, blocks: list[Block], taken: Taken) -> None:
    said: dict[str, str] = {}
    for block in blocks:
        if block.fits(alias):
            for key, value in block.options:
                first = said.setdefault(key, " ".join(_words(value)))
                if key == "identityfile" and first != " ".join(_words(value)):
                    taken.leave(f"Host {alias}: {key}", value, "one key a host: the first is taken")
    if said.get("user") in GIT:
        taken.leave(f"Host {alias}", said.get("hostname"), "the user git: no machine to run on")
        return
    name = name_for(alias, taken.hosts)
    if name != alias:
        taken.leave(f"Host {alias}", "", f"called {name} here")
    entry: Document = {"address": said.pop("hostname", alias).replace("%h", alias) or alias}
    ssh: Document = {}
    for key, value in said.items():
        if not _option(ssh, key, value):
            why = "ssh's own files still say it, if this is one of them"
            taken.leave(f"Host {alias}: {key}", value, why)
    if ssh:
        entry["ssh"] = ssh
    taken.hosts[name] = entry


def _option(ssh: Document, key: str, value: str) -> bool:
    """Whether an option has a key here, and its value a form that fits."""
    if key == "port":
        fits = value.isdecimal() and 0 < int(value[:6]) < 65536
        ssh |= {"port": int(value)} if fits else {}
        return fits
    if key not in TAKEN or not value or set("%,") & set(value):
        return False
    if value.lower() != "none":
        ssh[TAKEN[key]] = value
    return True


FORMAT = SshConfig()
