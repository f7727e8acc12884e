"""The drawings of the guides are those of the examples' inventories today, and are what a browser can show."""

from __future__ import annotations

from pathlib import Path
from xml.dom import minidom

import pytest

from orchestrator.network.topology import plan_fabric
from orchestrator.spec.resolve import load_inventory
from scripts.cables import DRAWN, drawn, path

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", DRAWN)
def test_current(name: str) -> None:
    assert path(name).read_text(encoding="utf-8") == drawn(name), "run scripts/cables.py"


@pytest.mark.parametrize("name", DRAWN)
def test_every_host_cable_and_address_is_in_the_drawing(name: str) -> None:
    text = drawn(name)
    document = minidom.parseString(text)
    cluster = load_inventory(ROOT / "examples" / DRAWN[name][0])
    fabric = plan_fabric(cluster)
    lines = document.getElementsByTagName("line")
    cables = [one for one in lines if one.getAttribute("class") == "cable"]
    ends = sum(len(link.ends) for link in cluster.links if link.switch is not None)
    assert len(cables) == ends + sum(link.switch is None for link in cluster.links)
    assert all(host in text for host in cluster.hosts)
    for segment in fabric.segments:
        assert str(segment.subnet) in text
        assert all(str(one.interface) in text and one.netdev in text for one in segment.members)


@pytest.mark.parametrize("name", DRAWN)
def test_each_guide_shows_its_drawing(name: str) -> None:
    assert f"(cables-{name}.svg)" in (ROOT / "docs" / f"{DRAWN[name][1]}.md").read_text(
        encoding="utf-8"
    )
