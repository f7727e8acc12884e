"""Links are tested and weights are copied with tools that a fresh host lacks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.contracts import Change, Patience, Query, Step, World
from orchestrator.errors import Refused
from orchestrator.facts.identity import Identify
from orchestrator.facts.job import Job
from orchestrator.facts.packages import ReadPackages
from orchestrator.facts.privilege import ReadPrivilege
from orchestrator.facts.tools import ReadTools
from orchestrator.script import Raw, Script, Sh, argv, sh
from orchestrator.spec.derived import linked, placed
from orchestrator.spec.models import Cluster, Host
from orchestrator.steps.job import job_name, job_script, watched
from orchestrator.steps.rights import changeable, require_root

# What a package brings; rdma-core (udev rules, kernel modules) brings no program that could be looked for.
TOOLS = {
    "ibverbs-utils": "ibv_devinfo",
    "perftest": "ib_write_bw",
    "iperf3": "iperf3",
    "ethtool": "ethtool",
    "rsync": "rsync",
}
RDMA_PACKAGES = ("rdma-core", "ibverbs-utils", "perftest")
LINK_PACKAGES = ("iperf3", "ethtool")
OTHER_NAMES = {
    "dnf": {"ibverbs-utils": "libibverbs-utils"},
    "zypper": {"ibverbs-utils": "libibverbs-utils"},
}
INSTALL = {
    "apt": sh(
        "export DEBIAN_FRONTEND=noninteractive\n"
        "apt-get -o DPkg::Lock::Timeout=600 update\n"  # one broken source spoils no install
        "apt-get -o DPkg::Lock::Timeout=600 install -y --no-install-recommends"
    ),
    "dnf": argv("dnf", "install", "-y"),
    "zypper": argv("zypper", "--non-interactive", "install"),
    "pacman": argv("pacman", "-S", "--needed", "--noconfirm"),
}


@dataclass(frozen=True, kw_only=True)
class PackagesInstalled(Step):
    """The tools are there: installed by the host's package manager, where the inventory allows it."""

    host: str
    packages: tuple[str, ...]
    required: tuple[str, ...]  # without these, something that the files ask for can't be done
    install: bool

    @property
    def job(self) -> Job:
        return Job(job_name("packages", *self.packages), sudo=True)

    def check(self, world: World) -> Change | None:
        missing = self.missing(world)
        if not self.install:
            self.refuse(missing, world)
            return None
        job = world[self.host].get(self.job)
        if not missing and job.state != "running":  # programs lie there before they are configured
            return None
        manager = world[self.host].get(ReadPackages(("rdma-core",))).manager
        require_root(world, self.host, f"installing {', '.join(missing)}")
        if manager not in INSTALL:
            raise Refused(
                f"{', '.join(missing)} missing, and no package manager that is known",
                host=self.host,
                hint=f"install them on {self.host} by hand, or `prepare: {{packages: false}}`",
            )
        what = ", ".join(missing or self.packages)
        return watched(Change(f"install {what} with {manager}"), job)

    def missing(self, world: World) -> tuple[str, ...]:
        """Packages whose tool is not there, however it came."""
        tools = world[self.host].get(ReadTools(tuple(TOOLS.values())))
        core = world[self.host].get(ReadPackages(("rdma-core",)))
        return tuple(
            package
            for package in self.packages
            if not (tools[TOOLS[package]] if package in TOOLS else core.versions[package])
        )

    def refuse(self, missing: tuple[str, ...], world: World) -> None:
        """Nothing may be installed: refuse what can't be done without, say what to type."""
        needed = [package for package in missing if package in self.required]
        if not needed:
            return
        manager = world[self.host].get(ReadPackages(("rdma-core",))).manager
        names = " ".join(names_for(manager, tuple(needed)))
        type_this = {"apt": "apt-get install -y", "pacman": "pacman -S"}.get(
            manager, f"{manager} install -y" if manager else "install:"
        )
        raise Refused(
            f"{', '.join(needed)} missing",
            host=self.host,
            hint=f"on {self.host}: sudo {type_this} {names}; or set `install_packages: true`"
            f" for it in the inventory; or `prepare: {{packages: false}}`",
        )

    def apply(self, change: Change, world: World) -> Script:
        manager = world[self.host].get(ReadPackages(("rdma-core",))).manager
        return job_script(
            self.job.name, install(manager, self.missing(world)), sudo=True, limit=3600
        )


def names_for(manager: str, packages: tuple[str, ...]) -> tuple[str, ...]:
    """The packages under the names that this manager's distribution has for them."""
    return tuple(OTHER_NAMES.get(manager, {}).get(package, package) for package in packages)


def install(manager: str, packages: tuple[str, ...]) -> Sh:
    """The manager's command line."""
    return sh("{} {}", Raw(INSTALL[manager]), Raw(argv(*names_for(manager, packages))))


def packages_steps(cluster: Cluster, options: Mapping[str, Any]) -> Iterable[Step]:
    """For hosts in use; which packages depends on their links (`prepare.packages` turns it off)."""
    for host in changeable(cluster):
        if not host.prepare.packages:
            continue
        packages, required = wanted(cluster, host)
        queries: list[Query[Any]] = [
            Identify(),
            ReadPrivilege(),
            ReadTools(tuple(TOOLS.values())),
            ReadPackages(("rdma-core",)),
        ]
        if host.install_packages:
            queries.append(Job(job_name("packages", *packages), sudo=True))
        yield PackagesInstalled(
            id=f"{host.name}/packages",
            host=host.name,
            reads=frozenset((host.name, query) for query in queries),
            patience=Patience(total=3600, stall=900, poll=2),
            packages=packages,
            required=required,
            install=host.install_packages,
        )


def wanted(cluster: Cluster, host: Host) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What would be good to have on a host, and what a deployment that insists on RDMA can't do without."""
    ends = linked(cluster).get(host.name, frozenset())
    rdma = any(half.rdma for name in ends if name in host.ports for half in host.ports[name].halves)
    insists = any(
        len(set(one.hosts)) > 1 and one.gate.rdma == "required"
        for one in placed(cluster).get(host.name, ())
    )
    packages = (
        *(RDMA_PACKAGES if rdma else ()),
        *(LINK_PACKAGES if ends else ()),
        "rsync",
    )
    return packages, RDMA_PACKAGES if rdma and insists else ()


STAGES = {"packages": packages_steps}
