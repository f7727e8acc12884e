"""A netplan change on real hosts can't cut one off: whatever fails, and whenever, the host comes back as it was."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from orchestrator.data import read_template
from orchestrator.errors import CommandFailed
from orchestrator.facts.netplan_change import HOME
from orchestrator.lab.faults import break_, heal
from orchestrator.network.topology import plan_fabric
from orchestrator.plan.decide import settled
from tests.lab.conftest import RAILS, SET_UP_SECONDS, Lab
from tests.lab.netplan_site import (
    LONG,
    MANAGEMENT,
    SHORT,
    WATCH,
    Site,
    addresses,
    bare_site,
    forty_cx7,
    nets,
    power_cycle,
)

pytestmark = [pytest.mark.lab, pytest.mark.timeout(SET_UP_SECONDS)]

both = pytest.mark.parametrize("renderer", ["networkd", "NetworkManager"], indirect=True)
all_three = pytest.mark.parametrize(
    "renderer", ["networkd", "NetworkManager", "both"], indirect=True
)


@pytest.fixture
def site(renderer: Lab) -> Iterator[Site]:
    with bare_site(renderer) as made:
        yield made


# --- the good path ----------------------------------------------------------------------------------


@all_three
def test_addresses_come_up_and_a_second_run_changes_nothing(site: Site) -> None:
    management = {host: site.inside(host, MANAGEMENT) for host in site.lab.hosts}
    for host in site.lab.hosts:
        site.inside(host, WATCH)
    outcome = site.converge()
    assert outcome.errors == {}
    assert sorted(outcome.changed) == [
        f"{host}/network/{what}" for host in site.lab.hosts for what in ("apply", "confirm")
    ]
    for host in site.lab.hosts:
        assert len(addresses(site, host)) == 2
        assert not site.waiting(host)
        assert site.inside(host, "stat -c %a /etc/netplan/40-orch.yaml").strip() == "600"
        site.inside(host, "systemctl stop watch")
        watched = site.inside(host, "cat /run/watched")
        assert "enp1s0f1np1" in watched  # the monitor did see something
        assert "eth0" not in watched  # and nothing of the interface that carries SSH
        # an address that came stayed: networkd takes a port up once, and is not told to do so again
        assert not re.findall(r"^Deleted .* inet (?!169\.254).*", watched, re.MULTILINE)
    assert management == {host: site.inside(host, MANAGEMENT) for host in site.lab.hosts}
    before = {host: site.show(host) for host in site.lab.hosts}
    assert settled(site.survey())
    again = site.converge()
    assert again.errors == {}
    assert again.changed == []
    assert before == {host: site.show(host) for host in site.lab.hosts}


@all_three
def test_addresses_survive_a_reboot_once_confirmed(site: Site) -> None:
    assert site.converge().errors == {}
    before = addresses(site, "spark-2")
    power_cycle(site, "spark-2")
    site.until("spark-2", f"ip -o -4 addr show dev {RAILS[1]} | wc -l", "1")
    assert addresses(site, "spark-2") == before
    assert site.outcome("spark-2") == "confirmed"


@both
def test_an_interface_that_stays_as_it_is_is_not_touched(site: Site) -> None:
    """A model may be talking over it: a change elsewhere must not take its address away for a moment."""
    assert site.converge().errors == {}
    (link,) = site.cluster.links
    first = plan_fabric(site.cluster).segments[0].subnet
    for second in ("10.66.1.0/24", "10.66.2.0/24"):
        pinned = link.model_copy(update={"subnets": (first, *nets(second))})
        site.cluster = site.cluster.model_copy(update={"links": (pinned,)})
        site.inside("spark-1", WATCH)
        commands = site.change("spark-1")
        assert set(site.send("spark-1", commands).values()) == {0}
        time.sleep(1)
        watched = site.inside("spark-1", "systemctl stop watch; cat /run/watched")
        assert "enP2p1s0f1np1" in watched
        # link-local IPv6 is the kernel's own: the first change's address may only now be found free
        touched = [one for one in watched.splitlines() if "fe80:" not in one and "ff00:" not in one]
        assert "enp1s0f1np1" not in "\n".join(touched)
        assert site.converge().errors == {}


def test_one_end_of_a_cable_changes_at_a_time(site: Site) -> None:
    steps = site.steps()
    second = steps["spark-2/network/apply"]
    assert "spark-1/network/confirm" in second.needs | second.order
    assert not any(need.startswith("spark-2/") for need in steps["spark-1/network/apply"].needs)


def test_an_address_comes_up_without_a_carrier(site: Site) -> None:
    """The first end of a cable has no light before the other end is up: it must not be undone for that."""
    break_(site.lab.home, site.lab.name, "spark-1", "cable:p1")
    try:
        assert set(site.send("spark-1", site.change("spark-1")).values()) == {0}
        assert "<NO-CARRIER" in site.inside("spark-1", "ip link show enp1s0f1np1")
        assert len(addresses(site, "spark-1")) == 2
    finally:
        heal(site.lab.home, site.lab.name, "spark-1", "cable:p1")


# --- nobody confirms --------------------------------------------------------------------------------


@all_three
def test_a_frozen_sshd_means_that_it_is_undone_at_the_deadline(site: Site) -> None:
    before = site.show("spark-1")
    site.deadline = SHORT
    assert set(site.send("spark-1", site.change("spark-1")).values()) == {0}
    assert len(addresses(site, "spark-1")) == 2
    break_(site.lab.home, site.lab.name, "spark-1", "sshd-frozen")
    try:
        site.until_undone("spark-1")
    finally:
        heal(site.lab.home, site.lab.name, "spark-1", "sshd-frozen")
    assert site.show("spark-1") == before
    assert site.outcome("spark-1") == "reverted (deadline): exact"


@both
def test_a_power_cut_means_that_it_is_undone_at_boot(site: Site) -> None:
    """Before the network comes up, and long before the deadline."""
    site.put(
        "spark-1", "40-mine.yaml", "network: {version: 2, ethernets: {enp1s0f1np1: {mtu: 2000}}}"
    )
    files = site.inside("spark-1", "cd /etc/netplan && stat -c '%n %a %Y' * && sha256sum *")
    site.cluster = site.cluster.model_copy(update={"adopt": ("40-mine.yaml",)})
    assert set(site.send("spark-1", site.change("spark-1")).values()) == {0}
    ours = addresses(site, "spark-1")
    assert len(ours) == 2
    assert "40-mine" not in site.inside("spark-1", "ls /etc/netplan")
    power_cycle(site, "spark-1")
    assert not site.waiting("spark-1")
    assert site.outcome("spark-1") == "reverted (boot): exact"
    assert site.inside("spark-1", "cd /etc/netplan && stat -c '%n %a %Y' * && sha256sum *") == files
    site.until("spark-1", "cat /sys/class/net/enp1s0f1np1/mtu", "2000")
    assert addresses(site, "spark-1").isdisjoint(ours)
    order = site.inside("spark-1", "systemctl show -p Before orch-netplan-revert.service")
    assert {"systemd-networkd.service", "NetworkManager.service"} <= set(
        re.split("[= ]", order.strip())
    )


def test_what_was_set_by_hand_is_there_again_to_the_letter(site: Site) -> None:
    """Addresses in order, with labels and scopes, IPv6, MTU and routes: none of it is in a file."""
    site.inside(
        "spark-1",
        """set -e
        ip link set enp1s0f1np1 mtu 4200 up
        ip addr add 192.168.7.7/24 broadcast 192.168.7.255 dev enp1s0f1np1 label enp1s0f1np1:x
        ip addr add 192.168.7.8/24 dev enp1s0f1np1
        ip addr add 10.99.0.1/32 dev enp1s0f1np1 scope link
        ip addr add fd00:7::7/64 dev enp1s0f1np1 nodad
        ip route add 172.31.0.0/16 via 192.168.7.1 dev enp1s0f1np1""",
    )
    time.sleep(2)  # its link-local address is tentative at first
    before = site.show("spark-1")
    assert "172.31.0.0/16" in before
    assert "fd00:7::7" in before
    site.deadline = SHORT
    assert set(site.send("spark-1", site.change("spark-1")).values()) == {0}
    assert "192.168.7" not in site.show("spark-1")
    site.until_undone("spark-1")
    assert site.show("spark-1") == before


@both
def test_a_change_of_our_own_is_undone_to_what_we_had(site: Site) -> None:
    assert site.converge().errors == {}
    before = site.show("spark-1")
    pinned = [
        link.model_copy(update={"subnets": nets})
        for link, nets in zip(
            site.cluster.links, [nets("10.66.0.0/24", "10.66.1.0/24")], strict=True
        )
    ]
    site.cluster = site.cluster.model_copy(update={"links": tuple(pinned)})
    site.deadline = SHORT
    assert set(site.send("spark-1", site.change("spark-1")).values()) == {0}
    assert "10.66.0." in site.show("spark-1")
    site.until_undone("spark-1")
    assert site.show("spark-1") == before


@both
def test_our_death_after_any_command_leaves_the_host_as_it_was(site: Site) -> None:
    site.deadline = SHORT
    commands = site.change("spark-1")
    before = site.show("spark-1")
    for count in range(1, len(commands) + 1):
        part = dict(list(commands.items())[:count])
        last = list(part)[-1]
        assert set(site.send("spark-1", part).values()) == {0}, last
        if last not in ("apply", "watch"):
            assert site.show("spark-1") == before, last
        site.until_undone("spark-1")
        assert site.show("spark-1") == before, last
    site.deadline = LONG
    assert site.converge().errors == {}
    assert len(addresses(site, "spark-1")) == 2


CLIENT = """
import sys
from pathlib import Path
from tests.lab.netplan_site import *
lab_inventory, host, deadline = sys.argv[1:]
site = Site(None, load_inventory(Path(lab_inventory)), float(deadline))
commands = site.change(host)
print("go", flush=True)
site.send(host, commands)
"""


@pytest.mark.parametrize(
    ("renderer", "seconds"),
    [
        *(("networkd", moment) for moment in (0.02, 0.1, 0.25, 0.5, 0.9, 1.5)),
        *(("NetworkManager", moment) for moment in (0.25, 0.9)),
    ],
    indirect=["renderer"],
)
def test_a_client_killed_at_any_moment_leaves_the_host_as_it_was(
    site: Site, seconds: float
) -> None:
    before = site.show("spark-1")
    words = [sys.executable, "-c", CLIENT, str(site.lab.inventory), "spark-1", str(SHORT)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, env=os.environ) as client:
        assert client.stdout is not None
        assert client.stdout.readline() == b"go\n"
        time.sleep(seconds)
        client.send_signal(signal.SIGKILL)
    time.sleep(SHORT)  # what was sent goes on without us, and then waits for its deadline
    site.until_undone("spark-1")
    assert site.show("spark-1") == before


@both
def test_the_next_run_finishes_what_a_dead_client_began(site: Site) -> None:
    assert set(site.send("spark-1", site.change("spark-1")).values()) == {0}
    assert site.waiting("spark-1")
    outcome = site.converge()
    assert outcome.errors == {}
    assert "spark-1/network/apply" not in outcome.changed
    assert "spark-1/network/confirm" in outcome.changed
    assert not site.waiting("spark-1")
    assert "orch-netplan" not in site.inside(
        "spark-1", "systemctl list-timers --no-legend --no-pager"
    )


def test_a_change_that_can_not_come_up_is_undone_at_once(site: Site) -> None:
    """networkd is told by a file of a lower name to leave the interface alone."""
    site.inside(
        "spark-1",
        "mkdir -p /etc/systemd/network; printf '[Match]\\nName=enp1s0f1np1\\n[Link]\\nUnmanaged=yes\\n'"
        " > /etc/systemd/network/05-mine.network; networkctl reload",
    )
    try:
        before = site.show("spark-1")
        outcome = site.converge()
        error = outcome.errors["spark-1/network/apply"]
        assert isinstance(error, CommandFailed)
        assert "enp1s0f1np1 has" in str(error)
        assert outcome.states["spark-2/network/apply"] == "skipped"
        site.until_undone("spark-1")
        assert site.show("spark-1") == before
    finally:
        site.inside("spark-1", "rm /etc/systemd/network/05-mine.network; networkctl reload")


# --- the user's own files -----------------------------------------------------------------------------


@both
def test_a_file_that_says_the_same_is_left_alone(site: Site) -> None:
    for host in site.lab.hosts:
        site.put(host, "40-cx7.yaml", forty_cx7(site, host))
    time.sleep(2)
    before = {host: site.show(host) for host in site.lab.hosts}
    outcome = site.converge()
    assert outcome.errors == {}
    assert outcome.changed == []
    assert before == {host: site.show(host) for host in site.lab.hosts}
    assert "40-orch" not in site.inside("spark-1", "ls /etc/netplan")


@both
def test_a_file_that_says_otherwise_is_refused_or_taken_over_by_name(site: Site) -> None:
    theirs = forty_cx7(site, "spark-1", mtu=1500, shift=100)
    site.put("spark-1", "40-cx7.yaml", theirs)
    time.sleep(2)
    before = site.show("spark-1")
    problems = site.survey().problems
    refused = problems["spark-1/network/apply"]
    assert refused.exit_code == 4
    assert "adopt: [40-cx7.yaml]" in str(refused)
    assert "spark-1/network/apply" in site.converge().errors
    assert site.show("spark-1") == before
    site.cluster = site.cluster.model_copy(update={"adopt": ("40-cx7.yaml",)})
    assert site.converge().errors == {}
    assert site.inside("spark-1", "ls /etc/netplan").split() == ["01-mgmt.yaml", "40-orch.yaml"]
    assert site.inside("spark-1", f"cat {HOME}/adopted/40-cx7.yaml") == theirs
    assert len(addresses(site, "spark-1")) == 2
    assert settled(site.survey())


@both
def test_a_taken_over_file_comes_back_to_the_letter(site: Site) -> None:
    site.put("spark-1", "40-cx7.yaml", forty_cx7(site, "spark-1", mtu=1500, shift=100))
    time.sleep(2)
    before = site.show("spark-1")
    site.cluster = site.cluster.model_copy(update={"adopt": ("40-cx7.yaml",)})
    site.deadline = SHORT
    assert set(site.send("spark-1", site.change("spark-1")).values()) == {0}
    assert site.show("spark-1") != before
    site.until_undone("spark-1")
    assert site.show("spark-1") == before


def test_files_that_netplan_can_not_read_stop_us_before_anything_is_touched(site: Site) -> None:
    site.inside(
        "spark-1", "printf 'network: {version: 2, ethernetz: {}}' > /etc/netplan/40-bad.yaml"
    )
    before = site.show("spark-1")
    error = site.converge().errors["spark-1/network/apply"]
    assert "netplan refuses" in str(error)
    assert "ethernetz" in str(error)
    assert not site.waiting("spark-1")
    assert site.show("spark-1") == before


@both
def test_ssh_goes_on_when_systemd_was_reloaded_just_before(site: Site) -> None:
    """A reload rewrites all of netplan's files, so networkd takes up the management interface again."""
    for host in site.lab.hosts:
        site.inside(host, "systemctl daemon-reload")
    with subprocess.Popen(
        _ssh(site, "spark-1", "for i in $(seq 60); do echo $i; sleep 0.1; done"),
        stdout=subprocess.PIPE,
        text=True,
    ) as session:
        assert site.converge().errors == {}
        out, _ = session.communicate(timeout=60)
    assert out.split() == [str(i) for i in range(1, 61)]


