"""What an engine needs in the image is looked for before anything starts (few images have `ray`)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from orchestrator.contracts import Change, Patience, Step, World
from orchestrator.errors import Refused
from orchestrator.facts.engine_words import spoken
from orchestrator.facts.programs import FOLDER, MARK, ReadPrograms, kept_at
from orchestrator.network.environment import BY_SUBNET, by_subnet, merge
from orchestrator.ranks.build import PROCESS, mounts
from orchestrator.ranks.containers import looking
from orchestrator.ranks.context import image_of
from orchestrator.script import Command, Raw, Script, sh
from orchestrator.spec.models import Cluster, Deployment
from orchestrator.steps.gang import GangStep, after_jobs, image_read, own_steps
from orchestrator.steps.process_programs import HostPrograms

REMEDY = {
    "ray": "use an image that has Ray, add ray to `packages:`, or set `executor: native`",
}
NCCL, RPC = "nccl ", "rpc "  # what is said of them stands among the programs
# The libraries' names hold the version: Debian's of the CUDA images, and pip's of torch. llama.cpp's RPC server says
# its version only when it starts: on the loopback of a container without a network, for as long as that takes.
LOOK = """for p in "$@"; do if command -v "$p" >/dev/null 2>&1; then echo "yes $p"; else echo "no $p"; fi; done
v=
for f in /usr/lib/*/libnccl.so.2.?*.?* /usr/local/lib/python3*/*-packages/nvidia_nccl_*.dist-info \
  /opt/*/lib/python3*/site-packages/nvidia_nccl_*.dist-info; do if [ -e "$f" ]; then v="$v ${f##*/}"; fi; done
