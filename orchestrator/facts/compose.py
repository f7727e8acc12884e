"""What a docker compose project is on a host: its containers by compose's own labels, its file by its sum."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.errors import Unknown
from orchestrator.facts.probe import (
    NEAREST,
    host_path,
    json_of,
    listed,
    mapping,
    probe,
    reading,
    said,
    script,
    text_of,
    whole,
)
from orchestrator.facts.visit import Visited
from orchestrator.question import question
from orchestrator.script import Raw, Result, Script, Sh, sh

PROJECT = "com.docker.compose.project"
FORM = (
    '{"name":{{json .Name}},"state":{{json .State.Status}},"code":{{json .State.ExitCode}},'
    '"health":{{if .State.Health}}{{json .State.Health.Status}}{{else}}""{{end}},'
    '"labels":{{json .Config.Labels}}}'
)


@dataclass(frozen=True)
class Piece:
    """One container of a project."""

    name: str
    service: str
    state: str
    exit_code: int
    health: str

    @property
    def trouble(self) -> str:
        """What is wrong with it; "" if nothing is. One that ended with 0 had a task, and did it."""
        if self.state == "running":
            return (
                "" if self.health in ("", "none", "healthy") else f"{self.service} is {self.health}"
            )
        if self.state == "exited" and self.exit_code == 0:
            return ""
        code = f" with code {self.exit_code}" if self.state == "exited" else ""
        return f"{self.service} is {self.state}{code}"


@question
class ReadProject:
    """Its containers, without those of `compose run`."""

    project: str

    def ask(self) -> Script:
        body = sh(
            """ids=$(docker ps -a -q --no-trunc --filter {}) && {
  code=0
  [ -z "$ids" ] || docker inspect --type container --format {} $ids || code=1
  [ "$code" = 0 ] && echo end
}""",
            f"label={PROJECT}={self.project}",
            FORM,
        )
        return script(project=probe(body, keep=1_048_576))

    def parse(self, results: Mapping[str, Result]) -> tuple[Piece, ...]:
        what = f"compose project {self.project}"
        with reading(what):
            rows = [mapping(json_of(line)) for line in listed(results, "project", what)]
            labelled = [(row, mapping(row["labels"])) for row in rows]
            if any(labels.get(PROJECT) != self.project for _, labels in labelled):
                raise ValueError("a container of another project")
            return tuple(
                _piece(row, labels)
                for row, labels in labelled
                if str(labels.get("com.docker.compose.oneoff", "")).lower() != "true"
            )


def _piece(row: Mapping[str, object], labels: Mapping[str, object]) -> Piece:
    return Piece(
        name=text_of(row["name"]).removeprefix("/"),
        service=text_of(labels["com.docker.compose.service"]),
        state=text_of(row["state"]),
        exit_code=whole(row["code"]),
        health=text_of(row["health"]),
    )


@question
class ProjectUp:
    """Does everything in it run, and is what has a health check healthy? See contracts.Proof."""

    project: str

    def ask(self) -> Script:
        return ReadProject(self.project).ask()

    def parse(self, results: Mapping[str, Result]) -> Visited:
        pieces = ReadProject(self.project).parse(results)
        troubles = [one.trouble for one in pieces if one.trouble]
        if troubles:
            return Visited(False, ", ".join(troubles), state="partly")
        if not any(one.state == "running" for one in pieces):
            return Visited(False, f"nothing of {self.project} runs", state="missing")
        return Visited(True)


# The plugin where there is one; else the program of its own. Sets `$c`, which is split into words on purpose.
PROGRAM: Sh = sh(
    """c=
if docker compose version >/dev/null 2>&1; then c="docker compose"
elif command -v docker-compose >/dev/null; then c=docker-compose; fi"""
)


@question
class ReadComposeProgram:
    """What compose is called on the host; "" where there is none."""

    def ask(self) -> Script:
        return script(compose=probe(sh('{}\necho "program $c"\necho end', Raw(PROGRAM))))

    def parse(self, results: Mapping[str, Result]) -> str:
        lines = listed(results, "compose", "docker compose")
        if len(lines) != 1 or not lines[0].startswith("program"):
            raise Unknown(f"docker compose: {lines[:1]} is no answer")
        return lines[0].removeprefix("program").strip()


@question
class ReadSum:
    """A file's sum, and that of the `.env` beside it, never their text; None where the file is not there."""

    path: str

    def ask(self) -> Script:
        body = sh(
            """{}
{}
if [ -f "$p" ]; then
  for f in "$p" "${p%/*}/.env"; do [ ! -f "$f" ] || sha256sum <"$f" || echo unreadable; done
elif [ -d "$near" ] && [ ! -x "$near" ]; then echo unreadable
fi
echo end""",
            Raw(host_path(self.path)),
            Raw(NEAREST),
        )
        return script(sum=probe(body))

    def parse(self, results: Mapping[str, Result]) -> str | None:
        what = f"file {self.path}"
        lines = listed(results, "sum", what)
        if "unreadable" in lines:
            raise Unknown(f"{what}: {said(results['sum'])}")
        return " ".join(line.split(" ")[0] for line in lines) or None
