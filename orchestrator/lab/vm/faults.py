"""How a lab host that is a virtual machine breaks, and heals; both look whether it took effect."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.errors import CommandFailed, Failed, NoPatience
from orchestrator.lab import fault, records
from orchestrator.lab.command import until
from orchestrator.lab.fault import RATE, Fault, Sort, freeze_sshd, look, thaw_sshd
from orchestrator.lab.home import Home
from orchestrator.lab.layout import LabHost
from orchestrator.lab.progress import Progress
from orchestrator.lab.vm import folders, processes
from orchestrator.lab.vm.host import BOOT_SECONDS, runs, set_links, wait_until_up
from orchestrator.lab.vm.qmp import checked, qemu
from orchestrator.lab.vm.up import power_on as power_host_on

SHAPED = "qdisc replace dev DEV root tbf rate {rate} burst 256kb latency 100ms"


@dataclass(frozen=True)
class Target(fault.Target):
    """A host that is a virtual machine, reached past its network."""

    home: Home

    def on(self, host: LabHost, *argv: str) -> str:
        return checked(folders.of_host(self.home, self.record.layout, host), *argv)

    def runs(self) -> bool:
        return runs(folders.of_host(self.home, self.record.layout, self.host))

    def running_ends(self) -> list[tuple[LabHost, str]]:
        """The interfaces of a cable on hosts that are on; what lasts is broken again when the others start."""
        return [(host, dev) for host, dev in self.interfaces() if self.at(host, "").runs()]


def power_off(target: Target) -> str:
    folder = folders.of_host(target.home, target.record.layout, target.host)
    left = processes.end(folder)
    if left:
        raise Failed(f"{target.host.name} is not off: {', '.join(left)}")
    return "off, as by pulling the plug"


def power_on(target: Target) -> str:
    power_host_on(target.home, target.record, target.host, Progress(lambda text: None))
    return "on, sshd answers"


def reboot(target: Target) -> str:
    folder = folders.of_host(target.home, target.record.layout, target.host)
    before = target.boot_id()
    with qemu(folder) as line:
        line("system_reset")
    until(
        lambda: _boot_id(target) not in ("", before),
        seconds=BOOT_SECONDS,
        what=f"{target.host.name} boots again",
        hint=f"its console: {folder}/console.log",
    )
    set_links(folder, target.host)
    wait_until_up(folder, target.host)
    return "rebooted without a shutdown, and up again"


def _boot_id(target: Target) -> str:
    try:
        return target.boot_id()
    except (CommandFailed, NoPatience):
        return ""


def pull_cable(target: Target) -> str:
    _set_links(target, up=False)
    look(lambda: not any(target.carriers()), "the link is down")
    return f"no carrier on {target.names()}"


def plug_cable(target: Target) -> str:
    _set_links(target, up=True)
    look(lambda: all(target.carriers()), "the link is up")
    return f"carrier on {target.names()}"


def _set_links(target: Target, up: bool) -> None:
    for host, netdev in target.running_ends():
        with qemu(folders.of_host(target.home, target.record.layout, host)) as line:
            line("set_link", name=f"nic-{netdev}", up=up)


def slow_link(target: Target) -> str:
    rate = target.argument.partition(":")[2] or RATE
    for host, netdev in target.running_ends():
        target.on(host, "tc", *SHAPED.format(rate=rate).replace("DEV", netdev).split())
        if "tbf" not in target.on(host, "tc", "qdisc", "show", "dev", netdev):
            raise Failed(f"no shaper on {host.name}.{netdev}")
    return f"{rate} into each of {target.names()}"


def fast_link(target: Target) -> str:
    for host, netdev in target.running_ends():
        if "tbf" in target.on(host, "tc", "qdisc", "show", "dev", netdev):
            target.on(host, "tc", "qdisc", "del", "dev", netdev, "root")
    return f"no shaper on {target.names()}"


FAULTS: dict[str, Fault[Target]] = {
    "power-off": Fault("the plug is pulled", power_off, power_on),
    "reboot": Fault("power is lost for a moment", reboot),
    "sshd-frozen": Fault("sshd accepts and never answers", freeze_sshd, thaw_sshd),
    "cable": Fault("cable:PORT is pulled, both halves", pull_cable, plug_cable, lasts=True),
    "slow-link": Fault(
        f"slow-link[:PORT[:RATE]], {RATE} if not said", slow_link, fast_link, lasts=True
    ),
}


def aim(home: Home, record: records.Record, host: LabHost, argument: str) -> Target:
    return Target(record, host, argument, home)


VMS = Sort(FAULTS, aim)
