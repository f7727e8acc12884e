"""Every program through real shells: framed whole, or nothing ran, or the outcome is unknown."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.errors import Failed, Fenced, Locked, OutcomeUnknown
from orchestrator.framing import (
    GRACE,
    Become,
    Held,
    flushes,
    render,
)
from orchestrator.reply import Reply, no_sudo, parse
from orchestrator.script import Command, Result, Script, Sh, argv, sh
from orchestrator.shared import LIMIT, shared

MARKER = "0123456789abcdef0123456789abcdef"
SHELLS = [["dash"], ["bash"], ["bash", "--posix"]] + [
    shell for shell in (["busybox", "sh"], ["zsh", "--emulate", "sh"]) if shutil.which(shell[0])
]


def feed(
    program: bytes, shell: Sequence[str] = ("/bin/sh",), env: Mapping[str, str] | None = None
) -> bytes:
    done = subprocess.run(
        shell,
        input=program,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **(env or {})},
        check=False,
        timeout=50,
    )
    return done.stdout


def go(
    script: Script,
    shell: Sequence[str] = ("/bin/sh",),
    env: Mapping[str, str] | None = None,
    become: Become | None = None,
) -> Mapping[str, Result]:
    return parse(feed(render(script, marker=MARKER, become=become), shell, env), MARKER, script)


@pytest.fixture(params=SHELLS, ids=lambda shell: " ".join(shell))
def shell(request: pytest.FixtureRequest) -> Sequence[str]:
    words: Sequence[str] = request.param
    return words


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Mapping[str, str]]:
    yield {"ORCH_STATE": str(tmp_path / "state")}


def text(command: str) -> Command:
    return Command(Sh(command))


# --- what a script can do -------------------------------------------------------------------


def test_each_command_has_its_own_frame(shell: Sequence[str]) -> None:
    script = Script(
        {
            "ok": text("echo out; echo err >&2"),
            "reads stdin": text("cat; echo rest $?"),
            "fails": text("exit 3"),
            "silent": text("true"),
            "no newline": text("printf x"),
            "syntax": text("if then"),
            "exits": text("exec false"),
        }
    )
    results = go(script, shell)
    assert results["ok"].out == b"out\n" and results["ok"].err == b"err\n"
    assert results["reads stdin"].out == b"rest 0\n"  # it saw the end, and ate nothing of ours
    assert results["fails"].rc == 3
    assert (results["silent"].rc, results["silent"].out) == (0, b"")
    assert results["no newline"].out == b"x"
    assert results["syntax"].rc != 0
    assert results["exits"].rc == 1


def test_a_shell_that_would_show_stdin_in_ps_runs_nothing(tmp_path: Path) -> None:
    if shutil.which("mksh") is None:
        pytest.skip("no mksh here")
    script = Script({"one": Command(sh("touch {}", str(tmp_path / "x")), stdin=b"secret")})
    with pytest.raises(Failed, match="printf"):
        go(script, ["mksh"])
    assert not (tmp_path / "x").exists()


def test_binary_output_and_input_survive(shell: Sequence[str]) -> None:
    data = bytes(range(256)) * 40
    script = Script(
        {
            "through": Command(Sh("cat"), stdin=data),
            "marker": text(f"printf '\\n{MARKER[:-1]}\\n'"),
            "text": Command(Sh("cat"), stdin=b"it's \\n $HOME `id` %s\n\n"),
        }
    )
    results = go(script, shell)
    assert results["through"].out == data
    assert results["text"].out == b"it's \\n $HOME `id` %s\n\n"


def test_what_users_write_stays_text(shell: Sequence[str]) -> None:
    nasty = "\"; rm -rf / #\n$(touch x) `touch y` \\ ' é"
    results = go(Script({"one": Command(argv("printf", "%s", nasty))}), shell)
    assert results["one"].out.decode() == nasty


def test_long_output_is_cut_to_its_end_and_says_so(shell: Sequence[str]) -> None:
    script = Script(
        {
            "long": Command(Sh("seq 100000; seq 5 >&2"), keep=10),
            "exact": Command(Sh("printf 0123456789"), keep=10),
        }
    )
    results = go(script, shell)
    assert results["long"].out == b"99\n100000\n" and results["long"].truncated
    assert results["long"].rc == 0  # its work was not cut short
    assert results["exact"].out == b"0123456789" and not results["exact"].truncated


def test_a_command_out_of_time_is_ended_on_the_host(shell: Sequence[str]) -> None:
    script = Script({"slow": Command(Sh("echo a; sleep 30; echo b"), timeout=1), "next": text(":")})
    results = go(script, shell)
    assert results["slow"].rc == 124 and results["slow"].out == b"a\n"
    assert results["slow"].seconds >= 1
    assert results["next"].rc == 0


def test_stop_on_error_stops_but_reads_follow(shell: Sequence[str]) -> None:
    script = Script(
        {"a": text("true"), "b": text("exit 7"), "c": text("echo no")},
        stop_on_error=True,
        then={"read": text("echo read; exit 1"), "again": text("echo again")},
    )
    results = go(script, shell)
    assert list(results) == ["a", "b", "read", "again"]
    assert results["b"].rc == 7 and results["again"].out == b"again\n"


def test_many_commands_and_a_large_stdin(shell: Sequence[str]) -> None:
    commands = {f"n{i}": Command(argv("echo", i)) for i in range(40)}
    commands["large"] = Command(Sh("wc -c"), stdin=b"x'" * 150_000)
    results = go(Script(commands), shell)
    assert results["n39"].out == b"39\n"
    assert int(results["large"].out) == 300_000


def test_no_command_text_in_argv(tmp_path: Path) -> None:
    look = Sh("tr '\\0' ' ' </proc/$PPID/cmdline; tr '\\0' ' ' </proc/$$/cmdline; echo hidden-word")
    shown = go(Script({"one": Command(look)}))["one"].text
    assert "sh" in shown and shown.count("hidden-word") == 1  # what it printed, and not more


def test_nothing_is_left_behind() -> None:
    before = set(Path("/dev/shm").glob("orch.*"))
    go(Script({"one": text("echo $0 >/dev/null")}))
    assert set(Path("/dev/shm").glob("orch.*")) <= before


def test_a_shell_that_is_killed_is_cleaned_up_after() -> None:
    kill = Sh('echo "${0%/*}"; read -r _ _ _ p _ </proc/$PPID/stat; kill -9 $p')
    script = Script({"one": text("echo ${0%/*}"), "two": Command(kill, timeout=300)}, mutates=True)
    env = {"ORCH_STATE": tempfile.mkdtemp()}
    with pytest.raises(OutcomeUnknown) as caught:
        parse(feed(render(script, marker=MARKER), env=env), MARKER, script)
    scratch = Path(caught.value.results["one"].text.strip())
    for _ in range(100):
        if not scratch.exists():
            return
        time.sleep(0.1)
    pytest.fail(f"{scratch} is still there")


def test_a_background_child_does_not_hold_the_reply(shell: Sequence[str]) -> None:
    began = time.monotonic()
    results = go(Script({"one": text("sleep 8 & echo started")}), shell)
    assert results["one"].out == b"started\n"
    assert time.monotonic() - began < 6


@pytest.mark.parametrize("others", [{}, {"two": text("echo two")}], ids=["alone", "shared"])
def test_a_flood_does_not_fill_the_scratch_folder(others: Mapping[str, Command]) -> None:
    flood = Sh('head -c 200000000 /dev/zero; sleep 0.7; du -k "${0%/*}"/o* >&2; echo end')
    results = go(Script({"one": Command(flood, keep=100), **others}))
    result = results["one"]
    assert int(result.err.split()[0]) < 66_000
    assert result.truncated and result.out.endswith(b"end\n") and result.rc == 0
    assert [results[name].out for name in others] == [b"two\n"] * len(others)
    assert not any(results[name].truncated for name in others)


# --- quick reads that share a shell ---------------------------------------------------------


def test_what_orch_itself_starts_for_twenty_reads(tmp_path: Path) -> None:
    """One shell and one time limit for all of them; more would be paid for on each host."""
    tools = ("mktemp", "timeout", "tail", "cat", "rm", "id", "base64")
    log = tmp_path / "log"
    for tool in tools:
        shim = tmp_path / tool
        shim.write_text(f'#!/bin/sh\necho {tool} >>{log}\nexec {shutil.which(tool)} "$@"\n')
        shim.chmod(0o755)
    script = Script({f"n{i}": text(f"exit {i}") for i in range(20)})
    results = go(script, env={"PATH": f"{tmp_path}:{os.environ['PATH']}"})
    assert [one.rc for one in results.values()] == list(range(20))
    assert log.read_text().split() == ["mktemp", "timeout", "cat", "rm"]


def test_reads_that_share_a_shell_do_not_see_each_other(shell: Sequence[str]) -> None:
    look = 'echo "$#,$*,$x,$m,$(pwd),$(cat)"; type f >/dev/null 2>&1 && echo f'
    script = Script(
        {
            "before": text(look),
            "sets": text("x=1; f() { :; }; set -e; cd /; trap 'echo bye' EXIT; set -- a b; exit 4"),
            "breaks": text("break; return 3"),
            "after": text(look),
            "group": text("kill -9 $$"),
            "end": text("echo end"),
        }
    )
    results = go(script, shell)
    assert results["sets"].out == b"bye\n" and results["sets"].rc == 4
    assert results["before"].out == results["after"].out
    assert results["after"].out.startswith(f"0,,,,{Path.cwd()},\n".encode())
    assert results["breaks"].rc == 3
    assert results["group"].rc == 137 and results["end"].out == b"end\n"


def test_what_is_too_slow_for_a_shared_shell_has_all_of_its_time(
    tmp_path: Path, shell: Sequence[str]
) -> None:
    """The shell's limit is the shortest of them: it ends `slow`, which then runs again, alone."""
    log = tmp_path / "log"
    script = Script(
        {
            "done": Command(sh("echo done >>{}; echo done", str(log)), timeout=1),
            "slow": Command(sh("echo slow >>{}; echo a; sleep 1.5; echo b", str(log)), timeout=9),
            "hangs": Command(Sh("echo c; sleep 30"), timeout=1),
            "next": Command(Sh("echo next; exit 5"), timeout=9),
        }
    )
    results = go(script, shell)
    assert log.read_text().split() == ["done", "slow", "slow"]
    assert results["done"].out == b"done\n"
    assert (results["slow"].rc, results["slow"].out) == (0, b"a\nb\n")
    assert results["slow"].seconds >= 1.5
    assert (results["hangs"].rc, results["hangs"].out) == (124, b"c\n")
    assert (results["next"].rc, results["next"].out) == (5, b"next\n")


