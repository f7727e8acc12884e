"""Preparation, as tables: facts in → change, nothing, or a refusal that says what to type; script out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from orchestrator.contracts import Step
from orchestrator.errors import Failed, OrchError, Refused, Unknown
from orchestrator.facts import (
    Identify,
    ReadContainerEngine,
    ReadContainers,
    ReadDisk,
    ReadFile,
    ReadGpus,
    ReadLimits,
    ReadMemory,
    ReadPackages,
    ReadPrivilege,
    ReadTools,
)
from orchestrator.facts.answers import ContainerEngine, Disk, Gpu, Gpus, Limits, Packages
from orchestrator.facts.job import Job, JobState
from orchestrator.script import Command, Script
from orchestrator.spec.models import Cluster
from orchestrator.steps import limits as limits_step
from orchestrator.steps.packages import TOOLS, PackagesInstalled
from tests.local_shell import SHELLS, run_command, syntax
from tests.unit.steps.clusters import (
    CLUSTER,
    GIB,
    INVENTORY,
    NO_SUDO,
    SUDO,
    cluster,
    container,
    identity,
    memory,
    steps,
    world,
)

Answers = Mapping[Any, object]
LAB: Answers = {**SUDO, Identify(): identity(in_lab=True)}
UNREADABLE = Unknown("the answer is cut")


@pytest.fixture(scope="module")
def duo(tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    return cluster(tmp_path_factory.mktemp("duo"))


def one(of: Cluster, stage: str, id_: str) -> Step:
    return steps(stage, of)[id_]


def applied(step: Step, answers: Answers) -> Script:
    """What apply sends, its syntax checked in every shell."""
    now = world(step, answers)
    change = step.check(now)
    assert change is not None
    script = step.apply(change, now)
    assert script.mutates
    for command in script.commands.values():
        for shell in SHELLS:
            assert syntax(command, shell) == ""
    return script


def only(script: Script) -> Command:
    (command,) = script.commands.values()
    return command


def test_stages_give_steps_for_the_hosts_that_want_them(duo: Cluster) -> None:
    wanted = {
        "reachable": {
            *("spark-2/reachable", "spark-3/reachable", "rehearsal/reachable", "hpc-7/reachable"),
            "vl/reachable/clocks",
        },
        "privilege": {"spark-2/privilege", "spark-3/privilege"},
        "engine-ready": {
            *("spark-2/engine-ready", "spark-3/engine-ready", "rehearsal/engine-ready"),
            "hpc-7/engine-ready",
        },
        "swap": {"spark-2/swap", "spark-3/swap"},
        "read-ahead": {"spark-2/read-ahead", "spark-3/read-ahead"},
        "drop-caches": {"vl/drop-caches/spark-2", "vl/drop-caches/spark-3"},
        "limits": {"spark-2/limits", "spark-3/limits"},
        "packages": {"spark-2/packages", "spark-3/packages", "rehearsal/packages"},
        "model-disk": {"spark-2/model-disk", "spark-3/model-disk", "hpc-7/model-disk"},
        "takeover": {"spark-2/takeover", "spark-3/takeover", "rehearsal/takeover"},
        "stale": {
            f"{host}/{what}"
            for host in ("spark-2", "spark-3", "rehearsal", "hpc-7")
            for what in ("stale", "stale-services")
        },
    }
    assert {stage: set(steps(stage, duo)) for stage in wanted} == wanted


def test_each_preparation_can_be_turned_off_per_host(tmp_path: Path) -> None:
    off = (
        "prepare: {swap_off: false, drop_caches: false, read_ahead_kb: false, limits: false,"
        " packages: false, model_disk: false}"
    )
    text = INVENTORY.replace("models: /srv/models, install_packages: true", off)
    of = cluster(tmp_path, inventory=text)
    for stage in ("swap", "read-ahead", "limits", "packages", "model-disk"):
        assert not [id_ for id_ in steps(stage, of) if id_.startswith("spark-2/")], stage
        assert [id_ for id_ in steps(stage, of) if id_.startswith("spark-3/")], stage


SWAP = memory(swap_total_bytes=16 * GIB, swap_used_bytes=GIB)


@pytest.mark.parametrize(
    ("answers", "wanted"),
    [
        ({**SUDO, ReadMemory(): memory()}, None),
        ({**SUDO, ReadMemory(): SWAP}, "turn swap off (16.0 GiB, 1.0 GiB used)"),
        ({**LAB, ReadMemory(): SWAP}, None),
        ({**NO_SUDO, ReadMemory(): SWAP}, Refused),
        ({**NO_SUDO, ReadMemory(): memory()}, None),
        (
            {**SUDO, ReadMemory(): memory(swap_total_bytes=200 * GIB, swap_used_bytes=150 * GIB)},
            Failed,
        ),
        ({**SUDO, ReadMemory(): UNREADABLE}, Unknown),
    ],
)
def test_swap(duo: Cluster, answers: Answers, wanted: object) -> None:
    step = one(duo, "swap", "spark-2/swap")
    judged(step, answers, wanted)
    if isinstance(wanted, str):
        command = only(applied(step, answers))
        assert (command.sh, command.sudo) == ("swapoff -a", True)


def judged(step: Step, answers: Answers, wanted: object) -> None:
    """None, the beginning of a change's summary, or the class of an error that has a hint."""
    if isinstance(wanted, type) and issubclass(wanted, OrchError):
        with pytest.raises(wanted) as caught:
            step.check(world(step, answers))
        assert isinstance(caught.value, Unknown) or caught.value.hint
        return
    change = step.check(world(step, answers))
    assert (change.summary if change else None) == wanted or (
        change is not None and isinstance(wanted, str) and change.summary.startswith(wanted)
    )


