"""What is kept when a deployment fails: the last logs of every rank, state, and what they mean.

Collected before anything is cleaned up; a fast restart must not erase the first failure.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from orchestrator.contracts import Hosts
from orchestrator.errors import OrchError
from orchestrator.facts.answers import Container
from orchestrator.knowledge import Cause, diagnose, telling_first
from orchestrator.observe.logs import read_one
from orchestrator.observe.service_logs import service_sources
from orchestrator.runtimes import runtime
from orchestrator.spec.models import Cluster, Deployment

LINES = 400  # of each rank's log


@dataclass(frozen=True)
class Evidence:
    deployment: str
    folder: Path
    causes: tuple[Cause, ...]
    ranks: Mapping[str, str]  # "spark-1/orch-duo-vl-0" → state


def gather(
    cluster: Cluster,
    deployment: Deployment,
    hosts: Hosts,
    folder: Path,
    redact: Callable[[str], str],
) -> Evidence:
    """Logs and states of a deployment's ranks into `folder` (0700), secrets masked. Raises OSError alone."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    states: dict[str, str] = {}
    causes: list[Cause] = []
    for name in deployment.hosts:
        try:
            ranks = _ranks(cluster, deployment, hosts, name)
        except OrchError as error:
            states[name] = f"could not be asked: {redact(str(error))}"
            continue
        for rank in ranks:
            states[f"{name}/{rank.name}"] = _state(rank)
            log = redact(_log(cluster, hosts, name, rank.name))
            (folder / f"{name}.{rank.name}.log").write_text(log, encoding="utf-8")
            causes += diagnose(log)
    for source in service_sources(cluster):
        if source.deployment == deployment.name:
            batch = read_one(hosts, source, LINES)
            log = redact("\n".join(batch.lines) or batch.error)
            (folder / f"{source.host}.{source.container}-0.log").write_text(log, encoding="utf-8")
            states[f"{source.host}/{source.container}"] = deployment.profile.engine
    found = telling_first(causes)
    summary = {
        "cluster": cluster.name,
        "deployment": deployment.name,
        "ranks": states,
        "causes": [asdict(cause) for cause in found],
    }
    (folder / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    return Evidence(deployment.name, folder, found, states)


def _ranks(
    cluster: Cluster, deployment: Deployment, hosts: Hosts, host: str
) -> tuple[Container, ...]:
    query = runtime(cluster.hosts[host].runtime).ours(cluster.name)
    ask = query.ask()
    found = query.parse(hosts.run(host, ask))  # type: ignore[arg-type]  # containers are asked by script
    return tuple(one for one in found if one.labels.get("orch.deployment") == deployment.name)


def _state(rank: Container) -> str:
    tail = ", killed for memory" if rank.oom_killed else ""
    code = f", exit {rank.exit_code}" if rank.state != "running" else ""
    return f"{rank.state}{code}{tail}"


def _log(cluster: Cluster, hosts: Hosts, host: str, name: str) -> str:
    script = runtime(cluster.hosts[host].runtime).logs(name, LINES)
    try:
        results = hosts.run(host, script)
    except OrchError as error:
        return f"(the log could not be read: {error})\n"
    return "".join(one.text + one.err.decode(errors="replace") for one in results.values())