def test_only_quick_reads_share_a_shell() -> None:
    quick, long = text("true"), Command(Sh("true"), timeout=61)
    fed, root = Command(Sh("cat"), stdin=b"x"), Command(Sh("true"), sudo=True)
    each = (quick, quick, fed, quick, quick, quick, root, quick, long, quick, quick)
    mixed = {str(i): one for i, one in enumerate(each)}
    assert shared(Script(mixed)) == [[0, 1], [3, 4, 5], [9, 10]]
    assert shared(Script({"one": quick})) == []
    for kept in (
        Script(mixed, mutates=True),
        Script(mixed, once=True),
        Script(mixed, stop_on_error=True),
    ):
        assert shared(kept) == []
    reply = Reply(Script({"a": quick, "b": quick}), MARKER)
    assert reply.patience() == 2 * (30 + GRACE) + 40 + LIMIT + GRACE


# --- root -----------------------------------------------------------------------------------


@pytest.fixture
def not_root(tmp_path: Path) -> Mapping[str, str]:
    """A PATH where `id -u` says 1000 and sudo is a shim that wants SUDO_PASSWORD, if it is set."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "id").write_text("#!/bin/sh\necho 1000\n")
    (folder / "sudo").write_text(
        """#!/bin/bash
exec 9>&-
while [ "$1" != -- ]; do case $1 in -n) n=1;; -S) s=1;; esac; shift; done; shift
if [ "$SUDO_DENY" ]; then echo "sudo: a password is required" >&2; exit 1; fi
if [ "$SUDO_PASSWORD" ]; then
  if [ "$n" ]; then echo "sudo: a password is required" >&2; exit 1; fi
  IFS= read -r given
  if [ "$given" != "$SUDO_PASSWORD" ]; then echo "sudo: 1 incorrect attempt" >&2; exit 1; fi
