"""What is known of one link, and one test of it, when it is judged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from orchestrator.rdma.answers import End, Expected, Load, Measured, State, Test
from orchestrator.rdma.condition import Condition

UNKNOWN = Expected(None, "nobody says what to expect")


@dataclass(frozen=True)
class Material:
    """What is known of one link. A test without a result, or a load without an expectation, never passes."""

    link: str
    hosts: tuple[str, str]
    tests: tuple[Test, ...]
    measured: Mapping[str, Measured]  # by Test.id
    expected: Mapping[Load, Expected]
    conditions: tuple[Condition, ...] = ()  # found by host and netdev
    cable_gbps: float | None = None  # as the inventory or kind says
    halves: int | None = None  # that both ends' ports have; None: as many as there are tests of

    def condition(self, end: End) -> Condition:
        """Of one end; all unknown where nobody looked."""
        for one in self.conditions:
            if (one.host, one.netdev) == (end.host, end.netdev):
                return one
        return Condition(end.host, end.netdev, end.rdma, address=end.address)

    def expectation(self, load: Load) -> Expected:
        return self.expected.get(load, UNKNOWN)

    def rate(self, test: Test) -> float | None:
        """What a test gave; None without a number."""
        found = self.measured.get(test.id)
        return found.gbps if found is not None and found.failure is None else None

    def bandwidths(self, load: Load | None = None) -> Iterator[Test]:
        """Its bandwidth tests."""
        for test in self.tests:
            if test.metric == "bandwidth" and load in (None, test.load):
                yield test


@dataclass(frozen=True)
class Case:
    """One bandwidth test with its verdict, for which a cause is looked for."""

    material: Material
    test: Test
    state: State
    expected: Expected
    total: float | None = (
        None  # what is compared with it: the test's own rate, or the sum of all halves together
    )

    @property
    def measured(self) -> Measured | None:
        return self.material.measured.get(self.test.id)

    @property
    def gbps(self) -> float | None:
        return self.material.rate(self.test)

    @property
    def ends(self) -> tuple[Condition, Condition]:
        """Client, server."""
        lane = self.test.lane
        return self.material.condition(lane.client), self.material.condition(lane.server)

    @property
    def failure(self) -> str:
        """Kind of the failure; "" where there is a number or nothing."""
        found = self.measured
        return found.failure.kind if found is not None and found.failure is not None else ""
