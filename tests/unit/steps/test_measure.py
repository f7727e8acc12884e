"""A host is in one pair at a time, a server is heard before its client, and nobody is left behind."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.contracts import Change, Query, Step
from orchestrator.errors import Refused
from orchestrator.facts.accepting import ReadAccepting
from orchestrator.facts.answers import Packages
from orchestrator.facts.fabric_left import Left, ReadLeft
from orchestrator.facts.identity import Identify
from orchestrator.facts.job import Job, JobState
from orchestrator.facts.packages import ReadPackages
from orchestrator.network.topology import plan_fabric
from orchestrator.plan.graph import ancestors, ordered
from orchestrator.rdma.answers import Effort, End, Lane, Said, Test
from orchestrator.rdma.trials import Trial, fingerprint
from orchestrator.script import Result
from orchestrator.spec.models import Cluster, Expect
from orchestrator.steps.bandwidth import bandwidth_steps
from orchestrator.steps.measure import ToolsThere, measure_steps, tools_steps
from orchestrator.steps.measure_job import Part, program
from orchestrator.steps.trial import TOOLS, Ask, Going, Heard, Reaped, Serve
from tests.local_shell import SHELLS
from tests.unit.network.clusters import cable, cluster, deployment, host, names, ring, switch
from tests.unit.network.worlds import NO_RDMA, Answers, identity
from tests.unit.rdma.test_trials import PAIR, addressed

RUN = "20260101T000000-abcd"
SERVERS = ("ib_write_bw", "iperf3", "ss")


def steps(of: Cluster = PAIR, **options: Any) -> Mapping[str, Step]:
    return ordered([*tools_steps(of, options), *measure_steps(of, {"run": RUN, **options})])


def first(kind: type[Step], of: Cluster = PAIR) -> Any:
    return next(one for one in steps(of).values() if isinstance(one, kind))


@pytest.mark.parametrize(
    "of",
    [
        cluster(names(3), *ring(3)),
        cluster(names(6), *ring(6)),
        cluster(names(7), switch("s1", *(f"{one}.p0" for one in names(7)))),
        cluster(names(2), cable("spark-1.p0", "spark-2.p0"), cable("spark-1.p1", "spark-2.p1")),
    ],
    ids=["ring3", "ring6", "switch7", "two cables"],
)
def test_a_host_is_in_one_pair_at_a_time(of: Cluster) -> None:
    found = steps(of, all_pairs=True)
    soft = {one: replace(step, needs=step.needs | step.turns) for one, step in found.items()}
    above = ancestors(soft)
    measured = [one for one in found.values() if not isinstance(one, ToolsThere)]
    for one in measured:
        for other in measured:
            shared = one.touches & other.touches
            if one.id < other.id and shared and one.host == other.host:
                assert one.id in above[other.id] or other.id in above[one.id], (one.id, other.id)


def most_at_once(found: Mapping[str, Step], seed: int) -> int:
    """Clients that run together, where each step takes as long as the dice will have it."""
    dice = random.Random(seed)
    waiting = {one: {*step.needs, *step.order, *step.turns} for one, step in found.items()}
    running, most = [one for one, before in waiting.items() if not before], 0
    while running:
        most = max(most, sum(isinstance(found[one], Ask) for one in running))
        over = running.pop(dice.randrange(len(running)))
        del waiting[over]
        for one, before in waiting.items():
            if over in before:
                before.remove(over)
                if not before:
                    running.append(one)
    return most


def on_a_switch(at_once: int | None) -> Cluster:
    """Six hosts, both ports of each on it: two links, of which the second does not say how much it carries."""
    expect = Expect(half_gbps=90)
    each = [host(name, expect=expect) for name in names(6)]
    one = switch("s1", *(f"{name}.p0" for name in names(6)), at_once=at_once)
    other = switch("s1", *(f"{name}.p1" for name in names(6)))
    return cluster(each, one, other, deployments={"vl": deployment(*names(6))})


@pytest.mark.parametrize(("at_once", "most"), [(1, 1), (2, 2), (None, 3)])
@pytest.mark.parametrize("way", ["verify-rdma", "all pairs", "gate"])
def test_no_more_pairs_at_once_than_a_switch_carries(
    at_once: int | None, most: int, way: str
) -> None:
    of = on_a_switch(at_once)
    effort = Effort(alone=False, latency=False)
    measured = steps(of, all_pairs=way == "all pairs", effort=effort)
    found = ordered(bandwidth_steps(of, {})) if way == "gate" else measured
    assert max(most_at_once(found, seed) for seed in range(20)) == most


def test_pairs_without_a_common_host_do_not_wait_for_each_other() -> None:
    of = cluster(names(4), cable("spark-1.p0", "spark-2.p0"), cable("spark-3.p0", "spark-4.p0"))
    assert not any(
        step.turns & set(steps(of))
        for step in steps(of).values()
        if isinstance(step, Serve)
        and not step.needs
        - {
            "spark-1/fabric-tools",
            "spark-2/fabric-tools",
            "spark-3/fabric-tools",
            "spark-4/fabric-tools",
        }
    )


def test_a_pair_that_breaks_off_does_not_stop_the_next_one() -> None:
    of = cluster(names(3), *ring(3))
    found = steps(of)
    for step in found.values():
        foreign = [
            need
            for need in step.needs
            if need.startswith("fabric/") and need.split("/")[1] != step.id.split("/")[1]
        ]
        assert not foreign, step.id


def told(
    world: Mapping[str, Answers], at: str, more: Mapping[Query[Any], Any]
) -> dict[str, Answers]:
    return {**world, at: Answers({**world[at].answers, **more})}


def world(step: Any, **how: Any) -> dict[str, Answers]:
    """Both hosts of a trial: its jobs' states, what was left, what listens."""
    going: Going = step.going
    states = {"serve": how.get("serve", "absent"), "ask": how.get("ask", "absent")}
    found = {name: addressed(PAIR, name) for name in PAIR.hosts}
    left = how.get("left", {})
    for name in found:
        more: dict[Query[Any], Any] = {
            TOOLS: dict.fromkeys(SERVERS, "/usr/bin/x"),
            Identify(): replace(identity(), clock_epoch_s=1000.0),
            going.job(False): job(states["serve"]),
            going.job(True): job(states["ask"]),
            ReadAccepting(True): frozenset(how.get("heard", ())),
            ReadAccepting(False): frozenset(how.get("heard", ())),
        }
        for rail in going.trial.rails:
            client = name == going.trial.client
            more[going.read(rail, client)] = left.get("client" if client else "server")
        found = told(found, name, more)
    return found


