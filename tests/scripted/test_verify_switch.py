"""`orch verify-rdma` over a switch that says how many pairs it carries at once: no more clients run together."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from orchestrator.cli.files import check
from orchestrator.cli.options import Site
from orchestrator.cli.verify import verify
from tests.captured import iperf3
from tests.scripted.hosts import ScriptedHosts, ShellHost
from tests.scripted.test_verify import IP, LINK

NAMES = ("a", "b", "c", "d")
INVENTORY = """
version: 1
defaults:
  kind: gpu-host
  become: never
  prepare: {packages: false}
  ports: {p0: {halves: [{netdev: lo}], gbps: 100}}
hosts: {a: {}, b: {}, c: {}, d: {}}
links:
  - {switch: s1, AT_ONCEports: [a.p0, b.p0, c.p0, d.p0], subnets: [10.9.0.0/24]}
"""
# A client notes how many there are while it runs, itself included.
TOOL = """
port=; peer=; while [ $# -gt 0 ]; do
  case $1 in -p) port=$2 ;; -c) peer=$2 ;; -s) role=s ;; esac; shift
done
if [ "$role" = s ]; then
  : >"$SHARED/listens-$ADDRESS-$port"
  while [ -e "$SHARED/listens-$ADDRESS-$port" ]; do sleep 0.05; done
  cat "$SHARED/server.json"
else
  : >"$SHARED/runs-$ADDRESS"
  sleep 0.5
  ls "$SHARED" | grep -c ^runs >>"$SHARED/clients"
  rm -f "$SHARED/runs-$ADDRESS" "$SHARED/listens-$peer-$port"
  cat "$SHARED/client.json"
fi"""
SS = """
for one in "$SHARED/listens-$ADDRESS"-*; do
  [ ! -e "$one" ] || echo "LISTEN 0 5 *:${one##*-} *:*"
done"""


def four(folder: Path, at_once: str) -> ScriptedHosts:
    """Four hosts on one switch."""
    (folder / "inventory.yaml").write_text(INVENTORY.replace("AT_ONCE", at_once))
    shared = folder / "shared"
    shared.mkdir()
    client, server = iperf3("11_one_stream.txt")
    (shared / "server.json").write_text(server.out)
    (shared / "client.json").write_text(client.out)
    found = {}
    for number, name in enumerate(NAMES):
        address = f"10.9.0.1{number}"
        env = {"SHARED": str(shared), "ADDRESS": address}
        found[name] = ShellHost(folder / name, {"ip": IP, "ss": SS, "iperf3": TOOL}, env=env)
        info = [{"local": address, "prefixlen": 24}]
        told = json.dumps([{**LINK[0], "mtu": 9000, "addr_info": info}])
        (folder / name / "state" / "addr").write_text(f"{told}\n")
    return ScriptedHosts(found)


def test_a_switch_that_carries_one_pair_gets_one_client_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state-home"))
    monkeypatch.setattr(Site, "hosts", four(tmp_path, "at_once: 1, "))
    CliRunner().invoke(
        verify, ["--quick", "--duration", "1s", "--qps", "1"], catch_exceptions=False
    )
    seen = (tmp_path / "shared" / "clients").read_text().split()
    assert seen == ["1"] * 8  # four pairs in a circle, there and back


def test_what_a_switch_can_not_carry_is_told_with_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    four(tmp_path, "at_once: none, ")
    told = CliRunner().invoke(check, ["inventory.yaml"]).output
    assert "inventory.yaml:10:27: error: links.0.at_once: should be an integer" in told
