"""All that was measured and read of one link → how it is, why, and what to do. Pure; causes are knowledge/rdma.yaml."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.rdma.answers import Expected, LinkVerdict, Load, Measured, Test
from orchestrator.rdma.condition import Condition


@dataclass(frozen=True)
class Material:
    """What is known of one link. A test without a result, or a load without an expectation, never passes."""

    link: str
    hosts: tuple[str, str]
    tests: tuple[Test, ...]
    measured: Mapping[str, Measured]  # by Test.id
    expected: Mapping[Load, Expected]
    conditions: tuple[Condition, ...] = ()  # found by host and netdev


def judge(material: Material) -> LinkVerdict:
    """The verdict on every lane and on the link, each that is not healthy with a reason."""
    raise NotImplementedError
