"""llama.cpp: one host, or a model's layers over hosts by RPC, which is for capacity and not for speed.

An RPC server trusts whoever reaches it, so it listens on the gang's own address and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from orchestrator.contracts import Query, Rank, Step, World
from orchestrator.facts.help import Help, Options
from orchestrator.flags import flags
from orchestrator.network.environment import environment_reads
from orchestrator.ranks.arguments import host_and_port, program, words
from orchestrator.ranks.build import RESTART, api_key, environment, gang, mounts, rank
from orchestrator.ranks.entrypoint import ENTRY, rendered
from orchestrator.ranks.forms import fitting
from orchestrator.ranks.health import with_health
from orchestrator.ranks.help import help_of
from orchestrator.ranks.rules import common_findings, falls_whole, owned
from orchestrator.ranks.tasks import task_words
from orchestrator.spec.models import Cluster, Deployment, Finding, Profile
from orchestrator.steps.arguments import Arguments
from orchestrator.steps.programs import Programs

NAME = "llamacpp"


def server(profile: Profile) -> tuple[str, ...]:
    return program(profile, "server", "llama-server")


def rpc_port(deployment: Deployment) -> int:
    return deployment.profile.rpc_port or int(flags(NAME)["ports"]["rpc"])


def server_line(
    deployment: Deployment, workers: Sequence[str], options: Options | None = None
) -> tuple[str, ...]:
    """`llama-server` on the head: what orch sets, then the user's arguments as this program takes them."""
    profile = deployment.profile
    source = "-m" if profile.model.startswith("/") else "-hf"
    line = [*server(profile), source, profile.model]
    if profile.served_name:
        line += ["--alias", profile.served_name]
    line += host_and_port(deployment)
    if workers:
        line += ["--rpc", ",".join(f"{one}:{rpc_port(deployment)}" for one in workers)]
    args = fitting(NAME, profile.args, options)
    return (*line, *task_words(profile, None), *words(NAME, args))


def asked(cluster: Cluster, deployment: Deployment) -> Help:
    """What the head's program says of itself."""
    return help_of(cluster, deployment, deployment.head, server(deployment.profile))


def rpc_line(deployment: Deployment, address: str) -> tuple[str, ...]:
    line = program(deployment.profile, "rpc-server")
    return (*line, "-H", address, "-p", str(rpc_port(deployment)))


def _start(
    cluster: Cluster, deployment: Deployment, index: int, addresses: Sequence[str], world: World
) -> dict[str, Any]:
    """How one rank starts: a head with workers waits until they can be reached."""
    if index:
        line = rpc_line(deployment, addresses[index])
        script = rendered(cluster.root, "llamacpp/worker.sh.j2", serve=list(line))
        return {"entrypoint": "sh", "argv": (ENTRY,), "files": {ENTRY: script}}
    options = world[deployment.head].get(asked(cluster, deployment))
    line = server_line(deployment, addresses[1:], options)
    if len(addresses) == 1:
        return {"entrypoint": line[0], "argv": line[1:]}
    figures = flags(NAME)["entrypoint"]
    script = rendered(
        cluster.root,
        "llamacpp/head.sh.j2",
        workers=list(addresses[1:]),
        port=rpc_port(deployment),
        serve=list(line),
        poll=figures["poll_s"],
        patience=figures["patience_s"],
    )
    return {"entrypoint": "sh", "argv": (ENTRY,), "files": {ENTRY: script}}


def _rank(
    cluster: Cluster, deployment: Deployment, index: int, addresses: Sequence[str], world: World
) -> Rank:
    host = deployment.hosts[index]
    alone = len(deployment.hosts) == 1
    supervised = deployment.supervision == "entrypoint" and alone
    made = rank(
        cluster,
        deployment,
        index,
        world,
        role="worker" if index else "head",
        env=environment(cluster, deployment, host, world, {}),
        ports=frozenset({rpc_port(deployment) if index else deployment.port}),
        restart=RESTART if supervised else "no",
        **_start(cluster, deployment, index, addresses, world),
    )
    if index:  # a worker gets its layers over the network: it needs neither the file nor the key
        return replace(made, mounts=mounts(cluster, deployment, host, model=False))
    prefix = deployment.profile.args.get("api-prefix", "")
    made = with_health(cluster, deployment, made, "python3", f"{prefix}/health")
    return replace(made, secrets=made.secrets | api_key(deployment, "LLAMA_API_KEY"))


@dataclass(frozen=True)
class LlamaCpp:
    """See contracts.Engine."""

    name: str = NAME

    def validate(self, cluster: Cluster, deployment: Deployment) -> Sequence[Finding]:
        return tuple(_findings(cluster, deployment))

    def ranks(self, cluster: Cluster, deployment: Deployment, world: World) -> Sequence[Rank]:
        return gang(cluster, deployment, world, _rank)

    def reads(self, cluster: Cluster, deployment: Deployment) -> frozenset[tuple[str, Query[Any]]]:
        own = frozenset({(deployment.head, asked(cluster, deployment))})
        return environment_reads(cluster, deployment) | own

    def steps(self, cluster: Cluster, deployment: Deployment) -> Sequence[Step]:
        """That programs are in the image and know their arguments: the head's script waits for the workers itself."""
        made: list[Step] = []
        serve, rpc = server(deployment.profile), program(deployment.profile, "rpc-server")
        several = len(deployment.hosts) > 1
        for index, host in enumerate(deployment.hosts):
            name, called = ("rpc-server", rpc) if index else ("server", serve)
            # the head's own RPC server, if it has one, is of one build with its llama-server: which RPC they speak
            also = rpc[:1] if several and not index else ()
            one = {name: called[0]}
            made.append(Programs.of(cluster, deployment, host, one, model=not index, also=also))
        line = partial(server_line, deployment, deployment.hosts[1:])
        return [*made, Arguments.of(cluster, deployment, serve, line)]

    def model_hosts(self, deployment: Deployment) -> tuple[str, ...]:
        """Only the head reads the file."""
        return (deployment.head,)


def _findings(cluster: Cluster, deployment: Deployment) -> Iterator[Finding]:
    yield from common_findings(cluster, deployment)
    yield from owned(deployment, NAME)
    where = f"deployments.{deployment.name}"
    if deployment.parallel.world > 1:
        yield Finding(
            message="llama.cpp has no parallel sizes: its layers are spread over the hosts",
            path=f"{where}.parallel",
            suggestion="leave `parallel:` out",
        )
    yield from falls_whole(deployment, "a gang over RPC")
    mine = rpc_port(deployment)
    for other in cluster.deployments.values():
        shared = set(other.hosts) & set(deployment.hosts[1:])
        same = other.name != deployment.name and other.profile.engine == NAME
        clash = other.port == mine or (
            same and rpc_port(other) == mine and shared & set(other.hosts[1:])
        )
        if shared and clash:
            yield Finding(
                message=f"port {mine} on {', '.join(sorted(shared))} is also one of {other.name}",
                path=f"{where}.profile",
                suggestion="set `rpc_port:` in one of the profiles",
            )


ENGINE = LlamaCpp()
