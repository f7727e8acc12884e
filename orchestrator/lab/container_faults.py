"""How a lab host that is a container breaks, and heals; both look whether it took effect."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.errors import CommandFailed, Failed, FilesWrong, Refused
from orchestrator.lab import fault, records
from orchestrator.lab.docker import Docker
from orchestrator.lab.fault import RATE, Fault, Sort, freeze_sshd, look, thaw_sshd
from orchestrator.lab.home import Home
from orchestrator.lab.host import docker_answers, wait_until_up
from orchestrator.lab.labs import engine_of
from orchestrator.lab.layout import LabHost

FULL_BY_DEFAULT = "/models"
FULL_MOUNT = "/run/orch-lab-full"
SPARE_KIB = 256  # so much larger than its content is the full disk, before the rest is filled
MOST_KIB = 1024 * 1024  # a copy of the folder lies in memory while it is full


@dataclass(frozen=True)
class Target(fault.Target):
    """A host that is a container, and the image of the containers that reach its cables."""

    docker: Docker
    image: str

    def on(self, host: LabHost, *argv: str) -> str:
        return self.docker.inside(host.container, *argv)

    def runs(self) -> bool:
        state = self.docker.inspect("container", self.host.container)[0]["State"]
        return bool(state["Running"])

    def outer_names(self) -> list[str]:
        """This machine's ends of those interfaces; a host that is off has none."""
        return [link["ifname"] for link in self.outer_links()]

    def outer_links(self) -> list[dict[str, Any]]:
        """The same with all that ip tells about them."""
        shown = json.loads(self.outside("ip", "-json", "link", "show"))
        links = {link["ifindex"]: link for link in shown if link}
        found = []
        for host, netdev in self.interfaces():
            path = f"/sys/class/net/{netdev}/iflink"
            try:
                number = self.docker.inside(host.container, "cat", path)
            except CommandFailed:
                continue
            found.append(dict(links[int(number)]))
        return found

    def outside(self, *argv: str, stdin: bytes = b"") -> str:
        """Run ip or tc in this machine's network, from a container: that needs docker, not root."""
        given = ("--interactive",) if stdin else ()
        way = ("run", "--rm", *given, "--network", "host", "--cap-add", "NET_ADMIN", self.image)
        return self.docker(*way, *argv, stdin=stdin)

    def batch(self, program: str, line: str) -> None:
        """One line of ip or tc for each outer end; DEV stands for its name."""
        lines = [line.replace("DEV", name) for name in self.outer_names()]
        self.outside(program, "-batch", "-", stdin="\n".join([*lines, ""]).encode())


def power_off(target: Target) -> str:
    target.docker("kill", "--signal", "KILL", target.host.container)
    look(lambda: not target.runs(), "the container has ended")
    return "off, as by pulling the plug"


def power_on(target: Target) -> str:
    if not target.runs():
        target.docker("start", target.host.container)
    wait_until_up(target.docker, target.host)
    return "on, sshd and docker answer"


def reboot(target: Target) -> str:
    before = target.boot_id()
    target.docker("restart", "-t", "0", target.host.container)
    wait_until_up(target.docker, target.host)
    if target.boot_id() == before:
        raise Failed(f"{target.host.name} answers with the boot id that it had before")
    return "rebooted without a shutdown, and up again"


def pull_cable(target: Target) -> str:
    target.batch("ip", "link set dev DEV down")
    look(lambda: not any([*_lit(target), *target.carriers()]), "the link is down")
    return f"no carrier on {target.names()}"


def plug_cable(target: Target) -> str:
    target.batch("ip", "link set dev DEV up")
    look(lambda: all([*_lit(target), *target.carriers()]), "the link is up")
    return f"carrier on {target.names()}"


def _lit(target: Target) -> list[bool]:
    """Whether this machine's ends are set up."""
    return ["UP" in link["flags"] for link in target.outer_links()]


def slow_link(target: Target) -> str:
    rate = target.argument.partition(":")[2] or RATE
    target.batch("tc", f"qdisc replace dev DEV root tbf rate {rate} burst 256kb latency 100ms")
    shown = target.outside("tc", "qdisc", "show")
    names = target.outer_names()
    if not all("tbf" in _lines_with(shown, name) for name in names):
        raise Failed(f"no shaper on {target.names()}", hint="the kernel may lack sch_tbf")
    return f"{rate} into each of {target.names()}"


def _lines_with(text: str, word: str) -> str:
    return "\n".join(line for line in text.splitlines() if word in line.split())


def fast_link(target: Target) -> str:
    shown = target.outside("tc", "qdisc", "show")
    for name in target.outer_names():
        if "tbf" in _lines_with(shown, name):
            target.outside("tc", "qdisc", "del", "dev", name, "root")
    return f"no shaper on {target.names()}"


