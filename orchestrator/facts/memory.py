"""Why here: memory and swap; on unified-memory machines this is the GPU's memory as well."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.facts.answers import Memory
from orchestrator.facts.probe import count, good, probe, reading, script
from orchestrator.question import question
from orchestrator.script import Result, Script, argv

NEEDED = (
    "MemTotal",
    "MemFree",
    "MemAvailable",
    "Buffers",
    "Cached",
    "Mapped",
    "Shmem",
    "SwapTotal",
    "SwapFree",
)


@question
class ReadMemory:
    """`/proc/meminfo`."""

    def ask(self) -> Script:
        return script(meminfo=probe(argv("cat", "/proc/meminfo")))

    def parse(self, results: Mapping[str, Result]) -> Memory:
        with reading("memory"):
            found: dict[str, int] = {}
            for line in good(results, "meminfo", "memory").text.splitlines():
                name, _, rest = line.partition(":")
                if name in NEEDED:
                    size, _, unit = rest.strip().partition(" ")
                    found[name] = count(size) * 1024 if unit == "kB" else -1
            total, free, available, buffers, cached, mapped, shared, swap, unused = (
                found[name] for name in NEEDED
            )
            if min(found.values()) < 0 or not 0 < available <= total:
                raise ValueError("sizes that do not fit together")
            return Memory(
                total_bytes=total,
                available_bytes=available,
                swap_total_bytes=swap,
                swap_used_bytes=swap - unused,
                free_bytes=free,
                # Shared memory counts as cached and can't be dropped; neither can what is mapped.
                droppable_bytes=max(0, cached + buffers - shared - mapped),
            )
