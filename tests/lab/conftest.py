"""Real rehearsal hosts for tests: one lab for the whole session, removed whatever happens."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import ClassVar

import pytest

from orchestrator.lab.docker import Docker
from orchestrator.lab.down import take_down
from orchestrator.lab.home import Home
from orchestrator.lab.labs import engine_of
from orchestrator.lab.layout import Layout, Topology, cabling
from orchestrator.lab.progress import Progress
from orchestrator.lab.recipe import ENGINES
from orchestrator.lab.records import Record
from orchestrator.lab.up import CONTAINERS, Making, Wish, bring_up
from orchestrator.lab.vm.folders import of_host
from orchestrator.lab.vm.layout import RAILS as ALL_RAILS
from orchestrator.lab.vm.qmp import checked
from orchestrator.lab.vm.up import VMS
from tests.lab.renderers import rendered_by

SET_UP_SECONDS = 900  # the first time on a machine; a few seconds afterwards
# The hosts' release for a whole run, without vLLM: `LAB_RELEASE=trixie pytest tests/lab/test_netplan.py`.
RELEASE = os.environ.get("LAB_RELEASE", "")
RAILS = ("enp1s0f1np1", "enP2p1s0f1np1")  # the halves of the cable between the session's two hosts
# As before the first `up`: no netplan file of ours, no addresses.
FORGET = f"""
systemctl stop 'orch-netplan-*.timer' 2>/dev/null
rm -rf /etc/netplan/40-orch.yaml /var/lib/orch/netplan
netplan generate; networkctl reload
for d in {" ".join(RAILS)}; do ip addr flush dev $d; ip link set $d mtu 1500; ip link set $d down; done
"""
# What begins: the longest files, those whose engines fill two cores between those that mostly wait.
FIRST = (
    *("test_bad_input", "test_netplan", "test_vllm", "test_network_manager", "test_verify"),
    *("test_data_parallel", "test_promises", "test_native_sizes", "test_health", "test_ray_gang"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {name: place for place, name in enumerate(FIRST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)))


@dataclass(frozen=True)
class Lab:
    """A lab that is up. `run` goes the way orch goes: SSH with the lab's key and host keys."""

    name: str
    dir: Path
    layout: Layout
    home: Home
    patience: ClassVar[int] = 10  # seconds for a greeting of sshd's

    @property
    def inventory(self) -> Path:
        return self.dir / "inventory.yaml"

    @property
    def hosts(self) -> tuple[str, ...]:
        return tuple(host.name for host in self.layout.hosts)

    def address(self, host: str) -> str:
        return self.layout.host(host).address

    def container(self, host: str) -> str:
        return self.layout.host(host).container

    def run(
        self,
        host: str,
        argv: Sequence[str],
        *,
        timeout: float = 60,
        check: bool = True,
        given: str | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command (each word arrives as it is) as the user `orch`; `given` is its stdin."""
        ssh = [
            "ssh", "-F", "none", "-i", str(self.dir / "id_ed25519"),
            "-o", f"UserKnownHostsFile={self.dir / 'known_hosts'}",
            "-o", "GlobalKnownHostsFile=none",
            "-o", "StrictHostKeyChecking=yes", "-o", "BatchMode=yes",
            "-o", f"ConnectTimeout={self.patience}",
            "-p", str(self.layout.host(host).port), f"orch@{self.address(host)}", shlex.join(argv),
        ]  # fmt: skip
        done = subprocess.run(ssh, capture_output=True, text=True, timeout=timeout, input=given)
        if check and done.returncode != 0:
            said = done.stdout + done.stderr
            raise AssertionError(f"{host}: {shlex.join(argv)}: exit {done.returncode}\n{said}")
        return done

    def inside(self, host: str, script: str) -> str:
        """Run a program as root, past SSH."""
        return self.docker.inside(self.container(host), "sh", "-c", script)

    def forget_network(self) -> None:
        """The rails of all hosts as they come."""
        for host in self.hosts:
            self.inside(host, FORGET)

    @cached_property
    def docker(self) -> Docker:
        """The engine that the hosts themselves are containers of; to look for it takes three calls of docker."""
        return engine_of(self.home, self.name)


class Vms(Lab):
    """The same of virtual machines. Emulated ones, and just booted, take long to say hello."""

    patience = 60

    def folder(self, host: str) -> Path:
        """Where the machine's disk, console and sockets are."""
        return of_host(self.home, self.layout, self.layout.host(host))

    def inside(self, host: str, script: str) -> str:
        return checked(self.folder(host), "sh", "-c", script)

    def forget_network(self) -> None:
        for host in self.hosts:
            self.inside(host, FORGET.replace(" ".join(RAILS), " ".join(ALL_RAILS)))


@contextmanager
def running_lab(
    folder: Path, name: str, hosts: Sequence[str], topology: Topology, release: str = RELEASE
) -> Iterator[Lab]:
    """Bring a lab up for a test and take it down, also when the test or the start fails."""
    with _running(folder, name, hosts, topology, CONTAINERS, release) as record:
        yield Lab(name, record.folder, record.layout, Home())


@contextmanager
def running_vms(folder: Path, name: str, hosts: Sequence[str], topology: Topology) -> Iterator[Vms]:
    """The same with virtual machines."""
    with _running(folder, name, hosts, topology, VMS, "") as record:
        yield Vms(name, record.folder, record.layout, Home())


@contextmanager
def _running(
    folder: Path, name: str, hosts: Sequence[str], topology: Topology, making: Making, release: str
) -> Iterator[Record]:
    engines = ("llamacpp",) if release else ENGINES
    home, progress = Home(), Progress(print)
    cables = cabling(hosts, topology)
    wish = Wish(name, tuple(hosts), cables, folder, engines=engines, release=release)
    try:
        yield bring_up(home, wish, progress, making)
    finally:
        if name in {path.name for path in (home.path / "labs").iterdir()}:
            take_down(home, name, progress)


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Two hosts, a cable between their p1; named by this process, so that test runs don't meet."""
    folder = tmp_path_factory.mktemp("lab")
    with running_lab(folder, f"t{os.getpid()}", ("spark-1", "spark-2"), "pair") as up:
        yield up


@pytest.fixture(scope="module", autouse=True)
def rails_as_they_come(lab: Lab) -> None:
    """What one file's tests had `orch up` write of the network is not there for the next."""
    lab.forget_network()


# What the two hosts of a lab render with (tests/lab/renderers.py).
LABS = {"NetworkManager": ("NetworkManager", "mixed"), "both": ("both", "both")}


@pytest.fixture(scope="module")
def renderer(
    request: pytest.FixtureRequest, lab: Lab, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Lab]:
    """The lab of a test that is repeated for each renderer; networkd's where it names none."""
    which = getattr(request, "param", "networkd")
    if which == "networkd":
        yield lab
        return
    folder, name = tmp_path_factory.mktemp("lab"), f"{which[0].lower()}{os.getpid()}"
    with running_lab(folder, name, lab.hosts, "pair") as up:
        for host, kind in zip(up.hosts, LABS[which], strict=True):
            rendered_by(kind, partial(up.inside, host))
        yield up
