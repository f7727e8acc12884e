"""A rank without a container needs little: programs of any Linux, a folder, and to outlive the login."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from orchestrator.contracts import Change, Query, Step, World
from orchestrator.errors import Refused
from orchestrator.facts.answers import Limits
from orchestrator.facts.gpus import ReadGpus
from orchestrator.facts.limits import ReadLimits
from orchestrator.facts.process_host import ProcessHost, ReadProcessHost
from orchestrator.network.environment import environment_reads, rank_devices
from orchestrator.ranks.state import PROCESS
from orchestrator.spec.derived import placed
from orchestrator.spec.models import Cluster, Host


@dataclass(frozen=True, kw_only=True)
class ProcessReady(Step):
    """What the start of a process would find out half-way."""

    host: str
    gpus: bool
    cluster: Cluster = field(repr=False, compare=False)

    def check(self, world: World) -> Change | None:
        found = world[self.host].get(ReadProcessHost())
        wrong = self._lacking(found)
        if wrong is not None:
            raise wrong
        if self.gpus and not world[self.host].get(ReadGpus()).gpus:
            raise Refused(
                "nvidia-smi is missing or lists no GPU, and what is placed here wants one",
                host=self.host,
                hint=f"on {self.host}: nvidia-smi; or `gpus: 0` for a deployment without",
            )
        self._memory_may_be_locked(world)
        return None

    def _lacking(self, found: ProcessHost) -> Refused | None:
        if found.missing:
            return Refused(
                f"processes need {', '.join(found.missing)}, which this host has not",
                host=self.host,
                hint="coreutils, util-linux, grep and sed have them",
            )
        if not found.usable:
            return Refused(
                f"{found.folder} can't be used: it can't be written, or its name has odd characters",
                host=self.host,
                hint=f"on {self.host}: mkdir -p {found.folder}",
            )
        if found.ended_at_logout and not found.manager:
            return Refused(
                "this host ends whatever a login has started when the login ends (KillUserProcesses)",
                host=self.host,
                hint=f"on {self.host}: loginctl enable-linger; or ask whoever owns it",
            )
        return None

    def _memory_may_be_locked(self, world: World) -> None:
        """RDMA registers memory that is locked; a process has the limit of its user."""
        limits: Limits = world[self.host].get(ReadLimits())
        if limits.memlock_bytes is None:
            return
        for one in placed(self.cluster)[self.host]:
            if rank_devices(self.cluster, one, self.host, world):
                raise Refused(
                    f"{one.name} uses RDMA, and this user may lock {limits.memlock_bytes // 1024} KiB",
                    host=self.host,
                    hint="whoever has root there: `* - memlock unlimited` in /etc/security/limits.d/;"
                    ' or `gate: {rdma: "off"}` for TCP',
                )


def process_ready_steps(cluster: Cluster) -> Iterator[ProcessReady]:
    """For hosts that run ranks as processes. A part of the stage `engine-ready`."""
    here = placed(cluster)
    for host in cluster.used_hosts:
        if host.name in here and host.runtime == PROCESS:
            yield _of(cluster, host)


def _of(cluster: Cluster, host: Host) -> ProcessReady:
    here = placed(cluster)[host.name]
    wants = any(one.gpus not in (0, ()) for one in here)
    gpus = wants and not host.kind.logical_gpus and host.gpu_count != 0
    reads: set[tuple[str, Query[Any]]] = {(host.name, ReadProcessHost()), (host.name, ReadLimits())}
    if gpus:
        reads.add((host.name, ReadGpus()))
    for one in here:
        reads |= environment_reads(cluster, one)
    return ProcessReady(
        id=f"{host.name}/engine-ready",
        role="gate",
        host=host.name,
        reads=frozenset(reads),
        gpus=gpus,
        cluster=cluster,
    )
