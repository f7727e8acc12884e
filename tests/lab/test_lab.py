"""The lab is what it says: hosts of their own, faults that bite, nothing left behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.errors import CommandFailed, FilesWrong, Refused
from orchestrator.lab import records
from orchestrator.lab.docker import running_engines
from orchestrator.lab.down import take_down
from orchestrator.lab.faults import break_, heal
from orchestrator.lab.host import LABEL, ssh_greets, wait_until_up
from orchestrator.lab.labs import labelled, list_labs
from orchestrator.lab.layout import cabling
from orchestrator.lab.progress import Progress
from orchestrator.lab.up import Wish, bring_up
from tests.lab.conftest import RAILS, SET_UP_SECONDS, Lab, running_lab

pytestmark = [pytest.mark.lab, pytest.mark.timeout(SET_UP_SECONDS)]

RAIL = RAILS[0]
BORROWED = ["-v", "/usr:/usr:ro", "-v", "/etc:/etc:ro"]
TREE = "orch-lab/host-tree:latest"


def out(lab: Lab, host: str, *argv: str) -> str:
    return lab.run(host, argv).stdout.strip()


def links(lab: Lab, host: str) -> dict[str, dict[str, Any]]:
    return {link["ifname"]: link for link in json.loads(out(lab, host, "ip", "-json", "address"))}


@pytest.fixture
def railed(lab: Lab) -> Iterator[Lab]:
    """The lab with addresses on the first half of its cable, given by the hosts' own netplan."""
    for number, host in enumerate(lab.hosts, start=1):
        plan = (
            "network: {version: 2, ethernets: {"
            f"{RAIL}: {{addresses: [10.20.0.{number}/24], mtu: 9000, accept-ra: false, link-local: []}}}}}}\n"
        )
        script = 'umask 077; printf %s "$1" > /etc/netplan/50-test.yaml; netplan apply'
        lab.run(host, ["sudo", "sh", "-c", script, "sh", plan])
    until(lambda: pings(lab, "spark-1", "10.20.0.2"))
    yield lab
    forget = (
        "rm -f /etc/netplan/50-test.yaml; netplan apply; "
        'ip addr flush dev "$1"; ip link set "$1" mtu 1500 down'
    )
    for host in lab.hosts:  # as they were: other files of tests find the same hosts
        lab.run(host, ["sudo", "sh", "-c", forget, "sh", RAIL])


def pings(lab: Lab, host: str, address: str) -> bool:
    argv = ["ping", "-c1", "-W1", "-M", "do", "-s", "8900", address]
    return lab.run(host, argv, check=False).returncode == 0


