"""SGLang: one host, or one server over hosts; each rank is told its number and where the head is.

Only the head serves; the others answer a `/health` of their own, on their loopback here. Source: sglang 0.5.23,
entrypoints/engine.py, arg_groups/validation_hook.py; its document "Multi-Node Deployment".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.contracts import Query, Rank, Step, World
from orchestrator.facts.help import Options
from orchestrator.flags import flags
from orchestrator.flags.versions import version
from orchestrator.network.environment import environment_reads
from orchestrator.ranks.arguments import host_and_port, name_of, program, words
from orchestrator.ranks.build import RESTART, environment, gang, rank
from orchestrator.ranks.entrypoint import ENTRY, rendered
from orchestrator.ranks.health import with_health
from orchestrator.ranks.rules import common_findings, falls_whole, owned, said, unspread
from orchestrator.ranks.slots import slot
from orchestrator.ranks.tasks import task_words
from orchestrator.spec.gpus import share
from orchestrator.spec.models import Cluster, Deployment, Finding, Profile
from orchestrator.spec.units import parse_duration
from orchestrator.steps.arguments import Arguments
from orchestrator.steps.programs import Programs

NAME = "sglang"
MEMORY = "mem-fraction-static"
TIMEOUT = "dist-timeout"


def server(profile: Profile) -> tuple[str, ...]:
    """What starts it in any version."""
    return program(profile, NAME, "python3 -m sglang.launch_server")


def port(cluster: Cluster, deployment: Deployment, which: str) -> int:
    table = flags(NAME)["ports"]
    return int(table[which]) + slot(cluster, deployment) * int(table["step"])


def arguments(cluster: Cluster, deployment: Deployment) -> Mapping[str, Any]:
    """The profile's; `memory:` of the deployment as SGLang's share of the GPU."""
    args, part = deployment.profile.args, share(cluster, deployment)
    if part is None:
        return args
    return {**{key: value for key, value in args.items() if name_of(key) != MEMORY}, MEMORY: part}


def line(
    cluster: Cluster, deployment: Deployment, index: int, addresses: Sequence[str]
) -> tuple[str, ...]:
    """What one rank is started with: what orch sets, then the user's arguments in their order."""
    profile, sizes = deployment.profile, deployment.parallel
    made = [*server(profile), "--model-path", profile.model]
    if profile.served_name:
        made += ["--served-model-name", profile.served_name]
    if index:
        made += ["--host", "127.0.0.1", "--port", str(port(cluster, deployment, "health"))]
    else:
        made += host_and_port(deployment)
    made += ["--tp-size", str(sizes.tensor)]
    if sizes.pipeline > 1:
        made += ["--pp-size", str(sizes.pipeline)]
    if sizes.data > 1:
        made += ["--dp-size", str(sizes.data)]
    if len(deployment.hosts) > 1:
        made += _gang(cluster, deployment, index, addresses[0])
    made += task_words(profile, version(profile))
    return (*made, *words(NAME, arguments(cluster, deployment)))


def _gang(cluster: Cluster, deployment: Deployment, index: int, head: str) -> list[str]:
    meeting = f"{head}:{port(cluster, deployment, 'dist')}"
    made = ["--nnodes", str(len(deployment.hosts)), "--node-rank", str(index)]
    made += ["--dist-init-addr", meeting]
    if TIMEOUT not in {name_of(key) for key in deployment.profile.args}:
        made += [f"--{TIMEOUT}", str(round(parse_duration(deployment.profile.ready.start)))]
    return made


def _entry(cluster: Cluster, deployment: Deployment, serve: Sequence[str]) -> dict[str, Any]:
    """How the container starts the line: directly, or by a script that installs packages and becomes it."""
    profile = deployment.profile
    if not profile.packages:
        return {"entrypoint": serve[0], "argv": tuple(serve[1:])}
    values = {"python": program(profile, "python3"), "packages": profile.packages, "serve": serve}
    script = rendered(cluster.root, "vllm/packages.sh.j2", **values)
    return {"entrypoint": "sh", "argv": (ENTRY,), "files": {ENTRY: script}}


def _rank(
    cluster: Cluster, deployment: Deployment, index: int, addresses: Sequence[str], world: World
) -> Rank:
    host, several = deployment.hosts[index], len(addresses) > 1
    own = {"SGLANG_HOST_IP": addresses[index]} if several else {}
    ports = {port(cluster, deployment, "health") if index else deployment.port}
    if several and not index:
        ports.add(port(cluster, deployment, "dist"))
    supervised = deployment.supervision == "entrypoint" and not several
    made = rank(
        cluster,
        deployment,
        index,
        world,
        role="worker" if index else "head",
        env=environment(cluster, deployment, host, world, own),
        ports=frozenset(ports),
        restart=RESTART if supervised else "no",
        **_entry(cluster, deployment, line(cluster, deployment, index, addresses)),
    )
    return with_health(cluster, deployment, made, "python3")


@dataclass(frozen=True)
class SGLang:
    """See contracts.Engine."""

    name: str = NAME

    def validate(self, cluster: Cluster, deployment: Deployment) -> Sequence[Finding]:
        own = (*common_findings(cluster, deployment), *owned(deployment, NAME))
        return (*own, *_findings(deployment))

    def ranks(self, cluster: Cluster, deployment: Deployment, world: World) -> Sequence[Rank]:
        return gang(cluster, deployment, world, _rank)

    def reads(self, cluster: Cluster, deployment: Deployment) -> frozenset[tuple[str, Query[Any]]]:
        return environment_reads(cluster, deployment)

    def steps(self, cluster: Cluster, deployment: Deployment) -> Sequence[Step]:
        """That the program is in the image, and knows its arguments; ranks wait for each other (--dist-timeout)."""
        serve = server(deployment.profile)

        def head(_: Options | None) -> Sequence[str]:
            return line(cluster, deployment, 0, deployment.hosts)

        made = Programs.everywhere(cluster, deployment, {serve[0]: serve[0]})
        return [*made, Arguments.of(cluster, deployment, serve, head)]


def _findings(deployment: Deployment) -> Iterator[Finding]:
    if deployment.parallel.data > 1 and len(deployment.hosts) > 1:
        yield said(
            deployment,
            "parallel.data",
            "SGLang has no replicas over hosts",
            "attention DP: args: {attn-dp-size: 2}; or a deployment for each",
        )
    else:
        yield from unspread(deployment)
    yield from falls_whole(deployment, "an SGLang gang")
    if deployment.profile.executor not in (None, "native", "mp"):
        yield said(
            deployment,
            "profile",
            f"executor {deployment.profile.executor} is vLLM's",
            "leave `executor:` out: SGLang spreads itself over hosts",
        )
    if deployment.profile.api_key is not None:
        yield said(
            deployment,
            "profile",
            "SGLang takes its key as an argument only, and writes its arguments into its log",
            "a gateway with keys in front of it, and endpoint: {bind: 127.0.0.1}",
        )


ENGINE = SGLang()
