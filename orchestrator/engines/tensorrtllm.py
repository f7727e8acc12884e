"""TensorRT-LLM: `trtllm-serve` on one host, or over hosts by MPI, whose ranks start through an sshd in each container.

As NVIDIA's "Run on two Sparks" has it by hand. The head's `mpirun` starts all ranks; workers are an sshd on the gang's
own address until then. Rendered and tested without its GPUs; nobody has run it by this program yet.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.contracts import Query, Rank, Step, World
from orchestrator.facts.help import Options
from orchestrator.flags import flags
from orchestrator.network.environment import environment_reads
from orchestrator.ranks.arguments import host_and_port, name_of, program, words
from orchestrator.ranks.build import RESTART, environment, gang, rank
from orchestrator.ranks.entrypoint import ENTRY, FOLDER, rendered
from orchestrator.ranks.health import with_health
from orchestrator.ranks.rules import common_findings, falls_whole, owned, said, unspread
from orchestrator.ranks.slots import slot
from orchestrator.spec.models import Cluster, Deployment, Finding, Profile
from orchestrator.steps.arguments import Arguments
from orchestrator.steps.programs import Programs

NAME = "tensorrtllm"
HOSTFILE = f"{FOLDER}/hostfile"
SSH = "-F none -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -p"


def serves(profile: Profile) -> tuple[str, ...]:
    return (*program(profile, "trtllm-serve"), "serve")


def ssh_port(cluster: Cluster, deployment: Deployment) -> int:
    table = flags(NAME)["ports"]
    return int(table["ssh"]) + slot(cluster, deployment) * int(table["step"])


def option_files(profile: Profile) -> Mapping[str, str]:
    """Path in the container → text, for each option of the profile that is written as a mapping."""
    made = (name_of(key) for key, value in profile.args.items() if _is_file(key, value))
    texts = {name_of(key): json.dumps(value, indent=1) for key, value in profile.args.items()}
    return {f"{FOLDER}/{name}.yaml": f"{texts[name]}\n" for name in made}


def _is_file(key: str, value: Any) -> bool:
    return isinstance(value, Mapping) and name_of(key) in flags(NAME)["files"]


def line(deployment: Deployment) -> tuple[str, ...]:
    """`trtllm-serve serve MODEL`, what orch sets, then the user's arguments in their order."""
    profile, sizes = deployment.profile, deployment.parallel
    made = [*serves(profile), profile.model, *host_and_port(deployment)]
    made += ["--tp_size", str(sizes.tensor)]
    if sizes.pipeline > 1:
        made += ["--pp_size", str(sizes.pipeline)]
    args = {
        key: f"{FOLDER}/{name_of(key)}.yaml" if _is_file(key, value) else value
        for key, value in profile.args.items()
    }
    return (*made, *words(NAME, args))


