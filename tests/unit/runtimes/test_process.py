"""A rank as a process, for real: each shell starts it on this machine, looks at it, breaks it, ends it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from orchestrator.contracts import Rank
from orchestrator.errors import FilesWrong
from orchestrator.facts.answers import Container
from orchestrator.facts.process_folder import mark_of
from orchestrator.facts.process_host import ReadProcessHost
from orchestrator.facts.processes import ReadProcesses
from orchestrator.facts.rank_log import RankLog, ReadRankLog
from orchestrator.ranks.spec import canonical, digest
from orchestrator.runtimes.process import RUNTIME, exports
from orchestrator.script import Command, Result, Script
from tests.local_shell import SHELLS, run_command, run_script, syntax

PLAIN = Rank(
    cluster="duo",
    deployment="vl",
    index=0,
    host="hpc-7",
    role="head",
    name="orch-duo-vl-0",
    image="",
    argv=("/orch/entry.sh",),
    entrypoint="sh",
    env={"A": "it's\n$HOME `x`", "token": "of the user"},
    secrets=frozenset({"HF_TOKEN"}),
    state="~/.local/state/orch",
)
SECRET = "s3cr't $(x)"
STAYS = "echo up\nsetsid sleep 300 &\nsleep 300 &\nwait\n"


def rank(text: str = STAYS, **more: Any) -> Rank:
    return replace(PLAIN, files={"/orch/entry.sh": text}, **more)


def filled(script: Script) -> Script:
    """As hosts/ sends it: the secret in the place of its mark."""
    mark = b"\x02secret:vl/HF_TOKEN\x03"
    commands = {
        name: replace(one, stdin=one.stdin.replace(mark, SECRET.encode()))
        for name, one in script.commands.items()
    }
    return replace(script, commands=commands)


@dataclass
class Place:
    """A home on this machine, and the shell that works in it."""

    home: Path
    shell: str

    @property
    def env(self) -> Mapping[str, str]:
        return {"HOME": str(self.home), "XDG_RUNTIME_DIR": ""}

    def run(self, script: Script) -> dict[str, Result]:
        return run_script(filled(script), self.shell, self.env)

    def start(self, given: Rank) -> None:
        for name, result in self.run(RUNTIME.start(given)).items():
            assert (result.rc, result.err) == (0, b""), (name, result.err)

    def see(self, cluster: str | None = None, name: str | None = None) -> tuple[Container, ...]:
        query = ReadProcesses(cluster, name)
        return query.parse(run_script(query.ask(), self.shell, self.env))

    def one(self) -> Container:
        (found,) = self.see()
        return found

    def log(self, lines: int = 40) -> RankLog:
        query = ReadRankLog(PLAIN.name, lines, "process")
        return query.parse(run_script(query.ask(), self.shell, self.env))

    @property
    def folder(self) -> Path:
        (found,) = self.home.glob(".local/state/orch/processes/*/orch-duo-vl-0")
        return found

    def members(self) -> list[int]:
        """What has the token of the rank in its environment."""
        token = f"ORCH_PROCESS={(self.folder / 'token').read_text().strip()}".encode()
        found = []
        for path in Path("/proc").glob("[0-9]*/environ"):
            with suppress(OSError):
                if token in path.read_bytes().split(b"\0"):
                    found.append(int(path.parent.name))
        return found


def lives(pid: int) -> bool:
    """Not gone, and not a zombie that nobody has asked for its end."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except OSError:
        return False


in_each_shell = pytest.mark.parametrize("place", SHELLS, indirect=True)


def until(true: Callable[[], Any], seconds: float = 15) -> None:
    """A process of the system's needs a moment."""
    Retrying(
        stop=stop_after_delay(seconds),
        wait=wait_fixed(0.05),
        retry=retry_if_result(lambda x: not x),
    )(true)


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    one = Place(tmp_path, getattr(request, "param", SHELLS[0]))
    yield one
    one.run(RUNTIME.stop(PLAIN.name, 1))


@in_each_shell
def test_it_runs_with_its_record_and_its_environment_and_is_gone_when_it_is_stopped(
    place: Place,
) -> None:
    seen = 'printf "%s|" "$A" "$token" "$HF_TOKEN" >/orch/seen; echo "in /orch/run" >&2\n'
    given = rank(seen + STAYS)
    place.start(given)
    found = place.one()
    assert (found.name, found.state, found.exit_code) == ("orch-duo-vl-0", "running", None)
    assert found.labels["orch.hash"] == digest(given)
    assert found.labels["orch.spec"] == canonical(given)
    assert place.see("other") == () == place.see(name="orch-duo-vl-1")
    assert place.see("duo", "orch-duo-vl-0") == (found,)
    until(lambda: "up" in place.log().lines)
    assert (place.folder / "orch/seen").read_text() == f"{PLAIN.env['A']}|of the user|{SECRET}|"
    assert place.log().lines[0] == f"in {place.folder}/orch/run"
    stamps = run_script(RUNTIME.logs(PLAIN.name, 9), place.shell, place.env)["logs"].text
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z in ", stamps)
    pids = place.members()
    assert len(pids) >= 4  # the supervisor, the script, two that sleep
    assert place.run(RUNTIME.stop(PLAIN.name, 5))["stop"].rc == 0
    assert place.see() == ()
    assert not [one for one in pids if lives(one)]


