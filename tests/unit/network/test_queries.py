"""What hosts answer about pings and waiting changes is read whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import Unknown
from orchestrator.facts.netplan_change import HOME, NetplanChange, ReadNetplanChange
from orchestrator.facts.ping import Ping
from orchestrator.script import Command, Result, Script, Sh
from tests.local_shell import SHELLS, run_script, syntax

ASK = Ping("enp1s0f1np1", 9000, ("10.20.0.10", "10.20.0.11"))


def result(text: str, rc: int = 0, truncated: bool = False) -> Result:
    return Result(rc, text.encode(), b"", 0.1, truncated)


def pinged(text: str, rc: int = 0) -> dict[str, str]:
    return dict(ASK.parse({"ping-enp1s0f1np1": result(text, rc)}))


def test_answers_of_ping() -> None:
    text = (
        "10.20.0.11 1 --- 10.20.0.11 ping statistics --- 1 packets transmitted, 0 received\n"
        "10.20.0.10 0 \nend\n"
    )
    assert pinged(text) == {"10.20.0.10": "", "10.20.0.11": "no answer"}


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("1 ping: local error: message too long, mtu=1500", "the MTU is smaller"),
        ("127 sh: 1: ping: not found", "no `ping` on the host"),
        ("2 ping: unknown iface enp1s0f1np1", "unknown iface"),
        ("2 ", "ping ended with 2"),
    ],
)
def test_why_a_ping_failed(line: str, why: str) -> None:
    assert why in pinged(f"10.20.0.10 {line}\n10.20.0.11 0 \nend\n")["10.20.0.10"]


@pytest.mark.parametrize(
    "text", ["", "end\n", "10.20.0.10 0 \n", "10.20.0.10 0 \nend\n", "x\nend\n"]
)
def test_a_ping_that_was_not_tried_is_unknown(text: str) -> None:
    with pytest.raises(Unknown):
        pinged(text)
    with pytest.raises(Unknown):
        pinged("10.20.0.10 0 \n10.20.0.11 0 \nend\n", rc=124)
    with pytest.raises(Unknown):
        ASK.parse({})


def commands(script: object) -> list[Command]:
    assert isinstance(script, Script)
    return list(script.commands.values())


@pytest.mark.parametrize("shell", SHELLS)
def test_the_queries_are_posix_shell(shell: str) -> None:
    for query in (ASK, ReadNetplanChange()):
        for command in commands(query.ask()):
            assert syntax(command, shell) == ""


FAKE_PING = """#!/bin/sh
for last; do :; done
case "$*" in *"-M do"*"-s 8972 -I enp1s0f1np1"*) ;; *) echo "asked: $*" >&2; exit 2 ;; esac
[ "$last" = 10.20.0.10 ] || { echo "PING x"; echo; echo "1 packets transmitted, 0 received"; exit 1; }
"""


@pytest.mark.parametrize("shell", SHELLS)
def test_every_neighbour_is_asked_in_packets_that_fill_the_mtu(shell: str, tmp_path: Path) -> None:
    fake = tmp_path / "ping"
    fake.write_text(FAKE_PING)
    fake.chmod(0o755)
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    assert ASK.parse(run_script(ASK.ask(), shell, env)) == {
        "10.20.0.10": "",
        "10.20.0.11": "no answer",
    }


def read(text: str, rc: int = 0) -> NetplanChange:
    return ReadNetplanChange().parse({"netplan-change": result(text, rc)})


def test_a_host_that_never_had_a_change() -> None:
    assert read("netplan yes\nsystemd yes\nend\n") == NetplanChange(True, True, "", None, False, {})


def test_a_change_that_waits_and_one_that_was_undone() -> None:
    text = (
        "netplan yes\nsystemd yes\noutcome aa reverted (deadline): exact\n"
        "unconfirmed bb 1790000000\nunder-way bb\nend\n"
    )
    assert read(text) == NetplanChange(
        True, True, "bb", 1790000000, True, {"aa": "reverted (deadline): exact"}
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "end\n",
        "netplan yes\nend\n",
        "netplan yes\nsystemd yes\n",
        "netplan yes\nsystemd maybe\nend\n",
        "netplan yes\nsystemd yes\nunconfirmed a x\nend\n",
        "netplan yes\nsystemd yes\nunconfirmed a 1\nunconfirmed b 1\nend\n",
        "netplan yes\nsystemd yes\nnoise\nend\n",
    ],
)
def test_a_state_that_can_not_be_read_is_unknown(text: str) -> None:
    with pytest.raises(Unknown):
        read(text)


@given(st.text(max_size=60))
def test_noise_is_unknown(noise: str) -> None:
    with pytest.raises(Unknown):
        read(noise)


@pytest.mark.parametrize("shell", SHELLS)
def test_the_state_is_read_from_the_folder(shell: str, tmp_path: Path) -> None:
    for name, files in {"aa": {"outcome": "confirmed"}, "bb": {"unconfirmed": "17"}}.items():
        (tmp_path / name).mkdir()
        for file, text in files.items():
            (tmp_path / name / file).write_text(text + "\n")
    (command,) = commands(ReadNetplanChange().ask())
    there = Command(Sh(command.sh.replace(HOME, str(tmp_path))))
    found = ReadNetplanChange().parse(run_script(Script({"netplan-change": there}), shell))
    assert (found.unconfirmed, found.since_epoch_s, found.under_way) == ("bb", 17, True)
    assert found.outcomes == {"aa": "confirmed"}
