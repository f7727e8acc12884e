"""Leases on hosts that really run them: one holder, told by name; expiry by the host's clock; fences."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.errors import Failed, Fenced, Locked, OrchError, Unreachable
from orchestrator.facts.lease import Lease, LeaseState
from orchestrator.framing import Become, Held
from orchestrator.hosts.reader import apply_and_read, read
from orchestrator.run.lease import Holder, break_lease, myself
from orchestrator.run.leases import Leases
from orchestrator.script import Command, Result, Script, Sh
from tests.scripted.faults import Fault, FaultyHosts
from tests.scripted.hosts import ScriptedHosts, ShellHost

CHANGE = Script({"one": Command(Sh('echo x >>"$STATE/effect"'))}, mutates=True)
TOM = Holder("tom@laptop", "run-1", "client-a", 1)
ANN = Holder("ann@desk", "run-2", "client-b", 1)
CLOCK = 'case $1 in +%s) cat "$STATE/clock" 2>/dev/null || exec /bin/date "$@";; *) exec /bin/date "$@";; esac'

Operator = Callable[..., "tuple[ScriptedHosts, Leases]"]


@pytest.fixture
def operator(tmp_path: Path) -> Operator:
    """Makes an operator: its own connections to the same hosts."""

    def make(holder: Holder, **options: object) -> tuple[ScriptedHosts, Leases]:
        hosts = ScriptedHosts(
            {name: ShellHost(tmp_path / name, {"date": CLOCK}) for name in ("h1", "h2", "h3")}
        )
        return hosts, Leases(hosts, hosts.held, holder, **options)  # type: ignore[arg-type]

    return make


def clock(tmp_path: Path, now: int, *hosts: str) -> None:
    for host in hosts or ("h1", "h2", "h3"):
        (tmp_path / host / "state/clock").write_text(f"{now}\n")


def effects(tmp_path: Path, host: str) -> int:
    log = tmp_path / host / "state/effect"
    return len(log.read_text().splitlines()) if log.exists() else 0


def test_the_second_operator_is_told_who_since_when_and_until_when(operator: Operator) -> None:
    _, tom = operator(TOM)
    taken = tom.acquire(["h1", "h2"])
    assert taken["h1"].until - taken["h1"].since == 300
    hosts, ann = operator(ANN)
    with pytest.raises(Locked) as caught:
        ann.acquire(["h3", "h2", "h1"])
    text = str(caught.value)
    assert "h1 is locked by tom@laptop (run run-1) since " in text and ", until " in text
    assert "h2 is locked by tom@laptop" in text  # all of them at once
    assert "orch unlock" in caught.value.hint and caught.value.exit_code == 5
    assert not hosts.held  # none or all: h3 was given back
    assert ann.acquire(["h3"])


def test_reads_come_with_the_lease_in_one_round_trip(operator: Operator) -> None:
    hosts, tom = operator(TOM)
    tom.acquire(["h1", "h2"], reads={("h1", Lease()), ("h2", Lease())})
    state = tom.reading["h1"].get(Lease())
    assert isinstance(state, LeaseState) and state.token == TOM.token
    assert hosts.round_trips == {"h1": 1, "h2": 1}


def test_a_released_lease_is_free(operator: Operator) -> None:
    hosts, tom = operator(TOM)
    tom.acquire(["h1"])
    tom.release()
    assert read(hosts, {("h1", Lease())})["h1"].get(Lease()) is None
    assert operator(ANN)[1].acquire(["h1"])


def test_expiry_is_by_the_hosts_clock_and_fences_the_old_token(
    operator: Operator, tmp_path: Path
) -> None:
    clock(tmp_path_ready(operator, tmp_path), 1_000)
    tom_hosts, tom = operator(TOM)
    tom.acquire(["h1"])
    assert tom_hosts.run("h1", CHANGE)["one"].rc == 0
    clock(tmp_path, 1_300)  # the last second of it
    with pytest.raises(Locked):
        operator(ANN)[1].acquire(["h1"])
    clock(tmp_path, 1_301)
    assert tom_hosts.run("h1", CHANGE)["one"].rc == 0  # expired, but nobody took it
    ann_hosts, ann = operator(ANN)
    ann.acquire(["h1"])
    with pytest.raises(Fenced, match="ann@desk"):
        tom_hosts.run("h1", CHANGE)
    assert effects(tmp_path, "h1") == 2
    assert ann_hosts.run("h1", CHANGE)["one"].rc == 0
    assert "expired\ttom@laptop\trun-1" in (tmp_path / "h1/orch/history").read_text()


def tmp_path_ready(operator: Operator, tmp_path: Path) -> Path:
    operator(TOM)  # makes the hosts' folders
    return tmp_path


def test_renewing_moves_the_end(operator: Operator, tmp_path: Path) -> None:
    clock(tmp_path_ready(operator, tmp_path), 1_000)
    hosts, tom = operator(TOM)
    tom.acquire(["h1"])
    clock(tmp_path, 1_200)
    tom.renew()
    state = read(hosts, {("h1", Lease())})["h1"].get(Lease())
    assert isinstance(state, LeaseState)
    assert (state.since, state.until, state.now) == (1_000, 1_500, 1_200)


def test_renewing_does_not_wait_for_a_long_script(operator: Operator, tmp_path: Path) -> None:
    hosts, tom = operator(TOM)
    tom.acquire(["h1"])
    with subprocess.Popen(
        ["flock", str(tmp_path / "h1/orch/lock"), "cat"], stdin=subprocess.PIPE
    ) as long_script:
        tom.renew()
        state = read(hosts, {("h1", Lease())})["h1"].get(Lease())
        assert isinstance(state, LeaseState) and state.token == TOM.token
        assert long_script.poll() is None
        long_script.communicate(timeout=10)


def test_a_lost_lease_is_reported_and_fences(operator: Operator, tmp_path: Path) -> None:
    lost: list[tuple[str, OrchError]] = []
    hosts, tom = operator(TOM, on_lost=lambda host, error: lost.append((host, error)))
    tom.acquire(["h1"])
    broken = hosts.run("h1", Script({"b": Command(break_lease("ann@desk", "tom is\ton holiday"))}))
    assert b"tom@laptop" in broken["b"].out
    tom.renew()
    assert [host for host, _ in lost] == ["h1"]
    with pytest.raises(Fenced, match="gone"):
        hosts.run("h1", CHANGE)
    assert effects(tmp_path, "h1") == 0
    history = (tmp_path / "h1/orch/history").read_text()
    assert "broken by ann@desk\ttom@laptop\trun-1\ttom is on holiday\n" in history


def test_a_host_that_was_rebooted_is_ours_again(operator: Operator, tmp_path: Path) -> None:
    """Its /run is empty then. What else the run does, on other hosts too, goes on."""
    lost: list[str] = []
    hosts, tom = operator(TOM, on_lost=lambda host, error: lost.append(host))
    tom.acquire(["h1"])
    shutil.rmtree(tmp_path / "h1/orch")
    with pytest.raises(Fenced, match="rebooted"):
        hosts.run("h1", CHANGE)
    tom.renew()
    assert lost == []
    assert hosts.run("h1", CHANGE)["one"].rc == 0
    with pytest.raises(Locked, match="tom@laptop"):
        operator(ANN)[1].acquire(["h1"])


def test_a_break_does_not_wait_for_a_ghost_but_a_taker_does(
    operator: Operator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosts, tom = operator(TOM)
    tom.acquire(["h1"])
    with subprocess.Popen(
        ["flock", str(tmp_path / "h1/orch/lock"), "cat"], stdin=subprocess.PIPE
    ) as ghost:
        assert hosts.run("h1", Script({"b": Command(break_lease("x", "y"))}))["b"].rc == 0
        threading.Timer(0.5, ghost.communicate).start()
        assert operator(ANN)[1].acquire(["h1"])
        assert ghost.poll() is not None


def test_two_operators_race_for_all_hosts(operator: Operator) -> None:
    """Whoever gets them, at most one has each host, and a loser has none."""
    for attempt in range(4):
        names = ["h1", "h2", "h3"]
        start = threading.Barrier(2)
        won: list[str] = []
        both = [operator(replace(one, token=f"{one.owner}{attempt}")) for one in (TOM, ANN)]

        def take(
            leases: Leases, names: list[str], start: threading.Barrier, who: str, won: list[str]
        ) -> None:
            start.wait()
            try:
                leases.acquire(names)
                won.append(who)
            except Locked:
                pass

        threads = [
            threading.Thread(target=take, args=(leases, order, start, str(number), won))
            for number, ((_, leases), order) in enumerate(
                zip(both, (names, names[::-1]), strict=True)
            )
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) <= 1
        for number, (hosts, leases) in enumerate(both):
            assert sorted(hosts.held) == (names if str(number) in won else [])
            leases.release()


def test_a_dead_run_of_this_machine_is_taken_over_at_once(operator: Operator) -> None:
    pid = int(
        subprocess.run(
            [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True
        ).stdout
    )
    dead = replace(TOM, pid=pid, client="this")
    operator(dead)[1].acquire(["h1", "h2"])
    mine = replace(TOM, pid=os.getpid(), client="this", token="new")
    hosts, leases = operator(mine)
    assert leases.acquire(["h1", "h2"])["h2"].token == "new"
    # A live one is not, and nor is one of another machine.
    for other in (
        replace(TOM, pid=os.getppid(), client="this", token="a"),
        replace(dead, client="b", token="b"),
    ):
        leases.release()
        operator(other)[1].acquire(["h1"])
        with pytest.raises(Locked):
            leases.acquire(["h1"])
        hosts.run("h1", Script({"b": Command(break_lease("x", "y"))}))


def test_a_host_that_is_down_gives_all_leases_back(operator: Operator) -> None:
    hosts, _ = operator(TOM)
    faulty = FaultyHosts(hosts, Fault("refuse", host="h2"))
    tom = Leases(faulty, hosts.held, TOM)
    with pytest.raises(Unreachable, match="h2"):
        tom.acquire(["h1", "h2"])
    assert not hosts.held
    assert operator(ANN)[1].acquire(["h1"])


def test_a_lost_reply_of_acquire_is_taken_again_by_the_same_run(operator: Operator) -> None:
    hosts, _ = operator(TOM)
    faulty = FaultyHosts(hosts, Fault("drop-after", host="h1", times=1))
    tom = Leases(faulty, hosts.held, TOM)
    with pytest.raises(OrchError):
        tom.acquire(["h1"])
    assert tom.acquire(["h1"])["h1"].token == TOM.token


def test_an_account_without_root_keeps_its_leases_itself(
    operator: Operator, tmp_path: Path
) -> None:
    hosts, tom = operator(TOM)
    (tmp_path / "h1/bin/id").write_text("#!/bin/sh\necho 1000\n")
    (tmp_path / "h1/bin/id").chmod(0o755)
    hosts.become = Become("never")
    tom.acquire(["h1"])
    assert hosts.run("h1", CHANGE)["one"].rc == 0
    tom.renew()
    tom.release()
    assert not hosts.held


@pytest.fixture
def account(tmp_path: Path) -> tuple[ScriptedHosts, Leases, Path]:
    """An account that can't be root, on a host where root has used orch before; and root's folder there."""
    root = tmp_path / "root"
    env = {"ORCH_STATE": "", "ORCH_ROOT_STATE": str(root)}
    host = ShellHost(tmp_path / "h1", {"id": '[ "$1" = -u ] && echo 1000 || echo tom'}, env=env)
    hosts = ScriptedHosts({"h1": host}, become=Become("never"))
    root.mkdir()
    for name in ("lock", "lease.lock"):
        (root / name).touch()
    return hosts, Leases(hosts, hosts.held, TOM), root


def test_where_root_used_orch_before_an_account_without_root_has_a_lease_of_its_own(
    account: tuple[ScriptedHosts, Leases, Path],
) -> None:
    hosts, tom, root = account
    (lease,) = tom.acquire(["h1"]).values()
    assert lease.directory.startswith(f"{root.parent}/h1/home/.cache/orch/")
    assert hosts.run("h1", CHANGE)["one"].rc == 0
    shown = read(hosts, {("h1", Lease())})["h1"].get(Lease())
    assert isinstance(shown, LeaseState) and shown.token == TOM.token
    with pytest.raises(Locked, match="tom@laptop"):
        Leases(hosts, {}, ANN).acquire(["h1"])
    tom.renew()
    tom.release()
    assert sorted(path.name for path in root.iterdir()) == ["lease.lock", "lock"]


def test_an_account_without_root_waits_for_roots_lease(
    account: tuple[ScriptedHosts, Leases, Path], operator: Operator, tmp_path: Path
) -> None:
    hosts, tom, root = account
    _, ann = operator(ANN)
    ann.acquire(["h1"])
    lease = root / "lease"
    lease.write_text((tmp_path / "h1/orch/lease").read_text())
    with pytest.raises(Locked, match="ann@desk"):
        tom.acquire(["h1"])
    shown = read(hosts, {("h1", Lease())})["h1"].get(Lease())
    assert isinstance(shown, LeaseState) and shown.token == ANN.token
    until = re.sub(r"(?m)^until .*$", "until 1000", lease.read_text())
    lease.write_text(until)  # a run that died: it is root's to clear away
    assert tom.acquire(["h1"])
    assert lease.read_text() == until


def test_a_folder_that_is_not_ours_is_told_with_what_to_type(
    account: tuple[ScriptedHosts, Leases, Path], tmp_path: Path
) -> None:
    _, tom, _ = account
    (tmp_path / "h1/home/.cache").write_text("")
    with pytest.raises(Failed, match="can't be written by tom") as failed:
        tom.acquire(["h1"])
    assert "ls -ld" in (failed.value.hint or "")


def test_the_thread_renews_until_release(
    operator: Operator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock(tmp_path_ready(operator, tmp_path), 1_000)
    hosts, tom = operator(TOM, every=0.01)
    tom.acquire(["h1"])
    run, defects = hosts.run, iter([RuntimeError("a defect of a library")])

    def once(host: str, script: Script) -> Mapping[str, Result]:
        """A defect must not end the renewing, as it would the thread."""
        if threading.current_thread().name == "leases":
            for defect in defects:
                raise defect
        return run(host, script)

    monkeypatch.setattr(hosts, "run", once)
    before = hosts.round_trips["h1"]
    clock(tmp_path, 1_100)
    tom.start()
    for _ in range(500):
        state = read(hosts, {("h1", Lease())})["h1"].get(Lease())
        if isinstance(state, LeaseState) and state.until == 1_400:
            break
    else:
        pytest.fail("it was not renewed")
    tom.release()
    assert hosts.round_trips["h1"] > before and not hosts.held


def test_fresh_reads_travel_with_a_change(operator: Operator) -> None:
    hosts, tom = operator(TOM)
    tom.acquire(["h1"])
    before = hosts.round_trips["h1"]
    results, answers = apply_and_read(hosts, "h1", CHANGE, [Lease()])
    assert set(results) == {"one"} and hosts.round_trips["h1"] == before + 1
    assert answers.get(Lease()) is not None


def test_myself_is_told_from_another_boot() -> None:
    mine = myself("r")
    assert mine.pid == os.getpid() and "@" in mine.owner and len(mine.client) == 16
    assert mine.token != myself("r").token and mine.client == myself("r").client


def test_held_shows_no_token_by_accident() -> None:
    assert Held("t", "/run/orch").directory == "/run/orch"
