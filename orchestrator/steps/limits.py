"""RDMA pins memory; a session with 8 MiB of it can register nothing, and Ray runs out of files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import unified_diff
from typing import Any

from orchestrator.contracts import Change, Step, World
from orchestrator.facts.answers import Limits
from orchestrator.facts.file import ReadFile
from orchestrator.facts.identity import Identify
from orchestrator.facts.limits import ReadLimits
from orchestrator.facts.privilege import ReadPrivilege
from orchestrator.script import Command, Script, sh
from orchestrator.spec.models import Cluster
from orchestrator.steps.rights import changeable, require_root

PATH = "/etc/security/limits.d/90-orch.conf"
NOFILE = 1_048_576
# `*` does not mean root to pam_limits.
TEXT = f"""# Written by orch: RDMA needs locked memory, Ray many open files. Delete to undo.
* - memlock unlimited
root - memlock unlimited
* - nofile {NOFILE}
root - nofile {NOFILE}
"""


@dataclass(frozen=True, kw_only=True)
class RaisedLimits(Step):
    """New sessions may lock memory and open many files. Containers get theirs with each rank."""

    host: str

    def check(self, world: World) -> Change | None:
        facts = world[self.host]
        limits = facts.get(ReadLimits())
        if enough(limits):
            return None
        if not limits.raisable:
            # Without CAP_SYS_RESOURCE pam_limits could not set them, and every login would be refused.
            return None
        found = facts.get(ReadFile(PATH))
        if found == TEXT.encode():
            return None  # holds for sessions to come, not for this one
        require_root(world, self.host, f"writing {PATH}")
        old = (found or b"").decode(errors="replace").splitlines(keepends=True)
        diff = unified_diff(old, TEXT.splitlines(keepends=True), PATH, PATH)
        return Change(f"write {PATH} (unlimited memlock, {NOFILE} files)", diff="".join(diff))

    def apply(self, change: Change, world: World) -> Script:
        write = sh("umask 022 && cat >{} && mv {} {}", f"{PATH}.new", f"{PATH}.new", PATH)
        return Script({"apply": Command(write, stdin=TEXT.encode(), sudo=True)}, mutates=True)


def enough(limits: Limits) -> bool:
    """Are the session's own limits high enough already?"""
    return limits.memlock_bytes is None and (limits.nofile is None or limits.nofile >= NOFILE)


def limits_steps(cluster: Cluster, options: Mapping[str, Any]) -> Iterable[Step]:
    """For hosts with RDMA ports (`prepare.limits` turns it off)."""
    for host in changeable(cluster):
        rdma = any(half.rdma for port in host.ports.values() for half in port.halves)
        if rdma and host.prepare.limits:
            queries = (Identify(), ReadFile(PATH), ReadLimits(), ReadPrivilege())
            yield RaisedLimits(
                id=f"{host.name}/limits",
                host=host.name,
                reads=frozenset((host.name, query) for query in queries),
            )


STAGES = {"limits": limits_steps}
