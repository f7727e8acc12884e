"""Hosts of a gang are alike where it matters: one that is not ends it with an error that names none of this.

Without a word in the files, what is known to break gangs is refused, and other differences are warnings;
`gate: {parity: required}` refuses every difference, and what is not known. What is nowhere is alike.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.contracts import Change, Patience, Step, World
from orchestrator.errors import NotRead, Refused, Unknown
from orchestrator.facts import Identify, ReadDriver, ReadOomKillers
from orchestrator.network.environment import environment_reads, rank_devices
from orchestrator.ranks.build import container_hosts
from orchestrator.spec.models import Cluster, Deployment
from orchestrator.steps.gang import GangStep, Reads, engine_steps, image_read
from orchestrator.steps.programs import NCCL, RPC, Programs

NONE = "none"
Reader = Callable[[Cluster, Deployment, str, World], str]


def always(values: Collection[str]) -> bool:
    return True


def never(values: Collection[str]) -> bool:
    return False


def other_major(values: Collection[str]) -> bool:
    """Versions of one branch get along; NVIDIA's libraries of another branch do not load."""
    return len({value.partition(".")[0] for value in values}) > 1


@dataclass(frozen=True)
class Trait:
    """One thing that is compared. `breaks`: whether these values can't be in one gang."""

    name: str
    read: Reader
    breaks: Callable[[Collection[str]], bool]
    hint: str


@dataclass(frozen=True)
class Unlike:
    """A difference between the hosts, or something that is not known of one."""

    text: str
    breaks: bool
    hint: str


def _arch(cluster: Cluster, deployment: Deployment, host: str, world: World) -> str:
    return world[host].get(Identify()).arch


def _driver(cluster: Cluster, deployment: Deployment, host: str, world: World) -> str:
    return NONE if deployment.gpus in (0, ()) else world[host].get(ReadDriver()) or NONE


def _kernel(cluster: Cluster, deployment: Deployment, host: str, world: World) -> str:
    return world[host].get(Identify()).kernel


def _oom(cluster: Cluster, deployment: Deployment, host: str, world: World) -> str:
    return ", ".join(sorted(world[host].get(ReadOomKillers()))) or NONE


def _firmware(cluster: Cluster, deployment: Deployment, host: str, world: World) -> str:
    devices = rank_devices(cluster, deployment, host, world)
    return ", ".join(sorted({one.firmware or "no version" for one in devices})) or NONE


def _active_mtu(cluster: Cluster, deployment: Deployment, host: str, world: World) -> str:
    found = set()
    for one in rank_devices(cluster, deployment, host, world):
        if one.active_mtu is None:
            raise Unknown(f"ibv_devinfo does not say it of {one.name}", host=host)
        found.add(one.active_mtu)
    return ", ".join(map(str, sorted(found))) or NONE


def _image(cluster: Cluster, deployment: Deployment, host: str, world: World) -> str:
    found = world[host].get(image_read(cluster, deployment, host))
    return found.id if found.present else "absent"


def _nccl(cluster: Cluster, deployment: Deployment, host: str, world: World) -> str:
    return _looked(cluster, deployment, host, world, NCCL)


def _rpc(cluster: Cluster, deployment: Deployment, host: str, world: World) -> str:
    return _looked(cluster, deployment, host, world, RPC)


def other_protocol(values: Collection[str]) -> bool:
    """llama.cpp's ends speak one major version; where none was found, nothing is known against it."""
    return other_major([value for value in values if value != NONE])


def _looked(cluster: Cluster, deployment: Deployment, host: str, world: World, kind: str) -> str:
    """As found when the programs were looked for: the image is the same, what is mounted may not be."""
    for step in _programs(cluster, deployment):
        if step.host == host:
            found = world[host].get(step.query)
            if found is None:
                raise Unknown("nobody has looked into the image", host=host)
            versions = (name.removeprefix(kind) for name in found if name.startswith(kind))
            return next(versions, NONE)
    return NONE


