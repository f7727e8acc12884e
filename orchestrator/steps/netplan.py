"""Addresses on the fabric, by netplan, such that no host can be cut off: what nobody confirms undoes itself.

Two steps a host. `apply` arms a timer and a boot service on the host, then changes it detached from us;
`confirm` comes over a new connection, finds the addresses there, and disarms. templates/netplan/dead-man.sh
is what does it on the host.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from orchestrator.contracts import Change, Patience, Query, Step, World
from orchestrator.data import read_template
from orchestrator.errors import Failed, Refused
from orchestrator.facts.answers import Network
from orchestrator.facts.netplan import ReadNetplan
from orchestrator.facts.netplan_change import HOME, NetplanChange, ReadNetplanChange
from orchestrator.facts.network import ReadNetwork
from orchestrator.facts.profiles import ReadProfiles
from orchestrator.network.fabric import Fabric
from orchestrator.network.netplan import Wanted, wanted_of
from orchestrator.network.order import first_then
from orchestrator.network.target import Target, expectation, forbidden, live_faults, target_of
from orchestrator.network.topology import plan_fabric, spanning
from orchestrator.script import Command, Script, argv, sh
from orchestrator.spec.models import Cluster
from orchestrator.spec.units import parse_duration
from orchestrator.steps.link_ends import set_mtu

PROGRAM = f"{HOME}/dead-man"
UNIT = "/etc/systemd/system/orch-netplan-revert.service"
DEADLINE = 120.0  # seconds from arming to the undoing; the stage's `deadline` option sets another
WATCH = 45  # seconds that we stay to see it happen; it goes on without us
YOURSELF = "set the addresses yourself: `orch render` prints them"


@dataclass(frozen=True, kw_only=True)
class _Network(Step):
    """What both steps know: the whole fabric, and their host's place in it."""

    cluster: Cluster = field(repr=False)
    fabric: Fabric = field(repr=False)
    deadline: float = DEADLINE

    @property
    def at(self) -> str:
        if self.host is None:
            raise TypeError(f"{self.id} has no host")
        return self.host

    def target(self, world: World) -> Target:
        facts = world[self.at]
        network, files = facts.get(ReadNetwork()), facts.get(ReadNetplan())
        profiles = facts.get(ReadProfiles())
        return target_of(self.cluster, self.fabric, self.at, network, files, profiles)

    def state(self, world: World) -> NetplanChange:
        return world[self.at].get(ReadNetplanChange())


@dataclass(frozen=True, kw_only=True)
class NetplanApply(_Network):
    """The files are there and the interfaces follow them."""

    def check(self, world: World) -> Change | None:
        target, state = self.target(world), self.state(world)
        waiting = state.unconfirmed
        reasons = list(target.reasons)
        if waiting and waiting != target.digest:
            reasons.append(f"an earlier change ({waiting}) that nobody confirmed is undone first")
        if not reasons:
            return None
        self._refuse_where_impossible(state, world, reasons)
        mine = waiting == target.digest and state.under_way
        return Change("; ".join(reasons), diff=target.diff, under_way=mine)

    def _refuse_where_impossible(
        self, state: NetplanChange, world: World, reasons: list[str]
    ) -> None:
        lacking = [] if state.netplan else ["netplan"]
        lacking += [] if state.systemd else ["systemd"]
        if world[self.at].get(ReadNetwork()).renderer == "none":
            lacking.append("network renderer (systemd-networkd or NetworkManager) that runs")
        if lacking:
            raise Refused(
                f"{'; '.join(reasons)}; and {self.at} has no {', no '.join(lacking)}",
                host=self.at,
                hint=f"install netplan.io and enable systemd-networkd, or {YOURSELF}",
            )

    def apply(self, change: Change, world: World) -> Script:
        commands = change_commands(self.cluster, self.target(world), self.deadline)
        return Script(commands, mutates=True, stop_on_error=True)


@dataclass(frozen=True, kw_only=True)
class NetplanConfirm(_Network):
    """The host answers a new connection with its new addresses, so the undoing is called off."""

    def check(self, world: World) -> Change | None:
        target, state = self.target(world), self.state(world)
        if target.reasons:
            said = state.outcomes.get(target.digest, "")
            raise Failed(
                "; ".join(target.reasons) + (f" ({said})" if said else ""),
                host=self.at,
                hint=f"see {HOME}/{target.digest} and `journalctl -u systemd-networkd` on {self.at}",
            )
        if not state.unconfirmed:
            return None
        return Change("confirms the addresses over a new connection")

    def apply(self, change: Change, world: World) -> Script:
        name = self.state(world).unconfirmed
        return Script({"confirm": _dead_man("confirm", name)}, mutates=True, fresh=True)


