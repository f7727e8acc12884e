"""What a playbook's `when:` may say: named questions to the spec about one host. Add one here by a line."""

from __future__ import annotations

from collections.abc import Callable

from orchestrator.spec.derived import linked, placed
from orchestrator.spec.models import Cluster, Host


def _multi_host(cluster: Cluster, host: Host) -> bool:
    return any(len(one.hosts) > 1 for one in placed(cluster).get(host.name, ()))


def _linked(cluster: Cluster, host: Host) -> bool:
    return host.name in linked(cluster)


PREDICATES: dict[str, Callable[[Cluster, Host], bool]] = {
    "unified-memory": lambda _, host: host.kind.unified_memory,
    "not-lab": lambda _, host: not host.kind.logical_gpus,
    "sudo": lambda _, host: host.become == "sudo",
    "docker": lambda _, host: host.runtime == "docker",
    "multi-host": _multi_host,
    "linked": _linked,
}
