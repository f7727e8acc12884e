"""Which labs there are: what docker's labels say is the truth, the records add the rest."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.errors import FilesWrong
from orchestrator.lab import records
from orchestrator.lab.docker import (
    Docker,
    engines,
    own_engine,
    own_folder,
    running_engines,
    start_own_engine,
)
from orchestrator.lab.home import Home
from orchestrator.lab.host import LABEL
from orchestrator.lab.vm.folders import states as vm_states

KINDS = ("container", "network", "volume")


def engine_of(home: Home, name: str) -> Docker:
    """The docker engine in which a lab lives, starting ours again if it is not running."""
    for docker in engines(home):
        if docker.lines("ps", "--all", "--quiet", "--filter", f"label={LABEL}={name}"):
            return docker
    if (own_folder(home) / "data").exists() and not own_engine(home).answers():
        docker = start_own_engine(home)
        if docker.lines("ps", "--all", "--quiet", "--filter", f"label={LABEL}={name}"):
            return docker
    raise no_lab(home, name)


def no_lab(home: Home, name: str) -> FilesWrong:
    """What was typed names none: with those that there are."""
    there = ", ".join(records.names(home))
    return FilesWrong(
        f"there is no lab {name} on this machine",
        hint=f"there are: {there}" if there else "orch lab up starts one",
    )


def labelled(home: Home, name: str) -> bool:
    return any(things(docker, name)[kind] for docker in running_engines(home) for kind in KINDS)


def things(docker: Docker, name: str) -> dict[str, list[str]]:
    """What of a lab is in an engine, by its label."""
    label = ("--filter", f"label={LABEL}={name}")
    return {
        "container": docker.lines("container", "ls", "--all", "--quiet", *label),
        "network": docker.lines("network", "ls", "--quiet", *label),
        "volume": docker.lines("volume", "ls", "--quiet", *label),
    }


@dataclass(frozen=True)
class Seen:
    """One lab as `orch lab ls` shows it."""

    name: str
    hosts: dict[str, str]
    folder: str
    faults: dict[str, list[str]]


def list_labs(home: Home) -> list[Seen]:
    """Every lab that this machine remembers or that an engine holds."""
    states: dict[str, dict[str, str]] = {name: {} for name in records.names(home)}
    for docker in running_engines(home):
        shown = docker(
            "ps", "--all", "--filter", f"label={LABEL}",
            "--format", "{{.Label \"orch.lab\"}} {{.Label \"orch.lab.host\"}} {{.State}}",
        )  # fmt: skip
        for line in shown.splitlines():
            lab, host, state = line.split()
            states.setdefault(lab, {})[host] = state
    return [_seen(home, name, hosts) for name, hosts in sorted(states.items())]


def _seen(home: Home, name: str, hosts: dict[str, str]) -> Seen:
    record = records.load(home, name)
    if record is None:
        return Seen(name, hosts, "", {})
    if record.made_of == "vm":
        hosts = vm_states(home, record.layout)
    ordered = {host.name: hosts.get(host.name, "missing") for host in record.layout.hosts}
    return Seen(name, ordered, str(record.folder), record.faults)