def disk(**more: Any) -> Disk:
    base: dict[str, Any] = {
        "path": "/srv/models",
        "fstype": "ext4",
        "total_bytes": 4000 * GIB,
        "free_bytes": 900 * GIB,
        "free_inodes": 10**7,
        "device": "nvme0n1",
        "read_ahead_kb": 128,
        "near": "/srv/models",
        "total_inodes": 10**8,
    }
    return Disk(**{**base, **more})


MODELS = ReadDisk("/srv/models")


@pytest.mark.parametrize(
    ("answers", "wanted"),
    [
        ({**SUDO, MODELS: disk()}, "read 8192 KiB ahead on nvme0n1 (now 128 KiB)"),
        (
            {**SUDO, MODELS: disk(read_ahead_kb=None)},
            "read 8192 KiB ahead on nvme0n1 (now not known)",
        ),
        ({**SUDO, MODELS: disk(read_ahead_kb=8192)}, None),
        ({**SUDO, MODELS: disk(read_ahead_kb=16384)}, None),
        ({**SUDO, MODELS: disk(device="", fstype="nfs4", read_ahead_kb=None)}, None),
        ({**LAB, MODELS: disk()}, None),
        ({**NO_SUDO, MODELS: disk()}, Refused),
        ({**SUDO, MODELS: UNREADABLE}, Unknown),
    ],
)
def test_read_ahead(duo: Cluster, answers: Answers, wanted: object) -> None:
    step = one(duo, "read-ahead", "spark-2/read-ahead")
    judged(step, answers, wanted)
    if isinstance(wanted, str):
        command = only(applied(step, answers))
        assert command.sh == "printf %s 8192 >/sys/class/block/nvme0n1/queue/read_ahead_kb"


@pytest.mark.parametrize("device", ["../../tmp/x", "a/b", ".."])
def test_read_ahead_writes_to_block_devices_only(duo: Cluster, device: str) -> None:
    step = one(duo, "read-ahead", "spark-2/read-ahead")
    now = world(step, {**SUDO, MODELS: disk(device=device)})
    change = step.check(now)
    assert change is not None
    with pytest.raises(Failed, match="not a block device"):
        step.apply(change, now)


@pytest.mark.parametrize(
    ("answers", "wanted"),
    [
        ({**SUDO, ReadMemory(): memory()}, "drop 40.0 GiB of page cache"),
        ({**SUDO, ReadMemory(): memory(droppable_bytes=GIB)}, None),
        ({**LAB, ReadMemory(): memory()}, None),
        ({**NO_SUDO, ReadMemory(): memory()}, Refused),
    ],
)
def test_drop_caches(duo: Cluster, answers: Answers, wanted: object) -> None:
    step = one(duo, "drop-caches", "vl/drop-caches/spark-2")
    assert step.on_demand and step.scope == "vl"
    judged(step, answers, wanted)
    if isinstance(wanted, str):
        command = only(applied(step, answers))
        assert command.sh == "sync && printf 3 >/proc/sys/vm/drop_caches" and command.sudo


