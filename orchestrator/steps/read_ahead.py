"""Weights are read through mmap, page by page: a small read-ahead makes that several times slower."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.contracts import Change, Step, World
from orchestrator.errors import Failed
from orchestrator.facts.disk import ReadDisk
from orchestrator.facts.identity import Identify
from orchestrator.facts.privilege import ReadPrivilege
from orchestrator.script import Script, sh
from orchestrator.spec.models import Cluster
from orchestrator.steps.rights import as_root, changeable, in_lab, require_root, serving


@dataclass(frozen=True, kw_only=True)
class ReadAhead(Step):
    """At least so many KiB are read ahead on the disk of the models, until the next boot."""

    host: str
    models: str
    kib: int

    def check(self, world: World) -> Change | None:
        if in_lab(world, self.host):
            return None
        disk = world[self.host].get(ReadDisk(self.models))
        if not disk.device:
            return None  # a network file system or a pool: no block device of its own
        now = disk.read_ahead_kb
        if now is not None and now >= self.kib:
            return None
        require_root(world, self.host, f"read-ahead of {disk.device}")
        was = "not known" if now is None else f"{now} KiB"
        return Change(
            f"read {self.kib} KiB ahead on {disk.device} (now {was}), until the next boot"
        )

    def apply(self, change: Change, world: World) -> Script:
        device = world[self.host].get(ReadDisk(self.models)).device
        if not device or "/" in device or device.startswith("."):
            raise Failed(f"not a block device's name: {device!r}", host=self.host)
        return as_root(
            sh("printf %s {} >/sys/class/block/{}/queue/read_ahead_kb", self.kib, device)
        )


def read_ahead_steps(cluster: Cluster, options: Mapping[str, Any]) -> Iterable[Step]:
    """For hosts that serve and whose kind names a size (`prepare.read_ahead_kb`)."""
    placed = serving(cluster)
    for host in changeable(cluster):
        kib = host.prepare.read_ahead_kb
        if kib is not None and host.name in placed:
            queries = (Identify(), ReadDisk(host.models), ReadPrivilege())
            yield ReadAhead(
                id=f"{host.name}/read-ahead",
                host=host.name,
                reads=frozenset((host.name, query) for query in queries),
                models=host.models,
                kib=kib,
            )


STAGES = {"read-ahead": read_ahead_steps}
