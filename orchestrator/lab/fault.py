"""What a fault is, and what breaks in the same way whatever a lab host is made of."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Generic, Self, TypeVar

from orchestrator.errors import CommandFailed, FilesWrong
from orchestrator.lab import records
from orchestrator.lab.command import until
from orchestrator.lab.home import Home
from orchestrator.lab.host import ssh_greets
from orchestrator.lab.layout import End, LabHost

RATE = "100mbit"  # of a slow link when none is said
LOOK_SECONDS = 60


@dataclass(frozen=True)
class Target(ABC):
    """Where a fault goes: one host of one lab, and the word after the fault's colon."""

    record: records.Record
    host: LabHost
    argument: str

    @abstractmethod
    def on(self, host: LabHost, *argv: str) -> str:
        """Run a command as root on a host of the lab, past SSH."""

    @abstractmethod
    def runs(self) -> bool: ...

    def at(self, host: LabHost, argument: str) -> Self:
        """The same kind of target elsewhere in this lab."""
        return replace(self, host=host, argument=argument)

    def inside(self, *argv: str) -> str:
        return self.on(self.host, *argv)

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

    def names(self) -> str:
        """Those interfaces, for a message."""
        return ", ".join(sorted(f"{host.name}.{netdev}" for host, netdev in self.interfaces()))

    def carriers(self) -> list[bool]:
        """Whether each of them that is set up has light; one that is set down can't tell."""
        found = []
        for host, netdev in self.interfaces():
            try:  # it may be off
                shown = self.on(host, "ip", "-json", "link", "show", "dev", netdev)
            except CommandFailed:
                continue
            flags = json.loads(shown)[0]["flags"]
            if "UP" in flags:
                found.append("LOWER_UP" in flags)
        return found


T = TypeVar("T", bound=Target)


@dataclass(frozen=True)
class Fault(Generic[T]):
    """How something breaks and heals. No `heals`: it is over at once. `lasts`: over a reboot."""

    about: str
    breaks: Callable[[T], str]
    heals: Callable[[T], str] | None = None
    lasts: bool = False


@dataclass(frozen=True)
class Sort(Generic[T]):
    """The faults of hosts of one sort, and how they are reached."""

    faults: Mapping[str, Fault[T]]
    aim: Callable[[Home, records.Record, LabHost, str], T]


def look(question: Callable[[], bool], what: str) -> None:
    """A fault that did not take effect is told."""
    until(question, seconds=LOOK_SECONDS, what=what)


def greets(host: LabHost) -> bool:
    return ssh_greets(host.address, port=host.port)


def freeze_sshd(target: Target) -> str:
    target.inside("pkill", "-STOP", "sshd")
    look(lambda: not greets(target.host), "sshd is silent")
    return "sshd is frozen: connections are accepted and never answered"


def thaw_sshd(target: Target) -> str:
    target.inside("pkill", "-CONT", "sshd")
    look(lambda: greets(target.host), "sshd answers")
    return "sshd answers"
