"""A step's script that fails on its host: what it said, and what is known of that."""

from __future__ import annotations

import threading

import pytest

from orchestrator.errors import CommandFailed
from orchestrator.run.events import Bus
from orchestrator.run.session import HostApplier
from orchestrator.run.world import LiveWorld
from orchestrator.script import Command, Result, Script, Sh
from tests.scripted.hosts import ReplyHost, ScriptedHosts
from tests.synthetic import step

MOUNT = b'docker: invalid mount config for type "bind": bind source path does not exist: /srv/tree.'


@pytest.mark.parametrize(
    ("said", "hint"),
    [(b"write error: No space left on device", "df -h"), (MOUNT, "`sync: true`"), (b"no", "")],
)
def test_what_a_command_said_and_what_to_do(said: bytes, hint: str) -> None:
    hosts = ScriptedHosts({"a": ReplyHost(lambda name, command: Result(1, b"", said, 0.0))})
    world = LiveWorld(["a"], lambda wanted: {})
    applier = HostApplier(hosts, world, Bus("r", []), threading.Event())
    with pytest.raises(CommandFailed) as failed:
        applier(step("look", "a"), Script({"look": Command(Sh("true"))}, mutates=True))
    assert said.decode() in failed.value.message
    assert hint in failed.value.hint
    assert bool(failed.value.hint) == bool(hint)