def each(deployment: Deployment) -> int:
    """Ranks on each host."""
    return max(1, deployment.parallel.world // len(deployment.hosts))


def mpi_line(cluster: Cluster, deployment: Deployment) -> tuple[str, ...]:
    profile = deployment.profile
    remote = f"{SSH} {ssh_port(cluster, deployment)}"
    start = [*program(profile, "mpirun"), "--allow-run-as-root", "--hostfile", HOSTFILE]
    start += ["-n", str(deployment.parallel.world), "--mca", "plm_rsh_args", remote]
    return (*start, *program(profile, "trtllm-llmapi-launch"), *line(deployment))


def _start(
    cluster: Cluster, deployment: Deployment, index: int, addresses: Sequence[str]
) -> dict[str, Any]:
    """How one rank starts: a head with workers waits until mpirun can reach them."""
    if len(addresses) == 1:
        one, files = line(deployment), option_files(deployment.profile)
        return {"entrypoint": one[0], "argv": one[1:], "files": dict(files)}
    port, keys = ssh_port(cluster, deployment), flags(NAME)["keys"]
    own = {"entrypoint": "sh", "argv": (ENTRY,)}
    if index:
        values = {"keys": keys, "port": port, "address": addresses[index]}
        script = rendered(cluster.root, "tensorrtllm/worker.sh.j2", **values)
        return {**own, "files": {ENTRY: script, **option_files(deployment.profile)}}
    figures = flags(NAME)["entrypoint"]
    script = rendered(
        cluster.root,
        "tensorrtllm/head.sh.j2",
        keys=keys,
        workers=list(addresses[1:]),
        port=port,
        serve=list(mpi_line(cluster, deployment)),
        poll=figures["poll_s"],
        patience=figures["patience_s"],
    )
    hosts = "".join(f"{address} slots={each(deployment)}\n" for address in addresses)
    return {**own, "files": {ENTRY: script, HOSTFILE: hosts, **option_files(deployment.profile)}}


def _rank(
    cluster: Cluster, deployment: Deployment, index: int, addresses: Sequence[str], world: World
) -> Rank:
    alone = len(addresses) == 1
    made = rank(
        cluster,
        deployment,
        index,
        world,
        role="worker" if index else "head",
        env=environment(cluster, deployment, deployment.hosts[index], world, {}),
        ports=frozenset({ssh_port(cluster, deployment) if index else deployment.port}),
        restart=RESTART if deployment.supervision == "entrypoint" and alone else "no",
        ulimits={"memlock": "-1", "stack": "67108864"},  # the playbook's
        **_start(cluster, deployment, index, addresses),
    )
    return with_health(cluster, deployment, made, "python3")


@dataclass(frozen=True)
class TensorRtLlm:
    """See contracts.Engine."""

    name: str = NAME

    def validate(self, cluster: Cluster, deployment: Deployment) -> Sequence[Finding]:
        own = (*common_findings(cluster, deployment), *owned(deployment, NAME))
        return (*own, *_findings(deployment), *_over_hosts(deployment))

    def ranks(self, cluster: Cluster, deployment: Deployment, world: World) -> Sequence[Rank]:
        return gang(cluster, deployment, world, _rank)

    def reads(self, cluster: Cluster, deployment: Deployment) -> frozenset[tuple[str, Query[Any]]]:
        return environment_reads(cluster, deployment)

    def steps(self, cluster: Cluster, deployment: Deployment) -> Sequence[Step]:
        """That the programs are in the image and know their arguments; the head's script waits for the workers."""
        names = ["trtllm-serve"]
        if len(deployment.hosts) > 1:
            names += ["mpirun", "trtllm-llmapi-launch", "ssh", "bash"]

        def head(_: Options | None) -> Sequence[str]:
            return line(deployment)

        programs = {name: program(deployment.profile, name)[0] for name in names}
        made = Programs.everywhere(cluster, deployment, programs)
        return [*made, Arguments.of(cluster, deployment, serves(deployment.profile), head)]


def _findings(deployment: Deployment) -> Iterator[Finding]:
    profile = deployment.profile
    if deployment.parallel.data > 1:
        yield said(deployment, "parallel.data", "trtllm-serve has no replicas", "a deployment each")
    else:
        yield from unspread(deployment)
    for key, instead in (
        ("api_key", "a gateway with keys in front of it, and endpoint: {bind: 127.0.0.1}"),
        ("served_name", "ask for it by its own name"),
        ("packages", "an image that has them: `build:`"),
    ):
        if getattr(profile, key):
            yield said(deployment, "profile", f"trtllm-serve knows no `{key}:`", instead)
    if profile.executor is not None:
        message = f"executor {profile.executor} is vLLM's"
        yield said(deployment, "profile", message, "leave `executor:` out")


def _over_hosts(deployment: Deployment) -> Iterator[Finding]:
    if len(deployment.hosts) == 1:
        return
    keys = flags(NAME)["keys"]
    if keys not in {mount.to for mount in deployment.profile.mounts}:
        yield said(
            deployment,
            "profile",
            "over hosts its ranks start by ssh, and the containers have no keys for that",
            f"mounts: [{{from: ~/.ssh, to: {keys}, read_only: true}}], with a key that they accept",
        )
    yield from falls_whole(deployment, "a gang over MPI")
    split = [word for word in line(deployment) if word != "".join(word.split())]
    if split:
        yield said(
            deployment,
            "args",
            f"trtllm-llmapi-launch splits words at blanks: {split[0][:60]!r}",
            "say it under `config:`, as a mapping",
        )


ENGINE = TensorRtLlm()
