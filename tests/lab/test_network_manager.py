"""NetworkManager's own profiles on real hosts, and a host on which it runs beside networkd."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from orchestrator.facts.netplan_change import HOME
from orchestrator.lab.faults import break_, heal
from orchestrator.network.netplan import wanted_of
from orchestrator.network.topology import plan_fabric
from orchestrator.plan.decide import settled
from tests.lab.conftest import RAILS, SET_UP_SECONDS, Lab
from tests.lab.netplan_site import (
    LONG,
    MANAGEMENT,
    PROFILES,
    SHORT,
    WATCH,
    Site,
    addresses,
    bare_site,
    power_cycle,
)

pytestmark = [pytest.mark.lab, pytest.mark.timeout(SET_UP_SECONDS)]
managed = pytest.mark.parametrize("renderer", ["NetworkManager"], indirect=True)
beside = pytest.mark.parametrize("renderer", ["both"], indirect=True)
CONNECTED = f"for d in {' '.join(RAILS)}; do nmcli -g GENERAL.CONNECTION device show $d; done"
STATES = f"for d in {' '.join(RAILS)}; do nmcli -g GENERAL.STATE device show $d; done"


@pytest.fixture
def site(renderer: Lab) -> Iterator[Site]:
    with bare_site(renderer) as made:
        yield made


def add(site: Site, host: str, shift: int = 0, mtu: int = 9000) -> None:
    """What people type: a profile for each half, rail-1 and rail-2."""
    for number, one in enumerate(wanted_of(site.cluster, plan_fabric(site.cluster), host), 1):
        assert one.address is not None
        site.inside(
            host,
            f"nmcli connection add type ethernet con-name rail-{number} ifname {one.netdev} mtu {mtu}"
            f" ipv4.method manual ipv4.addresses {one.address.ip + shift}/24 ipv6.method ignore"
            f" && nmcli connection up rail-{number}",
        )


@managed
def test_a_profile_that_says_the_same_is_left_alone(site: Site) -> None:
    for host in site.lab.hosts:
        add(site, host)
    before = {host: site.show(host) for host in site.lab.hosts}
    outcome = site.converge()
    assert outcome.errors == {}
    assert outcome.changed == []
    assert before == {host: site.show(host) for host in site.lab.hosts}
    assert "40-orch" not in site.inside("spark-1", "ls /etc/netplan")


@managed
def test_a_profile_that_says_otherwise_is_refused_or_taken_over_by_name(site: Site) -> None:
    add(site, "spark-1", shift=100)
    theirs = site.inside("spark-1", f"cat {PROFILES}/rail-1.nmconnection")
    before = site.show("spark-1")
    refused = site.survey().problems["spark-1/network/apply"]
    assert refused.exit_code == 4
    assert "adopt: [rail-1.nmconnection]" in str(refused)
    assert "spark-1/network/apply" in site.converge().errors
    assert site.show("spark-1") == before
    names = ("rail-1.nmconnection", "rail-2.nmconnection")
    site.cluster = site.cluster.model_copy(update={"adopt": names})
    assert site.converge().errors == {}
    assert site.inside("spark-1", f"ls {PROFILES}") == ""
    assert site.inside("spark-1", f"cat {HOME}/adopted/rail-1.nmconnection") == theirs
    assert len(addresses(site, "spark-1")) == 2
    assert settled(site.survey())


@managed
@pytest.mark.parametrize("cut", [False, True])
def test_a_taken_over_profile_comes_back_to_the_letter(site: Site, cut: bool) -> None:
    add(site, "spark-1", shift=100, mtu=1500)
    before, theirs = site.show("spark-1"), addresses(site, "spark-1")
    files = f"cd {PROFILES} && stat -c '%n %a %Y' * && sha256sum *"
    profiles = site.inside("spark-1", files)
    names = ("rail-1.nmconnection", "rail-2.nmconnection")
    site.cluster = site.cluster.model_copy(update={"adopt": names})
    if not cut:
        site.deadline = SHORT
    assert set(site.send("spark-1", site.change("spark-1")).values()) == {0}
    assert addresses(site, "spark-1").isdisjoint(theirs)
    if cut:
        power_cycle(site, "spark-1")
        site.until("spark-1", CONNECTED, "rail-1\nrail-2")
        assert addresses(site, "spark-1") == theirs
    else:
        site.until_undone("spark-1")
        assert site.show("spark-1") == before
    assert site.inside("spark-1", files) == profiles


@managed
def test_a_profile_for_any_interface_never_takes_one_of_ours(site: Site) -> None:
    assert site.converge().errors == {}
    site.inside("spark-1", "nmcli connection add type ethernet con-name any ipv4.method auto")
    assert settled(site.survey())
    power_cycle(site, "spark-1")
    site.until("spark-1", CONNECTED, "\n".join(f"netplan-{rail}" for rail in RAILS))
    assert len(addresses(site, "spark-1")) == 2


@managed
def test_a_host_whose_management_interface_is_networkds_comes_back_too(site: Site) -> None:
    """spark-2: networkd has eth0, and netplan names NetworkManager for all else."""
    before, management = site.show("spark-2"), site.inside("spark-2", MANAGEMENT)
    site.inside("spark-2", WATCH)
    site.deadline = SHORT
    assert set(site.send("spark-2", site.change("spark-2")).values()) == {0}
    assert len(addresses(site, "spark-2")) == 2
    site.until_undone("spark-2")
    assert site.show("spark-2") == before
    assert site.inside("spark-2", MANAGEMENT) == management
    assert "eth0" not in site.inside("spark-2", "systemctl stop watch; cat /run/watched")


@managed
def test_an_address_goes_with_its_carrier_and_comes_back_with_it(site: Site) -> None:
    """networkd is told to keep it; NetworkManager can't be told so by netplan."""
    assert site.converge().errors == {}
    count = "ip -o -4 addr show dev enp1s0f1np1 | wc -l"
    break_(site.lab.home, site.lab.name, "spark-1", "cable:p1")
    try:
        site.until("spark-1", count, "0")
    finally:
        heal(site.lab.home, site.lab.name, "spark-1", "cable:p1")
    site.until("spark-1", count, "1")


@beside
def test_the_renderer_that_is_not_asked_lets_go_of_our_interfaces(site: Site) -> None:
    """It would empty them when its own wait for DHCP ends: seen after 35 s. It has them again if that is undone."""
    held = site.inside("spark-1", CONNECTED)
    site.deadline = SHORT
    assert set(site.send("spark-1", site.change("spark-1")).values()) == {0}
    site.until_undone("spark-1")
    assert site.inside("spark-1", CONNECTED) == held
    site.deadline = LONG
    assert site.converge().errors == {}
    assert site.inside("spark-1", STATES).splitlines() == ["10 (unmanaged)"] * 2
    assert len(addresses(site, "spark-1")) == 2
