"""perftest's server listens anew between its two handshakes: a client that came too early is sent again by orch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from orchestrator.run.events import Kind
from tests.captured import rdma
from tests.scripted.hosts import ScriptedHosts
from tests.scripted.test_verify import IP, SS, Fabric, files, run, verdict
from tests.scripted.test_verify_live import TreeHost
from tests.unit.facts.trees import write

__all__ = ["files"]

# Between $EARLY handshakes and the next one a client finds nobody; the server does not notice and waits on.
PERFTEST = """
echo "$*" | grep -q ' 10[.]' && role=c
if [ "$role" != c ]; then
  : >"$SHARED/listens-18515"
  while [ -e "$SHARED/listens-18515" ]; do sleep 0.05; done
  cat "$SHARED/server.txt"
  exit 0
fi
[ -e "$SHARED/listens-18515" ] || echo absent >>"$SHARED/absent"
echo asked >>"$SHARED/asked"
if [ "$(wc -l <"$SHARED/asked")" -le "$EARLY" ]; then cat "$SHARED/rejected.txt"; exit 139; fi
rm -f "$SHARED/listens-18515"
cat "$SHARED/client.txt"
"""
RDMA = """
case "$*" in
*cm_id*) if [ -e "$SHARED/listens-18515" ]; then echo '[{"state":"LISTEN","src-addr":"0.0.0.0:18515"}]'
  else echo '[]'; fi ;;
*) echo '[{"ifname":"rxe0","port":1,"state":"ACTIVE","physical_state":"LINK_UP","netdev":"lo"}]' ;;
esac"""
PORT = {"state": "4: ACTIVE", "rate": "100 Gb/sec (4X EDR)", "link_layer": "Ethernet"}


class Early(Fabric):
    """Two hosts with RDMA, on which the first `early` clients come too early."""

    def __init__(self, folder: Path, early: int) -> None:
        super().__init__(folder, None)
        client, server = rdma("10d_write_bw_R_final_recipe.txt")
        rejected, _ = rdma("17_read_lat_R.txt")
        said = {"client.txt": client.out, "server.txt": server.out, "rejected.txt": rejected.out}
        write(self.shared, said)
        fakes = {"ip": IP, "ss": SS, "ib_write_bw": PERFTEST, "rdma": RDMA}
        env = {"SHARED": str(self.shared), "EARLY": str(early)}
        hosts = {}
        for name in ("a", "b"):
            write(folder / "trees" / name / "rxe0" / "ports" / "1", PORT)
            hosts[name] = TreeHost(folder / name, fakes, env=env)
        self.hosts = ScriptedHosts(hosts)


def measured(folder: Path, patch: pytest.MonkeyPatch, early: int) -> tuple[Early, Result]:
    fabric = Early(folder, early)
    return fabric, run(patch, fabric.hosts, "--quick", "--json")


def retries(folder: Path) -> list[dict[str, Any]]:
    (journal,) = (folder / "state-home" / "orch" / "runs").glob("*.jsonl")
    events = map(json.loads, journal.read_text().splitlines())
    return [one for one in events if one["kind"] == Kind.STEP_RETRY]


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize("early", [0, 1])
def test_who_came_too_early_is_sent_again_and_it_is_told(
    early: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fabric, done = measured(tmp_path, monkeypatch, early)
    (link,) = verdict(done)["links"]
    assert link["gbps"] == 0.23, link
    assert (fabric.said("asked"), fabric.said("absent")) == (2 + early, 0)  # there and back
    told = retries(tmp_path)
    assert [one["data"]["attempt"] for one in told] == list(range(1, early + 1))
    assert all("REJECTED" in str(one["text"]) for one in told)


@pytest.mark.usefixtures("files")
def test_who_is_always_too_early_is_sent_three_times_and_then_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fabric, done = measured(tmp_path, monkeypatch, 99)
    (link,) = verdict(done)["links"]
    assert "no-server" in {one["name"] for one in link["reasons"]}, link["reasons"]
    assert done.exit_code == 1
    assert fabric.said("asked") == 6
    assert len(retries(tmp_path)) == 4
