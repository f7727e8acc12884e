"""Logs of what has no rank: compose projects and units tell them in their own way."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import cast

from orchestrator.contracts import Unranked
from orchestrator.engines import engine
from orchestrator.observe.logs import Source
from orchestrator.spec.models import Cluster
from orchestrator.steps.service import services


def service_sources(cluster: Cluster) -> Iterator[Source]:
    """One for each of them."""
    for one in services(cluster):
        serving = cast("Unranked", engine(one.profile.engine))
        script = partial(serving.logs, cluster, one)
        yield Source(one.head, "", one.name, one.name, "0", script)
