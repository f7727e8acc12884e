"""`orch verify-rdma --live` as typed, over hosts with a real shell and a constructed /sys/class/infiniband.

The counters are those of ConnectX-7 ports (words of four bytes) or Soft-RoCE's (packets); a request moves them.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from orchestrator.cli.options import Site
from orchestrator.cli.run import run as run_playbook
from orchestrator.cli.verify import verify
from orchestrator.script import Script
from tests.scripted.hosts import ShellHost, TimelyHosts
from tests.scripted.test_verify import INVENTORY
from tests.scripted.test_verify_nccl import CLUSTER, PROFILE
from tests.unit.facts.trees import MLX5_COUNTERS, RXE_COUNTERS, write

DOCKER = Path(__file__).parent / "shims" / "containers"
RAILS = ("rocep1s0f1", "roceP2p1s0f1")
# What the head is asked with: every file of `moving` takes the place of the counter of its name.
ASK = """
case "$*" in
*completions*) cp -r "$MOVING"/. "$TREES"/; [ ! -e "$TREES/silent" ] || exit 1 ;;
*) exec {} "$@" ;;
esac"""


@dataclass
class TreeHost(ShellHost):
    """A host whose /sys/class/infiniband is a folder of the test's."""

    def execute(self, script: Script, program: bytes, marker: str) -> bytes:
        ours, real = f"{self.root.parent}/trees/{self.root.name}".encode(), b"/sys/class/infiniband"
        return super().execute(script, program.replace(real, ours), marker).replace(ours, real)


class Serving:
    """Two hosts on which a gang runs; `moves`: (host, device) → words or packets that a request moves there."""

    def __init__(self, folder: Path, hca: str = f"={RAILS[0]}:1,{RAILS[1]}:1") -> None:
        self.folder = folder
        self.trees, self.moving = folder / "trees", folder / "moving"
        env = {"TREES": str(self.trees), "MOVING": str(self.moving)}
        docker = f'exec {sys.executable} {DOCKER} "$@"'
        fakes = {"docker": docker, "python3": ASK.format(sys.executable)}
        self.hosts = TimelyHosts(
            {name: TreeHost(folder / name, fakes, env=env) for name in ("a", "b")}
        )
        self.moving.mkdir(parents=True)
        for number, name in enumerate(("a", "b")):
            (self.trees / name).mkdir(parents=True)
            spec = {"env": {"NCCL_IB_HCA": hca} if hca else {}}
            labels = {"orch.cluster": "duo", "orch.deployment": "vl", "orch.spec": json.dumps(spec)}
            write(
                folder / name / "state" / "containers",
                {f"orch-duo-vl-{number}": json.dumps(running(f"orch-duo-vl-{number}", labels))},
            )

    def device(self, moves: Mapping[str, int], kind: str, names: tuple[str, ...] = RAILS) -> None:
        """Devices on both hosts, with the counters of their kind before and after a request."""
        counters = {"counters": MLX5_COUNTERS, "hw_counters": RXE_COUNTERS}[kind]
        for host in ("a", "b"):
            for name in names:
                port = f"{host}/{name}/ports/1"
                write(self.trees / port, {"state": "4: ACTIVE"})
                write(self.trees / port / kind, counters)
                after = {key: counters[key] + more for key, more in moves.items()}
                write(self.moving / port / kind, after)


def running(name: str, labels: Mapping[str, str]) -> dict[str, Any]:
    return {
        "name": f"/{name}", "id": name, "image": "img:1", "image_id": "sha256:1",
        "status": "running", "code": 0, "oom": False, "started": "", "health": "",
        "restarts": 0, "policy": {"Name": "no"}, "labels": labels,
    }  # fmt: skip


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "inventory.yaml").write_text(INVENTORY)
    (tmp_path / "cluster.yaml").write_text(CLUSTER)
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "p.yaml").write_text(PROFILE)
    monkeypatch.chdir(tmp_path)


def live(serving: Serving, monkeypatch: pytest.MonkeyPatch, *words: str) -> Result:
    monkeypatch.setattr(Site, "hosts", serving.hosts)
    return CliRunner().invoke(verify, ["--live", *words], catch_exceptions=False)


def test_both_rails_and_how_much_in_words_of_four_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """2 hosts x 2 rails x (50 + 50) million words: 1.6 GB."""
    serving = Serving(tmp_path)
    words = {"port_xmit_data": 50_000_000, "port_rcv_data": 50_000_000}
    serving.device(words, "counters")
    done = live(serving, monkeypatch)
    assert "vl  RoCE in use on both rails, 1.60 GB moved" in done.output
    assert "a rocep1s0f1:1 0.40 GB" in done.output and "b roceP2p1s0f1:1 0.40 GB" in done.output
    assert done.exit_code == 0