def job(state: Any) -> JobState:
    return JobState("j", state, rc=0, ended_s=990) if state == "done" else JobState("j", state)


def left(trial: Trial, run: str = RUN, at: int = 900, **more: Any) -> Left:
    facts = {name: addressed(PAIR, name) for name in PAIR.hosts}
    stands = fingerprint(trial, facts)
    return Left(run, at, "t", "rdma", more.get("effort", trial.effort), Said(0, ""), {}, stands)


def test_the_way_of_a_trial() -> None:
    serve, heard, ask, reaped = (first(kind) for kind in (Serve, Heard, Ask, Reaped))
    assert serve.check(world(serve)) == Change(f"measure {serve.trial.name}")
    assert serve.check(world(serve, serve="running")) is None
    silent = world(heard, serve="running")
    assert heard.check(silent) == Change("nothing listens on port 18515 yet")
    assert heard.check(world(heard, serve="running", heard=[("rdma", 18515)])) is None
    change = ask.check(world(ask, serve="running"))
    assert change is not None and not change.under_way
    change = ask.check(world(ask, serve="running", ask="running"))
    assert change is not None and change.under_way
    done = {"client": left(ask.trial)}
    assert ask.check(world(ask, serve="running", ask="done", left=done)) is None
    assert reaped.check(world(reaped, serve="running", left=done)) == Change("end its server")
    assert reaped.check(world(reaped, serve="done", left=done)) is None


