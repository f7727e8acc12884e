"""Breaks a lab host the way hosts break, and heals it; both look whether it took effect.

What is broken is in the lab's record: a cable that was pulled stays pulled when its host reboots.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.errors import CommandFailed, Failed, FilesWrong, Refused
from orchestrator.lab import records
from orchestrator.lab.command import until
from orchestrator.lab.docker import Docker
from orchestrator.lab.home import Home
from orchestrator.lab.host import docker_answers, ssh_greets, wait_until_up
from orchestrator.lab.labs import engine_of
from orchestrator.lab.layout import End, LabHost

RATE = "100mbit"  # of a slow link when none is said
FULL_BY_DEFAULT = "/models"
FULL_MOUNT = "/run/orch-lab-full"
SPARE_KIB = 256  # so much larger than its content is the full disk, before the rest is filled
MOST_KIB = 1024 * 1024  # a copy of the folder lies in memory while it is full
LOOK_SECONDS = 60


@dataclass(frozen=True)
class Target:
    """Where a fault goes: one host of one lab, and the word after the fault's colon."""

    docker: Docker
    image: str
    record: records.Record
    host: LabHost
    argument: str

    def inside(self, *argv: str) -> str:
        return self.docker.inside(self.host.container, *argv)

    def runs(self) -> bool:
        state = self.docker.inspect("container", self.host.container)[0]["State"]
        return bool(state["Running"])

    def boot_id(self) -> str:
        return self.inside("cat", "/proc/sys/kernel/random/boot_id").strip()

    def interfaces(self) -> list[tuple[LabHost, str]]:
        """Both ends of what hangs on a port (on any port when none is named), as netdevs.

        A cable loses its light at both ends. A switch keeps its other ports.
        """
        port = self.argument.partition(":")[0]
        own = {nic.end for nic in self.host.nics if nic.end and port in ("", nic.end.port)}
        if not own:
            known = sorted({nic.end.port for nic in self.host.nics if nic.end})
            raise FilesWrong(
                f"{self.host.name} has no cable in {port or 'any port'}",
                hint=f"cabled: {', '.join(known) or 'none'}",
            )
        ends = set(own)
        for segment in self.record.layout.segments:
            if segment.switch is None and ends & set(segment.ends):
                ends |= set(segment.ends)
        return [(self.record.layout.host(end.host), dev) for end in ends for dev in self._of(end)]

    def _of(self, end: End) -> list[str]:
        return [nic.netdev for nic in self.record.layout.host(end.host).nics if nic.end == end]

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
    _look(lambda: not target.runs(), "the container has ended")
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


def freeze_sshd(target: Target) -> str:
    target.inside("pkill", "-STOP", "sshd")
    _look(lambda: not ssh_greets(target.host.address), "sshd is silent")
    return "sshd is frozen: connections are accepted and never answered"


def thaw_sshd(target: Target) -> str:
    target.inside("pkill", "-CONT", "sshd")
    _look(lambda: ssh_greets(target.host.address), "sshd answers")
    return "sshd answers"


def pull_cable(target: Target) -> str:
    target.batch("ip", "link set dev DEV down")
    _look(lambda: not any([*_lit(target), *_carriers(target)]), "the link is down")
    return f"no carrier on {_names(target)}"


def plug_cable(target: Target) -> str:
    target.batch("ip", "link set dev DEV up")
    _look(lambda: all([*_lit(target), *_carriers(target)]), "the link is up")
    return f"carrier on {_names(target)}"


def _lit(target: Target) -> list[bool]:
    """Whether this machine's ends are set up."""
    return ["UP" in link["flags"] for link in target.outer_links()]


def _names(target: Target) -> str:
    return ", ".join(sorted(f"{host.name}.{netdev}" for host, netdev in target.interfaces()))


def _carriers(target: Target) -> list[bool]:
    """Whether each interface that is set up has light; one that is set down can't tell."""
    found = []
    for host, netdev in target.interfaces():
        try:
            shown = target.docker.inside(
                host.container, "ip", "-json", "link", "show", "dev", netdev
            )
        except CommandFailed:
            continue
        flags = json.loads(shown)[0]["flags"]
        if "UP" in flags:
            found.append("LOWER_UP" in flags)
    return found


def slow_link(target: Target) -> str:
    rate = target.argument.partition(":")[2] or RATE
    target.batch("tc", f"qdisc replace dev DEV root tbf rate {rate} burst 256kb latency 100ms")
    shown = target.outside("tc", "qdisc", "show")
    names = target.outer_names()
    if not all("tbf" in _lines_with(shown, name) for name in names):
        raise Failed(f"no shaper on {_names(target)}", hint="the kernel may lack sch_tbf")
    return f"{rate} into each of {_names(target)}"


def _lines_with(text: str, word: str) -> str:
    return "\n".join(line for line in text.splitlines() if word in line.split())


def fast_link(target: Target) -> str:
    shown = target.outside("tc", "qdisc", "show")
    for name in target.outer_names():
        if "tbf" in _lines_with(shown, name):
            target.outside("tc", "qdisc", "del", "dev", name, "root")
    return f"no shaper on {_names(target)}"