@pytest.mark.parametrize(
    ("needs", "free", "drops"), [("80GiB", 60, True), ("50GiB", 60, False), ("", 1, False)]
)
def test_caches_are_dropped_where_free_memory_would_not_do(
    tmp_path: Path, needs: str, free: int, drops: bool
) -> None:
    inventory = INVENTORY.replace("install_packages: true", "prepare: {drop_caches: false}")
    asks = f"port: 8000, memory: {needs}," if needs else "port: 8000,"
    of = cluster(tmp_path, inventory, CLUSTER.replace("port: 8000,", asks))
    step = one(of, "drop-caches", "vl/drop-caches/spark-2")
    now = world(step, {**SUDO, ReadMemory(): memory(free_bytes=free * GIB)})
    assert (step.check(now) is not None) == drops


@pytest.mark.parametrize(
    ("ahead", "refused"), [(0, False), (-2, False), (29, False), (31, True), (-3600, True)]
)
def test_a_clock_far_from_ours_is_refused(duo: Cluster, ahead: float, refused: bool) -> None:
    step = one(duo, "reachable", "hpc-7/reachable")
    answers: Answers = {Identify(): identity(clock_epoch_s=1_000_000.0 + ahead)}
    judged(step, answers, Refused if refused else None)


@pytest.mark.parametrize(
    ("offsets", "culprit"),
    [
        ((0, 0), None),
        ((4, 0), None),
        ((20, 20), "spark"),
        ((12, 0), "spark-2"),
        ((0, -9), "spark-3"),
    ],
)
def test_clocks_of_a_gang_agree(
    duo: Cluster, offsets: tuple[float, float], culprit: str | None
) -> None:
    step = one(duo, "reachable", "vl/reachable/clocks")
    now = {
        host: world(step, {Identify(): identity(clock_epoch_s=1_000_000.0 + ahead)}, host)[host]
        for host, ahead in zip(("spark-2", "spark-3"), offsets, strict=True)
    }
    if culprit is None or culprit == "spark":  # both away from ours alike: the gang agrees
        assert step.check(now) is None
        return
    with pytest.raises(Refused) as caught:
        step.check(now)
    assert caught.value.host == culprit and "timedatectl" in caught.value.hint


def test_clocks_are_compared_once_the_hosts_have_answered(duo: Cluster) -> None:
    """Else a host that is off fails twice."""
    hosts = one(duo, "reachable", "vl/reachable/clocks").needs
    assert hosts == {"spark-2/reachable", "spark-3/reachable"}


def test_privilege(duo: Cluster) -> None:
    step = one(duo, "privilege", "spark-2/privilege")
    judged(step, SUDO, None)
    judged(step, NO_SUDO, Refused)
    judged(step, {**SUDO, ReadPrivilege(): UNREADABLE}, Unknown)


DOCKER = ContainerEngine("docker", True, True, "28.2.2", "/var/lib/docker", "", free_bytes=90 * GIB)
GPU = Gpu(0, "GPU-1", "NVIDIA GB10", None, None, None, "580")
CARD: Answers = {ReadGpus(): Gpus((GPU,), toolkit=True), Identify(): identity()}


def engine(**more: Any) -> dict[Any, object]:
    return {ReadContainerEngine("docker"): ContainerEngine(**{**vars(DOCKER), **more})}


DENIED = "permission denied while trying to connect to the Docker daemon socket"


@pytest.mark.parametrize(
    ("answers", "wanted", "hint"),
    [
        ({**CARD, **engine()}, None, ""),
        ({**CARD, **engine(present=False, usable=False)}, Refused, "install docker"),
        ({**CARD, **engine(usable=False, why=DENIED)}, Refused, "usermod -aG docker tom"),
        ({**CARD, **engine(usable=False, why="Cannot connect")}, Refused, "systemctl start docker"),
        ({**CARD, **engine(free_bytes=1000)}, Refused, "docker system df"),
        ({**CARD, **engine(free_inodes=3)}, Refused, "docker system df"),
        ({**CARD, **engine(free_bytes=None)}, None, ""),
        ({**CARD, **engine(), ReadGpus(): Gpus((GPU,))}, Refused, "nvidia-ctk"),
        ({**CARD, **engine(nvidia=True), ReadGpus(): Gpus((GPU,))}, None, ""),
        ({**CARD, **engine(), ReadGpus(): Gpus(())}, Refused, "nvidia-smi"),
        ({**CARD, ReadContainerEngine("docker"): UNREADABLE}, Unknown, ""),
    ],
)
def test_engine_ready(duo: Cluster, answers: Answers, wanted: object, hint: str) -> None:
    step = one(duo, "engine-ready", "spark-2/engine-ready")
    judged(step, answers, wanted)
    if hint:
        with pytest.raises(Refused) as caught:
            step.check(world(step, answers))
        assert hint in caught.value.hint


