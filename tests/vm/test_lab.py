"""Virtual machines of the lab are what they say: kernels of their own, real verbs, cables that can be pulled."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from orchestrator import facts
from orchestrator.contracts import Query
from orchestrator.errors import FilesWrong, Refused, Unknown
from orchestrator.facts.answers import Rdma, RdmaDevice
from orchestrator.hosts.pool import Pool
from orchestrator.hosts.reader import Answers, apply_and_read, read
from orchestrator.lab import records
from orchestrator.lab.down import take_down
from orchestrator.lab.faults import break_, heal
from orchestrator.lab.home import Home
from orchestrator.lab.host import ssh_greets
from orchestrator.lab.labs import list_labs
from orchestrator.lab.layout import cabling
from orchestrator.lab.progress import Progress
from orchestrator.lab.up import Wish, bring_up
from orchestrator.lab.vm import processes
from orchestrator.lab.vm.qmp import checked
from orchestrator.lab.vm.up import VMS
from orchestrator.network.fabric import Member
from orchestrator.network.topology import plan_fabric
from orchestrator.spec.models import Cluster
from orchestrator.spec.resolve import load_cluster, load_inventory
from tests.lab.conftest import RAILS, SET_UP_SECONDS, Vms, running_vms
from tests.unit.steps.clusters import steps

pytestmark = [pytest.mark.lab, pytest.mark.timeout(SET_UP_SECONDS)]

DEVICES = ("rocep1s0f1", "roceP2p1s0f1")  # on RAILS, in their order
ROW = re.compile(r"^ *65536\s+(\d+)\s+[\d.]+\s+([\d.]+)\s+[\d.]+", re.MULTILINE)
CLOCK_SECONDS = 2.0


@pytest.fixture(scope="module")
def cluster(vms: Vms) -> Cluster:
    return load_inventory(vms.inventory)


@pytest.fixture(scope="module")
def pool(cluster: Cluster) -> Iterator[Pool]:
    with Pool(cluster.hosts, lambda name: "") as made:
        yield made


PLAN = """network:
  version: 2
  renderer: networkd
  ethernets:
    enp1s0f1np1: {{mtu: 9000, addresses: [10.20.0.{0}/24], ignore-carrier: true, link-local: []}}
    enP2p1s0f1np1: {{mtu: 9000, addresses: [10.20.1.{0}/24], ignore-carrier: true, link-local: []}}
"""
APPLY = f"""umask 077
cat > /etc/netplan/50-test.yaml
sync  # half a minute may pass before; the power is cut sooner on a quick machine
netplan generate
networkctl reload
networkctl reconfigure {" ".join(RAILS)}
"""


@pytest.fixture(scope="module")
def railed(vms: Vms, pool: Pool) -> Iterator[Vms]:
    """The machines with addresses on both halves of their cable, from a file of netplan's."""

    def apply(number: int, host: str) -> None:
        plan = PLAN.format(number).encode()
        checked(vms.folder(host), "sh", "-c", APPLY, stdin=plan, seconds=120)

    with ThreadPoolExecutor() as both:
        list(both.map(apply, (1, 2), vms.hosts))
    until(lambda: active(pool, *vms.hosts))
    yield vms
    for host in vms.hosts:
        vms.inside(host, "rm /etc/netplan/50-test.yaml")
    vms.forget_network()


def out(lab: Vms, host: str, *argv: str) -> str:
    """As root, past SSH: each connection costs an emulated machine a second."""
    return checked(lab.folder(host), *argv).strip()


def ask(pool: Pool, host: str, *queries: Query[Any]) -> Answers:
    reading = read(pool, {(host, query) for query in queries})
    assert not reading.errors
    return reading[host]


def rdma(pool: Pool, host: str) -> Rdma:
    """A machine that is too busy to answer in time is asked again."""
    for _ in range(4):
        with suppress(Unknown):
            return ask(pool, host, facts.ReadRdma()).get(facts.ReadRdma())
    return ask(pool, host, facts.ReadRdma()).get(facts.ReadRdma())


def devices(pool: Pool, host: str) -> list[RdmaDevice]:
    """Those of the cable."""
    return [one for one in rdma(pool, host).devices if one.netdev in RAILS]


