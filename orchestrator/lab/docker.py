"""The docker engine that lab hosts run in: this machine's own, or one that we start and stop."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from orchestrator.errors import CommandFailed, Failed, FilesWrong, Refused
from orchestrator.lab.command import as_root, remove_tree, run, succeeds, until
from orchestrator.lab.home import Home
from orchestrator.lab.progress import last_line

START_SECONDS = 60  # measured: under 6 s
STOP_SECONDS = 60
SOCKET_PATH_LIMIT = 108  # sun_path, unix(7)
LONGEST_SOCKET = "exec/containerd/containerd-debug.sock"
DETACHED = 'log=$1; shift; exec setsid --fork "$@" >"$log" 2>&1'


class Docker:
    """One docker engine, spoken to through its command line."""

    def __init__(self, socket: Path | None = None, prefix: Sequence[str] = ()) -> None:
        self.socket = socket
        self._argv = (*prefix, "docker", *(("-H", f"unix://{socket}") if socket else ()))

    @property
    def own(self) -> bool:
        """Whether it is the engine that we start and stop."""
        return self.socket is not None

    def __call__(self, *words: str, stdin: bytes = b"", timeout: float = 120) -> str:
        return run([*self._argv, *words], stdin=stdin, timeout=timeout)

    def lines(self, *words: str) -> list[str]:
        return self(*words).split()

    def answers(self) -> bool:
        return succeeds([*self._argv, "info", "--format", "{{.ID}}"])

    def info(self) -> dict[str, Any]:
        return dict(json.loads(self("info", "--format", "{{json .}}")))

    def inspect(self, kind: str, *names: str) -> list[dict[str, Any]]:
        return list(json.loads(self(kind, "inspect", *names))) if names else []

    def has_image(self, tag: str) -> bool:
        return bool(self.lines("image", "ls", "--quiet", tag))

    def inside(self, container: str, *argv: str, stdin: bytes = b"", timeout: float = 120) -> str:
        """Run a command in a container as root."""
        given = ("-i",) if stdin else ()
        return self("exec", *given, container, *argv, stdin=stdin, timeout=timeout)


def own_folder(home: Home) -> Path:
    return home.path / "docker"


def own_engine(home: Home) -> Docker:
    """The engine that we start ourselves, whether or not it runs now."""
    return Docker(own_folder(home) / "sock")


def running_engines(home: Home) -> list[Docker]:
    """Every engine a lab may be in: ours first, then the machine's."""
    return [*engines(home)]


def engines(home: Home) -> Iterator[Docker]:
    """The same one after the other, for who may find what he looks for in the first."""
    own = own_engine(home)
    if (own_folder(home) / "sock").exists() and own.answers():
        yield own
    machine = machine_engine()
    if machine is not None:
        yield machine


def machine_engine() -> Docker | None:
    """This machine's engine if its containers can be reached from here over a bridge; else None."""
    if shutil.which("docker") is None:
        return None
    if os.environ.get("DOCKER_HOST", "unix:").partition(":")[0] != "unix":
        return None
    found = next((docker for docker in (Docker(), *_with_sudo()) if docker.answers()), None)
    if found is None:
        return None
    info = found.info()
    remote = "Docker Desktop" in str(info.get("OperatingSystem", ""))
    rootless = any("rootless" in str(option) for option in info.get("SecurityOptions") or ())
    return None if remote or rootless else found


def _with_sudo() -> list[Docker]:
    """The engine of a user who is not in the group docker and may use sudo."""
    try:
        prefix = as_root()
    except Refused:
        return []
    return [Docker(prefix=prefix)] if prefix else []


def start_own_engine(home: Home) -> Docker:
    """Start an engine of our own that leaves the machine's firewall and forwarding as they are."""
    folder, docker = own_folder(home), own_engine(home)
    if len(str(folder / LONGEST_SOCKET)) >= SOCKET_PATH_LIMIT:
        raise FilesWrong(
            f"{folder}: too long a path for the docker engine's sockets",
            hint="set ORCH_LAB_HOME to a shorter folder",
        )
    with home.lock("docker"):
        if docker.answers():
            return docker
        folder.mkdir(exist_ok=True)
        (folder / "pid").unlink(missing_ok=True)
        log = home.log("dockerd")
        argv = [
            *as_root(), "sh", "-c", DETACHED, "sh", str(log),
            "dockerd", "--data-root", f"{folder}/data", "--exec-root", f"{folder}/exec",
            "--pidfile", f"{folder}/pid", "-H", f"unix://{folder}/sock",
            "--group", str(os.getgid()), "--bridge=none",
            "--iptables=false", "--ip-forward=false", "--ip-masq=false",
        ]  # fmt: skip
        run(argv)
        hint = f"{last_line(log)} (all of it: {log})"
        until(docker.answers, seconds=START_SECONDS, what="our docker engine answers", hint=hint)
    return docker


def stop_own_engine(home: Home) -> None:
    """Stop our engine and look that its process and mounts are gone; its images stay on disk."""
    folder = own_folder(home)
    pid = own_pid(folder)
    if pid is not None:
        run([*as_root(), "kill", f"-{signal.SIGTERM.value}", str(pid)])
        until(
            lambda: own_pid(folder) is None,
            seconds=STOP_SECONDS,
            what="our docker engine ends",
            hint=f"process {pid}",
        )
    for mount in reversed(mounts_under(folder)):
        run([*as_root(), "umount", mount])
    if mounts_under(folder):
        raise Failed(f"still mounted: {', '.join(mounts_under(folder))}")
    if (folder / "exec").exists():
        remove_tree(folder / "exec")
    (folder / "sock").unlink(missing_ok=True)


def own_pid(folder: Path) -> int | None:
    """The process of our engine, from its pid file, if that process is indeed it."""
    try:
        pid = int((folder / "pid").read_text())
        argv = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return None
    return pid if f"{folder}/data".encode() in argv else None


def mounts_under(folder: Path) -> list[str]:
    """Mount points below a folder, in the order they were mounted."""
    points = (line.split()[1] for line in Path("/proc/mounts").read_text().splitlines())
    return [point for point in points if point.startswith(f"{folder}/")]


def ensure_gone(docker: Docker, kind: str, names: Sequence[str]) -> list[str]:
    """Remove containers, networks or volumes; return what is still there, with the reason."""
    how = {"container": ("rm", "--force", "--volumes"), "network": ("rm",), "volume": ("rm",)}
    left = []
    for name in names:
        try:
            docker(kind, *how[kind], name)
        except CommandFailed as why:
            left.append(f"{kind} {name}: {why}")
    return left