def _ssh(site: Site, host: str, command: str) -> list[str]:
    known = f"UserKnownHostsFile={site.lab.dir / 'known_hosts'}"
    words = ["ssh", "-F", "none", "-i", str(site.lab.dir / "id_ed25519"), "-o", "BatchMode=yes"]
    return [*words, "-o", known, f"orch@{site.lab.address(host)}", command]


# --- what each promise rests on ---------------------------------------------------------------------------


@pytest.fixture
def mutant(site: Site) -> Iterator[Callable[[str, str], None]]:
    """Puts a dead man with one of its mechanisms taken out in the place of the real one."""
    place = site.cluster.root / "templates" / "netplan" / "dead-man.sh"

    def take_out(old: str, new: str) -> None:
        text = read_template("netplan/dead-man.sh")
        assert old in text
        place.parent.mkdir(parents=True)
        place.write_text(text.replace(old, new))
        read_template.cache_clear()  # as when the files are loaded

    yield take_out
    shutil.rmtree(place.parent.parent, ignore_errors=True)
    read_template.cache_clear()


def test_without_its_timer_nothing_is_undone(
    site: Site, mutant: Callable[[str, str], None]
) -> None:
    mutant('deadline "$2" "orch-netplan-deadline-$1" ||', "true ||")
    site.deadline = 2
    assert set(site.send("spark-1", site.change("spark-1")).values()) == {0}
    time.sleep(2 + SHORT)
    assert site.waiting("spark-1")


