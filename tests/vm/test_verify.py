"""Real verbs between two virtual machines: a good link, and each fault with its own cause."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from tests.lab.conftest import RAILS, Vms
from tests.lab.site import Site
from tests.vm.test_lab import address_every_end

pytestmark = [pytest.mark.lab, pytest.mark.timeout(1800)]

ONCE = (
    "--soak",
    "2s",
)  # one trial, all halves at once: an emulated machine takes seconds to answer
CLUSTER = "version: 1\nname: verbs\ninventory: inventory.yaml\n"
SECONDS = 900.0


@pytest.fixture(scope="module")
def site(vms: Vms, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """The machines with the addresses that the inventory wants; netplan takes a minute a machine here."""
    made = Site(vms, tmp_path_factory.mktemp("verbs"), name="verbs")
    made.write("cluster.yaml", CLUSTER)
    address_every_end(vms)
    return made


def verdict(site: Site, *words: str, rc: int | None = 0) -> Mapping[str, Any]:
    done = site.orch("verify-rdma", "--json", *words, rc=rc, timeout=SECONDS)
    found: Mapping[str, Any] = json.loads(done.stdout)
    return found


def causes(told: Mapping[str, Any]) -> set[str]:
    """Names of all reasons, and kinds of all failures."""
    lanes = [lane for link in told["links"] for lane in link["lanes"]]
    each = [*told["links"], *lanes]
    named = {reason["name"] for one in each for reason in one["reasons"]}
    measured = [lane["measured"] for lane in lanes if lane["measured"]]
    return named | {one["failure"]["kind"] for one in measured if one["failure"]}


def servers(site: Site) -> str:
    found = [site.lab.inside(host, "pgrep -a ib_write || true") for host in site.lab.hosts]
    return "".join(found)


@contextmanager
def broken(site: Site, host: str, breaks: str, heals: str) -> Iterator[None]:
    """A fault by shell, and the way back."""
    site.lab.inside(host, breaks)
    try:
        yield
    finally:
        site.lab.inside(host, heals)


def until(question: Callable[[], bool], seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while not question():
        assert time.monotonic() < deadline, question
        time.sleep(0.5)


def test_a_good_link_is_measured_on_both_rails_both_ways(site: Site) -> None:
    told = verdict(site, "--duration", "2s", "--html", "fabric.html", rc=None)  # all ten trials
    (link,) = told["links"]
    assert link["way"] == "rdma"
    assert not {lane["measured"]["failure"] for lane in link["lanes"]} - {None}
    loads = {(one["load"], one["half"], one["client"]["host"]) for one in link["lanes"]}
    both = {(half, host) for half in (1, 2) for host in site.lab.hosts}
    assert {("alone", *one) for one in both} | {("together", *one) for one in both} <= loads
    assert {("both-ways", half, "spark-1") for half in (1, 2)} <= loads
    for lane in link["lanes"]:
        assert lane["measured"]["gbps"] > 0, lane["name"]
        assert min(lane["measured"]["moved"].values()) > 0, lane["name"]
    assert link["latency_us"] > 0
    assert servers(site) == ""
    assert "rocep1s0f1" in (site.folder / "fabric.html").read_text(encoding="utf-8")


def test_a_cable_that_is_out(site: Site) -> None:
    site.orch("lab", "break", "--name", site.lab.name, "spark-1", "cable:p1")
    try:
        told = verdict(site, *ONCE, rc=1)
    finally:
        site.orch("lab", "heal", "--name", site.lab.name, "spark-1", "cable:p1")
        until(lambda: all("10.20" in site.lab.inside(host, "ip -br a") for host in site.lab.hosts))
    assert causes(told) & {"link-down", "no-link"}, causes(told)


def test_an_address_that_is_another(site: Site) -> None:
    address = site.lab.inside("spark-2", f"ip -4 -br a show {RAILS[0]}").split()[2]
    dev = f"dev {RAILS[0]}"
    with broken(
        site, "spark-2", f"ip a del {address} {dev}; ip a add 10.9.9.9/24 {dev}",
        f"ip a del 10.9.9.9/24 {dev}; ip a add {address} {dev}",
    ):  # fmt: skip
        told = verdict(site, *ONCE, rc=1)
    assert "wrong-address" in causes(told)
    assert any("orch run network" in note for note in told["notes"])


def test_ends_whose_mtu_differs(site: Site) -> None:
    small = "; ".join(f"ip link set {dev} mtu 1500" for dev in RAILS)
    large = "; ".join(f"ip link set {dev} mtu 9000" for dev in RAILS)
    with broken(site, "spark-2", small, large):
        told = verdict(site, *ONCE, rc=None)
    named = [
        one
        for one in told["links"][0]["reasons"]
        if one["name"] in ("mtu-differs", "preflight-mtu")
    ]
    assert any("differ" in one["cause"] for one in named), told["links"][0]["reasons"]


def test_a_firewall_on_roces_own_port(site: Site) -> None:
    drops = "add rule inet t i udp dport 4791 drop"
    chain = "add chain inet t i { type filter hook input priority 0; }"
    with broken(
        site, "spark-2", f"nft 'add table inet t; {chain}; {drops}'", "nft delete table inet t"
    ):
        told = verdict(site, *ONCE, rc=1)
    assert causes(told) & {"firewall", "firewall-in-the-way"}, causes(told)
    assert servers(site) == ""


def test_a_server_that_is_there_already(site: Site) -> None:
    taken = "setsid timeout 600 ib_write_bw -R -d rocep1s0f1 -p 18515 >/dev/null 2>&1 &"
    with broken(site, "spark-2", taken, "pkill ib_write_bw"):
        until(lambda: "18515" in site.lab.inside("spark-2", "rdma resource show cm_id"))
        told = verdict(site, *ONCE, rc=1)
    assert "port-in-use" in causes(told)


def asked(process: subprocess.Popen[str]) -> None:
    """Returns as soon as a client is on its way."""
    if process.stdout is None:
        raise TypeError("stdout is not piped")
    seen = []
    for line in process.stdout:
        seen.append(line)
        if "/ask: started" in line:
            return
    raise AssertionError("".join(seen))


def test_a_client_that_is_cut_off_leaves_no_server_and_the_next_run_measures(site: Site) -> None:
    """The next one through a firewall on the test's TCP port, which is no hindrance to rdma_cm."""
    with site.running("verify-rdma", "--soak", "10s") as process:
        asked(process)
        until(lambda: "ib_write_bw" in site.lab.inside("spark-1", "pgrep -a ib_write || true"))
        process.kill()  # its jobs go on: the test ends by itself, and so do both tools
    until(lambda: servers(site) == "")
    drops = "add rule inet t i tcp dport 18515 drop"
    chain = "add chain inet t i { type filter hook input priority 0; }"
    with broken(
        site, "spark-2", f"nft 'add table inet t; {chain}; {drops}'", "nft delete table inet t"
    ):
        told = verdict(site, *ONCE, rc=None)
    assert told["links"][0]["gbps"] > 0


def test_a_host_that_dies_in_mid_test(site: Site) -> None:
    """The verdict is that of the very run in which it died."""
    lab = ("--name", site.lab.name, "spark-2", "power-off")
    with site.running("verify-rdma", *ONCE, "--json") as process:
        asked(process)
        site.orch("lab", "break", *lab)
        try:
            rest, _ = process.communicate(timeout=SECONDS)
        finally:
            site.orch("lab", "heal", *lab, timeout=SECONDS)
    told, _ = json.JSONDecoder().raw_decode(rest[rest.index("{\n") :])
    assert (process.returncode, told["exit_code"]) == (3, 3)
    assert told["state"] in ("unknown", "failed") and told["links"][0]["gbps"] is None
    assert any("spark-2" in note for note in told["notes"])