def both_ends(pool: Pool, lab: Vms) -> list[RdmaDevice]:
    return [one for host in lab.hosts for one in devices(pool, host)]


def active(pool: Pool, *hosts: str) -> bool:
    """Whether the cable's devices are."""
    return all(one.state == "ACTIVE" for host in hosts for one in devices(pool, host))


def until(question: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not question():
        assert time.monotonic() < deadline, question
        time.sleep(0.2)


def moved(lab: Vms, server: str, client: str, rail: int) -> tuple[int, float]:
    """Iterations and Gb/s of one ib_write_bw between two hosts over SSH, as the client tells them."""
    port = 18515 + rail
    common = ["timeout", "60", "ib_write_bw", "-R", "-D", "2", "--report_gbits"]
    common += ["-d", DEVICES[rail], "-p", str(port)]
    to = f"10.20.{rail}.{lab.hosts.index(server) + 1}"
    with ThreadPoolExecutor() as background:
        serving = background.submit(lab.run, server, common, timeout=90)
        listens = ("sh", "-c", f"rdma resource show cm_id | grep -c ':{port} ' || true")
        until(lambda: serving.done() or out(lab, server, *listens) != "0")
        told = lab.run(client, [*common, to], timeout=90).stdout
        serving.result()
    row = ROW.search(told)
    assert row is not None, told
    return int(row[1]), float(row[2])


def test_each_machine_has_a_kernel_and_a_name_of_its_own(vms: Vms) -> None:
    here = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    for path in ("/etc/machine-id", "/proc/sys/kernel/random/boot_id"):
        found = {out(vms, host, "cat", path) for host in vms.hosts}
        assert len(found) == 2
        assert here not in found
    keys = {out(vms, host, "cat", "/etc/ssh/ssh_host_ed25519_key.pub") for host in vms.hosts}
    assert len(keys) == 2
    for host in vms.hosts:
        assert out(vms, host, "uname", "-r") != os.uname().release
        assert out(vms, host, "hostname") == host
        assert out(vms, host, "systemctl", "is-system-running", "--wait") == "running"
        assert vms.run(host, ["sudo", "-n", "id", "-u"]).stdout == "0\n"


def test_the_clock_is_right_though_the_machine_was_on_disk(vms: Vms) -> None:
    for host in vms.hosts:
        before = time.time()
        there = float(out(vms, host, "date", "+%s.%N"))
        assert before - CLOCK_SECONDS < there < time.time() + CLOCK_SECONDS


def test_orch_reads_the_devices_of_all_halves(vms: Vms, pool: Pool, cluster: Cluster) -> None:
    for host in vms.hosts:
        named = {one.name: one.netdev for one in rdma(pool, host).devices}
        halves = [half for port in cluster.hosts[host].ports.values() for half in port.halves]
        assert named == {half.rdma: half.netdev for half in halves}
        assert len(named) == 4
        network = ask(pool, host, facts.ReadNetwork()).get(facts.ReadNetwork())
        assert network.ssh_netdev == "eth0"
        assert network.renderer == "networkd"


def test_ports_without_a_cable_have_no_light(vms: Vms) -> None:
    up = "for d in enp1s0f0np0 enp1s0f1np1; do ip link set $d up; done; sleep 0.5; ip -brief link"
    states = {line.split()[0]: line.split()[1] for line in vms.inside("spark-1", up).splitlines()}
    assert states["enp1s0f0np0"] == "DOWN"
    assert states["enp1s0f1np1"] == "UP"


@pytest.mark.parametrize("rail", [0, 1])
def test_verbs_move_data_on_each_rail(railed: Vms, pool: Pool, rail: int) -> None:
    (device,) = (one for one in devices(pool, "spark-2") if one.name == DEVICES[rail])
    assert (device.state, device.active_mtu, device.link_layer) == ("ACTIVE", 4096, "Ethernet")
    counter = f"/sys/class/infiniband/{DEVICES[rail]}/ports/1/hw_counters/rcvd_pkts"
    before = int(out(railed, "spark-2", "cat", counter))
    iterations, gbps = moved(railed, "spark-2", "spark-1", rail)
    assert iterations > 0
    assert gbps > 0
    packets = int(out(railed, "spark-2", "cat", counter)) - before
    assert packets >= iterations * 65536 // 4096


def test_pulled_cable_takes_both_halves_down_at_both_ends(railed: Vms, pool: Pool) -> None:
    break_(railed.home, railed.name, "spark-1", "cable:p1")
    try:
        until(lambda: {one.state for one in both_ends(pool, railed)} == {"DOWN"})
    finally:
        heal(railed.home, railed.name, "spark-1", "cable:p1")
    until(lambda: active(pool, *railed.hosts))


def test_slow_link_is_slow_and_fast_again(railed: Vms) -> None:
    seen = break_(railed.home, railed.name, "spark-2", "slow-link:p1:10mbit")
    assert "spark-1.enp1s0f1np1" in seen
    shown = ["tc", "qdisc", "show", "dev", RAILS[0]]
    assert "rate 10Mbit" in out(railed, "spark-1", *shown)
    heal(railed.home, railed.name, "spark-2", None)
    assert "tbf" not in out(railed, "spark-1", *shown)


def test_frozen_sshd_is_silent_and_thaws(vms: Vms) -> None:
    def greeted() -> bool:
        return ssh_greets("127.0.0.1", port=vms.layout.host("spark-1").port)

    assert greeted()
    break_(vms.home, vms.name, "spark-1", "sshd-frozen")
    try:
        assert not greeted()
    finally:
        heal(vms.home, vms.name, "spark-1", "sshd-frozen")
    assert vms.run("spark-1", ["echo", "back"]).stdout == "back\n"


def test_power_off_is_off_until_healed_and_what_was_written_stays(railed: Vms, pool: Pool) -> None:
    machine = out(railed, "spark-2", "cat", "/etc/machine-id")
    boot = out(railed, "spark-2", "cat", "/proc/sys/kernel/random/boot_id")
    break_(railed.home, railed.name, "spark-2", "power-off")
    pool.close()
    assert not processes.of_folder(railed.folder("spark-2"))
    seen = {each.name: each for each in list_labs(railed.home)}[railed.name]
    assert seen.hosts == {"spark-1": "running", "spark-2": "exited"}
    assert seen.faults["spark-2"] == ["power-off"]
    with pytest.raises(Refused, match="spark-2 is off"):
        break_(railed.home, railed.name, "spark-2", "sshd-frozen")
    heal(railed.home, railed.name, "spark-2", None)
    assert out(railed, "spark-2", "cat", "/etc/machine-id") == machine
    assert out(railed, "spark-2", "cat", "/proc/sys/kernel/random/boot_id") != boot
    until(lambda: active(pool, "spark-2"))
    moved(railed, "spark-1", "spark-2", rail=1)


def test_faults_that_need_docker_are_told(vms: Vms) -> None:
    with pytest.raises(FilesWrong, match="a lab of vms has no fault docker-down"):
        break_(vms.home, vms.name, "spark-1", "docker-down")


def test_up_again_changes_nothing_and_containers_are_another_lab(vms: Vms) -> None:
    boots = [out(vms, host, "cat", "/proc/sys/kernel/random/boot_id") for host in vms.hosts]
    wish = Wish(vms.name, vms.hosts, cabling(vms.hosts, "pair"), vms.dir)
    bring_up(vms.home, wish, Progress(print), VMS)
    assert [out(vms, host, "cat", "/proc/sys/kernel/random/boot_id") for host in vms.hosts] == boots
    with pytest.raises(Refused, match="is there already"):
        bring_up(vms.home, wish, Progress(print))


PREPARED = """\
version: 1
name: prepared
extends: lab-vm
unified_memory: true
prepare: {swap_off: true, drop_caches: true, read_ahead_kb: 8192}
"""
CLUSTER = """\
version: 1
name: prep
inventory: inventory.yaml
deployments:
  a: {profile: p, hosts: [spark-1], port: 8000}
"""
PROFILE = "version: 1\nengine: llamacpp\nmodel: /srv/m.gguf\nimage: x:1\n"
SWAP = "dd if=/dev/zero of=/swap bs=1M count=64 && chmod 600 /swap && mkswap /swap && swapon /swap"


@pytest.fixture(scope="module")
def prepared(vms: Vms, tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    """The machines as a kind that wants all that a container can't have done to it."""
    folder = tmp_path_factory.mktemp("prep")
    for name in ("id_ed25519", "known_hosts"):
        shutil.copy(vms.dir / name, folder / name)
    inventory = vms.inventory.read_text().replace("kind: lab-vm", "kind: prepared")
    written = {
        "inventory.yaml": inventory,
        "cluster.yaml": CLUSTER,
        "kinds/prepared.yaml": PREPARED,
        "profiles/p.yaml": PROFILE,
    }
    for path, text in written.items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(text)
    return load_cluster(folder / "cluster.yaml", purpose="look")


@pytest.mark.parametrize(
    ("stage", "step", "before", "seen"),
    [
        ("swap", "spark-1/swap", SWAP, "tail -n +2 /proc/swaps"),
        ("read-ahead", "spark-1/read-ahead", "", "cat /sys/class/block/vda/queue/read_ahead_kb"),
        ("drop-caches", "a/drop-caches/spark-1", "cat /usr/bin/* /usr/lib/*/* >/dev/null 2>&1; true",
         "awk '$1 == \"Cached:\" {print ($2 < 65536)}' /proc/meminfo"),
    ],
)  # fmt: skip
def test_steps_set_the_kernel_which_a_container_does_not_let_them(
    vms: Vms, pool: Pool, prepared: Cluster, stage: str, step: str, before: str, seen: str
) -> None:
    vms.inside("spark-1", before)
    chosen = steps(stage, prepared)[step]
    queries = [query for _, query in chosen.reads]
    now = {"spark-1": ask(pool, "spark-1", *queries)}
    change = chosen.check(now)
    assert change is not None
    results, after = apply_and_read(pool, "spark-1", chosen.apply(change, now), queries)
    assert all(result.rc == 0 for result in results.values()), results
    assert chosen.check({"spark-1": after}) is None
    wanted = {"swap": "", "read-ahead": "8192", "drop-caches": "1"}
    assert vms.inside("spark-1", seen).strip() == wanted[stage]


def address_every_end(lab: Vms) -> list[tuple[Member, ...]]:
    """Addresses as orch plans them at every end of every cable half, without netplan; the ends by wire."""
    wires = [segment.members for segment in plan_fabric(load_inventory(lab.inventory)).segments]
    for one in (end for ends in wires for end in ends):
        up = f"ip link set {one.netdev} mtu 9000 up; ip addr add {one.interface} dev {one.netdev}"
        lab.inside(one.host, up)
    return wires


def speak_over_every_link(lab: Vms) -> None:
    """A jumbo ping from each end of each wire to the next."""
    for ends in address_every_end(lab):
        for one, other in zip(ends, (*ends[1:], ends[0]), strict=True):
            assert other.interface is not None
            lab.inside(one.host, f"ping -c1 -w20 -M do -s 8900 {other.interface.ip}")


def test_a_switch_joins_all_on_its_rails(tmp_path: Path) -> None:
    name = f"y{os.getpid()}"
    with running_vms(tmp_path / "switch", name, ("a", "b", "c"), "switch") as switched:
        own = records.path_of(switched.home, name).parent
        assert len(processes.with_argument(f"{own}/", processes.SWITCH)) == 2
        speak_over_every_link(switched)
    assert not processes.of_folder(own)


def test_up_killed_half_way_is_made_good_by_down(tmp_path: Path) -> None:
    name = f"k{os.getpid()}"
    own = records.path_of(Home(), name).parent
    argv = [sys.executable, "-m", "orchestrator.cli", "lab", "up", "--vm", "--name", name]
    argv += ["--dir", str(tmp_path / "k")]
    killed = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until(lambda: bool(processes.of_folder(own)), seconds=SET_UP_SECONDS)
    finally:
        killed.kill()
        killed.wait()
    take_down(Home(), name, Progress(print))
    assert not processes.of_folder(own)
    assert not own.exists()
