"""When and how often something that failed is tried again: named policies, one place.

Only what cannot have happened is repeated: no connection. What may have happened
(OutcomeUnknown) is looked at again by the caller, and what failed stays failed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt
from tenacity.wait import wait_random_exponential

from orchestrator.errors import AuthRefused, HostKeyWrong, Interrupted, Unreachable
from orchestrator.run.policies import POLICIES


def retryable(error: BaseException) -> bool:
    """Whether the same call may help: no session could be had, and not because we were refused."""
    return isinstance(error, Unreachable) and not isinstance(error, HostKeyWrong | AuthRefused)


Told = Callable[[BaseException, int, float], None]  # error, attempt that failed, seconds to wait


def retrying(
    policy: str,
    cancel: threading.Event,
    tell: Told | None = None,
    sleep: Callable[[float], bool] | None = None,
) -> Retrying:
    """The tenacity object of a named policy. A set `cancel` ends the wait with Interrupted.

    `sleep` waits and returns whether it was cancelled meanwhile; tests pass their own.
    """
    known = POLICIES[policy]
    pause = sleep or cancel.wait

    def wait(seconds: float) -> None:
        if pause(seconds):
            raise Interrupted("cancelled while waiting to try again")

    def before(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        if tell is not None and error is not None:
            tell(error, state.attempt_number, state.upcoming_sleep)

    return Retrying(
        retry=retry_if_exception(retryable),
        stop=stop_after_attempt(known.attempts),
        wait=wait_random_exponential(multiplier=known.first, max=known.most),
        sleep=wait,
        before_sleep=before,
        reraise=True,
    )
