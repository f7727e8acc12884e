"""What `orch render` shows, as a value: per host its netplan and, per rank, environment and command."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from orchestrator.engines import engine
from orchestrator.facts.assumed import assumed_world
from orchestrator.facts.engine_words import typed
from orchestrator.network.netplan import netplan_text
from orchestrator.network.topology import plan_fabric
from orchestrator.ranks.build import container_hosts
from orchestrator.ranks.context import image_of
from orchestrator.runtimes import runtime
from orchestrator.spec.models import Cluster, Host
from orchestrator.steps.image_build import build_words


def rendered(cluster: Cluster, only: frozenset[str] | None = None) -> dict[str, dict[str, Any]]:
    """Host → {"netplan": text, "ranks": [...]}, in the order of the inventory."""
    world = assumed_world(cluster)
    fabric = plan_fabric(cluster)
    found: dict[str, dict[str, Any]] = {
        host.name: {
            "netplan": netplan_text(cluster, fabric, host.name),
            "builds": list(_builds(cluster, host)),
            "ranks": [],
        }
        for host in cluster.used_hosts
        if only is None or host.name in only
    }
    for deployment in cluster.deployments.values():
        for rank in engine(deployment.profile.engine).ranks(cluster, deployment, world):
            if rank.host not in found:
                continue
            hidden = {name.partition("=")[0]: "[secret]" for name in sorted(rank.secrets)}
            found[rank.host]["ranks"].append(
                {
                    "deployment": rank.deployment,
                    "index": rank.index,
                    "role": rank.role,
                    "name": rank.name,
                    "env": dict(rank.env) | hidden,
                    "files": dict(rank.files),
                    "restart": rank.restart,
                    "runtime": typed(cluster.hosts[rank.host].runtime),
                    "run": runtime(cluster.hosts[rank.host].runtime).describe(rank),
                }
            )
    return found


def _builds(cluster: Cluster, host: Host) -> Iterator[dict[str, str]]:
    """Images that this host builds, by the command that a person would type where the files lie."""
    for deployment in cluster.deployments.values():
        build, image = deployment.profile.build, image_of(deployment)
        if build is None or container_hosts(cluster, deployment)[:1] != (host.name,):
            continue
        words = build_words(typed(host.runtime), image, build.dockerfile, build.context)
        yield {"deployment": deployment.name, "image": image, "run": str(words)}


def write(found: dict[str, dict[str, Any]], folder: Path) -> Iterator[str]:
    """The same as files; gives their paths.

    HOST/40-orch.yaml, HOST/builds/DEPLOYMENT.sh, and for each rank HOST/RANK/: run.sh, env, and the files
    that are mounted into it.
    """
    for host, parts in found.items():
        base = folder / host
        if parts["netplan"]:
            yield _put(base / "40-orch.yaml", parts["netplan"])
        for build in parts["builds"]:
            yield _put(base / "builds" / f"{build['deployment']}.sh", build["run"] + "\n")
        for rank in parts["ranks"]:
            env = "".join(f"{name}={value}\n" for name, value in rank["env"].items())
            place = base / rank["name"]
            yield _put(place / "env", env)
            yield _put(place / "run.sh", rank["run"] + "\n")
            for path, text in rank["files"].items():
                yield _put(place / PurePosixPath(path).name, text)


def _put(path: Path, text: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return str(path)
