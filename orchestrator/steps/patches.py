"""Patched files of models: made on each host from the original that was read there, before a rank mounts them."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from orchestrator.contracts import Change, Patience, Step, World
from orchestrator.errors import Refused
from orchestrator.facts.overlays import ReadOverlays
from orchestrator.ranks.build import ROOT_STATE
from orchestrator.ranks.files import on_host
from orchestrator.ranks.patched import folder, overlay, patched, query
from orchestrator.script import Command, Script, sh
from orchestrator.spec.models import Cluster
from orchestrator.steps.gang import GangStep

MAKE_S = 60.0


@dataclass(frozen=True, kw_only=True)
class Patched(GangStep):
    """One file on one host. The original is read, never written."""

    file: str

    @property
    def _folder(self) -> str:
        return folder(self.cluster, self.cluster.hosts[self.host or ""])

    def _content(self, world: World) -> bytes:
        try:
            original = world[self.host or ""].get(query(self.deployment, self.file))
            return patched(self.deployment, self.file, original)
        except Refused as why:
            raise Refused(str(why), host=self.host, step=self.id, hint=why.hint) from why

    def _target(self, content: bytes) -> str:
        return overlay(self.cluster, self.cluster.hosts[self.host or ""], self.file, content)

    def check(self, world: World) -> Change | None:
        content = self._content(world)
        there = world[self.host or ""].get(overlays(self._folder))
        name = PurePosixPath(self._target(content)).name
        if there.get(name) == hashlib.sha256(content).hexdigest():
            return None
        original = world[self.host or ""].get(query(self.deployment, self.file))
        had = original.content or b""
        path = f"{query(self.deployment, self.file).folder}/{original.below}"
        diff = difflib.unified_diff(
            had.decode(errors="replace").splitlines(),
            content.decode().splitlines(),
            path,
            f"{path} (patched)",
            lineterm="",
            n=1,
        )
        return Change(f"make a patched {self.file} of {path}", diff="\n".join(diff))

    def apply(self, change: Change, world: World) -> Script:
        """Whole or not at all: written beside, then renamed."""
        content = self._content(world)
        target = self._target(content)
        new = on_host(f"{target}.new")
        text = sh(
            "umask 022 && mkdir -p {} && cat > {} && mv {} {}",
            *(on_host(self._folder), new, new, on_host(target)),
        )
        sudo = target.startswith(ROOT_STATE)
        command = Command(text, stdin=content, sudo=sudo, timeout=MAKE_S)
        return Script({"patch": command}, mutates=True, stop_on_error=True)


def overlays(where: str) -> ReadOverlays:
    return ReadOverlays(where, sudo=where.startswith(ROOT_STATE))


def patch_steps(cluster: Cluster, options: Mapping[str, Any]) -> Iterable[Step]:
    for name, deployment in cluster.deployments.items():
        for host in dict.fromkeys(deployment.hosts):
            where = overlays(folder(cluster, cluster.hosts[host]))
            for number, file in enumerate(deployment.profile.patches):
                yield Patched(
                    id=f"{name}/patches/{host}/{number}",
                    host=host,
                    scope=name,
                    stage="patches",
                    reads=frozenset({(host, query(deployment, file)), (host, where)}),
                    patience=Patience(total=MAKE_S, stall=MAKE_S),
                    file=file,
                    cluster=cluster,
                    deployment=deployment,
                )


STAGES = {"patches": patch_steps}
