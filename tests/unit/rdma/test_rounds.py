"""Each pair once, nobody twice in a round, and not more rounds than can be proven."""

from __future__ import annotations

import time
from collections import Counter
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.rdma.rounds import Pair, all_pairs, rounds


def hosts(number: int) -> list[str]:
    return [f"spark-{one + 1}" for one in range(number)]


def ring(number: int) -> list[Pair]:
    names = hosts(number)
    return [Pair(names[one], names[(one + 1) % number], f"c{one}") for one in range(number)]


def holds(pairs: list[Pair] | tuple[Pair, ...], found: tuple[tuple[Pair, ...], ...]) -> bool:
    """The promise of every round."""
    assert Counter(pair for one in found for pair in one) == Counter(set(pairs))
    for one in found:
        busy = Counter(end for pair in one for end in pair.ends)
        assert max(busy.values()) == 1
    return True


def busiest(pairs: list[Pair] | tuple[Pair, ...]) -> int:
    return max(Counter(end for pair in pairs for end in pair.ends).values(), default=0)


@pytest.mark.parametrize("number", range(2, 34))
def test_all_pairs_take_one_round_less_than_hosts(number: int) -> None:
    pairs = all_pairs(hosts(number))
    found = rounds(pairs)
    assert holds(pairs, found)
    assert len(found) == number - 1 + number % 2
    assert {len(one) for one in found} == {number // 2}  # everybody works, but the one left over


@pytest.mark.parametrize(("number", "expected"), [(3, 3), (4, 2), (5, 3), (6, 2), (7, 3), (8, 2)])
def test_rings(number: int, expected: int) -> None:
    found = rounds(ring(number))
    assert holds(ring(number), found)
    assert len(found) == expected


def test_a_chain_takes_two() -> None:
    assert len(rounds(ring(6)[:-1])) == 2
    assert len(rounds(ring(2)[:1])) == 1


def test_two_cables_between_the_same_hosts_take_turns() -> None:
    pairs = [Pair("a", "b", "p0"), Pair("a", "b", "p1")]
    assert rounds(pairs) == ((pairs[0],), (pairs[1],))


def test_ports_that_are_independent_work_at_once() -> None:
    pairs = [Pair("a.p0", "b.p0"), Pair("a.p1", "b.p1")]
    assert len(rounds(pairs)) == 1


def test_two_islands_work_at_once() -> None:
    pairs = [*ring(4), *(Pair(f"x{a}", f"x{b}") for a, b in combinations(range(4), 2))]
    found = rounds(pairs)
    assert holds(pairs, found)
    assert len(found) == 3


def test_a_switch_bears_as_many_as_it_may() -> None:
    pairs = all_pairs(hosts(8), ("s1",))
    found = rounds(pairs, {"s1": 2})
    assert holds(pairs, found)
    assert {len(one) for one in found} == {2}
    assert len(found) == 14


def test_a_limit_of_another_switch_is_none_of_mine() -> None:
    pairs = all_pairs(hosts(8), ("s1",))
    assert rounds(pairs, {"s2": 1}) == rounds(pairs)


def test_what_can_not_be() -> None:
    with pytest.raises(ValueError, match="with itself"):
        rounds([Pair("a", "a")])
    with pytest.raises(ValueError, match="at least one"):
        rounds([Pair("a", "b", "", ("s",))], {"s": 0})
    assert rounds([]) == ()


def test_the_order_of_asking_changes_nothing() -> None:
    pairs = list(all_pairs(["spark-1", "spark-2", "spark-10"]))
    assert rounds(pairs) == rounds(pairs[::-1])


@pytest.mark.parametrize("missing", [0, 1])
def test_256_hosts_are_planned_at_once(missing: int) -> None:
    pairs = all_pairs(hosts(256))[missing:]
    before = time.process_time()
    found = rounds(pairs)
    assert time.process_time() - before < 1
    assert len(found) == 255
    assert holds(pairs, found)


NAMES = st.integers(0, 11).map(lambda one: f"h{one}")
PAIRS = st.builds(
    Pair,
    NAMES,
    NAMES,
    st.sampled_from(["", "x", "y"]),
    st.sampled_from([(), ("s1",), ("s2",), ("s1", "s2")]),
).filter(lambda pair: pair.a != pair.b)


@given(st.lists(PAIRS, max_size=70))
def test_any_graph(pairs: list[Pair]) -> None:
    found = rounds(pairs)
    assert found == rounds(reversed(pairs))
    assert holds(pairs, found)
    most = max(Counter(frozenset(pair.ends) for pair in set(pairs)).values(), default=0)
    assert len(found) <= most * (busiest(list(set(pairs))) + 1)


@given(st.sets(st.tuples(NAMES, NAMES).filter(lambda one: one[0] < one[1]), max_size=66))
def test_a_simple_graph_takes_one_more_than_its_busiest_host(edges: set[tuple[str, str]]) -> None:
    pairs = [Pair(a, b) for a, b in sorted(edges)]
    assert len(rounds(pairs)) <= busiest(pairs) + bool(pairs)


@given(
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6), st.sampled_from("xy")), max_size=60)
)
def test_two_sides_take_just_as_many(edges: list[tuple[int, int, str]]) -> None:
    pairs = [Pair(f"left{a}", f"right{b}", name) for a, b, name in set(edges)]
    found = rounds(pairs)
    assert holds(pairs, found)
    assert len(found) == busiest(pairs)


@given(st.lists(PAIRS, max_size=50), st.integers(1, 3), st.integers(1, 3))
def test_limits_hold(pairs: list[Pair], first: int, second: int) -> None:
    limits = {"s1": first, "s2": second}
    found = rounds(pairs, limits)
    assert holds(pairs, found)
    for one in found:
        busy = Counter(switch for pair in one for switch in pair.switches)
        assert all(busy[switch] <= limit for switch, limit in limits.items())
