"""Why here: containers as their engine tells them: ours by label, or all of the host."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from orchestrator.errors import Unknown
from orchestrator.facts.answers import Container
from orchestrator.facts.engine_words import program, spoken
from orchestrator.facts.probe import (
    NOT_FOUND,
    answered,
    json_of,
    mapping,
    probe,
    reading,
    said,
    script,
    text_of,
    whole,
)
from orchestrator.knowledge.servers import serves
from orchestrator.question import question
from orchestrator.script import Result, Script, sh

CLUSTER = "orch.cluster"
# Only what is read here: a container's whole description is 10 KB, its health log as much again.
FORMS = {
    "docker": '{"name":{{json .Name}},"id":{{json .ID}},"image":{{json .Config.Image}},'
    '"image_id":{{json .Image}},"status":{{json .State.Status}},"code":{{json .State.ExitCode}},'
    '"oom":{{json .State.OOMKilled}},"started":{{json .State.StartedAt}},'
    '"health":{{if .State.Health}}{{json .State.Health.Status}}{{else}}""{{end}},'
    '"restarts":{{json .RestartCount}},"policy":{{json .HostConfig.RestartPolicy}},'
    '"labels":{{json .Config.Labels}},"path":{{json .Path}},"args":{{json .Args}}}',
    "podman": '{"name":{{json .Name}},"id":{{json .ID}},"image":{{json .ImageName}},'
    '"image_id":{{json .Image}},"state":{{json .State}},"restarts":{{json .RestartCount}},'
    '"policy":{{json .HostConfig.RestartPolicy}},"labels":{{json .Config.Labels}},'
    '"path":{{json .Path}},"args":{{json .Args}}}',
}
SOME_GONE = ("end 1", "end 125")  # docker's exit code, and podman's
VANISHED = re.compile(r"no such (container|object)", re.IGNORECASE)
STATES = frozenset(
    (
        *("created", "running", "paused", "restarting", "removing", "exited", "dead"),
        *("stopping", "stopped", "configured", "initialized", "unknown"),  # podman's
    )
)


@question
class ReadContainers:
    """Containers with the label of a cluster, or of one name; else all of them, whoever's they are."""

    runtime: str
    cluster: str | None = None
    name: str | None = None

    def ask(self) -> Script:
        engine = program(self.runtime)
        wanted = "" if self.cluster is None else f"label={CLUSTER}={self.cluster}"
        if self.name is not None:
            wanted = f"name={re.escape(self.name)}"  # any name with this in it: `parse` is exact
        body = sh(
            """if command -v {} >/dev/null; then
  filter={}
  ids=$({} ps -a -q --no-trunc ${filter:+--filter "$filter"}) && {
    code=0
    if [ -n "$ids" ]; then {} inspect --type container --format {} $ids; code=$?; fi
    printf 'end %s\\n' "$code"
  }
elif [ {} = docker ] && [ -e /var/run/docker.sock ]; then echo "docker runs here, its client is missing" >&2; (exit 1)
else (exit 127); fi""",
            engine,
            wanted,
            spoken(self.runtime),
            spoken(self.runtime),
            FORMS[engine],
            engine,
        )
        return script(containers=probe(body, keep=8_388_608, timeout=30))

    def parse(self, results: Mapping[str, Result]) -> tuple[Container, ...]:
        what = f"containers of {self.runtime}"
        with reading(what):
            result = answered(results, "containers", what)
            if result.rc == NOT_FOUND:
                return ()  # no engine, no containers
            if result.rc != 0:
                raise Unknown(f"{what}: {said(result)}")
            *lines, last = result.text.splitlines()
            if last not in ("end 0", *SOME_GONE):
                raise ValueError("the answer is cut")
            if last in SOME_GONE and not only_vanished(result):
                raise Unknown(f"{what}: {said(result)}")
            containers = [container_of(mapping(json_of(line))) for line in lines if line.strip()]
            if self.cluster is not None and any(
                one.labels.get(CLUSTER) != self.cluster for one in containers
            ):
                raise ValueError("a container of another cluster")
            return tuple(
                one
                for one in sorted(containers, key=lambda one: one.name)
                if self.name in (None, one.name)
            )


def only_vanished(result: Result) -> bool:
    """Were all complaints about containers that went away between the list and the look?"""
    complaints = [line for line in result.err.decode(errors="replace").splitlines() if line.strip()]
    return bool(complaints) and all(VANISHED.search(line) for line in complaints)


def container_of(one: Mapping[str, Any]) -> Container:
    """One line of `inspect`."""
    whole_state = one.get("state")
    state = mapping(whole_state) if whole_state is not None else None
    status = text_of(state["Status"] if state is not None else one["status"])
    code = state["ExitCode"] if state is not None else one["code"]
    oom = state["OOMKilled"] if state is not None else one["oom"]
    health = state.get("Health") or state.get("Healthcheck") if state is not None else one["health"]
    if status not in STATES or not isinstance(oom, bool):
        raise ValueError(f"not a container's state: {status[:40]!r}")
    policy = mapping(one["policy"] or {})
    retries = whole(policy.get("MaximumRetryCount", 0))
    policy_name = text_of(policy.get("Name", ""))
    return Container(
        name=text_of(one["name"]).removeprefix("/"),
        id=text_of(one["id"]),
        image=text_of(one["image"]),
        image_id=f"sha256:{text_of(one['image_id']).removeprefix('sha256:')}",
        state=status,
        exit_code=whole(code) if status in ("exited", "dead", "stopped") else None,
        oom_killed=oom,
        restart_count=whole(one["restarts"]),
        restart_policy=f"{policy_name}:{retries}" if retries else policy_name,
        started_at=text_of(state["StartedAt"] if state is not None else one["started"]),
        labels={text_of(key): text_of(value) for key, value in (one["labels"] or {}).items()},
        health=text_of(health.get("Status", "") if isinstance(health, dict) else health or ""),
        serves=_serves(one),
    )


def _serves(one: Mapping[str, Any]) -> str:
    """Which model server it runs, if any; its words may hold a key, so that they are not kept."""
    words = [one.get("path") or "", *(one.get("args") or ())]
    return serves([text_of(word) for word in words if word], text_of(one["image"]))