@dataclass(frozen=True, kw_only=True)
class NetworkAsIs(_Network):
    """A host on which we have no rights: the addresses are right already, or it is refused."""

    def check(self, world: World) -> Change | None:
        network = world[self.at].get(ReadNetwork())
        wanted = wanted_of(self.cluster, self.fabric, self.at)
        faults = [*forbidden(self.cluster, self.at, wanted, network), *live_faults(wanted, network)]
        if faults:
            raise Refused(
                f"{'; '.join(faults)}; and `become: never` forbids to change that",
                host=self.at,
                hint="; ".join([YOURSELF, *self._typed(wanted, network)]),
            )
        return None

    def _typed(self, wanted: Iterable[Wanted], network: Network) -> Iterator[str]:
        """Netplan's own form of an MTU is in `orch render` too; this one is done at once."""
        for one in wanted:
            netdev = network.netdevs.get(one.netdev)
            if netdev is not None and netdev.mtu != one.mtu:
                yield set_mtu(self.at, one.netdev, one.mtu)


def change_commands(cluster: Cluster, target: Target, deadline: float) -> dict[str, Command]:
    """The change, in an order in which every prefix is safe: nothing is touched before the timer runs."""
    name, folder = target.digest, f"{HOME}/{target.digest}"
    program = read_template("netplan/dead-man.sh", cluster.root)
    unit = read_template("netplan/orch-netplan-revert.service", cluster.root)
    commands = {
        "program": _file(PROGRAM, program),
        "unit": _file(UNIT, unit, mode="644"),
        "begin": _dead_man("begin", name, timeout=90),
    }
    for number, (file, text) in enumerate(sorted(target.write.items())):
        commands[f"file-{number}"] = _file(f"{folder}/new/{file}", text)
    lists = {
        "expect": [expectation(one) for one in target.wanted],
        "ids": target.ids,
        "remove": target.remove,
        "adopt": target.adopt,
    }
    for file, lines in lists.items():
        if lines:
            commands[file] = _file(f"{folder}/{file}", "".join(f"{line}\n" for line in lines))
    commands["prepare"] = _dead_man("prepare", name)
    commands["arm"] = _dead_man("arm", name, str(int(deadline)))
    unit_name = f"--unit=orch-netplan-apply-{name}"
    detached = ("systemd-run", "--quiet", "--collect", unit_name, "/bin/sh", PROGRAM, "apply", name)
    commands["apply"] = Command(argv(*detached), sudo=True)
    commands["watch"] = _dead_man("wait", name, str(WATCH), timeout=WATCH + 15)
    return commands


def _dead_man(*words: str, timeout: float = 30) -> Command:
    return Command(argv("/bin/sh", PROGRAM, *words), sudo=True, timeout=timeout)


def _file(path: str, text: str, mode: str = "600") -> Command:
    """A file, whole or not at all; left alone where it is the same."""
    command = sh(
        """umask 077
mkdir -p "$(dirname {})" && cat >{}.part && chmod {} {}.part || exit 1
if cmp -s {}.part {}; then rm {}.part; else mv {}.part {}; fi""",
        *(path, path, mode, path, path, path, path, path, path),
    )
    return Command(command, stdin=text.encode(), sudo=True)


def network_steps(cluster: Cluster, options: Mapping[str, Any]) -> Iterable[Step]:
    """Two steps for every host with a link. One end of a cable at a time; of a switch one host first."""
    fabric = plan_fabric(cluster)
    deadline = parse_duration(options.get("deadline", DEADLINE))
    before = first_then(cluster, fabric)
    for host in cluster.used_hosts:
        if not fabric.of_host(host.name):
            continue
        shared: dict[str, Any] = {
            "host": host.name,
            "cluster": cluster,
            "fabric": fabric,
            "deadline": deadline,
            "serves": frozenset(spanning(cluster, host.name)),
        }
        read = (host.name, ReadNetwork())
        if host.become == "never":
            yield NetworkAsIs(
                id=f"{host.name}/network/as-is", role="gate", reads=frozenset({read}), **shared
            )
            continue
        reads: frozenset[tuple[str, Query[Any]]] = frozenset(
            {
                read,
                *((host.name, one) for one in (ReadNetplan(), ReadProfiles(), ReadNetplanChange())),
            }
        )
        yield NetplanApply(
            id=f"{host.name}/network/apply",
            order=frozenset(f"{other}/network/confirm" for other in before[host.name]),
            reads=reads,
            patience=Patience(total=deadline, stall=deadline),
            **shared,
        )
        yield NetplanConfirm(
            id=f"{host.name}/network/confirm",
            needs=frozenset({f"{host.name}/network/apply"}),
            reads=reads,
            **shared,
        )


STAGES = {"network": network_steps}
OPTIONS = {"network": ("deadline",)}
