"""Why here: ranks that are processes, as their own records tell them, in the form in which containers are told."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

from orchestrator.contracts import Query
from orchestrator.errors import Unknown
from orchestrator.facts.answers import Container
from orchestrator.facts.containers import CLUSTER, ReadContainers
from orchestrator.facts.probe import (
    count,
    fields,
    json_of,
    listed,
    mapping,
    probe,
    reading,
    script,
    text_of,
)
from orchestrator.facts.process_folder import ALL, KNOWN, RUNTIME
from orchestrator.question import question
from orchestrator.script import Raw, Result, Script, sh

STATES = ("created", "running", "exited", "dead")


@question
class ReadProcesses:
    """Ranks of a cluster, or with one name; else all that orch started here as this user."""

    cluster: str | None = None
    name: str | None = None

    def ask(self) -> Script:
        body = sh(
            """(
{}
d=
{}
told() { { read -r said <"$d/$1"; } 2>/dev/null || said=; printf '%s %s\\n' "$1" "$said"; }
if [ -d "$all" ]; then
  [ -r "$all" ] && [ -x "$all" ] || { echo "$all can't be read" >&2; exit 1; }
  only={}
  for d in "$all/"${only:-*}; do
    [ -e "$d/record" ] || continue
    echo "@rank ${d##*/}"
    printf 'record '; cat "$d/record"; echo
    if alive; then state=running
    elif [ -s "$d/rc" ]; then state=exited
    elif [ -e "$d/pid" ]; then state=dead
    else state=created; fi
    echo "state $state"
    for one in rc started restarts restart health token; do told "$one"; done
  done
fi
echo end
)""",
            Raw(ALL),
            Raw(KNOWN),
            self.name or "",
        )
        return script(processes=probe(body, keep=8_388_608))

    def parse(self, results: Mapping[str, Result]) -> tuple[Container, ...]:
        with reading("processes of orch"):
            lines = listed(results, "processes", "processes of orch")
            found = [_process(name, fields(part)) for name, part in _parts(lines)]
            return tuple(
                one
                for one in sorted(found, key=lambda one: one.name)
                if self.cluster in (None, one.labels.get(CLUSTER)) and self.name in (None, one.name)
            )


def _parts(lines: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Each rank's lines below its name."""
    heads = [at for at, line in enumerate(lines) if line.startswith("@rank ")]
    if lines and heads[:1] != [0]:
        raise ValueError("a line before the first rank")
    for at, to in zip(heads, [*heads, len(lines)][1:], strict=True):
        part = [line for line in lines[at + 1 : to] if line]
        yield lines[at].removeprefix("@rank "), part


def _process(name: str, told: Mapping[str, str]) -> Container:
    record = mapping(json_of(told["record"]))
    state = told["state"]
    if state not in STATES:
        raise Unknown(f"{name}: not a state: {state!r}")
    return Container(
        name=name,
        id=told["token"],
        image="",
        image_id="",
        state=state,
        exit_code=count(told["rc"].split()[0]) if state == "exited" else None,
        oom_killed=False,
        restart_count=count(told["restarts"] or "0"),
        restart_policy=told["restart"] or "no",
        started_at=told["started"],
        labels={text_of(key): text_of(value) for key, value in record.items()},
        health=told["health"] if state == "running" else "",
    )


def record(labels: Mapping[str, str]) -> str:
    """What lies beside a process in place of a container's labels: one line."""
    return json.dumps(dict(labels), sort_keys=True)


def held(
    runtime: str, cluster: str | None = None, name: str | None = None
) -> Query[tuple[Container, ...]]:
    """Ranks in whatever a host runs them in: of a cluster, of a name, or all."""
    if runtime == RUNTIME:
        return ReadProcesses(cluster, name)
    return ReadContainers(runtime, cluster, name)
