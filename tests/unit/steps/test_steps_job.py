"""A job outlives what started it, is found again, and its end is told as it was."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.contracts import Change
from orchestrator.errors import Unknown
from orchestrator.facts.job import Job, JobState
from orchestrator.facts.jobs import ReadJobs
from orchestrator.script import Result, argv, sh
from orchestrator.steps.job import end_job, job_name, job_script, watched
from tests.local_shell import SHELLS, run_script


def state_of(job: Job, shell: str = "sh") -> JobState:
    return job.parse(run_script(job.ask(), shell))


def until(job: Job, wanted: Callable[[JobState], bool]) -> JobState:
    """Ask until it is so; each question is a real process, so this does not spin."""
    for _ in range(2_000):
        state = state_of(job)
        if wanted(state):
            return state
    raise AssertionError(state)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("shell", SHELLS)
def test_a_job_runs_and_its_result_is_kept(home: Path, shell: str) -> None:
    job = Job(job_name("demo", shell))
    assert state_of(job, shell) == JobState(job.name, "absent")
    started = run_script(job_script(job.name, sh("echo hello; echo {}; false", "a b")), shell)
    assert (started["job"].rc, started["job"].text) == (0, "started\n")
    state = until(job, lambda now: now.state != "running")
    assert (state.state, state.rc, state.tail) == ("done", 1, "hello\na b\n")
    assert state.failed
    assert state.started_s is not None and state.ended_s is not None
    assert state_of(job, shell) == state


@pytest.mark.parametrize("shell", SHELLS)
def test_a_second_start_leaves_the_one_under_way_alone(home: Path, shell: str) -> None:
    gate = home / "gate"
    os.mkfifo(gate)
    job = Job(job_name("slow"), pulse=sh("echo 7"))
    program = sh("echo one; cat {} >/dev/null; echo two", str(gate))
    run_script(job_script(job.name, program), shell)
    state = until(job, lambda now: now.log_bytes > 0)
    assert (state.state, state.pulse) == ("running", "7")
    (found,) = ReadJobs().parse(run_script(ReadJobs().ask(), shell))
    assert (found.name, found.last_line) == (job.name, "one")
    os.kill(found.pid, 0)  # there is such a process
    again = run_script(job_script(job.name, argv("echo", "three")), shell)["job"]
    assert (again.rc, again.text) == (0, "under way\n")
    change = watched(Change("pull x"), state)
    assert change.under_way and change.progress == "4 7 one"
    gate.write_text("go")
    state = until(job, lambda now: now.state != "running")
    assert (state.rc, state.tail) == (0, "one\ntwo\n")
    assert ReadJobs().parse(run_script(ReadJobs().ask(), shell)) == ()
    assert not list(home.rglob("run")), "the program, which may hold secrets, goes with its end"


def test_a_stopped_job_and_its_children_end(home: Path) -> None:
    gate = home / "gate"
    os.mkfifo(gate)
    job = Job(job_name("endless"))
    run_script(job_script(job.name, sh("echo up; cat {}", str(gate))))
    until(job, lambda now: now.log_bytes > 0)
    assert run_script(end_job(job.name, grace=1))["job"].rc == 0
    state = until(job, lambda now: now.state != "running")
    assert state.state == "done" and state.rc not in (0, None)


def test_a_job_whose_wrapper_was_killed_is_lost_and_starts_anew(home: Path) -> None:
    gate = home / "gate"
    os.mkfifo(gate)
    job = Job(job_name("killed"))
    run_script(job_script(job.name, sh("echo up; cat {}", str(gate))))
    until(job, lambda now: now.log_bytes > 0)
    folder = next(home.rglob("pid")).parent
    child = int((folder / "pid").read_text())
    wrapper = int(Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(wrapper, signal.SIGKILL)
    state = until(job, lambda now: now.state != "running")
    assert state.state == "lost" and state.failed
    assert "ended without a result" in watched(Change("pull x"), state).summary
    run_script(job_script(job.name, argv("echo", "anew")))
    assert until(job, lambda now: now.state == "done").rc == 0
    os.kill(child, signal.SIGTERM)


def test_a_limit_ends_it(home: Path) -> None:
    job = Job(job_name("limited"))
    run_script(job_script(job.name, argv("sleep", 60), limit=1))
    assert until(job, lambda now: now.state == "done").rc == 124


def test_the_program_keeps_the_umask_and_does_not_get_the_hosts_lock(home: Path) -> None:
    job = Job(job_name("umask"))
    run_script(job_script(job.name, sh("umask; ls -l /proc/self/fd | grep -c lock")))
    state = until(job, lambda now: now.state == "done")
    assert state.tail == "0022\n0\n"


def test_hostile_text_stays_text(home: Path) -> None:
    hostile = '"; touch {home}/pwned #\n$(touch {home}/pwned)'.replace("{home}", str(home))
    job = Job(job_name("hostile", hostile))
    run_script(job_script(job.name, argv("printf", "%s", hostile)))
    assert until(job, lambda now: now.state == "done").tail == hostile
    assert not (home / "pwned").exists()
    with pytest.raises(ValueError, match="not a job name"):
        job_script(hostile, argv("true"))
    with pytest.raises(ValueError, match="not a job name"):
        Job("../x").ask()


def test_the_name_tells_the_content() -> None:
    assert job_name("image", "a", "b") != job_name("image", "ab")
    assert job_name("image", "a") == job_name("image", "a")


def test_what_is_told_of_a_failed_try() -> None:
    state = JobState("x", "done", rc=100, tail="Reading…\nE: \x1b[1mno package\x1b[0m\n")
    change = watched(Change("install perftest"), state)
    assert not change.under_way
    assert change.summary == (
        "install perftest (the last try failed, exit code 100: E: no package)"
    )
    assert watched(Change("y"), JobState("x", "done", rc=0)) == Change("y")
    assert watched(Change("y"), JobState("x", "absent")) == Change("y")


GOOD = b"state done\nstarted 1700000000\nrc 0 1700000005\nbytes 12\nend\n"


@given(st.integers(0, len(GOOD) - 1))
def test_a_cut_answer_is_unknown(length: int) -> None:
    try:
        state = Job("x").parse({"job": Result(0, GOOD[:length], b"", 0.1)})
    except Unknown:
        return
    assert length == len(GOOD) - 1 and state.rc == 0


@given(st.binary(max_size=200), st.integers(0, 137))
def test_garbage_is_unknown(out: bytes, rc: int) -> None:
    with pytest.raises(Unknown):
        Job("x").parse({"job": Result(rc, out, b"", 0.1)})
