"""The lab's hosts for tests of their network: what changes it, what is to be seen of it, what undoes it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Network

import yaml

from orchestrator.contracts import Change, Step
from orchestrator.facts.netplan_change import HOME
from orchestrator.hosts.pool import Pool
from orchestrator.lab.faults import break_, heal
from orchestrator.network.netplan import wanted_of
from orchestrator.network.topology import plan_fabric
from orchestrator.plan.decide import Decision
from orchestrator.plan.graph import ordered
from orchestrator.run.events import Bus
from orchestrator.run.executor import Executor, Outcome
from orchestrator.run.session import HostApplier
from orchestrator.run.survey import host_reader, survey
from orchestrator.run.world import LiveWorld
from orchestrator.script import Command, Script
from orchestrator.spec.models import Cluster
from orchestrator.spec.resolve import load_inventory
from orchestrator.steps.link import link_steps
from orchestrator.steps.netplan import network_steps
from tests.lab.conftest import RAILS, Lab

SHORT = 5  # seconds of deadline where a test waits for it
LONG = 600
SETTLED = 60  # seconds that an undoing may take on a busy machine

PROFILES = "/etc/NetworkManager/system-connections"
SHOW = f"""
for f in /etc/netplan/* {PROFILES}/*; do
    [ ! -e "$f" ] || {{ stat -c 'file %n %a %u:%g %Y %s' "$f"; sha256sum "$f"; }}
done
for f in /run/systemd/network/* /run/NetworkManager/system-connections/netplan-* /run/udev/rules.d/90-*; do
    [ ! -e "$f" ] || {{ stat -c 'made %n %a %U:%G' "$f"; sha256sum "$f"; }}
done
for d in {" ".join(RAILS)}; do
    ip -o addr show dev $d | sed 's/\\\\.*//; s/tentative //'
    # NetworkManager numbers the kernel's routes by the order in which interfaces come up
    ip route show dev $d | sed 's/ linkdown//; /proto kernel/s/ metric [0-9]*//'
    cat /sys/class/net/$d/mtu
    ip -o link show dev $d | grep -o '[<,]UP[,>]'
    cat /proc/sys/net/ipv6/conf/$d/addr_gen_mode /proc/sys/net/ipv6/conf/$d/accept_ra
    nmcli -g GENERAL.CONNECTION device show $d 2>/dev/null