fi
AS_ROOT=yes exec "$@"
"""
    )
    for name in ("id", "sudo"):
        (folder / name).chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}"}


ROOT = Script(
    {
        "plain": Command(Sh("echo ${AS_ROOT:-no}")),
        "root": Command(Sh("echo ${AS_ROOT:-no}; exit 4"), sudo=True),
        "stdin": Command(Sh("cat; echo ${AS_ROOT:-no}"), stdin=b"line 1\nline 2\n", sudo=True),
    }
)


def test_sudo_runs_what_needs_root(shell: Sequence[str], not_root: Mapping[str, str]) -> None:
    results = go(ROOT, shell, not_root)
    assert results["plain"].out == b"no\n"
    assert results["root"].out == b"yes\n" and results["root"].rc == 4
    assert results["stdin"].out == b"line 1\nline 2\nyes\n"


def test_refused_sudo_is_told_from_a_failing_command(
    shell: Sequence[str], not_root: Mapping[str, str]
) -> None:
    results = go(ROOT, shell, {**not_root, "SUDO_DENY": "1"})
    assert results["plain"].rc == 0 and not no_sudo(results["plain"])
    assert no_sudo(results["root"]) and no_sudo(results["stdin"])
    assert b"a password is required" in results["root"].err


@pytest.mark.parametrize("asks", ["s3cr'et $x", ""])
def test_sudo_password_through_stdin_only(
    shell: Sequence[str], not_root: Mapping[str, str], asks: str
) -> None:
    """Whether sudo wants the password or not, the command's stdin is its own."""
    become = Become("sudo", "s3cr'et $x")
    results = go(ROOT, shell, {**not_root, "SUDO_PASSWORD": asks}, become)
    assert results["root"].out == b"yes\n" and results["root"].rc == 4
    assert results["stdin"].out == b"line 1\nline 2\nyes\n"


