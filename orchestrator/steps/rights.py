"""What preparation steps share: which hosts they are for, and that root's rights are there."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.contracts import World
from orchestrator.errors import Refused
from orchestrator.facts.identity import Identify
from orchestrator.facts.privilege import ReadPrivilege
from orchestrator.script import Command, Script, Sh
from orchestrator.spec.derived import placed
from orchestrator.spec.models import Cluster, Host


def changeable(cluster: Cluster) -> Iterator[Host]:
    """Hosts in use on which root's things may be changed (`become: never` forbids it)."""
    return (host for host in cluster.used_hosts if host.become != "never")


def serving(cluster: Cluster) -> frozenset[str]:
    """Names of the hosts that a deployment is placed on."""
    return frozenset(placed(cluster))


def in_lab(world: World, host: str) -> bool:
    """A rehearsal host shares its kernel with the machine that it runs on."""
    return world[host].get(Identify()).in_lab


def require_root(world: World, host: str, what: str) -> None:
    """Refuse, with what to type, where something is to be changed and sudo does not work."""
    if world[host].get(ReadPrivilege()).sudo:
        return
    user = world[host].get(Identify()).user
    raise Refused(
        f"{what} needs root, and `sudo -n` does not work for {user}",
        host=host,
        hint=f"on {host}: echo '{user} ALL=(ALL) NOPASSWD:ALL' | sudo tee /etc/sudoers.d/{user};"
        f" or give `become_password:` to {host} in the inventory; or `become: never` and do it by hand",
    )


def as_root(command: Sh, *, timeout: float = 60) -> Script:
    """One mutating command by root."""
    return Script({"apply": Command(command, sudo=True, timeout=timeout)}, mutates=True)


def size_text(size: float) -> str:
    """Bytes for people: 1.5 GiB."""
    for unit in ("B", "KiB", "MiB"):
        if abs(size) < 1024:
            return f"{size:.4g} {unit}"
        size /= 1024
    return f"{size:.1f} GiB" if size < 10_000 else f"{size / 1024:.1f} TiB"
