"""Jobs, projects and units as steps: what is started, what is left alone, what is refused."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from orchestrator.errors import Failed, Refused
from orchestrator.facts.compose import Piece, ReadComposeProgram, ReadProject, ReadSum
from orchestrator.facts.ended import Ended, ReadEnded
from orchestrator.facts.identity import Identify
from orchestrator.facts.image import ReadImage
from orchestrator.facts.job import Job, JobState
from orchestrator.facts.kept_services import Kept, ReadKept
from orchestrator.facts.rank_log import RankLog, ReadRankLog
from orchestrator.facts.unit import ReadUnit, UnitState
from orchestrator.facts.visit import Visited
from orchestrator.plan.build import build
from orchestrator.plan.stages import stage_builders
from orchestrator.runtimes import runtime
from orchestrator.script import Script
from orchestrator.spec.models import Cluster
from orchestrator.spec.playbook import PlaybookFile
from orchestrator.steps.compose_start import ProjectRuns
from tests.gang_world import IMAGE, container
from tests.gangs import LAB, cluster_of
from tests.unit.steps.test_gang_steps import IDENTITY

PROFILES = {
    "job": "engine: job\nimage: tool:1\ncommand: [quantise]\n",
    "after": "extends: lab-llama\n",
    "unit": "engine: unit\nunit: {name: phoenix.service, user: true}\n",
    "lf": "engine: compose\ncompose: {file: ~/llm/Lang.fuse/docker-compose.yml}\nenv: {A: it's}\n"
    "secrets: {PASSWORD: {env: P}}\n",
}
LINES = """
    quant: {profile: job, hosts: [spark-1]}
    tiny: {profile: after, hosts: [spark-1], port: 8000, after: [quant]}
    phoenix: {profile: unit, hosts: [spark-1]}
    traces: {profile: lf, hosts: [spark-1], after: [phoenix]}
"""


@dataclass
class Told:
    """A host's answers by the kind of question."""

    answers: dict[Any, Any] = field(default_factory=dict)

    def get(self, query: Any) -> Any:
        return self.answers[type(query)]


@dataclass
class Desk:
    cluster: Cluster
    steps: Mapping[str, Any]
    told: Told

    def check(self, step: str) -> Any:
        return self.steps[step].check({"spark-1": self.told})

    def apply(self, step: str) -> Script:
        world = {"spark-1": self.told}
        made: Script = self.steps[step].apply(self.steps[step].check(world), world)
        return made


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    cluster = cluster_of(tmp_path, LINES, LAB, PROFILES)
    stages = ("weights", "room", "image", "programs", "stop", "start", "answer", "record")
    every = (*stages, "supervise", "stale", "down-services", "down")
    text = {"version": 1, "name": "t", "stages": [{"stage": one} for one in every]}
    steps = build(cluster, PlaybookFile.model_validate(text))
    ours = runtime("docker").ours("demo")
    answers = {
        type(ours): (),
        ReadImage: IMAGE,
        ReadEnded: Ended(Visited(False, "it has not run", state="missing"), recorded=False),
        ReadRankLog: RankLog(True, ("no space left",), "t"),
        ReadUnit: UnitState("loaded", "inactive", "dead", "success", lingers=True),
        ReadKept: {},
        ReadProject: (),
        ReadSum: "a b",
        ReadComposeProgram: "docker compose",
        Job: JobState("x", "absent"),
        Identify: IDENTITY,
    }
    return Desk(cluster, steps, Told(answers))


def test_every_stage_builds_with_them_and_only_containers_have_ranks_to_look_for(
    desk: Desk,
) -> None:
    assert set(stage_builders()) >= {"record", "down-services"}
    for name in ("phoenix", "traces"):
        mine = {one for one in desk.steps if one.startswith(f"{name}/")}
        assert mine == {f"{name}/rank/0", f"{name}/answer"}
    assert "phoenix/answer" in desk.steps["traces/rank/0"].needs
    assert "down-services/traces/spark-1" in desk.steps["down-services/phoenix/spark-1"].needs


def test_what_comes_after_a_job_looks_for_its_files_when_it_is_done(desk: Desk) -> None:
    for step in ("tiny/weights", "tiny/programs/spark-1", "tiny/rank/0"):
        assert "quant/answer" in desk.steps[step].needs


def test_a_job_runs_and_is_recorded(desk: Desk) -> None:
    assert desk.check("quant/rank/0").summary == "start job orch-demo-quant-0"
    (rank,) = desk.steps["quant/rank/0"].ranks({"spark-1": desk.told})
    ours = type(runtime("docker").ours("demo"))
    desk.told.answers[ours] = (container(rank),)
    assert desk.check("quant/rank/0") is None
    assert desk.check("quant/answer").summary == "runs"
    desk.told.answers[ours] = (container(rank, state="exited", exit_code=3),)
    with pytest.raises(Failed) as failed:
        desk.check("quant/answer")
    assert "ended with code 3\n    no space left" in failed.value.message
    desk.told.answers[ReadEnded] = Ended(Visited(True, state="done"), recorded=False)
    desk.told.answers[ours] = (container(rank, state="exited", exit_code=0),)
    assert desk.check("quant/rank/0") is None
    assert desk.check("quant/stop/spark-1") is None
    assert desk.check("quant/answer") is None
    assert desk.check("quant/record").summary == "keep that quant is done"


