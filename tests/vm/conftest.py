"""Two virtual machines for all tests of a session, removed whatever happens."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.lab.conftest import Vms, running_vms


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest file first: two run at once."""
    items.sort(key=lambda item: item.path.stem != "test_verify")


@pytest.fixture(scope="session")
def vms(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vms]:
    """A cable between their p1; named by this process, so that test runs don't meet."""
    folder = tmp_path_factory.mktemp("vms")
    with running_vms(folder, f"v{os.getpid()}", ("spark-1", "spark-2"), "pair") as up:
        yield up


@pytest.fixture(scope="module", autouse=True)
def rails_as_they_come(vms: Vms) -> None:
    """What one file's tests had written of the network is not there for the next."""
    vms.forget_network()