done
true
"""
MANAGEMENT = "ip -o addr show dev eth0 | sed 's/\\\\.*//'; ip route show dev eth0; cat /sys/class/net/eth0/ifindex"
WATCH = "systemd-run -q --unit=watch sh -c 'ip monitor link addr route > /run/watched'"
BARE = f"""
systemctl stop 'orch-netplan-*.timer' 2>/dev/null
rm -rf {HOME} /etc/netplan/40-* /etc/netplan/.*.orch {PROFILES}/*
rm -f /etc/systemd/system/orch-netplan-revert.service /etc/systemd/system/*.wants/orch-netplan-revert.service
for d in {" ".join(RAILS)}; do
    rm -f /run/systemd/network/10-netplan-$d.* /run/NetworkManager/system-connections/netplan-$d.nmconnection
    [ ! -e /run/udev/rules.d/90-netplan.rules ] || sed -i "/$d/d" /run/udev/rules.d/90-netplan.rules
done
! systemctl is-active -q systemd-networkd || networkctl reload
if ! systemctl is-active -q NetworkManager; then
    sleep 0.5
    for d in {" ".join(RAILS)}; do
        ip addr flush dev $d; ip link set dev $d mtu 1500; ip link set dev $d down
        echo 0 > /proc/sys/net/ipv6/conf/$d/addr_gen_mode
    done
    exit 0
fi
systemctl stop NetworkManager
rm -f /var/lib/NetworkManager/no-auto-default.state
udevadm control --reload
for d in {" ".join(RAILS)}; do
    udevadm trigger --settle --action=change --subsystem-match=net --sysname-match=$d
    ip addr flush dev $d; ip link set dev $d mtu 1500
done
systemctl start NetworkManager
# what it makes of a bare port: a profile of its own, which waits for DHCP
for d in {" ".join(RAILS)}; do
    for i in $(seq 40); do
        nmcli -g GENERAL.CONNECTION device show $d | grep -q Wired &&
            ip -6 addr show dev $d -tentative | grep -q fe80 && break
        sleep 0.2
    done
done
"""


def no_secret(name: str) -> str:
    raise LookupError(name)


@dataclass
class Site:
    """The lab's inventory, its network steps, and a connection to its hosts."""

    lab: Lab
    cluster: Cluster
    deadline: float = LONG
    pool: Pool = field(init=False)

    def __post_init__(self) -> None:
        self.pool = Pool(self.cluster.hosts, no_secret)

    def steps(self) -> Mapping[str, Step]:
        changing = network_steps(self.cluster, {"deadline": self.deadline})
        return ordered([*changing, *link_steps(self.cluster, {})])

    def world(self) -> LiveWorld:
        return LiveWorld(self.cluster.hosts, host_reader(self.pool))

    def survey(self) -> Decision:
        return survey(self.steps(), self.world())

    def converge(self) -> Outcome:
        steps, world = self.steps(), self.world()
        survey(steps, world)
        bus, cancel = Bus("test", ()), threading.Event()
        return Executor(
            steps, world, HostApplier(self.pool, world, bus, cancel), bus, cancel=cancel
        ).run()

    def change(self, host: str) -> dict[str, Command]:
        """The commands that would change a host now."""
        steps, world = self.steps(), self.world()
        step = steps[f"{host}/network/apply"]
        world.read(step.reads)
        change = step.check(world)
        assert isinstance(change, Change)
        return dict(step.apply(change, world).commands)

    def send(self, host: str, commands: Mapping[str, Command]) -> dict[str, int]:
        """A script of these commands, as if our client had died after it: nothing follows."""
        script = Script(commands, mutates=True, stop_on_error=True)
        return {name: result.rc for name, result in self.pool.run(host, script).items()}

    def inside(self, host: str, script: str) -> str:
        """As root on the host, past SSH."""
        return self.lab.docker.inside(self.lab.container(host), "sh", "-c", script)

    def show(self, host: str) -> str:
        return self.inside(host, SHOW)

    def waiting(self, host: str) -> bool:
        return bool(self.inside(host, f"ls {HOME}/*/unconfirmed 2>/dev/null; true"))

    def outcome(self, host: str) -> str:
        return self.inside(host, f"cat {HOME}/*/outcome 2>/dev/null; true").strip()

    def until_undone(self, host: str, seconds: float = SETTLED) -> None:
        end = time.monotonic() + seconds
        while self.waiting(host):
            assert time.monotonic() < end, self.inside(host, "journalctl -n 50 --no-pager")
            time.sleep(0.3)

    def until(self, host: str, script: str, wanted: str) -> None:
        """Wait until a program on the host prints that."""
        end = time.monotonic() + SETTLED
        while (said := self.inside(host, script).strip()) != wanted:
            assert time.monotonic() < end, said
            time.sleep(0.2)

    def put(self, host: str, name: str, text: str) -> None:
        """A netplan file of the user's, applied as users do."""
        path = f"/etc/netplan/{name}"
        script = f"printf %s \"$1\" > {path}; chmod 600 {path}; touch -d '2 days ago' {path}; netplan apply"
        self.lab.docker.inside(self.lab.container(host), "sh", "-c", script, "sh", text)


@contextmanager
def bare_site(lab: Lab) -> Iterator[Site]:
    """Hosts as they come out of the box."""
    made = Site(lab, load_inventory(lab.inventory))
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda host: made.inside(host, BARE), lab.hosts))
    yield made
    made.pool.close()


def addresses(site: Site, host: str) -> set[str]:
    found = site.inside(host, "ip -o -4 addr show | awk '{print $2, $4}'")
    return {line for line in found.splitlines() if line.split()[0] in RAILS}


def power_cycle(site: Site, host: str) -> None:
    break_(site.lab.home, site.lab.name, host, "power-off")
    heal(site.lab.home, site.lab.name, host, "power-off")


def nets(*texts: str) -> tuple[IPv4Network, ...]:
    return tuple(IPv4Network(text) for text in texts)


def forty_cx7(site: Site, host: str, mtu: int = 9000, shift: int = 0) -> str:
    """What NVIDIA's playbook lets people write, with the addresses that the links would give."""
    wanted = wanted_of(site.cluster, plan_fabric(site.cluster), host)
    stanzas = {
        one.netdev: {
            "addresses": [f"{one.address.ip + shift}/24"],
            "dhcp4": False,
            "mtu": mtu,
        }
        for one in wanted
        if one.address is not None
    }
    return yaml.safe_dump({"network": {"version": 2, "ethernets": stanzas}})
