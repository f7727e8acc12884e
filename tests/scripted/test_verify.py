"""`orch verify-rdma` as typed, over hosts with a real shell and tools that fail as iperf3 does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from orchestrator.cli.options import Site
from orchestrator.cli.verify import verify
from orchestrator.run.policies import POLICIES, Policy
from orchestrator.script import Request, Script
from orchestrator.steps import trial
from tests.captured import iperf3
from tests.scripted.faults import Fault, FaultyHosts, mutating
from tests.scripted.hosts import ScriptedHosts, ShellHost

INVENTORY = """
version: 1
defaults:
  kind: gpu-host
  become: never
  prepare: {packages: false}
  ports: {p0: {halves: [{netdev: lo}], gbps: 100}}
hosts:
  a: {address: a.lan}
  b: {address: b.lan}
links:
  - {ends: [a.p0, b.p0], subnets: [10.9.0.0/24]}
"""
LINK = [
    {
        "ifname": "lo",
        "flags": ["UP", "LOWER_UP"],
        "mtu": 9000,
        "address": "02:00:00:00:00:01",
    }
]
# A server is heard as long as its file is there; it ends with its client.
SERVER = """
port=; while [ $# -gt 0 ]; do case $1 in -p) port=$2 ;; -s) role=s ;; esac; shift; done
if [ "$role" = s ]; then
  : >"$SHARED/listens-$port"
  while [ -e "$SHARED/listens-$port" ]; do sleep 0.05; done
  cat "$SHARED/server.json"
else
  [ -e "$SHARED/listens-$port" ] || echo early >>"$SHARED/early"
  echo asked >>"$SHARED/asked"
  rm -f "$SHARED/listens-$port"
  cat "$SHARED/client.json"
fi"""
IN_USE = """
case " $* " in *" -s "*) ;; *) echo asked >>"$SHARED/asked" ;; esac
echo 'iperf3: error - unable to start listener for connections: Address already in use' >&2
exit 1"""
HANGS = """
port=; while [ $# -gt 0 ]; do case $1 in -p) port=$2 ;; -s) role=s ;; esac; shift; done
[ "$role" != s ] || : >"$SHARED/listens-$port"
exec sleep 60"""
SS = """
for one in "$SHARED"/listens-*; do
  [ ! -e "$one" ] || echo "LISTEN 0 5 *:${one##*-} *:*"
done"""
IP = """
case "$*" in
*addr*) cat "$STATE/addr" ;;
*) echo '[]' ;;
esac"""


class Fabric:
    """Two hosts that share a folder, as they would a cable."""

    def __init__(self, folder: Path, tool: str | None) -> None:
        self.shared = folder / "shared"
        self.shared.mkdir()
        client, server = iperf3("11_one_stream.txt")
        (self.shared / "server.json").write_text(server.out)
        (self.shared / "client.json").write_text(client.out)
        fakes = {"ip": IP, "ss": SS, **({"iperf3": tool} if tool is not None else {})}
        self.hosts = ScriptedHosts(
            {
                name: ShellHost(folder / name, fakes, env={"SHARED": str(self.shared)})
                for name in ("a", "b")
            }
        )
        for name, address in (("a", "10.9.0.10"), ("b", "10.9.0.11")):
            self.give(folder, name, address)

    def give(self, folder: Path, host: str, address: str, mtu: int = 9000) -> None:
        info = [{"local": address, "prefixlen": 24}] if address else []
        link = [{**LINK[0], "mtu": mtu, "addr_info": info}]
        (folder / host / "state" / "addr").write_text(json.dumps(link) + "\n")

    def said(self, name: str) -> int:
        """How often a fake noted something."""
        file = self.shared / name
        return len(file.read_text().splitlines()) if file.exists() else 0


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "inventory.yaml").write_text(INVENTORY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state-home"))
    monkeypatch.setitem(POLICIES, "connect", Policy(attempts=1))


@pytest.fixture
def quickly(files: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """For tools that hang: their ends come soon. What works must have its time on a busy machine."""
    monkeypatch.setattr(trial, "SLACK_S", 1)
    monkeypatch.setattr(trial, "HEARD_S", 1)


def run(monkeypatch: pytest.MonkeyPatch, hosts: Any, *words: str) -> Result:
    monkeypatch.setattr(Site, "hosts", hosts)
    little = () if {"--history", "--live"} & set(words) else ("--duration", "1s", "--qps", "1")
    return CliRunner().invoke(verify, [*little, *words], catch_exceptions=False)


def verdict(done: Result) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.usefixtures("files")
def test_a_tool_that_claims_what_no_counter_saw_has_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fabric = Fabric(tmp_path, SERVER)
    done = run(monkeypatch, fabric.hosts, "--quick", "--json")
    told = verdict(done)
    assert done.exit_code == 1
    assert told["state"] == "failed"
    assert told["notes"] == ["no RDMA; TCP measured"]
    assert "claims-without-data" in {one["name"] for one in told["links"][0]["reasons"]}
    assert (fabric.said("asked"), fabric.said("early")) == (2, 0)  # there and back


@pytest.mark.usefixtures("files")
def test_what_was_measured_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fabric = Fabric(tmp_path, SERVER)
    run(monkeypatch, fabric.hosts, "--quick", "--html", "page.html")
    assert "a.p0~b.p0" in (tmp_path / "page.html").read_text()
    trips = sum(fabric.hosts.round_trips.values())
    done = run(monkeypatch, fabric.hosts, "--history", "--json")
    assert len(verdict(done)["links"]["a.p0~b.p0"]) == 1
    assert sum(fabric.hosts.round_trips.values()) == trips


@pytest.mark.usefixtures("files")
def test_a_port_in_use_has_its_own_cause_and_no_client_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fabric = Fabric(tmp_path, IN_USE)
    done = run(monkeypatch, fabric.hosts, "--quick", "--json")
    assert done.exit_code == 1
    (link,) = verdict(done)["links"]
    assert "port-in-use" in {one["name"] for one in link["reasons"]}, link["reasons"]
    assert fabric.said("asked") == 0


@pytest.mark.usefixtures("quickly")
def test_tools_that_hang_are_ended_and_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fabric = Fabric(tmp_path, HANGS)
    done = run(monkeypatch, fabric.hosts, "--quick", "--json")
    assert done.exit_code == 1
    (link,) = verdict(done)["links"]
    assert link["state"] == "failed" and link["reasons"]
    assert not [one for one in Path("/proc").glob("[0-9]*") if tool_of(fabric, one)]


def tool_of(fabric: Fabric, process: Path) -> bool:
    """Whether it is what the fake has become."""
    return text(process / "cmdline") == "sleep\x0060\x00" and str(fabric.shared) in text(
        process / "environ"
    )


def text(file: Path) -> str:
    try:
        return file.read_bytes().decode(errors="replace")
    except OSError:
        return ""


@pytest.mark.usefixtures("files")
def test_a_missing_address_is_told_with_what_to_type_and_nothing_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fabric = Fabric(tmp_path, SERVER)
    fabric.give(tmp_path, "b", "")
    done = run(monkeypatch, fabric.hosts, "--quick", "--json")
    assert done.exit_code == 1
    told = verdict(done)
    assert "wrong-address" in {one["name"] for one in told["links"][0]["reasons"]}
    assert any("no address on b: lo" in one and "orch run network" in one for one in told["notes"])
    assert fabric.said("asked") == 0


@pytest.mark.usefixtures("files")
def test_an_mtu_that_differs_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fabric = Fabric(tmp_path, SERVER)
    fabric.give(tmp_path, "b", "10.9.0.11", mtu=1500)
    told = verdict(run(monkeypatch, fabric.hosts, "--quick", "--json"))
    causes = [one["cause"] for one in told["links"][0]["reasons"] if one["name"] == "mtu-differs"]
    assert causes == ["the two ends have different MTUs (a 9000, b 1500)"], told["links"][0][
        "reasons"
    ]


@pytest.mark.usefixtures("files")
def test_an_unreachable_host_is_three_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fabric = Fabric(tmp_path, SERVER)
    done = run(monkeypatch, FaultyHosts(fabric.hosts, Fault("refuse", "b")), "--quick", "--json")
    assert done.exit_code == 3
    told = verdict(done)
    assert told["state"] == "unknown"
    assert any("b port 22 refused the connection" in one for one in told["notes"])


def asks(sent: Script | Request) -> bool:
    """The client's job on its way."""
    return mutating(sent) and any("iperf3 -c" in str(one.stdin) for one in sent.commands.values())  # type: ignore[union-attr]


