"""On unified memory the page cache stands where the model is to go; older engines count it as used."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.contracts import Change, Patience, Step, World
from orchestrator.facts.answers import Memory
from orchestrator.facts.identity import Identify
from orchestrator.facts.memory import ReadMemory
from orchestrator.facts.privilege import ReadPrivilege
from orchestrator.script import Script, sh
from orchestrator.spec.models import Cluster
from orchestrator.steps.rights import as_root, changeable, in_lab, require_root, size_text

# Less than this share of all memory is not worth it, and what remains in use after a drop stays below it.
WORTH = 0.1


@dataclass(frozen=True, kw_only=True)
class DropCaches(Step):
    """No page cache to speak of, right before a rank starts: on demand, so a second `up` does not do it."""

    host: str
    always: bool  # the kind wants it; otherwise only where free memory would not do
    needed_bytes: int | None

    def check(self, world: World) -> Change | None:
        if in_lab(world, self.host):
            return None
        memory = world[self.host].get(ReadMemory())
        if memory.droppable_bytes < WORTH * memory.total_bytes:
            return None
        if not (self.always or self.short(memory)):
            return None
        require_root(world, self.host, "dropping the page cache")
        return Change(f"drop {size_text(memory.droppable_bytes)} of page cache")

    def short(self, memory: Memory) -> bool:
        """Does what is to start need more than what is free without dropping?"""
        return self.needed_bytes is not None and memory.free_bytes < self.needed_bytes

    def apply(self, change: Change, world: World) -> Script:
        return as_root(sh("sync && printf 3 >/proc/sys/vm/drop_caches"), timeout=300)


def drop_caches_steps(cluster: Cluster, options: Mapping[str, Any]) -> Iterable[Step]:
    """For each deployment's hosts of kinds with unified memory, in the deployment's scope."""
    hosts = {host.name: host for host in changeable(cluster)}
    for deployment in cluster.deployments.values():
        for name in dict.fromkeys(deployment.hosts):
            host = hosts.get(name)
            if host is None or not (host.kind.unified_memory or host.prepare.drop_caches):
                continue
            yield DropCaches(
                id=f"{deployment.name}/drop-caches/{name}",
                host=name,
                scope=deployment.name,
                on_demand=True,
                reads=frozenset(
                    (name, query) for query in (Identify(), ReadMemory(), ReadPrivilege())
                ),
                patience=Patience(total=300),
                always=host.prepare.drop_caches,
                needed_bytes=deployment.memory_bytes,
            )


STAGES = {"drop-caches": drop_caches_steps}
