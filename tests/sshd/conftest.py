"""A real sshd on loopback with its own keys and config: what the SSH code is held to."""

from __future__ import annotations

import getpass
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from orchestrator.hosts.ssh import SshHosts
from orchestrator.spec.models import Host, Kind, Prepare, Ssh

CONFIG = """
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host_key
PidFile none
AuthorizedKeysFile {folder}/authorized_keys
PermitRootLogin yes
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
StrictModes no
MaxStartups 400
LogLevel ERROR
SetEnv ORCH_STATE={folder}/state {env}
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def keygen(path: Path) -> str:
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", str(path)], check=True
    )
    return path.with_suffix(".pub").read_text().rsplit(" ", 1)[0]


@dataclass
class Sshd:
    """One running server."""

    folder: Path
    port: int
    key: Path
    host_key: str
    process: subprocess.Popen[bytes] | None = None
    extra: str = ""
    env: str = ""  # NAME=value …, for what it runs

    def start(self) -> None:
        program = shutil.which("sshd", path="/usr/sbin:/usr/bin:/sbin")
        if program is None:
            pytest.fail("sshd is missing: install openssh-server (these tests are never skipped)")
        config = self.folder / f"sshd_config_{self.port}"
        config.write_text(
            CONFIG.format(port=self.port, folder=self.folder, env=self.env) + self.extra
        )
        Path("/run/sshd").mkdir(exist_ok=True)
        with (self.folder / "sshd.log").open("ab") as log:
            self.process = subprocess.Popen([program, "-D", "-e", "-f", str(config)], stderr=log)
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            if self.process.poll() is not None:
                break
            time.sleep(0.02)
        pytest.fail("sshd did not start: " + (self.folder / "sshd.log").read_text())

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(10)
            self.process = None

    def ssh(self, **changes: Any) -> Ssh:
        values: dict[str, Any] = {
            "user": getpass.getuser(),
            "key": str(self.key),
            "port": self.port,
            "host_key": self.host_key,
            "config": "/dev/null",
        }
        return Ssh(**{**values, **changes})


def make_host(name: str, ssh: Ssh, address: str = "127.0.0.1", **changes: Any) -> Host:
    values: dict[str, Any] = {
        "name": name,
        "kind": Kind(version=1, name="gpu-host"),
        "address": address,
        "ssh": ssh,
        "gpus": None,
        "runtime": "docker",
        "become": "sudo",
        "become_password": None,
        "models": "/models",
        "ports": {},
        "management": (),
        "prepare": Prepare(),
        "install_packages": False,
        "env": {},
    }
    return Host(**{**values, **changes})


def no_secrets(name: str) -> str:
    raise KeyError(name)


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("sshd")
    host_key = keygen(folder / "host_key")
    keygen(folder / "user_key")
    (folder / "authorized_keys").write_text((folder / "user_key.pub").read_text())
    return folder, host_key


@dataclass
class Servers:
    """Makes servers, and ends them all by their process."""

    folder: Path
    host_key: str
    all: list[Sshd] = field(default_factory=list)

    def __call__(self, extra: str = "", env: str = "") -> Sshd:
        key = self.folder / "user_key"
        server = Sshd(self.folder, free_port(), key, self.host_key, extra=extra, env=env)
        server.start()
        self.all.append(server)
        return server


@pytest.fixture
def servers(keys: tuple[Path, str]) -> Iterator[Servers]:
    made = Servers(*keys)
    yield made
    for server in made.all:
        server.stop()


@pytest.fixture(scope="module")
def sshd(keys: tuple[Path, str]) -> Iterator[Sshd]:
    folder, host_key = keys
    server = Sshd(folder, free_port(), folder / "user_key", host_key)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def connect(sshd: Sshd) -> Iterator[Callable[..., SshHosts]]:
    """Makes SshHosts over the given Host objects (by default one, `one`, of the module's sshd)."""
    made: list[SshHosts] = []

    def make(*hosts: Host, **options: Any) -> SshHosts:
        named = {host.name: host for host in hosts or (make_host("one", sshd.ssh()),)}
        secrets = options.pop("secrets", no_secrets)
        made.append(SshHosts(named, secrets, **options))
        return made[-1]

    yield make
    for hosts in made:
        hosts.close()


PYTHON = sys.executable