def test_a_server_that_ended_at_once_is_data_not_a_failed_step() -> None:
    serve, heard, ask = (first(kind) for kind in (Serve, Heard, Ask))
    gone = {"server": left(serve.trial)}
    for step in (serve, heard, ask):
        assert step.check(world(step, serve="done", left=gone)) is None, step.id


def test_a_server_of_an_earlier_attempt_is_no_reason_not_to_try() -> None:
    """Whoever takes any run's results must not take a server's old end for this attempt's."""
    serve = first(Serve)
    step = replace(serve, going=reusing(serve.trial))
    just, before = ({"server": left(serve.trial, run="any", at=at)} for at in (990, 900))
    assert step.check(world(step, serve="done", left=just)) is None
    assert step.check(world(step, serve="done", left=before)) is not None
    assert step.check(world(step, serve="done")) is not None  # its results were removed


def test_what_another_run_left_is_not_this_runs() -> None:
    serve = first(Serve)
    old = {"client": left(serve.trial, run="20251231T000000-abcd")}
    assert serve.check(world(serve, left=old)) is not None
    assert serve.check(world(serve, left={"client": left(serve.trial)})) is None


def test_a_runs_own_results_are_told_by_its_name_and_no_clock_is_read() -> None:
    """On a slow host each read costs seconds."""
    for step in (first(kind) for kind in (Serve, Heard, Ask, Reaped)):
        assert Identify() not in {query for _, query in step.reads}, step.id
    assert {host for host, _ in reusing(first(Serve).trial).clock("spark-2")} == {"spark-2"}


def reusing(trial: Trial) -> Going:
    return Going(trial, (True, True), "", fresh_s=3600)


@pytest.mark.parametrize(
    ("change", "holds"),
    [
        ({}, True),
        ({"at": 1000 - 3601}, False),
        ({"effort": Effort(seconds=60)}, True),
        ({"effort": Effort(seconds=1)}, False),
        ({"effort": Effort(bytes=64)}, False),
        ({"effort": Effort(qps=1)}, False),
    ],
)
def test_any_run_that_is_fresh_and_tried_as_hard_will_do(
    change: dict[str, Any], holds: bool
) -> None:
    serve = first(Serve)
    going = reusing(serve.trial)
    step = replace(serve, going=going)
    found = left(serve.trial, run="any", **change)
    assert going.measured(world(step, left={"client": found})) is holds


def test_a_new_kernel_ends_what_was_measured() -> None:
    serve = first(Serve)
    step = replace(serve, going=reusing(serve.trial))
    found = world(step, left={"client": left(serve.trial, run="any")})
    assert step.going.measured(found)
    newer = replace(identity(), clock_epoch_s=1000.0, kernel="6.17")
    assert not step.going.measured(told(found, "spark-2", {Identify(): newer}))
    rebooted = replace(identity(), clock_epoch_s=1000.0, boot_id="b2")
    assert not step.going.measured(told(found, "spark-1", {Identify(): rebooted}))


def test_nothing_is_run_where_an_address_or_the_tool_is_missing() -> None:
    serve = first(Serve)
    bare = told(
        world(serve), "spark-2", {TOOLS: {**dict.fromkeys(SERVERS, "x"), "ib_write_bw": ""}}
    )
    assert serve.going.blocked(bare) == "spark-2 has no ib_write_bw"
    assert serve.check(bare) is None


