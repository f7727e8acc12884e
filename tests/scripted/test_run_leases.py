"""A run whose lease is taken away stops, and says who has it (exit 5), not that the user interrupted it."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from orchestrator.errors import Fenced
from orchestrator.run.events import Bus
from orchestrator.run.lease import break_lease
from orchestrator.run.leases import Leases
from orchestrator.run.session import host_leases
from orchestrator.run.world import LiveWorld
from orchestrator.script import Command, Script
from tests.scripted.hosts import ScriptedHosts, ShellHost


def test_a_lost_lease_ends_the_run_as_fenced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosts = ScriptedHosts({"a": ShellHost(tmp_path / "a")})
    cancel = threading.Event()
    world = LiveWorld(["a"], lambda wanted: {})
    hold = host_leases(hosts, hosts.held, world, Bus("r", []), cancel)
    seen: list[Leases] = []
    monkeypatch.setattr(
        Leases, "start", lambda leases: seen.append(leases)
    )  # no thread: renewed by hand below
    with pytest.raises(Fenced, match="our lease is gone"), hold(frozenset({"a"}), frozenset()):
        hosts.run("a", Script({"break": Command(break_lease("eve@other", "in a hurry"))}))
        seen[0].renew()
        assert cancel.is_set()
