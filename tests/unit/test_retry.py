"""What is tried again, how often, and that a cancelled run does not wait."""

from __future__ import annotations

import threading

import pytest

from orchestrator.errors import (
    AuthRefused,
    CommandFailed,
    Failed,
    Fenced,
    HostKeyWrong,
    Interrupted,
    OrchError,
    OutcomeUnknown,
    Unreachable,
)
from orchestrator.run.policies import POLICIES
from orchestrator.run.retry import retrying


class Flaky:
    """Raises the given errors in turn, then answers."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "answer"


def test_an_unreachable_host_is_tried_again_with_growing_jittered_waits() -> None:
    waits: list[float] = []
    told: list[tuple[str, int]] = []
    flaky = Flaky(*[Unreachable("no route")] * 4)

    def sleep(seconds: float) -> bool:
        waits.append(seconds)
        return False

    def tell(error: BaseException, attempt: int, wait: float) -> None:
        told.append((str(error), attempt))

    answer = retrying("connect", threading.Event(), tell, sleep)(flaky)
    assert answer == "answer"
    assert told == [("no route", n) for n in (1, 2, 3, 4)]
    policy = POLICIES["connect"]
    limits = [min(policy.most, policy.first * 2**n) for n in range(4)]
    assert all(0 <= wait <= limit for wait, limit in zip(waits, limits, strict=True))


@pytest.mark.parametrize("policy", sorted(POLICIES))
def test_it_gives_up_after_its_attempts_with_the_error_itself(policy: str) -> None:
    flaky = Flaky(*[Unreachable("gone")] * 50)
    with pytest.raises(Unreachable, match="gone"):
        retrying(policy, threading.Event(), sleep=lambda _: False)(flaky)
    assert flaky.calls == POLICIES[policy].attempts


@pytest.mark.parametrize(
    "error",
    [
        Failed("exited 2"),
        CommandFailed("exited 1"),
        OutcomeUnknown("no end marker"),
        HostKeyWrong("another key"),
        AuthRefused("no key fits"),
        Fenced("taken over"),
        ValueError("a bug"),
    ],
)
def test_what_a_repeat_cannot_help_or_may_harm_is_never_repeated(error: Exception) -> None:
    flaky = Flaky(error)
    with pytest.raises(type(error)):
        retrying("connect", threading.Event())(flaky)
    assert flaky.calls == 1


def test_cancelled_means_no_further_attempt_and_no_wait() -> None:
    cancel = threading.Event()
    cancel.set()
    flaky = Flaky(Unreachable("a"), Unreachable("b"))
    with pytest.raises(Interrupted):
        retrying("pull", cancel)(flaky)
    assert flaky.calls == 1


def test_an_unknown_policy_is_a_bug_that_shows() -> None:
    with pytest.raises(KeyError):
        retrying("hope", threading.Event())


def test_none_is_one_attempt() -> None:
    flaky = Flaky(Unreachable("a"))
    with pytest.raises(OrchError):
        retrying("none", threading.Event())(flaky)
    assert flaky.calls == 1