# What setproctitle does to a process, as vLLM's workers and Ray's agents do it: nothing is left of its environment.
WIPED = """\
import ctypes, pathlib, sys, time
fields = pathlib.Path("/proc/self/stat").read_text().rpartition(") ")[2].split()
start, end = int(fields[47]), int(fields[48])
ctypes.memset(start, 0, end - start)
pathlib.Path(sys.argv[1]).touch()
time.sleep(300)
"""


@in_each_shell
def test_what_has_wiped_its_environment_and_left_its_parent_is_ended_too(place: Place) -> None:
    wiped, there = place.home / "wiped.py", place.home / "there"
    wiped.write_text(WIPED)
    away = f"(setsid {sys.executable} {wiped} {there} &)\n(env -i setsid sleep 30117.{os.getpid()} &)\n"
    place.start(rank(away + STAYS))
    until(there.exists)
    pids = [
        int(path.parent.name)
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if re.search(f"{wiped}|sleep.30117.{os.getpid()}\0".encode(), path.read_bytes())
    ]
    assert len(pids) == 2
    assert not set(pids) & set(place.members())  # not known by its environment
    place.run(RUNTIME.stop(PLAIN.name, 1))
    assert not [one for one in pids if lives(one)]


def test_a_secret_is_in_no_file_and_no_argument(place: Place) -> None:
    place.start(rank())
    files = [one for one in place.home.rglob("*") if one.is_file()]
    assert len(files) > 5
    assert not [one for one in files if SECRET.encode() in one.read_bytes()]
    until(lambda: place.log().last == "up")
    lines = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in place.members()]
    assert lines
    assert not [one for one in lines if SECRET.encode() in one]
    script = RUNTIME.start(rank())
    assert not [one for one in script.commands.values() if "secret" in one.sh]
    assert {one.stat().st_mode & 0o077 for one in [place.folder, place.folder / "record"]} == {0}


@in_each_shell
def test_a_secret_with_a_line_break_is_not_two_variables(place: Place) -> None:
    made = RUNTIME.start(rank())
    commands = {
        name: replace(one, stdin=re.sub(rb"\x02[^\x03]*\x03", b"a\nB=c", one.stdin))
        for name, one in made.commands.items()
    }
    run_script(replace(made, commands=commands), place.shell, place.env)
    until(lambda: place.one().state == "exited")
    assert place.one().exit_code == 2
    until(lambda: "line break" in place.log().last)


def test_how_it_ended_is_kept_and_nothing_of_it_is_left(place: Place) -> None:
    place.start(rank("setsid sleep 300 &\necho last words\nexit 7\n"))
    until(lambda: place.one().state == "exited")
    assert place.one().exit_code == 7
    assert place.log().last == "last words"
    until(lambda: place.members() == [])