def test_wrong_sudo_password(not_root: Mapping[str, str]) -> None:
    results = go(ROOT, env={**not_root, "SUDO_PASSWORD": "other"}, become=Become("sudo", "wrong"))
    assert no_sudo(results["root"])


def test_become_never(not_root: Mapping[str, str]) -> None:
    results = go(ROOT, env=not_root, become=Become("never"))
    assert no_sudo(results["root"]) and b"become: never" in results["root"].err
    assert results["plain"].rc == 0


def test_as_root_nothing_asks_sudo(tmp_path: Path, not_root: Mapping[str, str]) -> None:
    (Path(not_root["PATH"].split(":")[0]) / "id").write_text("#!/bin/sh\necho 0\n")
    results = go(ROOT, env={**not_root, "SUDO_DENY": "1"}, become=Become("sudo", "pw"))
    assert results["root"].rc == 4
    assert results["stdin"].out == b"line 1\nline 2\nno\n"


# --- noise, cuts, garbage -------------------------------------------------------------------

NOISE = b"Welcome!\n0123456789abcdef\nstart\nframe 0 0 1 1 -\n\x00\xff no newline"


def test_noise_before_the_start_is_skipped() -> None:
    script = Script({"one": text("echo hi")})
    reply = NOISE + feed(render(script, marker=MARKER))
    assert parse(reply, MARKER, script)["one"].out == b"hi\n"


def test_a_login_shell_that_prints_sleeps_and_reads(tmp_path: Path, shell: Sequence[str]) -> None:
    """Its rc file eats what is on stdin: then nothing runs, and nothing claims that it did."""
    effect = tmp_path / "effect"
    script = Script({"one": Command(sh("touch {}", effect.as_posix()))})
    program = render(script, marker=MARKER)
    reply = feed(program, ["sh", "-c", f"echo rc; sleep 0.1; exec {' '.join(shell)}"])
    assert parse(reply, MARKER, script)["one"].rc == 0 and effect.exists()
    effect.unlink()
    reply = feed(program, ["bash", "-c", f"echo rc; read -r line; exec {' '.join(shell)}"])
    with pytest.raises(OutcomeUnknown):
        parse(reply, MARKER, script)
    assert not effect.exists()


@pytest.mark.parametrize(
    ("shell", "step"), [(["dash"], 1), (["bash"], 17), (["busybox", "sh"], 17)]
)
def test_a_program_cut_at_each_byte_does_nothing(
    tmp_path: Path, shell: list[str], step: int
) -> None:
    if shutil.which(shell[0]) is None:
        shell = ["dash"]
    effect = tmp_path / "effect"
    script = Script({"one": Command(sh("touch {}", effect.as_posix())), "two": text("echo 2")})
    program = render(script, marker=MARKER)
    ran = 0
    for cut in [*range(0, len(program), step), len(program) - 1, len(program)]:
        reply = feed(program[:cut], shell)
        if effect.exists():
            assert parse(reply, MARKER, script)["two"].out == b"2\n"
            effect.unlink()
            ran += 1
        else:
            with pytest.raises(OutcomeUnknown):
                parse(reply, MARKER, script)
    assert ran <= 3 and ran >= 1  # only what lacks nothing but the last newline


REPLY_SCRIPT = Script({"a": text("echo one"), "b": text("printf 'x\\ny'; echo e >&2; exit 2")})
REPLY = NOISE + feed(render(REPLY_SCRIPT, marker=MARKER))