PODMAN = ContainerEngine("podman", True, True, "4.3.1", "/var/lib/containers/storage", "")
ROOTS, USERS = "sudo -n podman", "podman"
ASKS = "sudo: a password is required"


@pytest.mark.parametrize(
    ("called", "more", "hint"),
    [
        (ROOTS, {"nvidia": True}, ""),
        (USERS, {"nvidia": True}, ""),
        (ROOTS, {}, "nvidia-ctk cdi generate"),  # the toolkit alone gives podman nothing
        (USERS, {"nvidia": True, "lasting": False}, "loginctl enable-linger tom"),
        (ROOTS, {"free_bytes": 1000}, "sudo podman system df"),
        (ROOTS, {"present": False, "usable": False}, "install podman"),
        (ROOTS, {"usable": False, "why": ASKS}, "tom ALL=(root) NOPASSWD: /usr/bin/podman"),
        (USERS, {"usable": False, "why": "no subuid ranges"}, "on spark-2: podman info"),
    ],
)
def test_podman_ready(tmp_path: Path, called: str, more: dict[str, Any], hint: str) -> None:
    rights = "never" if called == USERS else "sudo"
    said = f"spark-2: {{runtime: podman, become: {rights}, "
    of = cluster(tmp_path, INVENTORY.replace("spark-2: {", said), CLUSTER)
    step = one(of, "engine-ready", "spark-2/engine-ready")
    engine_ = ContainerEngine(**{**vars(PODMAN), **more})
    answers: Answers = {**CARD, ReadContainerEngine(called): engine_}
    judged(step, answers, Refused if hint else None)
    if hint:
        with pytest.raises(Refused) as caught:
            step.check(world(step, answers))
        assert hint in caught.value.hint


def test_a_rehearsal_host_needs_no_gpu(duo: Cluster) -> None:
    step = one(duo, "engine-ready", "rehearsal/engine-ready")
    judged(step, {Identify(): identity(), **engine()}, None)