def test_without_its_boot_service_a_power_cut_keeps_the_change(
    site: Site, mutant: Callable[[str, str], None]
) -> None:
    mutant('&& ln -sfn "../$boot_unit" "$wanted"', "")
    assert set(site.send("spark-1", site.change("spark-1")).values()) == {0}
    power_cycle(site, "spark-1")
    assert site.waiting("spark-1")
    assert len(addresses(site, "spark-1")) == 2


def test_a_reload_of_systemd_would_reach_the_management_interface(
    site: Site, mutant: Callable[[str, str], None]
) -> None:
    mutant('&& ln -sfn "../$boot_unit" "$wanted"', '&& systemctl enable -q "$boot_unit"')
    site.inside("spark-1", WATCH)
    assert set(site.send("spark-1", site.change("spark-1")).values()) == {0}
    time.sleep(1)
    assert "eth0" in site.inside("spark-1", "systemctl stop watch; cat /run/watched")


def test_without_the_restoring_what_was_set_by_hand_is_lost(
    site: Site, mutant: Callable[[str, str], None]
) -> None:
    mutant('restore_addresses "$1" "$netdev"\n', ":\n")
    site.inside("spark-1", "ip addr add 192.168.7.7/24 dev enp1s0f1np1")
    before = site.show("spark-1")
    site.deadline = SHORT
    assert set(site.send("spark-1", site.change("spark-1")).values()) == {0}
    site.until_undone("spark-1")
    assert site.show("spark-1") != before
    assert site.outcome("spark-1") == "reverted (deadline): files exact, addresses not"
