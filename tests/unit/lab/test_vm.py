"""Virtual machines, judged without starting any: wires, the QEMU command, the switch, what is in the image."""

from __future__ import annotations

import gzip
import io
import json
import lzma
import tarfile
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import FilesWrong, Refused
from orchestrator.lab import inventory, records
from orchestrator.lab.faults import SORTS
from orchestrator.lab.home import Home
from orchestrator.lab.keys import known_hosts_line, new_key
from orchestrator.lab.layout import Layout, Topology, cabling, from_json
from orchestrator.lab.progress import Progress
from orchestrator.lab.recipe import recipe
from orchestrator.lab.vm import image, up
from orchestrator.lab.vm.argv import Accelerator, Start, qemu_argv, wire_ends
from orchestrator.lab.vm.host import fits, netplan_text, seed_archive
from orchestrator.lab.vm.layout import RAILS, far_end, lay_out_vms, mac, subnet, switched, wire_of
from orchestrator.lab.vm.processes import of_folder
from orchestrator.lab.vm.switch import Port, forward

KINDS = Path(__file__).parents[3] / "orchestrator/kinds"
FOLDER = Path("/labs/t/vm")


def layout(count: int = 2, topology: Topology = "pair") -> Layout:
    hosts = tuple(f"spark-{number}" for number in range(1, count + 1))
    return lay_out_vms("t", hosts, cabling(hosts, topology), range(42200, 42200 + count))


def machine(of: Layout, number: int, **more: Path) -> list[str]:
    start = Start(FOLDER / str(number), Path("/k"), Path("/i"), "tcg", number, wires=FOLDER, **more)
    return qemu_argv(start, of, of.hosts[number - 1])


@given(st.integers(3, 20), st.sampled_from(["ring", "switch"]))
def test_every_wire_has_two_ends_that_send_to_each_other(count: int, topology: Topology) -> None:
    lab = layout(count, topology)
    ends: dict[Path, Path] = {}
    for host in lab.hosts:
        for nic in host.nics:
            if nic.end is not None:
                own, far = wire_ends(FOLDER, lab, host, nic.network)
                assert own not in ends
                ends[own] = far
    if topology == "ring":
        assert all(ends[far] == own for own, far in ends.items())
    else:
        assert len(set(ends.values())) == len(ends)
        assert all(far.name == f"{own.name}s" for own, far in ends.items())
        assert [len(hosts) for hosts in switched(lab).values()] == [count, count]


def test_pair_is_joined_by_its_p1_and_nothing_else() -> None:
    lab = layout()
    for host in lab.hosts:
        lit = [netdev for netdev in RAILS if wire_of(host, netdev)]
        assert lit == ["enp1s0f1np1", "enP2p1s0f1np1"]
    first, second = lab.hosts
    assert far_end(lab, first, "c1h2") == second
    assert switched(lab) == {}


def test_machines_differ_in_their_addresses_alone_so_that_states_fit() -> None:
    addresses = {mac(slot, card) for slot in range(1, 33) for card in range(8)}
    assert len(addresses) == 32 * 8
    assert len({subnet(slot) for slot in range(1, 33)}) == 32
    with pytest.raises(FilesWrong, match="at most 32"):
        layout(33, "switch")


def test_qemu_forwards_sshd_to_this_machine_alone() -> None:
    argv = machine(layout(), 2)
    (way,) = (word for word in argv if word.startswith("user,"))
    assert (
        way == "user,id=mgmt,restrict=on,net=10.0.97.0/24,hostfwd=tcp:127.0.0.1:42201-10.0.97.15:22"
    )
    wires = [word for word in argv if word.startswith("dgram,")]
    assert wires[0] == (
        "dgram,id=enp1s0f1np1,local.type=unix,local.path=/labs/t/vm/c1h1-2,"
        "remote.type=unix,remote.path=/labs/t/vm/c1h1-1"
    )
    assert sum(word.startswith("hubport,") for word in argv) == 2


