"""What a step's script says when it fails: the command, the host, and what to look at."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from orchestrator.errors import OrchError
from orchestrator.run.events import Bus
from orchestrator.run.session import HostApplier
from orchestrator.run.world import LiveWorld
from orchestrator.script import Command, Script, Sh
from tests.scripted.hosts import ScriptedHosts, ShellHost
from tests.synthetic import step


def test_a_command_that_hangs_is_told_with_its_limit_and_what_may_be_slow(tmp_path: Path) -> None:
    hosts = ScriptedHosts({"spark-1": ShellHost(tmp_path)})
    world = LiveWorld({}, lambda wanted: {})
    applier = HostApplier(hosts, world, Bus("r", ()), threading.Event())
    slow = Script({"read": Command(Sh("sleep 30"), timeout=1)})
    with pytest.raises(OrchError, match=r"'read' was ended after \d+ s \(exit 1\d\d\)") as caught:
        applier(step("read", "spark-1"), slow)
    assert "spark-1 busy" in caught.value.hint