def test_done_stays_done_without_its_container(desk: Desk) -> None:
    desk.told.answers[ReadEnded] = Ended(Visited(True, state="done"), recorded=True)
    for step in ("quant/rank/0", "quant/answer", "quant/record"):
        assert desk.check(step) is None


def test_a_unit_that_runs_is_left_alone_and_one_that_does_not_is_started(desk: Desk) -> None:
    assert desk.check("phoenix/rank/0").summary == "start phoenix.service, which is inactive"
    keep, start = desk.apply("phoenix/rank/0").commands.values()
    assert "systemctl --user start --no-block -- phoenix.service" in start.sh
    assert not start.sudo
    assert '"kind": "unit"' in keep.sh
    state = UnitState("loaded", "active", "running", "success", lingers=False)
    desk.told.answers[ReadUnit] = state
    assert desk.check("phoenix/rank/0") is None


@pytest.mark.parametrize(
    ("state", "says"),
    [
        (UnitState("not-found", "inactive", "dead", "success", lingers=True), "it is not-found"),
        (UnitState("loaded", "inactive", "dead", "success", lingers=False), "no lingering"),
    ],
)
def test_a_unit_that_can_not_stay_up_is_refused(desk: Desk, state: UnitState, says: str) -> None:
    desk.told.answers[ReadUnit] = state
    with pytest.raises(Refused, match=says):
        desk.check("phoenix/rank/0")


def test_only_what_was_started_is_stopped(desk: Desk) -> None:
    assert desk.check("down-services/phoenix/spark-1") is None
    kept = Kept("phoenix", "unit", "phoenix.service", user=True)
    gone = Kept("old", "compose", "old-project")
    desk.told.answers[ReadKept] = {"phoenix": kept, "old": gone}
    assert desk.check("down-services/phoenix/spark-1").summary == "stop unit phoenix.service"
    assert desk.check("down-services/spark-1").summary.startswith("stop compose old-project ")
    text = "\n".join(one.sh for one in desk.apply("down-services/spark-1").commands.values())
    assert "com.docker.compose.project=old-project" in text
    assert " -v" not in text  # volumes stay


def piece(service: str, state: str = "running", code: int = 0) -> Piece:
    return Piece(f"lang-{service}", service, state, code, "")


def test_what_the_files_place_there_no_more_is_stopped_by_up_and_down(desk: Desk) -> None:
    """Moved away, taken out, or another engine's by now; what is there still is left alone."""
    gone = (Kept("old", "unit", "old.service", user=True), Kept("tiny", "compose", "tiny-web"))
    mine = Kept("phoenix", "unit", "phoenix.service", user=True)
    desk.told.answers[ReadKept] = {one.deployment: one for one in (*gone, mine)}
    for step in ("spark-1/stale-services", "down-services/spark-1"):
        assert desk.check(step).summary == (
            "stop unit old.service (the files place no old here),"
            " compose tiny-web (the files place no tiny here)"
        )
        commands = desk.apply(step).commands
        assert "systemctl --user stop -- old.service" in commands["old: stop"].sh
        assert "label=com.docker.compose.project=tiny-web" in commands["tiny: stop"].sh
        assert "phoenix" not in "".join(one.sh for one in commands.values())
    desk.told.answers[ReadKept] = {"phoenix": mine}
    assert desk.check("spark-1/stale-services") is None


def test_a_project_is_brought_up_under_the_name_that_compose_gives_it(desk: Desk) -> None:
    change = desk.check("traces/rank/0")
    assert change.summary == "bring up the compose project langfuse"
    (job,) = desk.apply("traces/rank/0").commands.values()
    text = job.stdin.decode()
    assert '$c -p langfuse -f "$HOME"/llm/Lang.fuse/docker-compose.yml up -d' in text
    assert "export 'A=it'\"'\"'s'" in text
    assert "traces/PASSWORD" in text
    assert "PASSWORD" not in job.sh
    assert subprocess.run(["sh", "-n"], input=job.stdin, check=False).returncode == 0


def test_a_project_that_was_there_is_left_alone_or_refused(desk: Desk) -> None:
    desk.told.answers[ReadProject] = (piece("web"), piece("init", "exited"))
    assert desk.check("traces/rank/0") is None
    desk.told.answers[ReadProject] = (piece("web"), piece("db", "exited", 1))
    with pytest.raises(Refused, match="not started by orch, and db is exited with code 1"):
        desk.check("traces/rank/0")


def test_a_project_of_ours_follows_its_file(desk: Desk) -> None:
    step = desk.steps["traces/rank/0"]
    assert isinstance(step, ProjectRuns)
    now = step.wanted({"spark-1": desk.told})
    desk.told.answers[ReadKept] = {"traces": Kept("traces", "compose", "langfuse", now)}
    desk.told.answers[ReadProject] = (piece("web"), piece("init", "exited"))
    assert desk.check("traces/rank/0") is None
    desk.told.answers[ReadSum] = "c b"
    assert desk.check("traces/rank/0").summary.startswith("bring up to date")
    desk.told.answers[ReadSum] = None
    with pytest.raises(Refused, match="there is no ~/llm"):
        desk.check("traces/rank/0")
    desk.told.answers |= {ReadSum: "c b", ReadComposeProgram: ""}
    with pytest.raises(Refused, match="neither `docker compose` nor"):
        desk.check("traces/rank/0")