def test_a_reply_cut_at_each_byte_is_never_a_wrong_success() -> None:
    whole = parse(REPLY, MARKER, REPLY_SCRIPT)
    for cut in range(len(REPLY)):
        try:
            results = parse(REPLY[:cut], MARKER, REPLY_SCRIPT)
        except OutcomeUnknown as error:
            for name, result in error.results.items():
                assert result == whole[name]
        else:
            assert results == whole and cut >= len(REPLY) - 1


@given(st.lists(st.integers(0, len(REPLY)), max_size=8))
def test_a_reply_in_pieces_is_the_same_reply(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(REPLY)]
    reply = Reply(REPLY_SCRIPT, MARKER)
    for start, end in pairwise(edges):
        reply.feed(REPLY[start:end])
    assert reply.finished and reply.frames == 2
    assert reply.results() == parse(REPLY, MARKER, REPLY_SCRIPT)


@given(st.binary(max_size=400), st.integers(0, len(REPLY)), st.integers(0, 60))
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_garbage_is_never_a_crash(garbage: bytes, at: int, gone: int) -> None:
    reply = REPLY[:at] + garbage + REPLY[at + gone :]
    try:
        results = parse(reply, MARKER, REPLY_SCRIPT)
    except (OutcomeUnknown, Failed, Locked):
        return
    assert set(results) == {"a", "b"}


def test_a_reply_without_end_is_given_up() -> None:
    reply = Reply(REPLY_SCRIPT, MARKER)
    with pytest.raises(OutcomeUnknown):
        for _ in range(100):
            reply.feed(b"y\n" * 50_000)


def test_each_frame_has_its_own_patience() -> None:
    script = Script({"a": Command(Sh("true"), timeout=5), "b": Command(Sh("true"), timeout=600)})
    assert flushes(script) == [0, 1]
    reply = Reply(script, MARKER)
    assert 5 < reply.patience() < 60
    reply.feed(feed(render(script, marker=MARKER)).split(f"{MARKER} frame 1".encode())[0])
    assert reply.frames == 1 and reply.patience() > 600


def test_frames_of_quick_reads_travel_together_and_of_changes_alone() -> None:
    quick = {str(i): Command(Sh("true"), timeout=40) for i in range(7)}
    assert flushes(Script(quick)) == [2, 2, 2, 5, 5, 5, 6]
    assert flushes(Script(quick, mutates=True)) == list(range(7))
    assert flushes(Script({"x": text("true")}, mutates=True, then=quick)) == [
        0,
        3,
        3,
        3,
        6,
        6,
        6,
        7,
    ]
    assert flushes(Script({})) == []
    reply = Reply(Script(quick), MARKER)
    assert reply.patience() > 3 * 40


# --- disk full, missing tools ---------------------------------------------------------------


def test_no_scratch_folder_runs_nothing(tmp_path: Path) -> None:
    effect = tmp_path / "effect"
    script = Script({"one": Command(sh("touch {}", effect.as_posix()))})
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "mktemp").write_text("#!/bin/sh\nexit 1\n")
    (folder / "mktemp").chmod(0o755)
    with pytest.raises(Failed, match="nothing was run"):
        go(script, env={"PATH": f"{folder}:{os.environ['PATH']}"})
    assert not effect.exists()


@pytest.mark.parametrize(
    ("names", "place"),
    [(["one"], b'"$1" >"$d/c"'), (["one", "two"], b'>"$d/c$1"'), (["one", "two"], b'>"$d/j"')],
)
def test_a_scratch_folder_that_fills_up_fails_the_command(
    names: Sequence[str], place: bytes
) -> None:
    """The command's text can't be written: it must not run as an empty one and succeed."""
    script = Script({name: text(f"echo {name}") for name in names})
    program = render(script, marker=MARKER)
    # /dev/full takes nothing, like a full disk.
    broken = program.replace(place, place.split(b">")[0] + b">/dev/full")
    assert broken != program
    results = parse(feed(broken), MARKER, script)
    assert all(one.rc == 125 and b"full" in one.err for one in results.values())


@pytest.mark.parametrize("names", [["one"], ["one", "two"]])
def test_without_timeout_on_the_host_it_still_runs(tmp_path: Path, names: Sequence[str]) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in ("sh", "mktemp", "rm", "tail", "sleep", "find", "id", "cat", "base64", "echo"):
        (folder / tool).symlink_to(str(shutil.which(tool)))
    script = Script({name: text("echo hi") for name in names})
    program = render(script, marker=MARKER)
    program = program.replace(b"PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin", b"PATH=$PATH")
    reply = feed(program, env={"PATH": str(folder)})
    assert [one.out for one in parse(reply, MARKER, script).values()] == [b"hi\n"] * len(names)


