"""Takes a lab down, and looks afterwards that nothing of it is left on this machine."""

from __future__ import annotations

from orchestrator.errors import Failed
from orchestrator.lab import inventory, records
from orchestrator.lab.docker import (
    Docker,
    ensure_gone,
    own_engine,
    own_folder,
    running_engines,
    start_own_engine,
    stop_own_engine,
)
from orchestrator.lab.home import SETUP, Home
from orchestrator.lab.labs import labelled, no_lab, things
from orchestrator.lab.progress import Progress
from orchestrator.lab.vm import processes

WRITTEN = ("inventory.yaml", inventory.KEY, f"{inventory.KEY}.pub", inventory.KNOWN_HOSTS)


def take_down(home: Home, name: str, progress: Progress) -> None:
    """Remove a lab and everything it put on this machine, then look; Failed names what is left."""
    with home.lock(f"lab-{name}", progress):
        if name not in records.names(home) and not labelled(home, name):
            raise no_lab(home, name)
        with progress.timed(f"removing lab {name}"):
            remove(home, name, progress)


def remove(home: Home, name: str, progress: Progress) -> None:
    """The same without the question whether there is such a lab; removing what is half there is fine."""
    record = records.load(home, name)
    left = processes.end(
        records.path_of(home, name).parent
    )  # of virtual machines; containers have none
    for docker in engines_holding(home, record):
        for kind, found in things(docker, name).items():
            left += ensure_gone(docker, kind, found)
        left += [f"{kind} {item}" for kind, items in things(docker, name).items() for item in items]
    if record is not None:
        left += _remove_files(record)
    if left:
        raise Failed(f"lab {name} is not gone: {'; '.join(left)}", hint="run it again")
    records.forget(home, name)
    stop_engine_if_unused(home, progress)


def engines_holding(home: Home, record: records.Record | None) -> list[Docker]:
    """The engines to look in. One that does not answer has not said that nothing is in it."""
    if record is not None and record.made_of == "vm":
        return []
    if (own_folder(home) / "data").exists() and not own_engine(home).answers():
        start_own_engine(home)  # its containers and volumes can only be removed while it runs
    found = running_engines(home)
    if record is not None and not any(docker.own == record.own_engine for docker in found):
        which = "our own" if record.own_engine else "this machine's"
        raise Failed(
            f"lab {record.layout.name} is in {which} docker engine, which does not answer",
            hint="start it, or wait until it answers, and run orch lab down again",
        )
    return found


def _remove_files(record: records.Record) -> list[str]:
    """Remove the files that we wrote, and their folders where nothing else is in them."""
    for name in WRITTEN:
        (record.folder / name).unlink(missing_ok=True)
    for folder in (record.folder, *list(record.folder.parents)[:2]):
        if folder.name not in (record.layout.name, "lab", ".orch") or not folder.exists():
            break
        if any(folder.iterdir()):
            break
        folder.rmdir()
    return [str(record.folder / name) for name in WRITTEN if (record.folder / name).exists()]


def stop_engine_if_unused(home: Home, progress: Progress) -> None:
    """Stop the engine that we started when no lab, no container and no `set_up` needs it any more."""
    if records.names(home):
        return
    with home.lock(SETUP, progress), home.lock("docker"):
        docker = own_engine(home)
        if not docker.answers() or records.names(home):
            return
        if docker.lines("ps", "--all", "--quiet"):
            progress.note("our docker engine keeps running: there are other containers in it")
            return
        stop_own_engine(home)