def docker_down(target: Target) -> str:
    target.inside("systemctl", "stop", "docker.socket", "docker.service")
    look(lambda: not docker_answers(target.docker, target.host), "docker is silent")
    return "its docker engine is stopped"


def docker_up(target: Target) -> str:
    target.inside("systemctl", "start", "docker.socket", "docker.service")
    look(lambda: docker_answers(target.docker, target.host), "docker answers")
    return "its docker engine answers"


def disk_full(target: Target) -> str:
    """Put a file system in memory with the same content over the folder, and fill it to the end."""
    path = _folder(target)
    if full := _full(target):
        if path in full:
            return f"{path} is full already"
        raise _another_is_full(target, path, full)
    used = int(target.inside("du", "-sk", path).split()[0])
    if used > MOST_KIB:
        raise Refused(
            f"{target.host.name}: {path} holds {used // 1024} MiB, too much to copy into memory"
        )
    size = f"size={used + SPARE_KIB}k"
    target.inside("mkdir", "-p", FULL_MOUNT)
    target.inside("mount", "-t", "tmpfs", "-o", size, "tmpfs", FULL_MOUNT)
    target.inside("cp", "-a", f"{path}/.", FULL_MOUNT)
    target.inside("mount", "--bind", FULL_MOUNT, path)
    fill = 'dd if=/dev/zero of="$1" bs=4096 2>/dev/null; true'
    target.inside("sh", "-c", fill, "sh", f"{path}/.orch-lab-full")
    left = target.inside("df", "--output=avail", path).split()[-1]
    if left != "0":
        raise Failed(f"{target.host.name}: {path} still has {left} KiB")
    return f"{path} has no free byte; what was in it is there"


def disk_free(target: Target) -> str:
    path = _folder(target)
    if full := _full(target):
        if path not in full:
            raise _another_is_full(target, path, full)
        target.inside("umount", "--lazy", path)
        target.inside("umount", "--lazy", FULL_MOUNT)
    return f"{path} is its own disk again"


def _folder(target: Target) -> str:
    return (target.argument or FULL_BY_DEFAULT).rstrip("/")


def _another_is_full(target: Target, path: str, full: Sequence[str]) -> Refused:
    name = target.host.name
    return Refused(
        f"{name}: not {path} is full, but {' and '.join(full)}",
        hint=f"orch lab heal {name} disk-full:{full[-1]} --name {target.record.layout.name}",
    )


def _full(target: Target) -> list[str]:
    """Where our file system in memory is mounted, our own place for it left out."""
    rows = [line.split() for line in target.inside("cat", "/proc/self/mountinfo").splitlines()]
    places = [(row[2], row[4].replace(r"\040", " ")) for row in rows]  # device, mount point
    ours = {device for device, place in places if place == FULL_MOUNT}
    return [place for device, place in places if device in ours and place != FULL_MOUNT]


def kill_container(target: Target) -> str:
    """Kill the process, not the container: docker would take that for a wish and not restart it."""
    name = target.argument
    if not name:
        raise FilesWrong("which container?", hint="orch lab break HOST container-killed:NAME")
    shown = target.inside("docker", "inspect", "--format", "{{.State.Pid}}", name).strip()
    if shown in ("", "0"):
        raise Refused(f"{target.host.name}: container {name} does not run")
    target.inside("kill", "-KILL", shown)
    gone = ("sh", "-c", '! [ -e "/proc/$1" ]', "sh", shown)
    look(lambda: _true(target, gone), f"process {shown} has ended")
    return f"the first process of {name} was killed"


def _true(target: Target, argv: Sequence[str]) -> bool:
    try:
        target.inside(*argv)
    except CommandFailed:
        return False
    return True


FAULTS: dict[str, Fault[Target]] = {
    "power-off": Fault("the plug is pulled", power_off, power_on),
    "reboot": Fault("power is lost for a moment", reboot),
    "sshd-frozen": Fault("sshd accepts and never answers", freeze_sshd, thaw_sshd),
    "docker-down": Fault("the docker engine is stopped", docker_down, docker_up),
    "cable": Fault("cable:PORT is pulled, both halves", pull_cable, plug_cable, lasts=True),
    "slow-link": Fault(
        f"slow-link[:PORT[:RATE]], {RATE} if not said", slow_link, fast_link, lasts=True
    ),
    "disk-full": Fault(
        f"disk-full[:FOLDER], {FULL_BY_DEFAULT} if not said", disk_full, disk_free, lasts=True
    ),
    "container-killed": Fault("container-killed:NAME crashes", kill_container),
}


def aim(home: Home, record: records.Record, host: LabHost, argument: str) -> Target:
    docker = engine_of(home, record.layout.name)
    image = str(docker.inspect("container", host.container)[0]["Config"]["Image"])
    return Target(record, host, argument, docker, image)


CONTAINERS = Sort(FAULTS, aim)
