"""What hosts are made from, judged without making any."""

from __future__ import annotations

import io
import ipaddress
import json
import stat
import tarfile
import threading
from pathlib import Path

import pytest
import yaml
from cryptography.hazmat.primitives.serialization import load_ssh_private_key

from orchestrator.errors import CommandFailed, Failed, FilesWrong, Refused
from orchestrator.lab import down, image, inventory, records
from orchestrator.lab.command import failure, run
from orchestrator.lab.docker import Docker, start_own_engine
from orchestrator.lab.engine_folder import Pip
from orchestrator.lab.home import SETUP, Home
from orchestrator.lab.host import (
    create_argv,
    missing_capabilities,
    netplan_text,
    seed_archive,
    shared_folders,
)
from orchestrator.lab.keys import known_hosts_line, new_key
from orchestrator.lab.layout import Layout, cabling, lay_out
from orchestrator.lab.progress import Progress, last_line
from orchestrator.lab.recipe import content_hash, package_folder, recipe
from orchestrator.lab.tree import ENVIRONMENT, IMAGE, image_archive
from orchestrator.lab.up import Wish, bring_up

BASE = ipaddress.IPv4Network("10.77.0.0/16")


def layout() -> Layout:
    hosts = ("spark-1", "spark-2")
    return lay_out("lab", hosts, cabling(hosts, "pair"), BASE)


def test_image_inside_is_one_on_all_hosts_and_has_no_bytes() -> None:
    first, second = image_archive("x86_64"), image_archive("x86_64")
    assert first == second
    with tarfile.open(fileobj=io.BytesIO(first)) as tar:
        manifest = json.loads(tar.extractfile("manifest.json").read())  # type: ignore[union-attr]
        config = json.loads(tar.extractfile(manifest[0]["Config"]).read())  # type: ignore[union-attr]
        layer = tar.extractfile(manifest[0]["Layers"][0])
        with tarfile.open(fileobj=layer) as tree:
            assert all(member.isdir() or member.issym() for member in tree)
    assert manifest[0]["RepoTags"] == [IMAGE]
    assert config["config"]["Env"] == ENVIRONMENT


def test_container_is_given_all_but_what_reaches_this_machines_kernel() -> None:
    lab = layout()
    shared = shared_folders(Path("/e"), Path("/l"))
    argv = create_argv(lab, lab.hosts[0], "image:1", shared, ["SYS_TIME", "SYS_RESOURCE"])
    assert "--privileged" not in argv
    assert argv[argv.index("--cap-add") + 1] == "ALL"
    dropped = {argv[at + 1] for at, word in enumerate(argv) if word == "--cap-drop"}
    assert dropped == {"SYS_TIME", "SYS_RESOURCE"}
    assert "/e:/opt/orch-lab/engine:ro" in argv
    assert argv[argv.index("--ip") + 1] == "10.77.0.11"
    assert shared_folders(None, Path("/l")) == {"/opt/orch-lab/llama": Path("/l")}


def test_missing_capabilities_are_read_from_the_bounding_set() -> None:
    assert missing_capabilities("CapBnd:\t000001ffffffffff\n") == []
    assert missing_capabilities("CapInh:\t0\nCapBnd:\t000001fffeffffff\n") == ["SYS_RESOURCE"]


def test_seed_makes_a_host_that_host(tmp_path: Path) -> None:
    (tmp_path / "tiny-llama").mkdir()
    (tmp_path / "tiny-llama" / "config.json").write_text("{}")
    (tmp_path / "tiny.gguf").write_text("x")
    lab, own, user = layout(), new_key("host"), new_key("user")
    seeds = [seed_archive(lab, host, own, user, tmp_path, "10.77.0.1") for host in lab.hosts]
    machine_ids = set()
    for seed in seeds:
        with tarfile.open(fileobj=io.BytesIO(seed)) as tar:
            modes = {member.name: member.mode for member in tar}
            machine_ids.add(tar.extractfile("etc/machine-id").read())  # type: ignore[union-attr]
            marker = json.loads(tar.extractfile("etc/orch-lab").read())  # type: ignore[union-attr]
            assert (
                marker["interfaces"]["10.77.0.11" if marker["host"] == "spark-1" else "10.77.0.12"]
                == "eth0"
            )
            assert modes["etc/ssh/ssh_host_ed25519_key"] == 0o600
            assert modes["etc/netplan/01-mgmt.yaml"] == 0o600
            assert modes["home/orch/.ssh"] == 0o700
            assert {"models/tiny-llama/config.json", "models/tiny.gguf", "models"} <= set(modes)
    assert len(machine_ids) == 2