[ -z "$v" ] || echo "yes nccl$v"
for p in "$@"; do case ${p##*/} in *rpc-server) o=/tmp/orch-rpc.$$
  stdbuf -oL "$p" -H 127.0.0.1 -p 50052 >"$o" 2>&1 & s=$! n=0
  until grep -q '^Starting RPC server v' "$o" || [ "$n" -ge 50 ] || ! kill -0 "$s" 2>/dev/null; do
    sleep 0.2; n=$((n+1)); done
  kill "$s" 2>/dev/null; sed -n 's/^Starting RPC server v/yes rpc /p' "$o"; rm -f "$o" ;;
esac; done"""
LOOK_S = 120.0
NCCL_VERSION = re.compile(r"(?:libnccl\.so\.|nvidia_nccl_\w+-)(\d+)\.(\d+)\.(\d+)")
NCCL_BY_SUBNET = (2, 30, 7)  # the first release that knows the variable; facts 1.2


@dataclass(frozen=True, kw_only=True)
class Programs(GangStep):
    """The programs are in the image, as this host's ranks would see it."""

    programs: Mapping[str, str] = field(compare=False)  # name → path or name in the image
    model: bool = True  # the rank mounts the model
    also: tuple[str, ...] = field(default=(), compare=False)  # looked for, and not missed

    @classmethod
    def of(
        cls,
        cluster: Cluster,
        deployment: Deployment,
        host: str,
        programs: Mapping[str, str],
        *,
        model: bool = True,
        also: tuple[str, ...] = (),
    ) -> GangStep:
        """In the image; where there is none, on the host."""
        if cluster.hosts[host].runtime == PROCESS:
            return HostPrograms.of(cluster, deployment, host, programs)
        name = deployment.name
        installed = {package.split("=")[0].split("[")[0] for package in deployment.profile.packages}
        wanted = {name: path for name, path in programs.items() if name not in installed}
        query = _query(cluster, deployment, host, (*wanted.values(), *also), model)
        return cls(
            id=f"{name}/programs/{host}",
            role="gate",
            host=host,
            scope=name,
            stage="programs",
            on_demand=True,
            needs=after_jobs(cluster, deployment),
            reads=frozenset({(host, image_read(cluster, deployment, host)), (host, query)}),
            patience=Patience(total=LOOK_S + 60, stall=LOOK_S + 60),
            programs=wanted,
            model=model,
            also=also,
            cluster=cluster,
            deployment=deployment,
        )

    @classmethod
    def everywhere(
        cls, cluster: Cluster, deployment: Deployment, programs: Mapping[str, str]
    ) -> list[Step]:
        """The same ones on each host of the gang."""
        hosts = deployment.hosts if programs else ()
        return [cls.of(cluster, deployment, host, programs) for host in hosts]

    @property
    def query(self) -> ReadPrograms:
        names = (*self.programs.values(), *self.also)
        return _query(self.cluster, self.deployment, self.host or "", names, self.model)

    def check(self, world: World) -> Change | None:
        image = image_of(self.deployment)
        found = world[self.host or ""].get(self.query)
        if found is None:
            return Change(f"look for {', '.join(self.programs)} in {image}")
        lacking = [name for name, path in self.programs.items() if not found.get(path)]
        if not lacking:
            return None
        raise Refused(
            f"image {image} has no {', '.join(lacking)}",
            host=self.host,
            step=self.id,
            hint=REMEDY.get(lacking[-1], "take another `image:`, or name the path in `commands:`"),
        )

    def remarks(self, world: World) -> Sequence[str]:
        """An NCCL that does not know how to go over a ring: it hangs, or fails, when the ranks first meet."""
        host = self.host or ""
        if not by_subnet(self.cluster, self.deployment, host):
            return ()
        names = world[host].get(self.query) or {}
        said = " ".join(name for name in names if name.startswith(NCCL))
        known = ".".join(map(str, NCCL_BY_SUBNET))
        old = {one for one in NCCL_VERSION.findall(said) if tuple(map(int, one)) < NCCL_BY_SUBNET}
        return tuple(
            f"{image_of(self.deployment)} on {host} has NCCL {'.'.join(one)}; hosts that are not all on one cable or"
            f" switch need {BY_SUBNET}, which is known since {known} (NVIDIA has a branch of older ones with it)"
            for one in sorted(old)
        )

    def apply(self, change: Change, world: World) -> Script:
        """In a container of the image with the rank's mounts."""
        host = self.host or ""
        query = self.query
        seen = mounts(self.cluster, self.deployment, host, model=self.model)
        env = merge(self.deployment.profile.env)  # LD_LIBRARY_PATH, for a start
        names = (*self.programs.values(), *self.also)
        then = ("--entrypoint", "sh", query.reference, "-c", LOOK, "sh", *names)
        text = sh(
            """{}
[ -n "$f" ] || { echo {} >&2; exit 1; }
mkdir -p {} && { {} && echo {}; } >"$f.new" && mv "$f.new" "$f\"""",
            Raw(kept_at(query.runtime, query.reference, query.mark)),
            f"image {query.reference} is not on this host",
            Raw(FOLDER),
            Raw(looking(spoken(query.runtime), seen, env, (), then)),
            MARK,
        )
        return Script({"look": Command(text, timeout=LOOK_S)}, mutates=True, stop_on_error=True)


def _query(
    cluster: Cluster, deployment: Deployment, host: str, programs: Sequence[str], model: bool
) -> ReadPrograms:
    mounted = mounts(cluster, deployment, host, model=model)
    seen = repr((mounted, sorted(programs), sorted(deployment.profile.env.items())))
    mark = hashlib.sha256(seen.encode()).hexdigest()[:12]
    runtime = cluster.hosts[host].runtime
    return ReadPrograms(runtime, image_of(deployment), mark)


def program_steps(cluster: Cluster, options: Mapping[str, Any]) -> Iterable[Step]:
    """Engines know which programs they call."""
    for deployment in cluster.deployments.values():
        yield from own_steps(cluster, deployment, "programs")


STAGES = {"programs": program_steps}