def test_a_missing_tool_is_told_with_its_package() -> None:
    gate = first(ToolsThere)
    facts = addressed(PAIR, "spark-1").answers
    more: dict[Query[Any], Any] = {
        TOOLS: {"ib_write_bw": "", "iperf3": "/usr/bin/iperf3", "ss": "/bin/ss"},
        ReadPackages(("rdma-core",)): Packages("apt", {"rdma-core": ""}),
    }
    found = {"spark-1": Answers({**facts, **more})}
    with pytest.raises(Refused, match="spark-1 has no ib_write_bw") as refused:
        gate.check(found)
    assert "install_packages: true" in refused.value.hint
    assert "apt-get install -y perftest" in refused.value.hint


def test_root_is_used_for_rdma_and_not_for_tcp() -> None:
    plain = replace_halves(PAIR)
    assert first(Serve).going.sudo == (True, True)
    assert first(Serve, plain).going.sudo == (False, False)


def replace_halves(of: Cluster) -> Cluster:
    """The same without RDMA devices in the files."""
    hosts = []
    for name in of.hosts:
        ports = {
            port: spec.model_copy(
                update={"halves": tuple(h.model_copy(update={"rdma": None}) for h in spec.halves)}
            )
            for port, spec in of.hosts[name].ports.items()
        }
        hosts.append(host(name, ports=ports))
    return cluster(hosts, *of.links)


def part(key: str, *argv: str) -> Part:
    end = End("spark-1", "lo", "127.0.0.1")
    test = Test(Lane("l", 0, end, end), "tcp", "bandwidth", "alone", Effort(), 18515)
    return Part(test, key, end, argv, RUN, {"spark-1 kernel": "6.11 'a' $b"})


@pytest.mark.parametrize("shell", SHELLS)
def test_the_program_leaves_what_a_tool_said(
    shell: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    words = ("sh", "-c", "echo 'a;b $c'; echo oh no >&2; exit 3")
    run(program([part("good", *words), part("slow", "sleep", "30")], False, 1), shell)
    good, slow = (read(key, shell) for key in ("good", "slow"))
    assert good is not None and slow is not None
    assert (good.said.rc, good.said.out, good.said.err) == (3, "a;b $c\n", "oh no\n")
    assert good.fingerprint == {"spark-1 kernel": "6.11 'a' $b"}
    assert "net/lo/statistics/rx_bytes" in good.counters
    assert slow.said.rc in (124, 143)


def run(text: Any, shell: str) -> None:
    from orchestrator.script import Command, Script
    from tests.local_shell import run_script

    (done,) = run_script(Script({"x": Command(text)}), shell).values()
    assert done.rc == 0, done.err


def read(key: str, shell: str) -> Left | None:
    from tests.local_shell import run_script

    query = ReadLeft(key, sudo=False)
    results: Mapping[str, Result] = run_script(query.ask(), shell)
    return query.parse(results)


def test_no_rdma_device_is_tcp_and_its_own_tool() -> None:
    serve = first(Serve)
    found = world(serve)
    none = {name: Answers({**one.answers, **_no_rdma()}) for name, one in found.items()}
    (each,) = serve.parts(none, client=False)
    assert each.argv[0] == "iperf3"
    (each,) = serve.parts(found, client=False)
    assert each.argv[0] == "ib_write_bw"


def _no_rdma() -> Mapping[Query[Any], Any]:
    from orchestrator.facts.rdma import ReadRdma

    return {ReadRdma(): NO_RDMA}


def ids(found: Sequence[Step]) -> list[str]:
    return [one.id for one in found]


def test_the_plan_of_a_big_switch_is_made_in_rounds() -> None:
    of = cluster(names(32), switch("s1", *(f"{one}.p0" for one in names(32))))
    found = list(measure_steps(of, {"run": RUN, "all_pairs": True, "soak": True}))
    assert len(found) == 4 * 32 * 31 // 2
    assert plan_fabric(of).segments[0].link in found[0].id


def test_jobs_are_named_by_what_they_do() -> None:
    going = first(Serve).going
    assert going.job(False) != going.job(True)
    assert isinstance(going.job(True), Job) and going.job(True).sudo
