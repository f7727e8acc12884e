"""Each probe on this machine, in each shell, against what Python itself sees."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import pytest

from orchestrator import facts
from orchestrator.contracts import Query
from orchestrator.errors import Unknown
from orchestrator.facts.answers import PathInfo
from orchestrator.script import Command, Result, Script, sh
from tests.local_shell import SHELLS, run_script, syntax

T = TypeVar("T")

EVERY: list[Query[Any]] = [
    facts.Identify(),
    facts.ReadContainerEngine("docker"),
    facts.ReadContainerEngine("podman"),
    facts.ReadContainers("docker", "duo"),
    facts.ReadContainers("podman"),
    facts.ReadDisk("~/models"),
    facts.ReadDriver(),
    facts.ReadFile("/etc/hostname"),
    facts.ReadGpus(),
    facts.ReadImage("docker", "vllm/vllm-openai:v0.11.0"),
    facts.ReadIpSettings(),
    facts.ReadLimits(),
    facts.ReadListening(),
    facts.ReadLldp(),
    facts.ReadMemory(),
    facts.ReadNeighbours(("lo",)),
    facts.ReadNetplan(),
    facts.ReadNetwork(),
    facts.ReadOomKillers(),
    facts.ReadPackages(("rsync", "rdma-core")),
    facts.ReadPath("/etc/ssl"),
    facts.ReadPcie(),
    facts.ReadPrivilege(),
    facts.ReadProfiles(),
    facts.ReadRdma(),
    facts.ReadRdmaCounters(),
    facts.ReadSources(("/etc", "~/no such", "$(true)")),
    facts.ReadTools(("sh", "no-such-tool")),
]


def ask(query: Query[T], shell: str = "sh", env: Mapping[str, str] | None = None) -> T:
    return query.parse(answers(query, shell, env))


def answers(
    query: Query[Any], shell: str = "sh", env: Mapping[str, str] | None = None
) -> dict[str, Result]:
    script = query.ask()
    assert isinstance(script, Script)
    return run_script(script, shell, env)


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("query", EVERY, ids=lambda one: type(one).__name__)
def test_every_probe_runs_in_every_shell(query: Query[Any], shell: str) -> None:
    script = query.ask()
    assert isinstance(script, Script)
    assert not script.mutates
    for command in script.commands.values():
        assert syntax(command, shell) == ""
    try:
        query.parse(answers(query, shell))
    except Unknown as unknown:
        assert "can't be read" not in str(unknown), "the tool said why it failed; we read that"


@pytest.mark.parametrize("query", EVERY, ids=lambda one: type(one).__name__)
def test_queries_are_values(query: Query[Any]) -> None:
    assert hash(query) == hash(query)
    assert query == query


def test_a_probe_leaves_nothing_behind_for_the_next(tmp_path: Path) -> None:
    """Commands may be joined into one program: no exit, no cd, no set -e, no changed umask."""
    for query in EVERY:
        script = query.ask()
        assert isinstance(script, Script)
        for name, command in script.commands.items():
            after = f"{command.sh}\necho; umask; pwd; echo here $-"
            done = run_script(Script({name: type(command)(type(command.sh)(after))}))
            before, state = os.umask(0o022), f"{Path.cwd()}\nhere"
            os.umask(before)
            assert state in done[name].text, (query, name)


@pytest.mark.parametrize("shell", SHELLS)
def test_identity(shell: str) -> None:
    identity = ask(facts.Identify(), shell)
    assert identity.kernel == platform.release()
    assert identity.arch == platform.machine()
    assert identity.hostname == platform.node()
    assert identity.cpus == len(os.sched_getaffinity(0))
    assert identity.uid == os.getuid()
    assert abs(identity.clock_epoch_s - time.time()) < 5
    assert abs(identity.controller_epoch_s - time.time()) < 5
    assert len(identity.boot_id) == 36
    assert not identity.in_lab


@pytest.mark.parametrize("shell", SHELLS)
def test_memory_and_disk(shell: str, tmp_path: Path) -> None:
    memory = ask(facts.ReadMemory(), shell)
    assert memory.total_bytes == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert 0 < memory.available_bytes <= memory.total_bytes
    below = tmp_path / "a b" / "$(touch pwned)"
    disk = ask(facts.ReadDisk(str(below)), shell)
    real = os.statvfs(tmp_path)
    assert (disk.path, disk.near) == (str(below), str(tmp_path))
    assert disk.total_bytes == real.f_blocks * real.f_frsize
    assert disk.total_inodes == real.f_files
    assert disk.writable
    mounts = [line.split()[:3] for line in Path("/proc/mounts").read_text().splitlines()]
    longest = max((m for m in mounts if tmp_path.is_relative_to(m[1])), key=lambda m: len(m[1]))
    assert disk.fstype == longest[2]
    if disk.device:
        queue = Path(f"/sys/class/block/{disk.device}/queue/read_ahead_kb")
        assert disk.read_ahead_kb == int(queue.read_text())


@pytest.mark.parametrize("shell", SHELLS)
def test_a_tilde_is_the_hosts_home(shell: str, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    env = {"HOME": str(tmp_path)}
    assert ask(facts.ReadDisk("~/models"), shell, env).near == str(tmp_path / "models")
    assert ask(facts.ReadDisk("~"), shell, env).path == str(tmp_path)
    assert ask(facts.ReadPath("~/models"), shell, env).is_dir
    assert not ask(facts.ReadPath("~root"), shell, env).exists
    assert ask(facts.ReadPath("models"), shell, env).path == str(tmp_path / "models")


@pytest.mark.parametrize("shell", SHELLS)
def test_a_folder_is_told_by_names_and_sizes(shell: str, tmp_path: Path) -> None:
    model = tmp_path / 'it\'s a "model" $(x)'
    (model / "sub").mkdir(parents=True)
    (model / "config.json").write_text("{}")
    (model / "sub" / "weights 1.bin").write_bytes(b"x" * 1000)
    first = ask(facts.ReadPath(str(model)), shell)
    assert (first.files, first.size_bytes, first.broken) == (2, 1002, 0)
    (model / "config.json").write_text("[]")
    assert ask(facts.ReadPath(str(model)), shell) == first, "content is not read"
    other = tmp_path / "other"
    model.rename(other)
    moved = ask(facts.ReadPath(str(other)), shell)
    assert moved.fingerprint == first.fingerprint
    (other / "config.json").write_text("[1]")
    assert ask(facts.ReadPath(str(other)), shell).fingerprint != first.fingerprint
    (other / ".cache").mkdir()
    (other / ".cache" / "x").write_text("y")
    (other / "config.json").write_text("{}")
    ignoring = ask(facts.ReadPath(str(other), ignore=(".cache",)), shell)
    assert ignoring.fingerprint == first.fingerprint
    assert ask(facts.ReadPath(str(other)), shell).files == 3


@pytest.mark.parametrize("shell", SHELLS)
def test_links_are_followed_and_broken_ones_counted(shell: str, tmp_path: Path) -> None:
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs" / "abc").write_bytes(b"x" * 10)
    snapshot = tmp_path / "snapshot"
    snapshot.mkdir()
    (snapshot / "model.bin").symlink_to("../blobs/abc")
    whole = ask(facts.ReadPath(str(snapshot)), shell)
    assert (whole.files, whole.size_bytes, whole.broken) == (1, 10, 0)
    (snapshot / "more.bin").symlink_to("../blobs/gone")
    assert ask(facts.ReadPath(str(snapshot)), shell).broken == 1
    (snapshot / "more.bin").unlink()
    empty = tmp_path / "empty"
    empty.mkdir()
    assert ask(facts.ReadPath(str(empty)), shell).files == 0
    file = ask(facts.ReadPath(str(snapshot / "model.bin")), shell)
    assert (file.exists, file.is_dir, file.size_bytes) == (True, False, 10)
    absent = str(tmp_path / "nothing" / "here")
    assert ask(facts.ReadPath(absent), shell) == PathInfo(absent, False, False, 0, 0, "")


def index(*names: str) -> str:
    return json.dumps({"metadata": {}, "weight_map": {f"layer.{n}": n for n in names}})


@pytest.mark.parametrize("shell", SHELLS)
def test_shards_that_are_missing_are_counted(shell: str, tmp_path: Path) -> None:
    names = [f"model {number}.safetensors" for number in (1, 2, 3)]
    (tmp_path / "model.safetensors.index.json").write_text(index(*names))
    (tmp_path / names[0]).touch()
    found = ask(facts.ReadPath(str(tmp_path)), shell)
    assert (found.lacks, found.first_lacking, found.unfinished) == (2, names[1], 0)
    (tmp_path / f"{names[2]}.incomplete").touch()
    assert ask(facts.ReadPath(str(tmp_path)), shell).unfinished == 1
    for name in names:
        (tmp_path / name).touch()
    assert ask(facts.ReadPath(str(tmp_path)), shell).lacks == 0
    split = tmp_path / "q4"
    split.mkdir()
    for number in (1, 3):
        (split / f"m-{number:05d}-of-00004.gguf").touch()
    found = ask(facts.ReadPath(str(tmp_path)), shell)
    assert (found.lacks, found.first_lacking) == (2, "q4/m-00002-of-00004.gguf")


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("stem", ["m", "a [b]* $(c) 'd'"])
def test_of_a_split_gguf_all_parts_are_looked_for(shell: str, stem: str, tmp_path: Path) -> None:
    parts = [tmp_path / f"{stem}-{number:05d}-of-00009.gguf" for number in range(1, 10)]
    for part in (parts[0], parts[7]):
        part.write_bytes(b"ten bytes.")
    (tmp_path / "other-00002-of-00009.gguf").touch()
    some = ask(facts.ReadPath(str(parts[0])), shell)
    assert (some.files, some.size_bytes, some.is_dir) == (2, 20, False)
    assert (some.lacks, some.first_lacking) == (7, parts[1].name)
    for part in parts:
        part.write_bytes(b"ten bytes.")
    whole = ask(facts.ReadPath(str(parts[0])), shell)
    assert (whole.files, whole.lacks, whole.first_lacking) == (9, 0, "")
    parts[8].write_bytes(b"more than ten")
    assert ask(facts.ReadPath(str(parts[0])), shell).fingerprint != whole.fingerprint


@pytest.mark.parametrize("shell", SHELLS)
def test_of_a_hubs_folder_the_revision_in_use_must_be_whole(shell: str, tmp_path: Path) -> None:
    (tmp_path / "refs").mkdir()
    (tmp_path / "refs/main").write_text("new")
    for revision in ("old", "new"):
        (tmp_path / "snapshots" / revision).mkdir(parents=True)
        named = tmp_path / "snapshots" / revision / "model.safetensors.index.json"
        named.write_text(index("a.safetensors"))
    assert ask(facts.ReadPath(str(tmp_path)), shell).first_lacking == "a.safetensors"
    (tmp_path / "blob").touch()
    (tmp_path / "snapshots/new/a.safetensors").symlink_to("../../blob")
    assert ask(facts.ReadPath(str(tmp_path)), shell).lacks == 0


@pytest.mark.parametrize("shell", SHELLS)
def test_a_file_comes_back_whole_or_not_at_all(shell: str, tmp_path: Path) -> None:
    content = bytes(range(256)) * 40 + b"\nend\n\n"
    file = tmp_path / "a 'b' \n c"
    file.write_bytes(content)
    assert ask(facts.ReadFile(str(file)), shell) == content
    (tmp_path / "empty").write_bytes(b"")
    assert ask(facts.ReadFile(str(tmp_path / "empty")), shell) == b""
    assert ask(facts.ReadFile(str(tmp_path / "none" / "x")), shell) is None
    with pytest.raises(Unknown, match="is not a file"):
        ask(facts.ReadFile(str(tmp_path)), shell)


@pytest.mark.parametrize("shell", SHELLS)
def test_mount_sources_are_there_or_not(shell: str, tmp_path: Path) -> None:
    (tmp_path / "it's $(here)").touch()
    (tmp_path / "nowhere").symlink_to(tmp_path / "gone")
    paths = ("~/it's $(here)", "~", "~/nowhere", f"{tmp_path}/a/b")
    found = ask(facts.ReadSources(paths), shell, {"HOME": str(tmp_path)})
    assert found == dict(zip(paths, ("there", "there", "absent", "absent"), strict=True))


@pytest.mark.parametrize("shell", SHELLS)
def test_hostile_names_stay_names(shell: str, tmp_path: Path) -> None:
    canary = tmp_path / "pwned"
    for text in (f'"; touch {canary} #', f"$(touch {canary})", f"a\ntouch {canary}", "`id`", "-rf"):
        ask(facts.ReadFile(text), shell, {"HOME": str(tmp_path)})
        queries: list[Query[Any]] = [
            facts.ReadImage("docker", text),
            facts.ReadContainers("docker", text),
            facts.ReadPackages((text,)),
            facts.ReadPath(text),
            facts.ReadDisk(text),
            facts.ReadTools((text,)),
        ]
        for query in queries:
            answers(query, shell, {"HOME": str(tmp_path)})
    assert not canary.exists()


@pytest.mark.parametrize("shell", SHELLS)
def test_network_of_this_machine(shell: str) -> None:
    if shell.startswith("busybox"):  # some builds prefer their own `ip`, which knows no JSON
        applet = run_script(Script({"ip": Command(sh("ip -j addr"))}), shell)["ip"]
        if applet.rc != 0:
            with pytest.raises(Unknown):
                ask(facts.ReadNetwork(), shell, {"SSH_CONNECTION": ""})
            return
    before = {one.name for one in Path("/sys/class/net").iterdir() if one.is_dir()}
    network = ask(facts.ReadNetwork(), shell, {"SSH_CONNECTION": ""})
    after = {one.name for one in Path("/sys/class/net").iterdir() if one.is_dir()}
    assert before & after <= set(network.netdevs) <= before | after
    assert network.netdevs["lo"].addresses[0] == "127.0.0.1/8"
    assert (network.ssh_netdev, network.ssh_address) == ("", "")
    over_lo = ask(facts.ReadNetwork(), shell, {"SSH_CONNECTION": "127.0.0.1 40000 127.0.0.1 22"})
    assert (over_lo.ssh_netdev, over_lo.ssh_address) == ("lo", "127.0.0.1")
    with pytest.raises(Unknown, match="our SSH came in at"):
        ask(facts.ReadNetwork(), shell, {"SSH_CONNECTION": "10.9.9.1 40000 10.9.9.2 22"})


@pytest.mark.parametrize("shell", SHELLS)
def test_tools_and_packages(shell: str) -> None:
    tools = ask(facts.ReadTools(("env", "no-such-tool")), shell)
    assert tools["env"] == "env" or tools["env"].endswith("/env")
    assert tools["no-such-tool"] == ""
    if Path("/usr/bin/dpkg-query").exists():
        packages = ask(facts.ReadPackages(("dash", "no-such-package")), shell)
        assert packages.manager == "apt"
        assert packages.versions["dash"] and not packages.versions["no-such-package"]


@pytest.mark.skipif(os.getuid() != 0, reason="another user is needed")
@pytest.mark.parametrize("query", [facts.ReadPath, facts.ReadDisk, facts.ReadFile])
def test_what_may_not_be_looked_into_is_unknown_not_absent(
    query: type[Any], tmp_path: Path
) -> None:
    hidden = tmp_path / "hidden"
    (hidden / "model").mkdir(parents=True)
    hidden.chmod(0o700)
    for parent in (tmp_path, *tmp_path.parents):
        if parent != Path("/") and parent != Path("/tmp"):
            parent.chmod(parent.stat().st_mode | 0o755)
    for name, command in query(str(hidden / "model")).ask().commands.items():
        done = subprocess.run(
            ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "sh", "-c", command.sh],
            capture_output=True,
            check=False,
        )
        result = Result(done.returncode, done.stdout, done.stderr, 0.1)
        with pytest.raises(Unknown):
            query(str(hidden / "model")).parse({name: result})


def test_the_whole_question_is_small_and_quick() -> None:
    """All of it for one host: bounded text, few processes, well under a second of work."""
    commands: list[Command] = []
    for query in EVERY:
        script = query.ask()
        assert isinstance(script, Script)
        commands += script.commands.values()
    assert sum(len(command.sh) for command in commands) < 32_768
    assert len(commands) < 40


def test_a_file_sum_is_compared() -> None:
    good = b"file 3 " + hashlib.sha256(b"abc").hexdigest().encode() + b"\nabc"
    query = facts.ReadFile("/x")
    assert query.parse({"file": Result(0, good, b"", 0)}) == b"abc"
    with pytest.raises(Unknown):
        query.parse({"file": Result(0, good[:-1] + b"d", b"", 0)})