@pytest.mark.usefixtures("quickly")
def test_a_host_that_dies_in_mid_test_is_three(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fabric = Fabric(tmp_path, HANGS)
    hosts = FaultyHosts(fabric.hosts, Fault("refuse", "a", when=asks), Fault("refuse", "a", skip=8))
    done = run(monkeypatch, hosts, "--quick", "--json")
    assert done.exit_code == 3
    assert verdict(done)["state"] in ("unknown", "failed")


@pytest.mark.usefixtures("files")
def test_a_reply_that_is_lost_repeats_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fabric = Fabric(tmp_path, SERVER)
    lost = Fault("drop-after", when=mutating)
    done = run(monkeypatch, FaultyHosts(fabric.hosts, lost), "--quick", "--json")
    assert verdict(done)["links"][0]["gbps"] is not None
    assert fabric.said("asked") == 2  # there and back


@pytest.mark.usefixtures("files")
def test_no_links_and_wrong_words_are_two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from orchestrator.errors import FilesWrong

    fabric = Fabric(tmp_path, SERVER)
    for words, said in (
        (("--link", "a.p9"), "there is no link"),
        (("--size", "64 lightyears"), "is not a size"),
        (("--quick", "--soak", "1h"), "exclude each other"),
        (("--live",), "no deployment spans"),
    ):
        with pytest.raises(FilesWrong, match=said):
            run(monkeypatch, fabric.hosts, *words)
    (tmp_path / "inventory.yaml").write_text(INVENTORY[: INVENTORY.index("links:")])
    with pytest.raises(FilesWrong, match="no links to measure"):
        run(monkeypatch, fabric.hosts)