HOSTS = (
    Trait("architecture", _arch, always, "one image can't run on both"),
    Trait("GPU driver", _driver, other_major, "install the same driver branch, and boot"),
    Trait("kernel", _kernel, never, "install the same kernel, and boot"),
    Trait(
        "OOM killers", _oom, never, "they end ranks without a word: none, or all with one setting"
    ),
    Trait("RDMA firmware", _firmware, never, "mlxfwmanager or fwupdmgr bring it up to date"),
    Trait("active RDMA MTU", _active_mtu, never, "the netdev's MTU and ibverbs-utils tell why"),
)
IMAGE = (
    Trait("image", _image, always, "the stage `image` makes it the same"),
    Trait("NCCL", _nccl, always, "ranks with unlike NCCL refuse each other: look at `mounts:`"),
    Trait("RPC", _rpc, other_protocol, "llama.cpp of one build on all hosts: look at `mounts:`"),
)


@dataclass(frozen=True, kw_only=True)
class Parity(GangStep):
    """These traits are the same on all hosts of the gang."""

    traits: tuple[Trait, ...]
    hosts: tuple[str, ...]  # those that are compared: a process has no image

    def check(self, world: World) -> Change | None:
        strict = self.deployment.gate.parity == "required"
        found = [one for one in self._unlike(world) if one.breaks or strict]
        if not found:
            return None
        hints = dict.fromkeys(one.hint for one in found)
        raise Refused(
            f"the hosts of {self.deployment.name} are not alike: {'; '.join(one.text for one in found)}",
            host=self.deployment.head,
            step=self.id,
            hint=f"{'; '.join(hints)}; `gate: {{parity: off}}` starts it all the same",
        )

    def remarks(self, world: World) -> Sequence[str]:
        """What is not alike, and has not stopped it."""
        name = self.deployment.name
        return [f"{name}: unlike hosts, {one.text} ({one.hint})" for one in self._unlike(world)]

    def _unlike(self, world: World) -> Iterator[Unlike]:
        for trait in self.traits:
            values: dict[str, str] = {}
            for host in self.hosts:
                try:
                    values[host] = trait.read(self.cluster, self.deployment, host, world)
                except NotRead:
                    raise
                except Unknown as why:
                    text = f"{trait.name} of {host} is not known ({why.message})"
                    yield Unlike(text, trait.breaks((host, "")), trait.hint)
            if len(set(values.values())) > 1:
                told = "; ".join(_grouped(values))
                yield Unlike(f"{trait.name} {told}", trait.breaks(values.values()), trait.hint)


def _grouped(values: Mapping[str, str]) -> Iterator[str]:
    """Each value with its hosts."""
    by_value: dict[str, list[str]] = {}
    for host, value in values.items():
        by_value.setdefault(value, []).append(host)
    for value, hosts in by_value.items():
        yield f"{value} on {', '.join(hosts)}"


def _programs(cluster: Cluster, deployment: Deployment) -> list[Programs]:
    return [one for one in engine_steps(cluster, deployment) if isinstance(one, Programs)]


def _gangs(cluster: Cluster) -> Iterator[Deployment]:
    for one in cluster.deployments.values():
        if len(one.hosts) > 1 and one.gate.parity != "off":
            yield one


def _step(
    cluster: Cluster,
    one: Deployment,
    stage: str,
    traits: tuple[Trait, ...],
    hosts: tuple[str, ...],
    reads: Reads,
) -> Parity:
    return Parity(
        id=f"{one.name}/{stage}",
        role="gate",
        scope=one.name,
        stage=stage,
        on_demand=True,
        reads=reads,
        patience=Patience(total=60, stall=60),
        traits=traits,
        hosts=hosts,
        cluster=cluster,
        deployment=one,
    )


def parity_steps(cluster: Cluster, options: Mapping[str, Any]) -> Iterable[Step]:
    """What the hosts themselves are like: known before anything is done."""
    for one in _gangs(cluster):
        asked = (Identify(), ReadDriver(), ReadOomKillers())
        own = frozenset((host, query) for host in one.hosts for query in asked)
        reads = own | environment_reads(cluster, one)
        yield _step(cluster, one, "parity", HOSTS, one.hosts, reads)


def image_parity_steps(cluster: Cluster, options: Mapping[str, Any]) -> Iterable[Step]:
    """What the ranks are made of: after the image has come and was looked into."""
    for one in _gangs(cluster):
        hosts = container_hosts(cluster, one)
        if len(hosts) < 2:
            continue
        images = frozenset((host, image_read(cluster, one, host)) for host in hosts)
        looked = frozenset(read for step in _programs(cluster, one) for read in step.reads)
        yield _step(cluster, one, "image-parity", IMAGE, hosts, images | looked)


STAGES = {"parity": parity_steps, "image-parity": image_parity_steps}
