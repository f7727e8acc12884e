"""Podman on real hosts: root's beside docker in one gang, and a user's own; each up, answering, looked at, down."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.conftest import SET_UP_SECONDS, Lab
from tests.lab.site import Site, changed

pytestmark = [pytest.mark.lab, pytest.mark.timeout(SET_UP_SECONDS)]

ROOTS, USERS = ("sudo", "podman"), ("podman",)
HEAD, WORKER = "orch-p-tiny-0", "orch-p-tiny-1"
# A user's container has a /proc of its own, which the kernel gives only to who sees a whole one already; a lab
# host's is read-only in parts.
FOR_A_USER = "mkdir -p /run/whole-proc; mount -t proc proc /run/whole-proc"
NO_MORE = "umount /run/whole-proc; loginctl disable-linger orch"


@pytest.fixture
def site(lab: Lab, tmp_path: Path) -> Iterator[Site]:
    one = Site(lab, tmp_path, "p")
    try:
        yield one
    finally:
        one.orch("down", rc=None)


def runtimes(site: Site, **said: str) -> None:
    """What the inventory says of its hosts."""
    text = (site.lab.dir / "inventory.yaml").read_text("utf-8")
    for host, more in said.items():
        name = host.replace("_", "-")
        assert f"{name}: {{kind: lab," in text
        text = text.replace(f"{name}: {{kind: lab,", f"{name}: {{kind: lab, {more},")
    site.write("inventory.yaml", text)


def without_image(lab: Lab, host: str, *podman: str) -> None:
    lab.run(host, [*podman, "rmi", "--force", "--all"])


def here(site: Site, host: str, *podman: str) -> list[str]:
    """Containers that a podman has."""
    words = [*podman, "ps", "-a", "--format", "{{.Names}}"]
    return site.lab.run(host, words).stdout.split()


def states(site: Site) -> dict[str, str]:
    """Rank → state, of a deployment that answers."""
    told = json.loads(site.orch("status", "--json").stdout)
    (tiny,) = told["deployments"]
    assert tiny["answers"], told
    return {rank["name"]: rank["state"] for rank in tiny["ranks"]}


RUNNING = {HEAD: "running", WORKER: "running"}


def test_a_gang_of_podman_and_docker(site: Site) -> None:
    runtimes(site, spark_1="runtime: podman")
    without_image(site.lab, "spark-1", *ROOTS)
    assert "sudo podman run -d" in site.orch("render", "--hosts", "spark-1").stdout
    first = changed(site.events("up"))
    assert "tiny/image/spark-1" in first  # from the host whose docker has it
    assert here(site, "spark-1", *ROOTS) == [HEAD]
    assert here(site, "spark-1", *USERS) == []
    assert set(site.ranks()) == {"spark-2"}  # docker's

    assert changed(site.events("up")) == []
    assert states(site) == RUNNING
    told = site.orch("logs", "tiny").stdout
    assert "spark-1 tiny/0 | " in told
    assert "spark-2 tiny/1 | " in told

    site.lab.run("spark-1", [*ROOTS, "kill", HEAD])
    assert "exited" in site.orch("status", rc=1).stdout
    assert "tiny/rank/0" in changed(site.events("up"))
    site.orch("down")
    assert here(site, "spark-1", *ROOTS) == []
    assert site.ranks() == {}


@pytest.fixture
def user(lab: Lab) -> Iterator[None]:
    """spark-2 as a host on which nobody ever was root."""
    lab.inside("spark-2", FOR_A_USER)
    without_image(lab, "spark-2", *USERS)
    yield
    lab.inside("spark-2", NO_MORE)


@pytest.mark.usefixtures("user")
def test_a_podman_of_roots_and_one_of_the_users(site: Site) -> None:
    runtimes(site, spark_1="runtime: podman", spark_2="runtime: podman, become: never")
    refused = site.orch("up", rc=4)
    assert "sudo loginctl enable-linger orch" in refused.stdout + refused.stderr
    site.lab.run("spark-2", ["sudo", "loginctl", "enable-linger", "orch"])
    first = changed(site.events("up"))
    assert "tiny/image/spark-2" in first  # from root's podman to the user's
    assert here(site, "spark-1", *ROOTS) == [HEAD]
    assert here(site, "spark-2", *USERS) == [WORKER]
    assert here(site, "spark-2", *ROOTS) == []
    assert changed(site.events("up")) == []
    assert states(site) == RUNNING
    site.orch("down")
    assert here(site, "spark-2", *USERS) == []
