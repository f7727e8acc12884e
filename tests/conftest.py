"""For all tiers: no test fails because the machine is busy, and no lab outlives its tests."""

from __future__ import annotations

from string import ascii_letters
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "orch", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("orch")

_workers: list[int] = []  # their process ids, which their labs are named by


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_newgateway(gateway: Any) -> None:
    _workers.append(gateway._rinfo().pid)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Workers are ended soon after an interrupt, with their labs still there."""
    if not _workers:
        return
    from orchestrator.lab.down import take_down
    from orchestrator.lab.home import Home
    from orchestrator.lab.progress import Progress

    home = Home()
    for name in sorted(path.name for path in (home.path / "labs").glob("*")):
        if name.strip(ascii_letters) in map(str, _workers):
            take_down(home, name, Progress(print))