def blind_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look for members that finds none: a process that is just becoming another program has no environment."""
    real = shutil.which("grep")
    (folder / "bin").mkdir()
    fake = folder / "bin/grep"
    once = f'case $1 in -sl*) mkdir "{folder}/blind" 2>/dev/null && exit 1 ;; esac'
    fake.write_text(f'#!/bin/sh\n{once}\nexec {real} "$@"\n')
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")


@in_each_shell
def test_what_one_look_does_not_show_ends_all_the_same(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blind_once(tmp_path, monkeypatch)
    place.start(rank("setsid sleep 300 &\nexit 7\n"))
    until(lambda: place.one().state == "exited")
    assert (tmp_path / "blind").is_dir()
    assert place.members() == []


@in_each_shell
def test_stop_looks_twice(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place.start(rank())
    until(lambda: place.log().last == "up")
    (supervisor,) = (int(one.read_text().split()[0]) for one in place.folder.glob("pid"))
    os.kill(supervisor, signal.SIGKILL)  # nobody but `stop` ends them
    token = place.members()
    assert token
    blind_once(tmp_path, monkeypatch)
    for result in place.run(RUNTIME.stop(PLAIN.name, 0)).values():
        assert result.rc == 0
    assert (tmp_path / "blind").is_dir()
    assert not any(lives(pid) for pid in token)


def test_a_program_that_is_killed_is_told_with_its_code(place: Place) -> None:
    place.start(rank("echo $$\nexec sleep 300\n"))
    until(lambda: place.log().last)
    os.kill(int(place.log().last), signal.SIGKILL)
    until(lambda: place.one().state == "exited")
    assert place.one().exit_code == 137


@in_each_shell
def test_with_its_supervisor_killed_it_is_dead_and_what_is_left_is_ended(place: Place) -> None:
    place.start(rank())
    until(lambda: place.log().last == "up")
    os.kill(int((place.folder / "pid").read_text().split()[0]), signal.SIGKILL)
    until(lambda: place.one().state == "dead")
    assert place.one().exit_code is None
    pids = place.members()
    assert len(pids) >= 3
    assert place.run(RUNTIME.stop(PLAIN.name, 5))["stop"].rc == 0
    assert not [one for one in pids if lives(one)]


def test_one_that_does_not_hear_is_killed_after_its_time(place: Place) -> None:
    place.start(rank("trap '' TERM\necho deaf\nwhile :; do sleep 1; done\n"))
    until(lambda: place.log().last == "deaf")
    assert place.run(RUNTIME.stop(PLAIN.name, 1))["stop"].rc == 0
    assert place.see() == ()


@in_each_shell
def test_a_process_number_that_is_anothers_now_is_left_alone(place: Place) -> None:
    place.start(rank("exit 0\n"))
    until(lambda: place.one().state == "exited")
    with subprocess.Popen(["sleep", "300"]) as stranger:
        try:
            ticks = Path(f"/proc/{stranger.pid}/stat").read_text().rpartition(") ")[2].split()[19]
            boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
            wrong = {
                "started earlier": f"{stranger.pid} {int(ticks) - 1} {boot}",
                "before the boot": f"{stranger.pid} {ticks} {boot[::-1]}",
                "of an older orch": f"{stranger.pid}",
            }
            for case, text in wrong.items():
                (place.folder / "rc").unlink(missing_ok=True)
                (place.folder / "pid").write_text(text + "\n")
                assert place.one().state == "dead", case
            (place.folder / "pid").write_text(f"{stranger.pid} {ticks} {boot}\n")
            assert place.one().state == "running"  # the test tells the two apart
            (place.folder / "pid").write_text(wrong["started earlier"])
            assert place.run(RUNTIME.stop(PLAIN.name, 1))["stop"].rc == 0
            assert stranger.poll() is None
        finally:
            stranger.kill()


def test_a_rank_of_another_deployment_with_its_name_is_left_alone(place: Place) -> None:
    place.start(rank(deployment="vl-0", name=PLAIN.name, secrets=frozenset()))
    before = place.one()
    results = place.run(RUNTIME.start(rank()))
    assert results["free"].rc == 4
    assert b"runs here for duo/vl-0: it is left alone" in results["free"].err
    assert place.one() == before


def test_a_start_over_one_that_runs_ends_it_first(place: Place) -> None:
    place.start(rank())
    before, pids = place.one(), place.members()
    place.start(rank(STAYS + "# another\n"))
    assert place.one().id != before.id
    assert not [one for one in pids if lives(one)]


@in_each_shell
def test_it_is_started_again_as_often_as_its_policy_says_once_it_was_ready(place: Place) -> None:
    place.start(rank("until [ -e /orch/go ]; do sleep 0.1; done\nexit 3\n"))
    assert place.one().restart_policy == "no"
    results = place.run(RUNTIME.supervise(PLAIN.name, "on-failure:1"))
    assert [one.rc for one in results.values()] == [0, 0]
    assert run_command(
        Command(mark_of(PLAIN.name, "/orch/ready")), place.shell, place.env
    ).text == ("yes\n")
    assert place.one().restart_policy == "on-failure:1"
    (place.folder / "orch/go").touch()
    until(lambda: place.one().state == "exited")
    assert (place.one().exit_code, place.one().restart_count) == (3, 1)


def test_what_a_person_would_type(place: Place) -> None:
    given = rank(
        env={"B": "x y"},
        gpus=("0", "GPU-aaaa"),
        paths={
            "PATH": ("~/a b/.venv/bin", "/usr/local/cuda-13/bin"),
            "CUDA_HOME": ("/usr/local/cuda-13",),
        },
    )
    assert RUNTIME.describe(given).splitlines() == [
        "export HF_TOKEN  # a secret",
        "export B='x y'",
        "export CUDA_DEVICE_ORDER=PCI_BUS_ID",
        "export CUDA_VISIBLE_DEVICES=0,GPU-aaaa",
        "export CUDA_HOME=/usr/local/cuda-13",
        """export PATH="$HOME"/'a b/.venv/bin':/usr/local/cuda-13/bin"${PATH:+:$PATH}\"""",
        "sh ~/.local/state/orch/processes/$(hostname)/orch-duo-vl-0/orch/entry.sh",
    ]


