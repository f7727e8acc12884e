"""The container's own health check: healthy once up, unhealthy when the engine freezes, and nothing restarts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.flags import flags
from tests.lab.conftest import SET_UP_SECONDS, Lab
from tests.lab.site import Site, changed

pytestmark = [pytest.mark.lab, pytest.mark.timeout(SET_UP_SECONDS)]


@pytest.fixture
def site(lab: Lab, tmp_path: Path) -> Iterator[Site]:
    one = Site(lab, tmp_path, "h")
    try:
        yield one
    finally:
        one.orch("down", rc=None)


def health(site: Site, host: str, rank: str) -> str:
    form = "{{if .State.Health}}{{.State.Health.Status}}{{end}} {{.RestartCount}}"
    return site.lab.run(host, ["docker", "inspect", "--format", form, rank]).stdout.strip()


def becomes(site: Site, rank: str, wanted: str, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while (now := health(site, "spark-1", rank)) != f"{wanted} 0":
        assert time.monotonic() < deadline, now
        time.sleep(1)


def test_health_is_shown_and_restarts_nothing(site: Site) -> None:
    site.orch("up")
    ranks = site.ranks()
    head = ranks["spark-1"]
    becomes(site, head, "healthy", 60)
    assert health(site, "spark-2", ranks["spark-2"]) == "0"
    assert " healthy" in site.orch("status").stdout
    assert changed(site.events("up")) == []

    pid = site.lab.run("spark-1", ["docker", "inspect", "--format", "{{.State.Pid}}", head]).stdout
    figures = flags("docker")["health"]
    most = figures["retries"] * (figures["interval_s"] + figures["timeout_s"]) + 30
    site.lab.inside("spark-1", f"kill -STOP {pid}")
    try:
        becomes(site, head, "unhealthy", most)
        shown = site.orch("status", rc=1).stdout
    finally:
        site.lab.inside("spark-1", f"kill -CONT {pid}")
    assert "unhealthy" in shown
    assert site.ranks() == ranks
    becomes(site, head, "healthy", 60)
    site.orch("status")