def test_management_netplan_is_yaml_for_one_interface() -> None:
    plan = yaml.safe_load(netplan_text("10.77.0.11", 24, "10.77.0.1"))
    assert plan["network"]["ethernets"] == {
        "eth0": {
            "addresses": ["10.77.0.11/24"],
            "routes": [{"to": "default", "via": "10.77.0.1"}],
            "accept-ra": False,
            "link-local": [],
        }
    }


def test_keys_are_openssh_keys() -> None:
    pair = new_key("someone")
    load_ssh_private_key(pair.private, password=None)
    assert pair.public.endswith(" someone\n")
    assert known_hosts_line("10.0.0.1", pair).split()[:2] == ["10.0.0.1", "ssh-ed25519"]


def test_inventory_of_a_lab_is_what_a_user_would_write() -> None:
    made = yaml.safe_load(inventory.text("lab", inventory.document(layout())))
    assert made == {
        "version": 1,
        "defaults": {
            "ssh": {"user": "orch", "key": "./id_ed25519", "known_hosts": "./known_hosts"}
        },
        "hosts": {
            "spark-1": {"kind": "lab", "address": "10.77.0.11"},
            "spark-2": {"kind": "lab", "address": "10.77.0.12"},
        },
        "links": [["spark-1.p1", "spark-2.p1"]],
        "network": {"pool": "10.20.0.0/16", "mtu": 9000},
    }


def test_piece_that_was_interrupted_is_not_used(tmp_path: Path) -> None:
    home = Home(tmp_path / "h")
    target = home.path / "piece"
    with pytest.raises(RuntimeError), home.making(target) as folder:
        (folder / "half").write_text("x")
        raise RuntimeError
    assert not target.exists()
    assert list((home.path / "tmp").iterdir()) == []
    with home.making(target) as folder:
        (folder / "whole").write_text("x")
    assert (target / "whole").exists()
    assert stat.S_IMODE(target.stat().st_mode) == 0o755


def test_home_with_too_long_a_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FilesWrong, match="too long"):
        start_own_engine(Home(tmp_path / ("x" * 80)))


def test_record_that_cannot_be_read_counts_as_none(tmp_path: Path) -> None:
    home = Home(tmp_path / "h")
    record = records.Record(layout(), tmp_path, own_engine=True, faults={"spark-1": ["cable:p1"]})
    records.save(home, record)
    assert records.load(home, "lab") == record
    records.path_of(home, "lab").write_text("{")
    assert records.load(home, "lab") is None
    assert records.names(home) == ["lab"]
    records.forget(home, "lab")
    assert records.names(home) == []


def test_engine_that_does_not_answer_has_not_said_that_the_lab_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, record = Home(tmp_path / "h"), records.Record(layout(), tmp_path, own_engine=False)
    monkeypatch.setattr(down, "running_engines", lambda home: [])
    records.save(home, record)
    with pytest.raises(Failed, match="does not answer"):
        down.remove(home, "lab", Progress(print))
    assert records.load(home, "lab") == record


