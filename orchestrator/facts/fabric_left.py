"""Why here: what the last measurement of a lane left on a host, so that whoever comes next can use it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from orchestrator.errors import Unknown
from orchestrator.facts.probe import count, good, probe, reading, script
from orchestrator.question import question
from orchestrator.rdma.answers import Effort, Said
from orchestrator.script import Raw, Result, Script, Sh, sh

MAGIC = "orch-fabric 1"
KEEP = 300_000


def folder(sudo: bool) -> Sh:
    """Shell that sets `f` to the folder of results. A home may be shared by hosts: theirs has the host's name."""
    if sudo:
        return sh("f=/var/lib/orch-fabric")
    return sh(
        """read -r host </proc/sys/kernel/hostname
f=${HOME:?}/.local/state/orch/fabric/$host"""
    )


@dataclass(frozen=True)
class Left:
    """One end of one test. `counters`: name → before and after, those that moved and those of bytes."""

    run: str
    at: int  # the host's clock, when it ended
    test: str
    way: str
    effort: Effort
    said: Said
    counters: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    fingerprint: Mapping[str, str] = field(default_factory=dict)
    attempt: int = 1  # of its run

    def moved(self, name: str) -> int | None:
        """By how much a counter went up; None where there is none, or it ran backwards (a reset)."""
        if name not in self.counters:
            return None
        before, after = self.counters[name]
        return after - before if after >= before else None


@question
class ReadLeft:
    """What lies there under this key; None where nothing does."""

    key: str
    sudo: bool

    def ask(self) -> Script:
        body = sh(
            """{}
if [ -e "$f"/{} ]; then cat "$f"/{}; else echo absent; fi""",
            Raw(folder(self.sudo)),
            self.key,
            self.key,
        )
        return script(left=probe(body, keep=KEEP))

    def parse(self, results: Mapping[str, Result]) -> Left | None:
        what = "what a measurement left"
        with reading(what):
            lines = good(results, "left", what).text.splitlines()
            if lines == ["absent"]:
                return None
            if len(lines) < 2 or lines[0] != MAGIC or lines[-1] != "end":
                raise Unknown(f"{what}: the file is cut, or not ours")
            return left_of(lines[1:-1])


def left_of(lines: Iterable[str]) -> Left:
    """The lines between the first and the last."""
    words: dict[str, str] = {}
    many: dict[str, list[str]] = {one: [] for one in ("before", "after", "out", "err", "stands")}
    for line in lines:
        key, _, value = line.partition(" ")
        if key in many:
            many[key].append(value)
        elif key in words:
            raise ValueError(f"{key} twice")
        else:
            words[key] = value
    before, after = (dict(map(_counter, many[one])) for one in ("before", "after"))
    return Left(
        run=words["run"],
        at=count(words["at"]),
        test=words["test"],
        way=words["way"],
        effort=effort_of(words["effort"]),
        said=Said(
            rc=count(words["rc"]),
            out="\n".join([*many["out"], ""]),
            err="\n".join([*many["err"], ""]),
            argv=tuple(words["argv"].split()),
        ),
        counters={name: (before[name], after[name]) for name in before if name in after},
        fingerprint=dict(map(_part, many["stands"])),
        attempt=count(words.get("attempt", "1")),
    )


def _counter(line: str) -> tuple[str, int]:
    name, value = line.split()
    return name, count(value)


def _part(line: str) -> tuple[str, str]:
    name, _, value = line.partition("\t")
    return name, value


def effort_text(effort: Effort) -> str:
    return f"{effort.seconds} {effort.bytes} {effort.qps}"


def effort_of(text: str) -> Effort:
    seconds, size, qps = (count(one) for one in text.split())
    return Effort(seconds, size, qps)
