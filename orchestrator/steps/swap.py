"""On unified memory the model's own pages would be swapped out, and thrashing freezes the host."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.contracts import Change, Patience, Step, World
from orchestrator.errors import Failed
from orchestrator.facts.identity import Identify
from orchestrator.facts.memory import ReadMemory
from orchestrator.facts.privilege import ReadPrivilege
from orchestrator.script import Script, argv
from orchestrator.spec.models import Cluster
from orchestrator.steps.rights import as_root, changeable, in_lab, require_root, size_text


@dataclass(frozen=True, kw_only=True)
class SwapOff(Step):
    """No swap in use. Until the next boot: what /etc/fstab says is not changed."""

    host: str

    def check(self, world: World) -> Change | None:
        if in_lab(world, self.host):
            return None
        memory = world[self.host].get(ReadMemory())
        if memory.swap_total_bytes == 0:
            return None
        require_root(world, self.host, "turning swap off")
        used = memory.swap_used_bytes
        if used >= memory.available_bytes:
            raise Failed(
                f"{size_text(used)} are swapped out, only {size_text(memory.available_bytes)} of"
                " memory are available: turning swap off would not end well",
                host=self.host,
                hint="stop what fills the memory (`orch status` shows what is ours), then try again",
            )
        total = size_text(memory.swap_total_bytes)
        return Change(f"turn swap off ({total}, {size_text(used)} used), until the next boot")

    def apply(self, change: Change, world: World) -> Script:
        return as_root(argv("swapoff", "-a"), timeout=600)


def swap_steps(cluster: Cluster, options: Mapping[str, Any]) -> Iterable[Step]:
    """For hosts whose kind has unified memory and wants it (`prepare.swap_off`)."""
    for host in changeable(cluster):
        if host.prepare.swap_off and host.kind.unified_memory:
            yield SwapOff(
                id=f"{host.name}/swap",
                host=host.name,
                reads=frozenset(
                    (host.name, query) for query in (Identify(), ReadMemory(), ReadPrivilege())
                ),
                patience=Patience(total=600),
            )


STAGES = {"swap": swap_steps}