def test_our_engine_is_not_stopped_while_pieces_are_made_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, waits = Home(tmp_path / "h"), threading.Event()
    stopped: list[Home] = []
    monkeypatch.setattr(down, "own_engine", lambda home: Idle())
    monkeypatch.setattr(down, "stop_own_engine", stopped.append)
    progress = Progress(lambda line: waits.set())
    stopping = threading.Thread(target=down.stop_engine_if_unused, args=(home, progress))
    with home.lock(SETUP):
        stopping.start()
        assert waits.wait(10)
        assert stopped == []
    stopping.join(10)
    assert stopped == [home]


class Idle(Docker):
    """An engine with nothing in it."""

    def answers(self) -> bool:
        return True

    def lines(self, *words: str) -> list[str]:
        return []


def test_pip_for_another_python_takes_wheels_only() -> None:
    same = Pip("python3", "3.11").install(Path("/t"), "3.11", ["x==1"], "")
    other = Pip("python3", "3.12").install(Path("/t"), "3.11", ["x==1"], "https://index")
    assert "--only-binary=:all:" not in same
    assert other[other.index("--python-version") + 1] == "3.11"
    assert other[other.index("--extra-index-url") + 1] == "https://index"
    assert other[-1] == "x==1"


def test_content_hash_changes_with_any_part(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    before = content_hash(recipe().engine, tmp_path)
    (tmp_path / "a").write_text("2")
    assert content_hash(recipe().engine, tmp_path) != before


def test_all_files_of_the_image_are_there_and_listed() -> None:
    listed = set(image.FILES)
    there = {path.name for path in package_folder("inside").iterdir() if path.is_file()}
    assert listed == there


def test_shim_says_that_it_belongs_to_the_lab() -> None:
    assert "Lab-only" in (package_folder("shim") / "lab_cpu_ray" / "__init__.py").read_text()


def test_model_says_that_it_is_random() -> None:
    assert "random" in (package_folder("model") / "README.md").read_text().splitlines()[0]


def test_command_errors_say_what_and_why() -> None:
    with pytest.raises(CommandFailed, match="exit code 3: no such thing"):
        run(["sh", "-c", "echo no such thing >&2; exit 3"])
    with pytest.raises(CommandFailed, match="not installed"):
        run(["orch-lab-no-such-program"])
    assert "it said nothing" in failure(["x"], 1, "")


def test_progress_says_start_and_end(tmp_path: Path) -> None:
    said: list[str] = []
    with Progress(said.append).timed("work"):
        pass
    with pytest.raises(RuntimeError), Progress(said.append).timed("work"):
        raise RuntimeError
    assert said[0] == "work …"
    assert said[1].startswith("work: done in")
    assert said[3].startswith("work: failed after")
    log = tmp_path / "log"
    assert last_line(log) == ""
    log.write_bytes(b"one\nDownloading 1%\rDownloading 2%\r\n\n")
    assert last_line(log) == "Downloading 2%"


def test_hosts_may_be_of_another_release_than_this_machine() -> None:
    argvs = {name: image.bootstrap_argv(Path("/t"), name) for name in recipe().host_image.releases}
    assert [argv[-2] for argv in argvs.values()] == list(argvs)
    included = {name: argv[3].partition("=")[2].split(",") for name, argv in argvs.items()}
    assert [name for name in included if "docker-cli" in included[name]] == ["trixie"]
    assert len({image.image_tag(name) for name in argvs}) == len(argvs)
    assert image.codename("trixie") == "trixie"
    with pytest.raises(Refused, match="the release sarge") as error:
        image.codename("sarge")
    assert "trixie" in error.value.hint


def test_a_lab_of_one_release_is_not_taken_for_one_of_another(tmp_path: Path) -> None:
    home, made = Home(tmp_path), layout()
    record = records.Record(made, tmp_path, own_engine=True, complete=True, release="bookworm")
    records.save(home, record)
    known = records.load(home, made.name)
    assert known == record
    hosts = tuple(host.name for host in made.hosts)
    wish = Wish(made.name, hosts, made.segments, tmp_path, release="trixie")
    with pytest.raises(Refused, match="is there already, not of trixie"):
        bring_up(home, wish, Progress(print))
