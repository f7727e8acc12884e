"""All that was measured and read of one link → how it is, why, and what to do. Pure; causes are knowledge/rdma.yaml."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from orchestrator.knowledge.fabric import causes
from orchestrator.rdma.answers import (
    WORST_FIRST,
    Expected,
    LaneVerdict,
    LinkVerdict,
    Reason,
    State,
    Test,
)
from orchestrator.rdma.causes import cable_errors, failed, found, gbps_text, reason
from orchestrator.rdma.condition import Condition, Pcie
from orchestrator.rdma.material import Case, Material

__all__ = ["Condition", "Material", "Pcie", "judge", "state_of"]


FOR_WANT_OF_BETTER = "slow"


def judge(material: Material) -> LinkVerdict:
    """The verdict on every lane and on the link, each that is not healthy with a reason."""
    lanes = tuple(_lane(material, test) for test in material.tests if test.metric == "bandwidth")
    latency = [_latency(material, test) for test in material.tests if test.metric == "latency"]
    own = tuple(_of_link(material, lanes))
    states = [
        *(lane.state for lane in lanes),
        *(state for state, _, _ in latency),
        *(state for state, _ in own),
    ]
    said = [
        *(one for lane in lanes for one in lane.reasons),
        *(one for _, reasons, _ in latency for one in reasons),
        *(one for _, one in own),
    ]
    known = [value for _, _, value in latency if value is not None]
    return LinkVerdict(
        link=material.link,
        hosts=material.hosts,
        state=worst(states),
        way=material.tests[0].way if material.tests else "rdma",
        gbps=_gbps(material),
        expected=_expected(material),
        lanes=lanes,
        latency_us=max(known, default=None),
        reasons=_told(said),
    )


def worst(states: Iterable[State]) -> State:
    """Of several; of none it is unknown."""
    given = set(states)
    return next((one for one in WORST_FIRST if one in given), "unknown")


def state_of(gbps: float | None, expected: Expected) -> State:
    """A number against what is expected; without either it is unknown."""
    if gbps is None or expected.healthy_gbps is None:
        return "unknown"
    if gbps >= expected.healthy_gbps:
        return "healthy"
    return "failed" if gbps < (expected.failed_gbps or 0.0) else "degraded"


def _told(reasons: Iterable[Reason]) -> tuple[Reason, ...]:
    """Of the whole link: each once, and what is only told for want of better not beside better."""
    told: dict[object, Reason] = {}
    for one in reasons:
        entry = causes().get(one.name)
        told.setdefault(one.name if entry is not None and entry.once else one, one)
    better = [one for one in told.values() if one.name != FOR_WANT_OF_BETTER]
    return tuple(better or told.values())


# --- one test ----------------------------------------------------------------------------------------


def _lane(material: Material, test: Test) -> LaneVerdict:
    expected = material.expectation(test.load)
    proof = tuple(_unproven(material, test))
    total = _total(material, test)
    state = _state(material, test, total, expected, proof)
    return LaneVerdict(
        lane=test.lane,
        way=test.way,
        load=test.load,
        state=state,
        measured=material.measured.get(test.id),
        expected=expected,
        reasons=_reasons(Case(material, test, state, expected, total), proof),
    )


def _state(
    material: Material,
    test: Test,
    total: float | None,
    expected: Expected,
    proof: tuple[tuple[State, Reason], ...],
) -> State:
    measured = material.measured.get(test.id)
    if measured is not None and measured.failure is not None:
        return "failed"
    states = [state_of(total, expected), *(state for state, _ in proof)]
    if any(cable_errors(material, test)):
        states.append("degraded")
    return worst(states)


def _reasons(case: Case, proof: tuple[tuple[State, Reason], ...]) -> tuple[Reason, ...]:
    """Never nothing, unless it is healthy."""
    if case.state == "healthy":
        return ()
    said = [one for _, one in proof]
    if case.measured is None:
        said.append(reason("not-measured", case.test))
    elif case.expected.healthy_gbps is None and not case.failure:
        said.append(reason("no-expectation", case.test, evidence=case.expected.why))
    elif case.total is None and not case.failure:
        said.append(reason("other-half", case.test))
    return (*said, *found(case))


def _unproven(material: Material, test: Test) -> Iterator[tuple[State, Reason]]:
    """Both ends' counters must have moved by about what the tool claims."""
    measured = material.measured.get(test.id)
    if measured is None or measured.failure is not None:
        return
    share = causes()["claims-without-data"].number("share")
    for end in (test.lane.client, test.lane.server):
        moved, claimed = measured.moved.get(end.host), measured.claimed_bytes
        where = {"host": end.host, "rdma": end.rdma or end.netdev}
        if moved is None or claimed is None:
            yield "unknown", reason("counters-unread", test, **where)
        elif moved < share * claimed:
            yield (
                "failed",
                reason("claims-without-data", test, found=moved, wanted=claimed, **where),
            )


