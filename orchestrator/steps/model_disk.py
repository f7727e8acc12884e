"""Weights are tens of gigabytes: in a container's overlay or in memory they fill what they must not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.contracts import Change, Step, World
from orchestrator.errors import Refused
from orchestrator.facts.answers import Disk
from orchestrator.facts.disk import ReadDisk
from orchestrator.spec.models import Cluster
from orchestrator.steps.rights import serving, size_text

NOT_DISKS = frozenset({"overlay", "overlayfs", "tmpfs", "ramfs", "squashfs", "devtmpfs"})
# Room for the small files of a model; what the weights themselves need is known to the weights stage.
LEAST_FREE_BYTES = 1024 * 1024 * 1024
LEAST_FREE_INODES = 1_000


@dataclass(frozen=True, kw_only=True)
class ModelDisk(Step):
    """The folder of the models is there or can be made, on a real disk with room."""

    host: str
    models: str

    def check(self, world: World) -> Change | None:
        disk = world[self.host].get(ReadDisk(self.models))
        wrong = "; ".join(self.faults(disk))
        if wrong:
            raise Refused(
                f"models folder {disk.path}: {wrong}",
                host=self.host,
                hint=f"set `models:` of {self.host} to a folder on a disk of its own, or"
                f" `prepare: {{model_disk: false}}` to do without this check",
            )
        return None

    def faults(self, disk: Disk) -> Iterable[str]:
        """What speaks against this disk, if anything."""
        if disk.fstype in NOT_DISKS:
            yield f"it lies on {disk.fstype}, not on a disk"
        if disk.free_bytes < LEAST_FREE_BYTES:
            yield f"{size_text(disk.free_bytes)} free on {disk.device or disk.fstype}"
        if disk.total_inodes and disk.free_inodes < LEAST_FREE_INODES:
            yield f"{disk.free_inodes} inodes free on {disk.device or disk.fstype}"
        if disk.near != disk.path and not disk.writable:
            yield f"it does not exist, and this user can't make it in {disk.near}"


def model_disk_steps(cluster: Cluster, options: Mapping[str, Any]) -> Iterable[Step]:
    """For hosts that serve. Matters before a start only: a disk that fills up later stops nothing."""
    placed = serving(cluster)
    for host in cluster.used_hosts:
        if host.name in placed and host.prepare.model_disk:
            yield ModelDisk(
                id=f"{host.name}/model-disk",
                role="gate",
                host=host.name,
                on_demand=True,
                reads=frozenset({(host.name, ReadDisk(host.models))}),
                models=host.models,
            )


STAGES = {"model-disk": model_disk_steps}
