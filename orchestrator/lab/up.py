"""Brings a lab up: networks, hosts, files; a lab that did not come up is removed again."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tenacity import retry, retry_if_exception_type, stop_after_attempt

from orchestrator.errors import CommandFailed, Failed, OrchError, Refused
from orchestrator.lab import inventory, like, records
from orchestrator.lab.command import run
from orchestrator.lab.docker import Docker
from orchestrator.lab.down import WRITTEN, remove
from orchestrator.lab.home import Home
from orchestrator.lab.host import (
    LABEL,
    create,
    create_argv,
    droppable,
    forbidden_capabilities,
    load_tree_image,
    seed_archive,
    shared_folders,
    wait_until_up,
)
from orchestrator.lab.keys import KeyPair, known_hosts_line, new_key
from orchestrator.lab.labs import engine_of, labelled
from orchestrator.lab.layout import LabHost, Segment, free_base, lay_out
from orchestrator.lab.progress import Progress
from orchestrator.lab.recipe import ENGINES
from orchestrator.lab.setup import Pieces, set_up

AT_ONCE = (
    4  # hosts started at the same time: more only makes each of them slower on a small machine
)


T = TypeVar("T")


@dataclass(frozen=True)
class Wish:
    """What the user asked for."""

    name: str
    hosts: tuple[str, ...]
    segments: tuple[Segment, ...]
    folder: Path
    like: like.Model | None = None
    engines: tuple[str, ...] = ENGINES
    release: str = ""  # of the hosts: this machine's own where it is empty


@dataclass(frozen=True)
class Making:
    """How hosts of one sort are made, and how those that are off are started again."""

    made_of: records.MadeOf
    make: Callable[[Home, Wish, Progress], records.Record]
    start: Callable[[Home, records.Record, Progress], None]


def bring_up(
    home: Home, wish: Wish, progress: Progress, making: Making | None = None
) -> records.Record:
    """Return the record of a lab that is up; one that is up already in this shape is left alone."""
    making = making or CONTAINERS
    with home.lock(f"lab-{wish.name}", progress):
        known = records.load(home, wish.name)
        if known is not None and known.complete:
            return _keep(home, known, wish, progress, making)
        if known is not None or labelled(home, wish.name):
            progress.note(f"lab {wish.name} was left half made: starting over")
            remove(home, wish.name, progress)
        records.reserve(home, wish.name)
        try:
            record = making.make(home, wish, progress)
        except BaseException:
            progress.note(f"lab {wish.name} did not come up: removing it")
            remove(home, wish.name, progress)
            raise
        record.complete = True
        records.save(home, record)
    return record


def _keep(
    home: Home, known: records.Record, wish: Wish, progress: Progress, making: Making
) -> records.Record:
    hosts = tuple(host.name for host in known.layout.hosts)
    there = (hosts, known.layout.segments, known.made_of)
    if there != (wish.hosts, wish.segments, making.made_of):
        raise Refused(
            f"lab {wish.name} is there already, with other hosts or cables",
            hint=f"orch lab down --name {wish.name}, or another --name for this one",
        )
    lacking = [name for name in wish.engines if name not in known.engines]
    if lacking:
        raise Refused(
            f"lab {wish.name} is there already, without {' and '.join(lacking)}",
            hint=f"orch lab down --name {wish.name}, or another --name for this one",
        )
    if wish.release not in ("", known.release):
        raise Refused(
            f"lab {wish.name} is there already, not of {wish.release}",
            hint=f"orch lab down --name {wish.name}, or another --name for this one",
        )
    gone = [name for name in WRITTEN if not (known.folder / name).exists()]
    if gone:
        raise Refused(
            f"lab {wish.name} is there, but {', '.join(gone)} is gone from {known.folder}",
            hint=f"orch lab down --name {wish.name}, then up again",
        )
    making.start(home, known, progress)
    records.save(home, known)
    progress.note(f"lab {wish.name} is up already")
    return known


def _make(home: Home, wish: Wish, progress: Progress) -> records.Record:
    pieces = set_up(home, progress, wish.engines, wish.release)
    record = _claim(home, pieces, wish)
    _build(home, record, wish, pieces, progress)
    return record


def _start(home: Home, known: records.Record, progress: Progress) -> None:
    """Start the containers that are off."""
    name = known.layout.name
    docker = engine_of(home, name)
    label = ("--filter", f"label={LABEL}={name}")
    running = set(docker.lines("ps", *label, "--format", "{{.Names}}"))
    for host in known.layout.hosts:
        if host.container not in running:
            progress.note(f"{host.name} is off: starting it")
            docker("start", host.container)
            off = known.faults.get(host.name, [])
            known.faults[host.name] = [what for what in off if what != "power-off"]
        wait_until_up(docker, host)


CONTAINERS = Making("container", _make, _start)


def _claim(home: Home, pieces: Pieces, wish: Wish) -> records.Record:
    """Choose networks that nobody uses, and write them down before anything is made."""
    with home.lock("networks"):
        pools = [inventory.POOL] if wish.like is None else wish.like.networks
        taken = [*machine_networks(), *docker_networks(pieces.docker), *pools]
        others = (records.load(home, name) for name in records.names(home))
        taken += [other.layout.base for other in others if other is not None]
        ports = None if wish.like is None else wish.like.ports
        layout = lay_out(wish.name, wish.hosts, wish.segments, free_base(taken), ports)
        record = records.Record(
            layout,
            wish.folder.absolute(),
            pieces.docker.own,
            engines=wish.engines,
            release=pieces.release,
        )
        records.save(home, record)
    return record


def machine_networks() -> list[str]:
    """Where this machine's own routes and addresses lead."""
    routes = json.loads(run(["ip", "-json", "-4", "route", "show", "table", "all"]))
    destinations = (str(route.get("dst", "default")) for route in routes)
    return [destination for destination in destinations if destination != "default"]


