"""Why here: whether docker or podman is there, answers this user, and where it keeps its data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from orchestrator.errors import Unknown
from orchestrator.facts.answers import ContainerEngine
from orchestrator.facts.engine_words import program, spoken
from orchestrator.facts.probe import (
    NOT_FOUND,
    TIMED_OUT,
    count,
    fields,
    json_of,
    listed,
    mapping,
    probe,
    reading,
    said,
    script,
    text_of,
)
from orchestrator.question import question
from orchestrator.script import Result, Script, sh

ROOTS = {"docker": "{{.DockerRootDir}}", "podman": "{{.Store.GraphRoot}}"}
YES_NO = ("yes", "no")
# Devices by name (CDI); and whether systemd keeps what a user started when that user's last login ends.
PODMAN_HERE = sh(
    """if grep -qs nvidia.com/gpu /etc/cdi/* /var/run/cdi/*; then echo cdi yes; else echo cdi no; fi
if [ ! -d /run/systemd/system ] || [ -e "/var/lib/systemd/linger/$(id -un)" ]; then echo lingers yes
else echo lingers no; fi
echo end"""
)


@question
class ReadContainerEngine:
    """`docker info` or `podman info`, and the space where images go. Not usable is an answer too."""

    runtime: str

    def ask(self) -> Script:
        engine = program(self.runtime)
        body = sh(
            """if command -v {} >/dev/null; then
  info=$({} info --format {}); code=$?
  # without a daemon docker stumbles over our format first: `version` says why in words
  [ "$code" = 0 ] || {} version >/dev/null
  printf 'rc %s\\n%s\\n' "$code" "$info"
  printf 'space %s\\n' "$(stat -f -c '%S %a %d %c' -- "${info%%
*}" 2>/dev/null)"
  echo end
else echo "{} is not installed" >&2; (exit 127); fi""",
            engine,
            spoken(self.runtime),
            ROOTS[engine] + "\n{{json .}}",
            spoken(self.runtime),
            engine,
        )
        here = {"here": probe(PODMAN_HERE)} if engine == "podman" else {}
        return script(info=probe(body, keep=1_048_576), **here)

    def parse(self, results: Mapping[str, Result]) -> ContainerEngine:
        with reading(self.runtime):
            result = results["info"]
            unusable = ContainerEngine(program(self.runtime), True, False, "", "", "")
            if result.rc == NOT_FOUND:
                return replace(unusable, present=False, why=said(result))
            if result.rc in TIMED_OUT:
                return replace(unusable, why=f"no answer within {result.seconds:.0f} s")
            if result.rc != 0 or result.truncated:
                raise Unknown(f"{self.runtime}: {said(result)}")
            code, root, *rest, space, end = result.text.splitlines()
            if end != "end" or not code.startswith("rc ") or not space.startswith("space "):
                raise ValueError("the answer is cut")
            if count(code.removeprefix("rc ")) != 0:
                return replace(unusable, why=said(result))
            info = mapping(json_of("\n".join(rest)))
            if info.get("ServerErrors"):  # an old client ends well although the daemon said no
                return replace(unusable, why=text_of(info["ServerErrors"][0]))
            docker = program(self.runtime) == "docker"
            engine = docker_of(info) if docker else podman_of(info, results)
            if not engine.version or engine.root != root:
                raise ValueError("it tells no version, or two data folders")
            return with_space(engine, space.removeprefix("space ").split())


def docker_of(info: Mapping[str, Any]) -> ContainerEngine:
    """The daemon's side of `docker info`."""
    return ContainerEngine(
        runtime="docker",
        present=True,
        usable=True,
        version=text_of(info["ServerVersion"]),
        root=text_of(info["DockerRootDir"]),
        why="",
        cgroup=text_of(info.get("CgroupVersion", "")),
        nvidia="nvidia" in mapping(info.get("Runtimes") or {}),
    )


def podman_of(info: Mapping[str, Any], results: Mapping[str, Result]) -> ContainerEngine:
    """Podman has no daemon: what answers is the program itself."""
    host = mapping(info["host"])
    here = fields(listed(results, "here", "podman"))
    rootless = mapping(host["security"])["rootless"]
    if here["cdi"] not in YES_NO or here["lingers"] not in YES_NO or not isinstance(rootless, bool):
        raise ValueError("it does not say whose it is")
    return ContainerEngine(
        runtime="podman",
        present=True,
        usable=True,
        version=text_of(mapping(info["version"])["Version"]),
        root=text_of(mapping(info["store"])["graphRoot"]),
        why="",
        cgroup=text_of(host.get("cgroupVersion", "")).removeprefix("v"),
        nvidia=here["cdi"] == "yes",
        lasting=not rootless or here["lingers"] == "yes",
    )


def with_space(engine: ContainerEngine, words: list[str]) -> ContainerEngine:
    """Free bytes and inodes; a folder that this user may not see leaves them unknown."""
    if not words:
        return engine
    unit, free, inodes, all_inodes = map(count, words)
    return replace(engine, free_bytes=unit * free, free_inodes=inodes if all_inodes else None)