def test_counters_that_stand_still_are_a_fallback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serving = Serving(tmp_path)
    serving.device({"port_xmit_data": 12, "port_rcv_data": 9}, "counters")
    done = live(serving, monkeypatch, "--json")
    (told,) = json.loads(done.stdout)["deployments"]
    assert (told["use"], done.exit_code) == ("tcp", 1)
    assert told["text"].startswith("TCP fallback")


def test_one_rail_that_carried_nothing_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serving = Serving(tmp_path)
    serving.device({"port_xmit_data": 10**8}, "counters", RAILS[:1])
    serving.device({"port_xmit_data": 0}, "counters", RAILS[1:])
    done = live(serving, monkeypatch)
    assert "RoCE in use, but not on a roceP2p1s0f1:1, b roceP2p1s0f1:1" in done.output
    assert done.exit_code == 1


def test_soft_roce_tells_packets_and_no_gigabytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serving = Serving(tmp_path)
    serving.device({"sent_pkts": 300, "rcvd_pkts": 200}, "hw_counters")
    done = live(serving, monkeypatch)
    assert "RoCE in use on both rails, a rocep1s0f1:1 500 packets" in done.output
    assert "GB" not in done.output and done.exit_code == 0
    still = Serving(tmp_path / "still")
    still.device({"sent_pkts": 0, "rcvd_pkts": 0}, "hw_counters")
    assert "TCP fallback" in live(still, monkeypatch).output


def test_what_can_not_be_read_is_not_known_and_no_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = live(Serving(tmp_path), monkeypatch)
    assert "not known: no counters of a rocep1s0f1:1" in done.output
    assert done.exit_code == 1


def test_ranks_without_a_device_use_tcp_and_nobody_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = live(Serving(tmp_path, hca=""), monkeypatch)
    assert "TCP: its ranks were given no RDMA device" in done.output
    assert done.exit_code == 1


def test_a_gang_that_does_not_run_or_answer_is_not_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serving = Serving(tmp_path)
    serving.device({"port_xmit_data": 10**8}, "counters")
    (serving.trees / "silent").touch()
    done = live(serving, monkeypatch)
    assert "not known: a: vl gave no answer: exit code 1" in done.output and done.exit_code == 1
    (tmp_path / "b" / "state" / "containers" / "orch-duo-vl-1").unlink()
    assert "not known: b: vl does not run on b" in live(serving, monkeypatch).output


PROOF = "version: 1\nname: proof\nstages: [{stage: counters}]\n"
WITH_RAILS = INVENTORY.replace(
    "halves: [{netdev: lo}]", f"halves: [{{netdev: lo, rdma: {RAILS[0]}}}]"
)


def proof(serving: Serving, folder: Path, monkeypatch: pytest.MonkeyPatch, gate: str) -> Result:
    """What `orch up` does when the gang has answered."""
    more = f"parallel: {{tensor: 2}}, gate: {{rdma: {gate}}}"
    (folder / "inventory.yaml").write_text(WITH_RAILS)
    (folder / "cluster.yaml").write_text(CLUSTER.replace("gate: {rdma: degraded-ok}", more))
    (folder / "playbooks").mkdir(exist_ok=True)
    (folder / "playbooks" / "proof.yaml").write_text(PROOF)
    monkeypatch.setenv("XDG_STATE_HOME", str(folder / "state-home"))
    monkeypatch.setattr(Site, "hosts", serving.hosts)
    return CliRunner().invoke(run_playbook, ["proof"], catch_exceptions=False)


def test_up_asks_once_and_speaks_of_every_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serving = Serving(tmp_path)
    serving.device({"port_xmit_data": 10**8}, "counters")
    done = proof(serving, tmp_path, monkeypatch, "required")
    assert "vl: RoCE in use on both rails, 1.60 GB moved" in done.output
    assert done.exit_code == 0
    shutil.rmtree(serving.moving)  # whoever asked again would fail
    before = dict(serving.hosts.round_trips)
    again = proof(serving, tmp_path, monkeypatch, "required")
    assert again.exit_code == 0 and "RoCE" not in again.output, again.output
    trips = serving.hosts.round_trips
    assert {host: trips[host] - before[host] for host in before} == {"a": 1, "b": 1}


@pytest.mark.parametrize(("gate", "code"), [("required", 4), ("degraded-ok", 0)])
def test_up_names_the_host_and_device_that_carried_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gate: str, code: int
) -> None:
    serving = Serving(tmp_path)
    serving.device({"port_xmit_data": 10**8}, "counters")
    still = serving.moving / "b" / RAILS[1] / "ports/1/counters/port_xmit_data"
    still.write_bytes((serving.trees / still.relative_to(serving.moving)).read_bytes())
    done = proof(serving, tmp_path, monkeypatch, gate)
    assert (
        "vl answers, but b roceP2p1s0f1:1 carried nothing: its data went over the other devices"
        in done.output
    )
    assert done.exit_code == code