@pytest.mark.parametrize(
    ("answer", "wanted"),
    [
        (disk(), None),
        (disk(near="/srv", path="/srv/models"), None),
        (disk(near="/srv", writable=False), Refused),
        (disk(fstype="overlay", device=""), Refused),
        (disk(fstype="tmpfs", device=""), Refused),
        (disk(free_bytes=GIB // 2), Refused),
        (disk(free_inodes=10), Refused),
        (disk(free_inodes=0, total_inodes=0, fstype="btrfs"), None),
        (UNREADABLE, Unknown),
    ],
)
def test_model_disk(duo: Cluster, answer: object, wanted: object) -> None:
    step = one(duo, "model-disk", "spark-2/model-disk")
    assert step.on_demand
    judged(step, {MODELS: answer}, wanted)


LOW = Limits(nofile=1024, memlock_bytes=8 * 1024 * 1024, raisable=True)
HIGH = Limits(nofile=None, memlock_bytes=None, raisable=True)
STUCK = Limits(nofile=1024, memlock_bytes=8 * 1024 * 1024, raisable=False)
DROP_IN = ReadFile(limits_step.PATH)


@pytest.mark.parametrize(
    ("answers", "wanted"),
    [
        ({**SUDO, ReadLimits(): LOW, DROP_IN: None}, f"write {limits_step.PATH}"),
        ({**SUDO, ReadLimits(): LOW, DROP_IN: b"* - memlock 1\n"}, f"write {limits_step.PATH}"),
        ({**SUDO, ReadLimits(): LOW, DROP_IN: limits_step.TEXT.encode()}, None),
        ({**SUDO, ReadLimits(): HIGH, DROP_IN: None}, None),
        ({**SUDO, ReadLimits(): STUCK, DROP_IN: None}, None),
        ({**NO_SUDO, ReadLimits(): LOW, DROP_IN: None}, Refused),
        ({**SUDO, ReadLimits(): LOW, DROP_IN: UNREADABLE}, Unknown),
    ],
)
def test_limits(duo: Cluster, answers: Answers, wanted: object) -> None:
    step = one(duo, "limits", "spark-2/limits")
    judged(step, answers, wanted)


def test_limits_show_their_diff_and_write_the_file(
    duo: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(tmp_path / "a b" / "90-orch.conf")
    (tmp_path / "a b").mkdir()
    monkeypatch.setattr(limits_step, "PATH", path)
    step = one(duo, "limits", "spark-2/limits")
    answers: Answers = {**SUDO, ReadLimits(): LOW, ReadFile(path): b"* - memlock 1\n"}
    change = step.check(world(step, answers))
    assert change is not None
    assert "-* - memlock 1\n+# Written by orch" in change.diff
    command = only(applied(step, answers))
    assert command.sudo
    assert run_command(command).rc == 0
    assert Path(path).read_text() == limits_step.TEXT
    assert Path(path).stat().st_mode & 0o777 == 0o644


ALL = {tool: f"/usr/bin/{tool}" for tool in TOOLS.values()}
CORE = ReadPackages(("rdma-core",))
ASK = ReadTools(tuple(TOOLS.values()))


def host_with(missing: tuple[str, ...], manager: str = "apt", core: str = "50.0") -> Answers:
    tools = {**ALL, **{TOOLS[package]: "" for package in missing}}
    return {**SUDO, ASK: tools, CORE: Packages(manager, {"rdma-core": core})}


def job_of(step: Step) -> Job:
    assert isinstance(step, PackagesInstalled)
    return step.job


@pytest.mark.parametrize(
    ("missing", "job", "wanted"),
    [
        ((), JobState("x", "absent"), None),
        (("perftest", "rsync"), JobState("x", "absent"), "install perftest, rsync with apt"),
        ((), JobState("x", "running"), "install rdma-core, ibverbs-utils, perftest"),
        (
            ("rsync",),
            JobState("x", "done", rc=100, tail="E: Unable to locate package rsync\n"),
            "install rsync with apt (the last try failed, exit code 100: E: Unable to locate",
        ),
        (("rsync",), UNREADABLE, Unknown),
    ],
)
def test_packages_are_installed_as_a_job(
    duo: Cluster, missing: tuple[str, ...], job: object, wanted: object
) -> None:
    step = one(duo, "packages", "spark-2/packages")
    answers: Answers = {**host_with(missing), job_of(step): job}
    judged(step, answers, wanted)


def test_a_running_install_is_watched(duo: Cluster) -> None:
    step = one(duo, "packages", "spark-2/packages")
    state = JobState("x", "running", log_bytes=42, tail="Unpacking rsync\n")
    change = step.check(world(step, {**host_with(("rsync",)), job_of(step): state}))
    assert change is not None and change.under_way
    assert change.progress == "42  Unpacking rsync"


@pytest.mark.parametrize(
    ("manager", "wanted"),
    [
        ("apt", "install -y --no-install-recommends ibverbs-utils rsync"),
        ("dnf", "dnf install -y libibverbs-utils rsync"),
        ("zypper", "zypper --non-interactive install libibverbs-utils rsync"),
        ("pacman", "pacman -S --needed --noconfirm ibverbs-utils rsync"),
    ],
)
def test_each_package_manager_in_its_own_words(duo: Cluster, manager: str, wanted: str) -> None:
    step = one(duo, "packages", "spark-2/packages")
    answers: Answers = {
        **host_with(("ibverbs-utils", "rsync"), manager),
        job_of(step): JobState("x", "absent"),
    }
    command = only(applied(step, answers))
    assert command.sudo and wanted in command.stdin.decode()


def test_packages_that_may_not_be_installed(duo: Cluster) -> None:
    """RDMA is required of this gang: its tools are needed; rsync is only good to have."""
    step = one(duo, "packages", "spark-3/packages")
    judged(step, host_with(()), None)
    judged(step, host_with(("rsync", "iperf3", "ethtool")), None)
    judged(step, host_with(("perftest",)), Refused)
    judged(step, host_with((), core=""), Refused)
    with pytest.raises(Refused) as caught:
        step.check(world(step, host_with(("perftest",))))
    assert "sudo apt-get install -y perftest" in caught.value.hint
    assert "install_packages: true" in caught.value.hint


def test_an_unknown_package_manager_is_refused(duo: Cluster) -> None:
    step = one(duo, "packages", "spark-2/packages")
    answers: Answers = {**host_with(("rsync",), manager=""), job_of(step): JobState("x", "absent")}
    judged(step, answers, Refused)


EVERYBODY = ReadContainers("docker")


def test_takeover_stops_and_renames_and_deletes_nothing(duo: Cluster) -> None:
    step = one(duo, "takeover", "spark-2/takeover")
    others = (
        container("vllm-head"),
        container("vllm-worker", state="exited"),
        container("web"),
        container("orch-duo-vl-0", labels={"orch.cluster": "duo"}),
    )
    answers: Answers = {EVERYBODY: others}
    change = step.check(world(step, answers))
    assert change is not None and "vllm-head" in change.summary
    assert "vllm-worker" not in change.summary and "web" not in change.summary
    command = only(applied(step, answers))
    assert "docker stop -t 60 id-of-vllm-head" in command.sh
    assert "docker rename id-of-vllm-head vllm-head-orch-taken-" in command.sh
    assert " rm " not in command.sh
    judged(step, {EVERYBODY: others[1:]}, None)


def test_another_clusters_container_is_not_taken(duo: Cluster) -> None:
    step = one(duo, "takeover", "spark-2/takeover")
    theirs = container("vllm-head", labels={"orch.cluster": "trio"})
    judged(step, {EVERYBODY: (theirs,)}, Refused)
    judged(step, {EVERYBODY: UNREADABLE}, Unknown)


def test_without_names_nothing_is_taken(tmp_path: Path) -> None:
    text = CLUSTER.replace("takeover: [vllm-head, vllm-worker]\n", "")
    assert steps("takeover", cluster(tmp_path, text=text)) == {}


OURS = ReadContainers("docker", "duo")


def rank(name: str, deployment: str, **more: Any) -> Any:
    labels = {"orch.cluster": "duo", "orch.deployment": deployment}
    return container(name, labels=labels, **more)


@pytest.mark.parametrize(
    ("containers", "removed"),
    [
        ((), ()),
        ((rank("a", "vl"),), ()),
        ((rank("a", "vl", state="restarting"), rank("b", "vl", state="created")), ()),
        ((rank("a", "vl", state="exited", exit_code=1),), ("a",)),
        ((rank("a", "old"), rank("b", "vl")), ("a",)),
        ((rank("a", "solo"),), ("a",)),  # placed elsewhere now
        ((container("helper", labels={"orch.cluster": "duo"}),), ()),
    ],
)
def test_stale(duo: Cluster, containers: tuple[Any, ...], removed: tuple[str, ...]) -> None:
    step = one(duo, "stale", "spark-2/stale")
    answers: Answers = {OURS: containers}
    change = step.check(world(step, answers))
    if not removed:
        assert change is None
        return
    script = applied(step, answers)
    assert tuple(script.commands) == removed
    for name in removed:
        assert f"docker rm id-of-{name}" in script.commands[name].sh


HOSTILE = ('"; rm -rf / #', "$(touch pwned)", "`touch pwned`", "a\ntouch pwned", "-rf")


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_names_arrive_as_plain_text(duo: Cluster, text: str, tmp_path: Path) -> None:
    """A fake docker writes down its arguments; whatever the names hold, nothing else happens."""
    (tmp_path / "bin").mkdir()
    docker = tmp_path / "bin" / "docker"
    docker.write_text('#!/bin/sh\nprintf "[%s]" "$@" >>"$LOG"; echo >>"$LOG"\n')
    docker.chmod(0o755)
    env = {"PATH": f"{docker.parent}:/usr/bin:/bin", "LOG": str(tmp_path / "log")}
    stale = one(duo, "stale", "spark-2/stale")
    script = applied(stale, {OURS: (rank("x", text, id=text),)})
    takeover = one(duo, "takeover", "spark-2/takeover")
    taken = applied(takeover, {EVERYBODY: (container("vllm-head", id=text),)})
    for command in (*script.commands.values(), *taken.commands.values()):
        run_command(Command(command.sh), env=env)
    assert not (Path.cwd() / "pwned").exists()
    log = (tmp_path / "log").read_text()
    assert f"[stop][-t][60][{text}]\n[rm][{text}]\n" in log
    assert f"[rename][{text}][vllm-head-orch-taken-" in log