def test_saved_state_is_for_the_same_hardware_in_any_lab() -> None:
    """What a state depends on (-device) is the same with and without a lab around the machine."""
    bare = qemu_argv(Start(FOLDER / "1", Path("/k"), Path("/i"), "tcg", 1))
    ring = machine(layout(3, "ring"), 1, state=Path("/s p/state"))
    assert devices(bare) == devices(ring)
    assert ring[-2:] == ["-incoming", "exec:cat '/s p/state'"]


@pytest.mark.parametrize(("how", "randomized"), [("tcg", False), ("kvm", True)])
def test_emulated_programs_lie_where_they_lay(how: Accelerator, randomized: bool) -> None:
    """What QEMU has translated of a program serves its next start, three times as fast."""
    argv = qemu_argv(Start(FOLDER, Path("/k"), Path("/i"), how, 1))
    assert ("norandmaps" not in argv[argv.index("-append") + 1].split()) is randomized


def devices(argv: list[str]) -> list[str]:
    return [word for flag, word in pairwise(argv) if flag == "-device"]


def test_record_says_what_the_hosts_are(tmp_path: Path) -> None:
    home = Home(tmp_path)
    record = records.Record(layout(), tmp_path, own_engine=False, made_of="vm")
    records.save(home, record)
    assert records.load(home, "t") == record
    assert from_json(json.loads(json.dumps(record.layout.as_json()))).host("spark-2").port == 42201
    old = record.as_json()
    del old["made_of"]
    records.path_of(home, "t").write_text(json.dumps(old))
    known = records.load(home, "t")
    assert known is not None and known.made_of == "container"


def test_inventory_leads_to_a_port_of_this_machine() -> None:
    made = yaml.safe_load(inventory.text("t", inventory.document(layout(), "vm")))
    assert made["hosts"]["spark-2"] == {
        "kind": "lab-vm", "address": "127.0.0.1", "ssh": {"port": 42201},
    }  # fmt: skip
    line = known_hosts_line("127.0.0.1", new_key("x"), 42201)
    assert line.startswith("[127.0.0.1]:42201 ssh-ed25519 ")


def test_kind_names_the_interfaces_and_devices_that_the_image_makes() -> None:
    kind = yaml.safe_load((KINDS / "lab-vm.yaml").read_text())
    spark = yaml.safe_load((KINDS / "dgx-spark.yaml").read_text())
    halves = [half for port in kind["ports"].values() for half in port["halves"]]
    assert halves == [half for port in spark["ports"].values() for half in port["halves"]]
    assert sorted(half["netdev"] for half in halves) == sorted(RAILS)
    made = (Path(image.__file__).parent / "inside/rxe.sh").read_text()
    for half in halves:
        assert f"{half['rdma'].removeprefix('roce')}:{half['netdev']}" in made


def test_image_names_interfaces_by_the_slots_that_qemu_puts_them_in() -> None:
    links = image.link_files()
    argv = " ".join(machine(layout(), 1))
    for netdev in RAILS:
        text = links[f"/etc/systemd/network/05-orch-lab-{netdev}.link"]
        slot = int(text.partition("pci-0000:00:")[2][:2], 16)
        assert f"id=nic-{netdev},mac={mac(1, slot)},addr={slot:#x}," in argv
        assert f"Name={netdev}\n" in text


def test_image_is_another_when_the_recipe_is_and_the_same_when_only_memory_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, known = Home(tmp_path), recipe()
    before = image.image_folder(home)
    for change, same in (({"memory_mib": 1024}, True), ({"packages": ("kmod",)}, False)):
        other = known.model_copy(update={"vm": known.vm.model_copy(update=change)})
        monkeypatch.setattr(image, "recipe", lambda other=other: other)
        assert (image.image_folder(home) == before) is same