def _latency(material: Material, test: Test) -> tuple[State, tuple[Reason, ...], float | None]:
    measured = material.measured.get(test.id)
    if measured is None:
        return "unknown", (reason("not-measured", test),), None
    why = failed(test, measured.failure)
    if why is not None:
        return "failed", (why,), None
    return ("healthy" if measured.latency_us is not None else "unknown"), (), measured.latency_us


# --- the link ----------------------------------------------------------------------------------------


def _total(material: Material, test: Test) -> float | None:
    """What is compared with the expectation: all halves that were measured together with this one."""
    if test.load != "together":
        return material.rate(test)
    rates = [material.rate(one) for one in _beside(material, test)]
    known = [rate for rate in rates if rate is not None]
    return sum(known) if len(known) == len(rates) else None


def _beside(material: Material, test: Test) -> list[Test]:
    """The halves in the same direction at the same time, this one among them."""
    return [one for one in material.bandwidths("together") if one.lane.hosts == test.lane.hosts]


def _gbps(material: Material) -> float | None:
    """All halves together, or the only one; of the weaker direction. None where one of them has no number."""
    tests = list(material.bandwidths("together"))
    if not tests and _halves(material) == 1:
        tests = list(material.bandwidths("alone"))
    totals = [_total(material, test) for test in tests]
    known = [total for total in totals if total is not None]
    return min(known) if known and len(known) == len(totals) else None


def _expected(material: Material) -> Expected:
    """What the link's number is compared with."""
    return material.expectation("together" if any(material.bandwidths("together")) else "alone")


def _halves(material: Material) -> int:
    return len({test.lane.half for test in material.bandwidths()})


def _of_link(material: Material, lanes: tuple[LaneVerdict, ...]) -> Iterator[tuple[State, Reason]]:
    """What only shows in all halves at once."""
    if not lanes:
        entry = causes()["not-measured"]
        names = dict(zip(("client", "server"), material.hosts, strict=True))
        texts = entry.cause.format_map(names), entry.remedy.format_map(names)
        yield "unknown", Reason(entry.name, *texts)
        return
    first = material.tests[0]
    if material.halves is not None and _halves(material) < material.halves:
        values = {"found": _halves(material), "wanted": material.halves}
        yield "degraded", reason("one-half-only", first, **values)
    yield from _one_path(material, lanes)


def _one_path(material: Material, lanes: tuple[LaneVerdict, ...]) -> Iterator[tuple[State, Reason]]:
    """Halves that are well alone and give no more together."""
    alone = [lane for lane in lanes if lane.load == "alone"]
    total, expected = _gbps(material), material.expectation("together")
    if not any(material.bandwidths("together")) or state_of(total, expected) == "healthy":
        return
    if total is None or not alone or any(lane.state != "healthy" for lane in alone):
        return
    best = max(lane.measured.gbps or 0.0 for lane in alone if lane.measured is not None)
    if total < causes()["one-path"].number("share") * best:
        test = next(material.bandwidths("together"))
        yield state_of(total, expected), reason("one-path", test, found=gbps_text(total))
