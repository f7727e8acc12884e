"""Compose projects and units that orch has started on a host: only these are stopped by it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from orchestrator.errors import Unknown
from orchestrator.facts.probe import json_of, listed, mapping, probe, reading, script, text_of
from orchestrator.question import question
from orchestrator.script import Raw, Result, Script, Sh, seq, sh


@dataclass(frozen=True)
class Kept:
    """One of them, as it was written down when it was started."""

    deployment: str
    kind: str  # the engine: compose, unit
    target: str  # the project, the unit
    digest: str = ""  # of what was started: another one is started anew
    user: bool = False  # a user's unit

    @property
    def shown(self) -> str:
        """For a person."""
        return f"{self.kind} {self.target}"

    @property
    def text(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)


def folder(cluster: str) -> Sh:
    """Shell that sets `k`. Home folders may be shared by hosts: theirs has the host's name."""
    return sh(
        """read -r host </proc/sys/kernel/hostname
k=${HOME:?}/.local/state/orch/services/$host/{}""",
        cluster,
    )


def keep(cluster: str, kept: Kept) -> Sh:
    """Shell that writes one down."""
    where = folder(cluster)
    write = sh('mkdir -p "$k" && printf \'%s\\n\' {} >"$k"/{}', kept.text, kept.deployment)
    return seq([where, write])


def forget(cluster: str, deployment: str) -> Sh:
    return seq([folder(cluster), sh('rm -f "$k"/{}', deployment)])


@question
class ReadKept:
    """What orch has started of a cluster, by deployment."""

    cluster: str

    def ask(self) -> Script:
        body = sh(
            """{}
for f in "$k"/*; do [ ! -f "$f" ] || cat "$f" || echo unreadable; done
echo end""",
            Raw(folder(self.cluster)),
        )
        return script(kept=probe(body))

    def parse(self, results: Mapping[str, Result]) -> Mapping[str, Kept]:
        what = "services that orch has started"
        with reading(what):
            found = [_kept(line) for line in listed(results, "kept", what)]
            if len({one.deployment for one in found}) < len(found):
                raise Unknown(f"{what}: one is there twice")
            return {one.deployment: one for one in found}


def _kept(line: str) -> Kept:
    data = mapping(json_of(line))
    if not isinstance(data["user"], bool):
        raise TypeError("user is neither true nor false")
    words = {name: text_of(data[name]) for name in ("deployment", "kind", "target", "digest")}
    return Kept(**words, user=data["user"])
