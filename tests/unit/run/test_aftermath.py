"""Which deployments have failed after they were started: their evidence is kept, and their ranks go."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path

import pytest

from orchestrator.contracts import Step
from orchestrator.errors import Failed, OrchError, Unreachable
from orchestrator.hosts.reader import Answers
from orchestrator.run import aftermath
from orchestrator.run.aftermath import clean_up, failed_starts
from orchestrator.run.converge import Toolbox
from orchestrator.run.events import Bus
from orchestrator.run.executor import Outcome
from orchestrator.run.world import LiveWorld, Reads
from tests.gang_world import Site
from tests.scripted.hosts import ScriptedHosts
from tests.synthetic import Kept

ONE = "one: {profile: lab-llama, hosts: [spark-1], port: 8000}"
RANK, ANSWER = "one/rank/0", "one/answer"
DEAD: dict[str, OrchError] = {RANK: Failed("rank orch-demo-one-0 ended with code 2")}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path, ONE)


def failed(site: Site, outcome: Outcome) -> list[str]:
    steps: dict[str, Step] = dict(site.steps)
    return list(failed_starts(site.cluster, steps, outcome))


def test_an_only_rank_that_ended_at_once(site: Site) -> None:
    assert failed(site, Outcome({RANK: "failed", ANSWER: "skipped"}, DEAD, {RANK})) == ["one"]


def test_one_that_ended_later(site: Site) -> None:
    late: dict[str, OrchError] = {ANSWER: Failed("rank orch-demo-one-0 ended with code 1")}
    assert failed(site, Outcome({RANK: "changed", ANSWER: "failed"}, late, {RANK})) == ["one"]


@pytest.mark.parametrize(
    "outcome",
    [
        Outcome({RANK: "failed", ANSWER: "skipped"}, DEAD),  # refused: nothing went to the host
        Outcome({RANK: "skipped", ANSWER: "skipped"}, {}, {"one/stop/spark-1"}),
        Outcome({RANK: "changed", ANSWER: "changed"}, {}, {RANK}),
        Outcome({RANK: "failed", ANSWER: "skipped"}, DEAD, {RANK}, interrupted=True),
    ],
)
def test_what_was_not_started_or_has_not_failed_or_goes_on(site: Site, outcome: Outcome) -> None:
    assert failed(site, outcome) == []


def test_a_full_disk_here_leaves_no_broken_gang_there(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "state").write_text("")  # a file where the evidence's folder would be
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    gone: list[str] = []
    monkeypatch.setattr(aftermath, "_take_down", lambda cluster, scope, tools: gone.append(scope))
    outcome = Outcome({RANK: "failed", ANSWER: "skipped"}, DEAD, {RANK})
    world = LiveWorld(site.cluster.hosts, lambda wanted: {})
    tools = Toolbox(world, lambda step, script: None, Bus("r", []), lambda *_: nullcontext())
    found = clean_up(site.cluster, dict(site.steps), outcome, tools, ScriptedHosts({}), str)
    assert (gone, found.evidence) == (["one"], "")


def test_ranks_on_a_host_that_is_lost_are_not_said_to_be_stopped(site: Site) -> None:
    def lost(wanted: Reads) -> Mapping[str, Answers]:
        return {
            "spark-1": Answers("spark-1", {query: Unreachable("frozen") for _, query in wanted})
        }

    world, kept = LiveWorld(site.cluster.hosts, lost), Kept()
    tools = Toolbox(world, lambda step, script: None, Bus("r", [kept]), lambda *_: nullcontext())
    aftermath._take_down(site.cluster, "one", tools)
    assert kept.events[-1].text == "one failed: not all of its ranks could be stopped again"
