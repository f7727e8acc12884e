"""What `docker inspect` says of containers; also how `orch import --from-host` reads those that run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.take.inspected import Inspected, gangs
from orchestrator.take.model import Source, Taken, mapping


class Inspect:
    """See model.Format."""

    name = "inspect"
    what = "what `docker inspect` says of containers"

    def fits(self, source: Source) -> bool:
        return bool(self._containers(source.data))

    def take(self, source: Source) -> Taken:
        taken = Taken(self.name)
        found = [Inspected("", one) for one in self._containers(source.data)]
        gangs(found, taken, source.stem)
        return taken

    def _containers(self, data: Any) -> list[Mapping[str, Any]]:
        items = data if isinstance(data, list) else [data]
        return [
            one
            for one in map(mapping, items)
            if isinstance(one.get("Config"), Mapping) and isinstance(one.get("HostConfig"), Mapping)
        ]


FORMAT = Inspect()