def docker_down(target: Target) -> str:
    target.inside("systemctl", "stop", "docker.socket", "docker.service")
    _look(lambda: not docker_answers(target.docker, target.host), "docker is silent")
    return "its docker engine is stopped"


def docker_up(target: Target) -> str:
    target.inside("systemctl", "start", "docker.socket", "docker.service")
    _look(lambda: docker_answers(target.docker, target.host), "docker answers")
    return "its docker engine answers"


def disk_full(target: Target) -> str:
    """Put a file system in memory with the same content over the folder, and fill it to the end."""
    path = target.argument or FULL_BY_DEFAULT
    if _full_mounted(target):
        return f"{path} is full already"
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
    path = target.argument or FULL_BY_DEFAULT
    if _full_mounted(target):
        target.inside("umount", "--lazy", path)
        target.inside("umount", "--lazy", FULL_MOUNT)
    return f"{path} is its own disk again"


def _full_mounted(target: Target) -> bool:
    return f" {FULL_MOUNT} " in target.inside("cat", "/proc/mounts")


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
    _look(lambda: _true(target, gone), f"process {shown} has ended")
    return f"the first process of {name} was killed"


def _true(target: Target, argv: Sequence[str]) -> bool:
    try:
        target.inside(*argv)
    except CommandFailed:
        return False
    return True


def _look(question: Callable[[], bool], what: str) -> None:
    until(question, seconds=LOOK_SECONDS, what=what)


@dataclass(frozen=True)
class Fault:
    """How something breaks and heals. No `heals`: it is over at once. `lasts`: over a reboot."""

    about: str
    breaks: Callable[[Target], str]
    heals: Callable[[Target], str] | None = None
    lasts: bool = False


FAULTS = {
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


def _fault(what: str) -> Fault:
    name = what.partition(":")[0]
    if name not in FAULTS:
        raise FilesWrong(f"a lab has no fault {name}", hint=f"there are: {', '.join(FAULTS)}")
    return FAULTS[name]


def _target(home: Home, lab: str, host: str, what: str) -> Target:
    docker, record = engine_of(home, lab), records.load(home, lab)
    if record is None:
        raise Refused(f"lab {lab} has no record here", hint=f"orch lab down --name {lab}")
    chosen = record.layout.host(host)
    image = str(docker.inspect("container", chosen.container)[0]["Config"]["Image"])
    return Target(docker, image, record, chosen, what.partition(":")[2])


def break_(home: Home, lab: str, host: str, what: str) -> str:
    """Break something, see that it is broken, remember it; return what was seen."""
    fault = _fault(what)
    with home.lock(f"lab-{lab}"):
        target = _target(home, lab, host, what)
        if not target.runs():
            raise Refused(f"{host} is off", hint=f"orch lab heal {host} power-off --name {lab}")
        seen = fault.breaks(target)
        if what in ("power-off", "reboot"):
            _after_power_loss(target)
        if fault.heals is not None:
            _remember(home, target, [*_broken(target), what])
        else:
            _remember(home, target, _broken(target))
    return f"{host}: {seen}"


def heal(home: Home, lab: str, host: str, what: str | None) -> list[str]:
    """Heal one fault, or all of a host; return what was seen."""
    with home.lock(f"lab-{lab}"):
        target = _target(home, lab, host, what or "")
        found = [what] if what is not None else [*reversed(_broken(target))]
        if what is None and not target.runs():
            found = ["power-off", *(each for each in found if each != "power-off")]
        said = [_heal_one(home, lab, host, each) for each in found]
    return said or [f"{host}: nothing is broken"]


def _heal_one(home: Home, lab: str, host: str, what: str) -> str:
    fault, target = _fault(what), _target(home, lab, host, what)
    if fault.heals is None:
        return f"{host}: {what} is over as soon as it has happened"
    if what != "power-off" and not target.runs():
        raise Refused(f"{host} is off", hint=f"orch lab heal {host} power-off --name {lab}")
    seen = fault.heals(target)
    _remember(home, target, [each for each in _broken(target) if each != what])
    if what == "power-off":
        _break_again(target)
    return f"{host}: {seen}"


def _broken(target: Target) -> list[str]:
    return target.record.faults.get(target.host.name, [])


def _remember(home: Home, target: Target, faults: list[str]) -> None:
    target.record.faults[target.host.name] = list(dict.fromkeys(faults))
    records.save(home, target.record)


def _after_power_loss(target: Target) -> None:
    """What was only a state of processes is gone; what lasts is done again once the host is up."""
    kept = [what for what in _broken(target) if _fault(what).lasts]
    target.record.faults[target.host.name] = kept
    if target.runs():
        _break_again(target)


def _break_again(target: Target) -> None:
    """Break again what is recorded as broken: docker plugs new cables in when a host starts."""
    for name, faults in target.record.faults.items():
        for what in faults:
            if _fault(what).lasts:
                host, argument = target.record.layout.host(name), what.partition(":")[2]
                again = Target(target.docker, target.image, target.record, host, argument)
                if again.runs():
                    _fault(what).breaks(again)