@in_each_shell
def test_folders_come_before_what_there_is(place: Place) -> None:
    given = rank(env={}, paths={"PATH": ("~/v/bin",), "LD_LIBRARY_PATH": ("/n", "~/l")})
    done = subprocess.run(
        [*place.shell.split(), "-c", f'{exports(given)}\necho "$PATH|$LD_LIBRARY_PATH"'],
        env={"HOME": "/h o", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "/h o/v/bin:/usr/bin:/bin|/n:/h o/l\n"


def test_no_gpu_is_told_too(place: Place) -> None:
    assert "CUDA_VISIBLE_DEVICES=''" in exports(rank(gpus=()))
    assert "CUDA_VISIBLE_DEVICES" not in exports(rank(gpus="all"))


def test_a_limit_that_it_may_not_have_ends_it_with_a_word(place: Place) -> None:
    place.start(rank("ulimit -n\n", ulimits={"nofile": "99999999999"}))
    until(lambda: place.one().state == "exited")
    assert place.one().exit_code == 2
    assert "may not have the limit nofile=99999999999" in place.log().last
    with pytest.raises(FilesWrong, match="can't be given the limit 'sigpending'"):
        RUNTIME.start(rank(ulimits={"sigpending": "1"}))


@in_each_shell
def test_health_is_told(place: Place) -> None:
    made = RUNTIME.start(rank(health="test -e /orch/well"))
    commands = dict(made.commands)
    quick = commands["file conf"].stdin.replace(b"interval=15", b"interval=0.1")
    commands["file conf"] = replace(commands["file conf"], stdin=quick)
    place.run(replace(made, commands=commands))
    until(lambda: place.one().health == "unhealthy")
    (place.folder / "orch/well").touch()
    until(lambda: place.one().health == "healthy")


@in_each_shell
def test_what_there_is_for_processes_can_be_read(place: Place) -> None:
    query = ReadProcessHost()
    found = query.parse(run_script(query.ask(), place.shell, place.env))
    assert (found.missing, found.usable) == ((), True)
    assert found.folder.startswith(str(place.home))
    odd = place.home / "a b"
    odd.mkdir()
    results = run_script(query.ask(), place.shell, {**place.env, "HOME": str(odd)})
    assert not query.parse(results).usable


@pytest.mark.parametrize("shell", SHELLS)
def test_all_of_it_is_posix_shell(shell: str) -> None:
    scripts = [
        RUNTIME.start(rank(rdma=True)),
        RUNTIME.stop("a", 5),
        RUNTIME.logs("a", 5),
        RUNTIME.supervise("a", "no"),
        ReadProcesses().ask(),
        ReadProcessHost().ask(),
    ]
    for script in scripts:
        for name, command in script.commands.items():
            assert syntax(command, shell) == "", name
    templates = Path(__file__).resolve().parents[3] / "templates/process"
    for one in ("rank.sh", "stamp.sh"):
        done = subprocess.run(
            [*shell.split(), "-n", templates / one], capture_output=True, check=True
        )
        assert done.stderr == b""


def test_the_log_is_the_same_without_python(tmp_path: Path) -> None:
    templates = Path(__file__).resolve().parents[3] / "templates/process"
    lines = b"one \\n two\n\n  three\nno end"
    for program in (
        ["python3", "-I", "-S", "stamp.py"],
        ["dash", "stamp.sh"],
        ["bash", "stamp.sh"],
    ):
        log = tmp_path / program[0]
        subprocess.run([*program, log], cwd=templates, input=lines, check=True)
        read = [one.partition(b" ") for one in log.read_bytes().splitlines()]
        assert [rest for _, _, rest in read] == [b"one \\n two", b"", b"  three", b"no end"]
        assert all(re.fullmatch(rb"\d{4}-\d\d-\d\dT[\d:.]+Z", stamp) for stamp, _, _ in read)


def test_a_record_is_one_line_of_json() -> None:
    made = RUNTIME.start(rank())
    text = made.commands["file record"].stdin.decode()
    assert "\n" not in text
    assert json.loads(text)["orch.deployment"] == "vl"
    assert list(made.commands)[:3] == ["free", "file owner", "file record"]


def test_a_log_that_is_full_makes_room(tmp_path: Path) -> None:
    templates = Path(__file__).resolve().parents[3] / "templates/process"
    log = tmp_path / "log"
    for text in ("first", "second", "third"):
        with log.open("ab") as file:
            file.truncate(60_000_000)
        subprocess.run(
            [sys.executable, "-I", "-S", templates / "stamp.py", log],
            input=f"{text}\n".encode(),
            check=True,
        )
        assert log.read_bytes().endswith(f" {text}\n".encode())
        assert log.stat().st_size < 1000
    assert sorted(one.name for one in tmp_path.iterdir()) == ["log", "log.1", "log.2"]