# --- lock and lease -------------------------------------------------------------------------


def lease(state: Mapping[str, str], token: str, until: int) -> None:
    folder = Path(state["ORCH_STATE"])
    folder.mkdir(exist_ok=True)
    (folder / "lock").touch()
    (folder / "lease").write_text(
        f"token {token}\nsince 1\nuntil {until}\nowner tom@laptop\nrun r1\nclient c\npid 1\n"
    )


CHANGE = Script({"one": text("echo changed")}, mutates=True)


def change(
    state: Mapping[str, str], held: Held | None = None, wait: float = 0, shell: str = "sh"
) -> Mapping[str, Result]:
    program = render(CHANGE, marker=MARKER, held=held, lock_wait=wait)
    return parse(feed(program, [shell], state), MARKER, CHANGE)


def test_our_token_lets_us_change(state: Mapping[str, str]) -> None:
    lease(state, "ours", 1)  # expired, but nobody took it
    for shell in ("dash", "bash"):
        assert change(state, Held("ours", state["ORCH_STATE"]), shell=shell)["one"].rc == 0


def test_anothers_token_fences(state: Mapping[str, str]) -> None:
    lease(state, "theirs", 1)
    with pytest.raises(Fenced, match="tom@laptop"):
        change(state, Held("ours", state["ORCH_STATE"]))


def test_a_lease_that_is_gone_fences(state: Mapping[str, str]) -> None:
    with pytest.raises(Fenced, match="gone"):
        change(state, Held("ours", state["ORCH_STATE"]))
    lease(state, "x", 1)
    (Path(state["ORCH_STATE"]) / "lease").unlink()
    with pytest.raises(Fenced, match="gone"):
        change(state, Held("ours", state["ORCH_STATE"]))


def test_without_a_lease_only_a_free_host_is_changed(state: Mapping[str, str]) -> None:
    assert change(state)["one"].rc == 0
    lease(state, "theirs", 1)  # expired
    assert change(state)["one"].rc == 0
    lease(state, "theirs", int(time.time()) + 100)
    with pytest.raises(Fenced, match="tom@laptop"):
        change(state)


def test_a_ghost_holds_the_lock_until_it_ends(state: Mapping[str, str], tmp_path: Path) -> None:
    """The client of a mutating script dies; its script goes on; the next one waits for it."""
    go_on = tmp_path / "go_on"
    os.mkfifo(go_on)
    log = tmp_path / "log"
    ghost = Script(
        {
            "first": Command(sh("echo first >>{}; cat {} >/dev/null", str(log), str(go_on))),
            "second": Command(sh("echo second >>{}", str(log))),
        },
        mutates=True,
    )
    with subprocess.Popen(
        ["sh"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, **state}
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(render(ghost, marker=MARKER))
        process.stdin.close()
        with go_on.open("w"):  # opens once the first command reads it
            process.stdout.close()  # the client is gone
            with pytest.raises(Locked, match="nothing was run"):
                change(state)
        assert change(state, wait=20)["one"].rc == 0
        process.wait(20)
    assert log.read_text() == "first\nsecond\n"


def test_a_detached_job_does_not_hold_the_lock(state: Mapping[str, str]) -> None:
    script = Script({"job": text("setsid sleep 20 >/dev/null 2>&1 & echo $!")}, mutates=True)
    pid = int(parse(feed(render(script, marker=MARKER), env=state), MARKER, script)["job"].out)
    try:
        assert change(state)["one"].rc == 0
    finally:
        os.kill(pid, 9)


def test_a_reader_ends_with_its_client(tmp_path: Path) -> None:
    log = tmp_path / "log"
    script = Script(
        {
            "print": Command(Sh("sleep 0.3; head -c 60000 /dev/zero")),
            "more": Command(Sh("head -c 60000 /dev/zero")),
            "late": Command(sh("echo late >>{}", str(log)), timeout=300),
        }
    )
    with subprocess.Popen(["sh"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(render(script, marker=MARKER))
        process.stdin.close()
        process.stdout.close()
        process.wait(20)
    assert not log.exists()


def test_the_pure_part_needs_no_host() -> None:
    """Rendering imports neither paramiko nor subprocess."""
    code = "import sys, orchestrator.framing; print({'paramiko', 'subprocess'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