@retry(retry=retry_if_exception_type(CommandFailed), stop=stop_after_attempt(5), reraise=True)
def docker_networks(docker: Docker) -> list[str]:
    """The subnets of its networks. Another lab's may go between the list and the look: both are done anew then."""
    names = docker.lines("network", "ls", "--quiet")
    configs = [
        config
        for network in docker.inspect("network", *names)
        for config in (network.get("IPAM") or {}).get("Config") or []
    ]
    return [str(config["Subnet"]) for config in configs if "Subnet" in config]


def _build(
    home: Home, record: records.Record, wish: Wish, pieces: Pieces, progress: Progress
) -> None:
    layout, docker = record.layout, pieces.docker
    user = new_key(f"orch-lab-{layout.name}")
    own = {host.name: new_key(host.name) for host in layout.hosts}
    with progress.timed(f"lab {layout.name}: {len(layout.hosts)} hosts"):
        for network in layout.networks:
            docker(
                "network", "create", "--label", f"{LABEL}={layout.name}",
                "--subnet", network.subnet,
                "--opt", f"com.docker.network.driver.mtu={network.mtu}",
                "--opt", "com.docker.network.bridge.enable_ip_masquerade="
                + ("true" if network is layout.networks[0] else "false"),
                network.name,
            )  # fmt: skip

        dropped = droppable(docker, layout.name, pieces.image, forbidden_capabilities())
        shared = shared_folders(pieces.engine, pieces.llama)

        def one(host: LabHost) -> None:
            gateway = str(ipaddress.ip_network(layout.networks[0].subnet)[1])
            seed = seed_archive(layout, host, own[host.name], user, pieces.models, gateway)
            argv = create_argv(layout, host, pieces.image, shared, dropped)
            create(docker, host, argv, layout.name, seed)
            docker("start", host.container)
            wait_until_up(docker, host)
            load_tree_image(docker, host)

        for_each({host.name: host for host in layout.hosts}, one)
    write_files(record, wish, user, own)


def for_each(named: Mapping[str, T], work: Callable[[T], None]) -> None:
    """Do something on all hosts at once; every failure is told, not only the first."""
    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        jobs = {name: pool.submit(work, item) for name, item in named.items()}
    failed = {name: job.exception() for name, job in jobs.items() if job.exception() is not None}
    for error in failed.values():
        if not isinstance(error, OrchError) and error is not None:
            raise error
    if failed:
        raise Failed("; ".join(f"{name}: {error}" for name, error in failed.items()))


def write_files(record: records.Record, wish: Wish, user: KeyPair, own: dict[str, KeyPair]) -> None:
    """Write the inventory, the key and the host keys that go with it."""
    folder, layout = record.folder, record.layout
    folder.mkdir(parents=True, exist_ok=True)
    key = folder / inventory.KEY
    key.unlink(missing_ok=True)
    key.touch(mode=0o600)
    key.write_bytes(user.private)
    (folder / f"{inventory.KEY}.pub").write_text(user.public)
    lines = [known_hosts_line(host.address, own[host.name], host.port) for host in layout.hosts]
    (folder / inventory.KNOWN_HOSTS).write_text("".join(lines))
    plain = inventory.document(layout, record.made_of)
    made = plain if wish.like is None else like.rehearsal(wish.like, layout)
    (folder / "inventory.yaml").write_text(inventory.text(layout.name, made))