def test_bootstrap_words_are_quoted_for_the_hooks_shell() -> None:
    argv = image.bootstrap_argv(Path("/t"), Path("/a b/ours.tar"), Path("/out"), "http://m/debian")
    assert argv[-3:] == ["bookworm", "/t", "http://m/debian"]
    assert "--customize-hook=tar-in '/a b/ours.tar' /" in argv
    (finish,) = (word for word in argv if "finish.sh" in word)
    assert "'virtio_pci virtio_blk crc32c_generic ext4'" in finish


@pytest.mark.parametrize("pack", [lzma.compress, gzip.compress])
def test_kernel_is_found_in_what_boots(pack: object) -> None:
    inner = image.ELF + b"kernel" * 100
    assert callable(pack)
    packed = b"MZ boot code \x1f\x8b\x08 not it" + pack(inner) + b"trailer"
    assert image.uncompressed(packed) == inner
    assert image.uncompressed(b"MZ packed some other way") == b"MZ packed some other way"


def test_seed_makes_a_machine_that_host() -> None:
    own, user = new_key("own"), new_key("user")
    machine_ids = set()
    for _ in range(2):
        packed = io.BytesIO(seed_archive(own, user))
        with tarfile.open(fileobj=packed) as tar:
            modes = {member.name: (member.mode, member.uid) for member in tar}
            machine_ids.add(tar.extractfile("etc/machine-id").read())  # type: ignore[union-attr]
        assert modes["etc/ssh/ssh_host_ed25519_key"] == (0o600, 0)
        assert modes["home/orch/.ssh/authorized_keys"] == (0o600, 1000)
    assert len(machine_ids) == 2
    plan = yaml.safe_load(netplan_text(2))["network"]["ethernets"]
    assert plan["eth0"]["addresses"] == ["10.0.97.15/24"]


class Heard(Port):
    """A port that remembers what was sent."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []

    def send(self, frame: bytes) -> None:
        self.frames.append(frame)


def frame(to: str, sender: str) -> bytes:
    return bytes.fromhex(to + sender) + b"\x08\x00payload"


def test_switch_learns_who_is_where() -> None:
    ports = [Heard(), Heard(), Heard()]
    known: dict[bytes, Port] = {}
    one, two, all_ = "5254000c0104", "5254000c0204", "ffffffffffff"
    forward(ports[0], frame(all_, one), ports, known)
    assert [len(port.frames) for port in ports] == [0, 1, 1]
    forward(ports[1], frame(one, two), ports, known)
    assert [len(port.frames) for port in ports] == [1, 1, 1]
    forward(ports[0], frame("5254000c0304", one), ports, known)
    assert [len(port.frames) for port in ports] == [1, 2, 2]
    forward(ports[2], frame("0180c200000e", "5254000c0304"), ports, known)  # LLDP
    forward(ports[2], b"short", ports, known)
    assert [len(port.frames) for port in ports] == [1, 2, 2]


def test_both_sorts_of_hosts_have_faults_and_only_containers_have_docker() -> None:
    assert set(SORTS["vm"].faults) < set(SORTS["container"].faults)
    assert "docker-down" not in SORTS["vm"].faults


def test_machine_without_support_is_refused_before_anything_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    with pytest.raises(Refused, match="not supported on aarch64 yet"):
        up.set_up_vms(Home(tmp_path), Progress(print), 2)


def test_ports_that_other_labs_have_are_not_given_again() -> None:
    first = up.free_ports(2, ())
    second = up.free_ports(2, first)
    assert len({*first, *second}) == 4


def test_too_long_a_folder_for_sockets_is_told() -> None:
    with pytest.raises(FilesWrong, match="too long a path"):
        fits(Path("/" + "x" * 100))
    fits(FOLDER)


def test_no_process_is_taken_for_a_machine_of_a_folder(tmp_path: Path) -> None:
    assert of_folder(tmp_path) == []


def test_state_of_one_slot_is_not_anothers() -> None:
    start = Start(FOLDER, Path("/k"), Path("/i"), "tcg", 1)
    assert devices(qemu_argv(start)) != devices(qemu_argv(replace(start, slot=2)))
