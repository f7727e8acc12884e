"""Which networks docker has, while other labs come and go."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.errors import CommandFailed
from orchestrator.lab.docker import Docker
from orchestrator.lab.up import docker_networks


class Engine(Docker):
    """An engine some of whose networks go right after they were listed."""

    def __init__(self, *lists: str) -> None:
        super().__init__()
        self.lists = [one.split() for one in lists]

    def lines(self, *words: str) -> list[str]:
        return self.lists.pop(0) if len(self.lists) > 1 else self.lists[0]

    def inspect(self, kind: str, *names: str) -> list[dict[str, Any]]:
        if "gone" in names:
            raise CommandFailed("docker network inspect: network gone not found")
        return [{"IPAM": {"Config": [{"Subnet": f"10.0.{name}.0/24"}]}} for name in names]


def test_a_network_that_goes_between_the_list_and_the_look() -> None:
    assert docker_networks(Engine("1 gone 2", "1 2 3")) == [
        f"10.0.{number}.0/24" for number in (1, 2, 3)
    ]


def test_an_engine_that_can_never_tell_is_told() -> None:
    with pytest.raises(CommandFailed, match="gone not found"):
        docker_networks(Engine("gone"))
