"""The network steps decide rightly from facts: nothing to do is nothing, and what must not be touched is refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from ipaddress import IPv4Network

import pytest

from orchestrator.contracts import Change, Step, World
from orchestrator.errors import Failed, Refused
from orchestrator.facts.ping import Ping
from orchestrator.network.topology import plan_fabric
from orchestrator.plan.graph import ordered
from orchestrator.script import Command, Sh
from orchestrator.spec.models import Cluster, Link
from orchestrator.steps.link import LinkWorks, link_steps
from orchestrator.steps.netplan import NetplanApply, network_steps
from tests.local_shell import SHELLS, syntax
from tests.unit.network.clusters import cable, cluster, host, names, ring, switch
from tests.unit.network.test_golden import NOTES, NOTES_NETPLAN
from tests.unit.network.worlds import (
    NO_CHANGE,
    Answers,
    answers,
    file,
    netdev,
    network,
    with_addresses,
)

UP = with_addresses(
    network("192.168.102.12"),
    enp1s0f1np1="192.168.100.11/24",
    enP2p1s0f1np1="192.168.101.11/24",
)


def steps(of: Cluster = NOTES) -> Mapping[str, Step]:
    return ordered([*network_steps(of, {}), *link_steps(of, {})])


def check(world: Answers, of: Cluster = NOTES, what: str = "apply") -> Change | None:
    return steps(of)[f"spark-3/network/{what}"].check({"spark-3": world})


def test_hosts_without_a_link_have_no_step() -> None:
    assert {step.host for step in steps().values()} == {"spark-2", "spark-3"}


def test_nothing_to_do_is_none() -> None:
    done = answers(UP, files=[file("40-orch.yaml", NOTES_NETPLAN)])
    assert check(done) is None
    assert check(done, what="confirm") is None


def test_a_bare_host_is_changed_with_a_diff() -> None:
    change = check(answers(network("192.168.102.12")))
    assert change is not None
    assert change.summary == (
        "40-orch.yaml is new; enp1s0f1np1 has MTU 1500, not 9000; "
        "enp1s0f1np1 has no 192.168.100.11/24; enP2p1s0f1np1 has MTU 1500, not 9000; "
        "enP2p1s0f1np1 has no 192.168.101.11/24"
    )
    assert "+++ /etc/netplan/40-orch.yaml" in change.diff
    assert "+      addresses: [192.168.100.11/24]" in change.diff
    assert not change.under_way


@pytest.mark.parametrize(
    "world",
    [
        answers(UP),  # no file: the next boot would lose it
        answers(UP, files=[file("40-orch.yaml", NOTES_NETPLAN + "#")]),
        answers(UP, files=[file("40-orch.yaml", NOTES_NETPLAN, mode=0o644)]),
        answers(
            with_addresses(UP, mtu=1500, enp1s0f1np1="192.168.100.11/24"),
            files=[file("40-orch.yaml", NOTES_NETPLAN)],
        ),
        answers(network(), files=[file("40-orch.yaml", NOTES_NETPLAN)]),
    ],
)
def test_anything_that_differs_is_a_change(world: Answers) -> None:
    assert check(world) is not None


def test_a_change_that_waits_is_confirmed_and_not_made_again() -> None:
    step = steps()["spark-3/network/apply"]
    assert isinstance(step, NetplanApply)
    world = answers(UP, files=[file("40-orch.yaml", NOTES_NETPLAN)])
    digest = step.target({"spark-3": world}).digest
    waiting = replace(NO_CHANGE, unconfirmed=digest, since_epoch_s=1)
    world = answers(UP, files=[file("40-orch.yaml", NOTES_NETPLAN)], change=waiting)
    assert check(world) is None
    assert check(world, what="confirm") is not None


def test_a_change_that_another_run_has_under_way_is_watched() -> None:
    step = steps()["spark-3/network/apply"]
    assert isinstance(step, NetplanApply)
    bare = network("192.168.102.12")
    digest = step.target({"spark-3": answers(bare)}).digest
    waiting = replace(NO_CHANGE, unconfirmed=digest, since_epoch_s=1, under_way=True)
    change = check(answers(bare, change=waiting))
    assert change is not None
    assert change.under_way


def test_another_change_that_waits_is_undone_first() -> None:
    waiting = replace(NO_CHANGE, unconfirmed="abcdef", since_epoch_s=1)
    change = check(answers(UP, files=[file("40-orch.yaml", NOTES_NETPLAN)], change=waiting))
    assert change is not None
    assert "an earlier change (abcdef)" in change.summary


def test_confirm_fails_where_the_addresses_are_gone_again() -> None:
    with pytest.raises(Failed, match=r"has no 192.168.100.11/24"):
        check(answers(network(), files=[file("40-orch.yaml", NOTES_NETPLAN)]), what="confirm")


# --- refusals -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("net", "why"),
    [
        (replace(UP, ssh_netdev="enp1s0f1np1"), "enp1s0f1np1, which carries our SSH"),
        (replace(UP, default_netdev="enP2p1s0f1np1"), "which has the default route"),
        (
            replace(UP, netdevs={k: v for k, v in UP.netdevs.items() if k != "enp1s0f1np1"}),
            "which spark-3 has not",
        ),
        (
            replace(UP, netdevs={**UP.netdevs, "docker0": netdev("docker0", "192.168.0.1/16")}),
            "192.168.100.0/24 of enp1s0f1np1 overlaps 192.168.0.0/16 on docker0",
        ),
        (
            replace(UP, netdevs={**UP.netdevs, "lo": netdev("lo", "192.168.101.11/32")}),
            "overlaps 192.168.101.11/32 on lo",
        ),
        (replace(UP, routes=("192.168.101.0/25 dev wg0",)), "overlaps 192.168.101.0/25 on a route"),
    ],
)
def test_what_must_not_be_touched_is_refused(net: object, why: str) -> None:
    with pytest.raises(Refused, match=why):
        check(answers(net))  # type: ignore[arg-type]  # the parameters are Networks


def test_a_wider_route_elsewhere_is_no_clash() -> None:
    routed = replace(UP, routes=("192.168.0.0/16 dev enP7s7", "default dev enP7s7"))
    assert check(answers(routed, files=[file("40-orch.yaml", NOTES_NETPLAN)])) is None


@pytest.mark.parametrize(
    ("world", "what"),
    [
        (answers(change=replace(NO_CHANGE, netplan=False)), "spark-3 has no netplan"),
        (answers(change=replace(NO_CHANGE, systemd=False)), "spark-3 has no systemd"),
        (answers(replace(network(), renderer="none")), "has no network renderer"),
    ],
)
def test_a_host_that_can_not_be_changed_says_why(world: Answers, what: str) -> None:
    with pytest.raises(Refused, match=what) as refused:
        check(world)
    assert "orch render" in refused.value.hint


def test_a_host_without_netplan_that_is_as_it_should_be_needs_none() -> None:
    """Somebody set it, and some file of theirs keeps it: matched, not touched."""
    theirs = NOTES_NETPLAN.replace("      renderer: networkd\n", "")
    world = answers(
        UP, files=[file("40-cx7.yaml", theirs)], change=replace(NO_CHANGE, netplan=False)
    )
    assert check(world) is None


def test_a_host_that_we_may_not_change_is_taken_as_it_is_or_refused() -> None:
    hpc = cluster(
        [host("spark-2"), host("spark-3", become="never")],
        cable("spark-2.p1", "spark-3.p1", "192.168.100.0/24", "192.168.101.0/24"),
    )
    made = ordered(network_steps(hpc, {}))
    assert "spark-3/network/apply" not in made
    step = made["spark-3/network/as-is"]
    assert step.check({"spark-3": answers(UP)}) is None
    with pytest.raises(Refused, match="`become: never` forbids"):
        step.check({"spark-3": answers(network())})


# --- what is sent ---------------------------------------------------------------------------------------


def script_of(world: World, of: Cluster = NOTES) -> dict[str, str]:
    step = steps(of)["spark-3/network/apply"]
    change = step.check(world)
    assert change is not None
    script = step.apply(change, world)
    assert script.mutates
    assert script.stop_on_error
    return {name: command.sh for name, command in script.commands.items()}


def test_nothing_is_touched_before_the_timer_runs() -> None:
    order = list(script_of({"spark-3": answers(network())}))
    assert order[-4:] == ["prepare", "arm", "apply", "watch"]
    assert order[:3] == ["program", "unit", "begin"]


@pytest.mark.parametrize("shell", SHELLS)
def test_every_command_and_the_dead_man_are_posix_shell(shell: str) -> None:
    step = steps()["spark-3/network/apply"]
    world = {"spark-3": answers(network())}
    change = step.check(world)
    assert change is not None
    for command in step.apply(change, world).commands.values():
        assert syntax(command, shell) == ""
        if command.stdin.startswith(b"#!"):
            assert syntax(Command(Sh(command.stdin.decode())), shell) == ""


def test_confirm_comes_over_a_new_connection() -> None:
    waiting = replace(NO_CHANGE, unconfirmed="abc123", since_epoch_s=1)
    world = {"spark-3": answers(UP, files=[file("40-orch.yaml", NOTES_NETPLAN)], change=waiting)}
    step = steps()["spark-3/network/confirm"]
    change = step.check(world)
    assert change is not None
    script = step.apply(change, world)
    assert script.fresh
    assert script.mutates
    assert [c.sh for c in script.commands.values()] == [
        "/bin/sh /var/lib/orch/netplan/dead-man confirm abc123"
    ]


# --- the order of hosts -----------------------------------------------------------------------------------


def firsts(of: Cluster) -> dict[str, set[str]]:
    """Host → hosts that are confirmed before it changes."""
    return {
        one.split("/")[0]: {need.split("/")[0] for need in step.order if need.endswith("confirm")}
        for one, step in steps(of).items()
        if one.endswith("network/apply")
    }


def test_both_ends_of_a_cable_never_change_at_once() -> None:
    assert firsts(cluster(names(2), cable("spark-1.p1", "spark-2.p1"))) == {
        "spark-1": set(),
        "spark-2": {"spark-1"},
    }


def test_an_even_ring_is_done_in_two_turns() -> None:
    found = firsts(cluster(names(6), *ring(6)))
    assert [len(found[name]) for name in names(6)] == [0, 2, 0, 2, 0, 2]


def test_a_switch_has_one_canary() -> None:
    ports = [f"spark-{i}.p0" for i in (1, 2, 3, 4)]
    found = firsts(cluster(names(4), switch("s1", *ports)))
    assert found == {"spark-1": set()} | {name: {"spark-1"} for name in names(4)[1:]}


@pytest.mark.parametrize("links", [ring(3), ring(5), [*ring(4), cable("spark-5.p0", "spark-6.p0")]])
def test_no_order_is_a_circle(links: list[Link]) -> None:
    fabric = plan_fabric(cluster(names(6), *links))
    found = firsts(cluster(names(6), *links))  # `ordered` raises for a circle
    for segment in fabric.segments:
        one, other = sorted(segment.hosts)
        assert one in found[other] or other in found[one]


# --- links --------------------------------------------------------------------------------------------------

PING = Ping("enp1s0f1np1", 9000, ("192.168.100.10",))


def link(world: Answers, more: str = "enp1s0f1np1") -> Change | None:
    return steps()[f"spark-3/link/{more}"].check({"spark-3": world})


def test_a_link_that_works_is_none() -> None:
    assert link(answers(UP, more={PING: {"192.168.100.10": ""}})) is None


def test_a_neighbour_that_does_not_answer_is_waited_for() -> None:
    change = link(answers(UP, more={PING: {"192.168.100.10": "no answer"}}))
    assert change is not None
    assert change.summary == "192.168.100.10 over enp1s0f1np1: no answer"


@pytest.mark.parametrize(
    ("more", "what"),
    [
        ({"carrier": False}, "no carrier: is the cable of spark-3.p1 plugged in at both ends"),
        ({"up": False}, "is down"),
        ({"mtu": 1500}, "has MTU 1500, not 9000"),
        ({"addresses": ()}, "has no 192.168.100.11/24"),
    ],
)
def test_what_a_link_lacks_is_said(more: dict[str, object], what: str) -> None:
    broken = replace(UP.netdevs["enp1s0f1np1"], **more)  # type: ignore[arg-type]
    change = link(answers(replace(UP, netdevs={**UP.netdevs, "enp1s0f1np1": broken})))
    assert change is not None
    assert what in change.summary


@pytest.mark.parametrize(
    ("speed", "what"), [(100_000, "runs at 100 Gb/s, not 200"), (None, "can't be read")]
)
def test_a_slow_link_is_refused_and_an_unknown_speed_is_no_pass(
    speed: int | None, what: str
) -> None:
    slow = replace(UP.netdevs["enp1s0f1np1"], speed_mbps=speed)
    net = replace(UP, netdevs={**UP.netdevs, "enp1s0f1np1": slow})
    with pytest.raises(Refused, match=what):
        link(answers(net))
    assert link(answers(net, in_lab=True, more={PING: {"192.168.100.10": ""}})) is None


def test_on_a_large_switch_everyone_is_asked_and_nobody_asks_all() -> None:
    ports = [f"spark-{i}.p0" for i in range(1, 101)]
    wide = cluster(names(100), switch("s1", *ports), pool=IPv4Network("10.20.0.0/16"))
    asked: dict[str, int] = {}
    for step in link_steps(wide, {}):
        assert isinstance(step, LinkWorks)
        assert step.ping is not None
        assert len(step.ping.addresses) == 16
        for address in step.ping.addresses:
            asked[address] = asked.get(address, 0) + 1
    assert len(asked) == 200
    assert set(asked.values()) == {16}