def until(question: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not question():
        assert time.monotonic() < deadline, question
        time.sleep(0.2)


def test_each_host_is_a_machine_of_its_own(lab: Lab) -> None:
    machine_ids = {out(lab, host, "cat", "/etc/machine-id") for host in lab.hosts}
    assert len(machine_ids) == len(lab.hosts)
    assert Path("/etc/machine-id").read_text().strip() not in machine_ids
    boot_ids = {out(lab, host, "cat", "/proc/sys/kernel/random/boot_id") for host in lab.hosts}
    assert len(boot_ids) == len(lab.hosts)
    engines = {out(lab, host, "docker", "info", "--format", "{{.ID}}") for host in lab.hosts}
    assert len(engines) == len(lab.hosts)
    for host in lab.hosts:
        assert out(lab, host, "sudo", "readlink", "/proc/1/exe").endswith("/systemd")
        assert out(lab, host, "hostname") == host
        assert out(lab, host, "systemctl", "is-system-running", "--wait") == "running"


def test_interfaces_are_named_as_on_a_spark_and_carry_nothing(lab: Lab) -> None:
    for host in lab.hosts:
        found = links(lab, host)
        assert {"lo", "eth0", *RAILS} <= set(found)
        assert not any(name.startswith(("eth1", "eth2", "park")) for name in found)
        management = [entry["local"] for entry in found["eth0"]["addr_info"]]
        assert lab.address(host) in management


def test_ranks_see_the_same_image_on_all_hosts_and_it_runs_the_engines(lab: Lab) -> None:
    ids = {
        out(lab, host, "docker", "image", "inspect", "--format", "{{.Id}}", TREE)
        for host in lab.hosts
    }
    assert len(ids) == 1
    argv = [
        "docker",
        "run",
        "--rm",
        *BORROWED,
        "-v",
        "/opt/orch-lab:/opt/orch-lab:ro",
        "-m",
        "512m",
        TREE,
    ]
    assert "version" in lab.run("spark-1", [*argv, "llama-server", "--version"]).stderr
    assert out(lab, "spark-1", *argv, "ray", "--version").startswith("ray, version")


def test_models_are_each_hosts_own(lab: Lab) -> None:
    out(lab, "spark-1", "touch", "/models/mine")
    assert lab.run("spark-2", ["ls", "/models/mine"], check=False).returncode != 0
    sums = {
        out(lab, host, "sha256sum", "/models/tiny.gguf", "/models/tiny-llama/model.safetensors")
        for host in lab.hosts
    }
    assert len(sums) == 1
    assert "random model" in out(lab, "spark-1", "cat", "/models/tiny-llama/README.md")
    out(lab, "spark-1", "rm", "/models/mine")


@pytest.mark.parametrize("setting", ["drop_caches", "swappiness", "overcommit_memory"])
def test_kernel_settings_cannot_be_changed_from_a_host(lab: Lab, setting: str) -> None:
    own = 'f=/proc/sys/vm/"$1"; v=$(cat $f 2>/dev/null || echo 0); echo "$v" > "$f"'
    written = lab.run("spark-1", ["sudo", "sh", "-c", own, "sh", setting], check=False)
    assert written.returncode != 0
    assert "Read-only" in written.stderr


def test_the_clock_cannot_be_set_from_a_host(lab: Lab) -> None:
    now = out(lab, "spark-1", "date", "+%s")
    assert lab.run("spark-1", ["sudo", "date", "-s", f"@{int(now)}"], check=False).returncode != 0


def test_stopping_one_hosts_docker_leaves_the_others_running(lab: Lab) -> None:
    assert "stopped" in break_(lab.home, lab.name, "spark-1", "docker-down")
    assert lab.run("spark-1", ["docker", "info"], check=False).returncode != 0
    assert lab.run("spark-2", ["docker", "info"], check=False).returncode == 0
    heal(lab.home, lab.name, "spark-1", "docker-down")
    assert lab.run("spark-1", ["docker", "info"], check=False).returncode == 0


def test_frozen_sshd_accepts_and_stays_silent(lab: Lab) -> None:
    break_(lab.home, lab.name, "spark-1", "sshd-frozen")
    try:
        assert not ssh_greets(lab.address("spark-1"))
        assert ssh_greets(lab.address("spark-2"))
    finally:
        heal(lab.home, lab.name, "spark-1", "sshd-frozen")
    assert out(lab, "spark-1", "echo", "back") == "back"


def test_pulled_cable_has_no_carrier_at_both_ends_and_survives_a_reboot(railed: Lab) -> None:
    break_(railed.home, railed.name, "spark-1", "cable:p1")
    try:
        for host in railed.hosts:
            assert "LOWER_UP" not in links(railed, host)[RAIL]["flags"]
        assert not pings(railed, "spark-1", "10.20.0.2")
        break_(railed.home, railed.name, "spark-1", "reboot")
        until(lambda: "UP" in links(railed, "spark-1")[RAIL]["flags"])
        assert "LOWER_UP" not in links(railed, "spark-1")[RAIL]["flags"]
    finally:
        heal(railed.home, railed.name, "spark-1", None)
    until(lambda: pings(railed, "spark-1", "10.20.0.2"))


def test_restart_keeps_names_and_addresses(railed: Lab) -> None:
    before = out(railed, "spark-2", "cat", "/proc/sys/kernel/random/boot_id")
    railed.docker("restart", "--time", "0", railed.container("spark-2"))
    until(lambda: ssh_greets(railed.address("spark-2")))
    until(lambda: pings(railed, "spark-2", "10.20.0.1"))
    found = links(railed, "spark-2")
    assert {"eth0", *RAILS} <= set(found)
    assert [entry["local"] for entry in found[RAIL]["addr_info"] if entry["family"] == "inet"] == [
        "10.20.0.2"
    ]
    assert out(railed, "spark-2", "cat", "/proc/sys/kernel/random/boot_id") != before
    wait_until_up(railed.docker, railed.layout.host("spark-2"))


def seconds_for_12_megabytes(lab: Lab) -> float:
    serve = ["iperf3", "--server", "--daemon", "--one-off", "--bind", "10.20.0.2"]
    lab.run("spark-2", serve)
    told = ""

    def sent() -> bool:
        nonlocal told
        argv = ["iperf3", "--client", "10.20.0.2", "--bytes", "12M", "--json"]
        done = lab.run("spark-1", argv, check=False)
        told = done.stdout
        return done.returncode == 0

    until(sent)
    return float(json.loads(told)["end"]["sum_received"]["seconds"])


def test_slow_link_is_slow_and_fast_again(railed: Lab) -> None:
    fast = seconds_for_12_megabytes(railed)
    break_(railed.home, railed.name, "spark-1", "slow-link:p1:50mbit")
    try:
        slow = seconds_for_12_megabytes(railed)
    finally:
        heal(railed.home, railed.name, "spark-1", "slow-link:p1:50mbit")
    assert slow > 1.2  # 12 MB at 50 Mb/s are 2 s, less the shaper's burst
    assert slow > 3 * max(fast, seconds_for_12_megabytes(railed))


def test_full_disk_refuses_a_byte_and_keeps_what_was_there(lab: Lab) -> None:
    before = out(lab, "spark-1", "sha256sum", "/models/tiny.gguf")
    break_(lab.home, lab.name, "spark-1", "disk-full")
    try:
        written = lab.run("spark-1", ["cp", "/etc/passwd", "/models/more"], check=False)
        assert "No space left" in written.stderr
        assert out(lab, "spark-1", "sha256sum", "/models/tiny.gguf") == before
        for act in (break_, heal):
            with pytest.raises(Refused, match="not /var/tmp is full, but /models"):
                act(lab.home, lab.name, "spark-1", "disk-full:/var/tmp")
    finally:
        heal(lab.home, lab.name, "spark-1", "disk-full")
    out(lab, "spark-1", "sh", "-c", "echo x > /models/more && rm /models/more")


def test_killed_container_is_a_crash_that_docker_may_restart(lab: Lab) -> None:
    argv = ["docker", "run", "-d", "--name", "victim", "--restart", "on-failure:3", *BORROWED, TREE]
    lab.run("spark-1", [*argv, "sleep", "600"])
    try:
        break_(lab.home, lab.name, "spark-1", "container-killed:victim")
        shown = ["docker", "inspect", "--format", "{{.RestartCount}} {{.State.Running}}", "victim"]
        until(lambda: out(lab, "spark-1", *shown) == "1 true")
    finally:
        lab.run("spark-1", ["docker", "rm", "-f", "victim"])


def test_power_off_is_off_until_healed(lab: Lab) -> None:
    break_(lab.home, lab.name, "spark-2", "power-off")
    assert not ssh_greets(lab.address("spark-2"))
    seen = {each.name: each for each in list_labs(lab.home)}[lab.name]
    assert seen.hosts["spark-2"] == "exited"
    assert seen.faults["spark-2"] == ["power-off"]
    with pytest.raises(Refused, match="spark-2 is off"):
        break_(lab.home, lab.name, "spark-2", "docker-down")
    heal(lab.home, lab.name, "spark-2", None)
    assert out(lab, "spark-2", "docker", "info", "--format", "{{.ID}}")


def test_unknown_fault_host_and_port_are_told(lab: Lab) -> None:
    for host, what in (("spark-1", "gremlins"), ("spark-9", "reboot"), ("spark-1", "cable:p0")):
        with pytest.raises(FilesWrong):
            break_(lab.home, lab.name, host, what)


def test_up_again_changes_nothing_and_another_shape_is_refused(lab: Lab) -> None:
    ids = [out(lab, host, "cat", "/proc/sys/kernel/random/boot_id") for host in lab.hosts]
    segments = cabling(lab.hosts, "pair")
    bring_up(lab.home, Wish(lab.name, lab.hosts, segments, lab.dir), Progress(print))
    assert [out(lab, host, "cat", "/proc/sys/kernel/random/boot_id") for host in lab.hosts] == ids
    with pytest.raises(Refused, match="other hosts or cables"):
        bring_up(
            lab.home,
            Wish(lab.name, lab.hosts, cabling(lab.hosts, "switch"), lab.dir),
            Progress(print),
        )


def test_down_leaves_nothing_and_keeps_what_is_not_ours(tmp_path: Path, lab: Lab) -> None:
    name = f"d{os.getpid()}"
    folder = tmp_path / "ring"
    with running_lab(folder, name, ("a", "b", "c"), "ring") as ring:
        assert {nic.netdev for nic in ring.layout.host("b").nics} == {
            "eth0", "enp1s0f0np0", "enP2p1s0f0np0", *RAILS,
        }  # fmt: skip
        assert ring.layout.base != lab.layout.base
        (folder / "notes.txt").write_text("mine")
        take_down(ring.home, name, Progress(print))
        assert [file.name for file in folder.iterdir()] == ["notes.txt"]
        for docker in running_engines(ring.home):
            for kind in (["ps", "-a"], ["network", "ls"], ["volume", "ls"]):
                assert docker.lines(*kind, "--quiet", "--filter", f"label={LABEL}={name}") == []
        assert name not in records.names(ring.home)
        assert all(
            line.split()[1]
            for line in Path("/proc/mounts").read_text().splitlines()
            if name not in line
        )
        with pytest.raises(FilesWrong, match="no lab"):
            take_down(ring.home, name, Progress(print))
    with pytest.raises(CommandFailed):
        lab.docker("inspect", f"orch-{name}-a")


def test_up_killed_half_way_is_made_good_by_the_next_up(tmp_path: Path, lab: Lab) -> None:
    name = f"k{os.getpid()}"
    argv = [sys.executable, "-m", "orchestrator.cli", "lab", "up", "--name", name]
    argv += ["--dir", str(tmp_path / "k")]
    killed = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until(lambda: labelled(lab.home, name))
    finally:
        killed.kill()
        killed.wait()
    assert {each.name for each in list_labs(lab.home)} >= {name}
    with running_lab(tmp_path / "k", name, ("spark-1", "spark-2"), "pair") as again:
        assert out(again, "spark-1", "hostname") == "spark-1"
    assert not labelled(lab.home, name)
