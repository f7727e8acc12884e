"""Draws the cables of the examples for their guides: what is plugged where, with the addresses that orch gives.

python scripts/cables.py            # write docs/cables-*.svg
python scripts/cables.py --check    # exit 1 if one of them is not as it would be drawn
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from xml.sax.saxutils import escape

from orchestrator.network.fabric import Fabric, Segment
from orchestrator.network.topology import plan_fabric
from orchestrator.spec.models import Cluster
from orchestrator.spec.resolve import load_inventory

ROOT = Path(__file__).resolve().parents[1]
# drawing → the inventory below examples/ that it shows, and the guide that shows it
DRAWN = {
    "pair": ("two-sparks/inventory.yaml", "pair"),
    "two-cables": ("cables/two-cables.yaml", "pair"),
    "ring": ("ring-of-three/inventory.yaml", "ring"),
    "ring-of-four": ("cables/ring-of-four.yaml", "ring"),
    "chain": ("cables/chain.yaml", "ring"),
    "switch": ("switch/inventory.yaml", "switch"),
    "mixed": ("mixed/inventory.yaml", "mixed"),
}
LINE, PAD, WIDTH, GAP, APART = 17, 12, 270, 150, 70  # pixels
STYLE = """
  text { font: 13px ui-monospace, SFMono-Regular, Menlo, monospace; fill: #1f2937; }
  .name { font-weight: bold; } .dim { fill: #6b7280; } .label { font-size: 12px; fill: #1d4ed8; }
  .box { fill: #f9fafb; stroke: #374151; } .switch { fill: #eef2ff; stroke: #4338ca; }
  .cable { stroke: #1d4ed8; stroke-width: 3; } .way { stroke: #9ca3af; stroke-width: 2; stroke-dasharray: 6 5; }
  .under { fill: #ffffff; stroke: none; }
"""


@dataclass(frozen=True)
class Box:
    """A host or a switch with its lines of text; x and y are its middle."""

    name: str
    lines: tuple[str, ...]
    x: float
    y: float
    kind: str = "box"

    @property
    def height(self) -> int:
        return LINE * (len(self.lines) + 1) + 2 * PAD

    def svg(self) -> Iterator[str]:
        left, top = self.x - WIDTH / 2, self.y - self.height / 2
        yield (
            f'<rect class="{self.kind}" x="{left:.0f}" y="{top:.0f}" width="{WIDTH}"'
            f' height="{self.height}" rx="8"/>'
        )
        for place, line in enumerate((self.name, *self.lines)):
            style = ' class="name"' if place == 0 else ' class="dim"' if place == 1 else ""
            y = top + PAD + LINE * (place + 0.75)
            yield f'<text{style} x="{left + PAD:.0f}" y="{y:.0f}">{escape(line)}</text>'


def drawing(cluster: Cluster) -> str:
    """The whole picture."""
    fabric = plan_fabric(cluster)
    boxes = {box.name: box for box in _placed(cluster, fabric)}
    parts = [line for cable in _cables(fabric, boxes) for line in cable]
    if not fabric.segments:
        parts += _your_network(list(boxes.values()))
    parts += [line for box in boxes.values() for line in box.svg()]
    edge = 20 + WIDTH / 2
    width = max(box.x for box in boxes.values()) + edge
    height = max(box.y + box.height / 2 for box in boxes.values()) + (
        70 if not fabric.segments else 20
    )
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}"'
            f' width="{width:.0f}" role="img">',
            f"<title>Cables of {escape(', '.join(cluster.hosts))}</title>",
            f"<style>{STYLE}</style>",
            '<rect width="100%" height="100%" fill="#ffffff"/>',
            *parts,
            "</svg>\n",
        )
    )


def _placed(cluster: Cluster, fabric: Fabric) -> Iterator[Box]:
    """Two in a row, more in a circle; with a switch in a row below it."""
    lines = {name: _lines(cluster, fabric, name) for name in cluster.hosts}
    tallest = LINE * (max(map(len, lines.values())) + 1) + 2 * PAD
    switches = sorted({one.switch for one in fabric.segments if one.switch is not None})
    middle, count = 20 + WIDTH / 2, len(lines)
    if switches or count < 3:
        step = WIDTH + (40 if switches or not fabric.segments else GAP)
        across = middle + step * (count - 1) / 2
        for place, name in enumerate(switches):
            told = tuple(str(one.subnet) for one in fabric.segments if one.switch == name)
            lines_of = ("a subnet for each half", *told)
            yield Box(name, lines_of, across, 60 + place * 120, "switch")
        top = (180 + 120 * (len(switches) - 1) if switches else 20) + tallest / 2
        for place, (name, each) in enumerate(lines.items()):
            yield Box(name, each, middle + place * step, top)
        return
    radius = 230.0 if count == 3 else count * WIDTH / 3
    for place, (name, each) in enumerate(lines.items()):
        angle = 2 * math.pi * place / count - math.pi / 2
        x, y = radius * math.cos(angle) * 1.25, radius * math.sin(angle)
        yield Box(name, each, middle + radius * 1.25 + x, 20 + tallest / 2 + radius + y)


def _lines(cluster: Cluster, fabric: Fabric, name: str) -> tuple[str, ...]:
    host = cluster.hosts[name]
    told = [f"{host.kind.name} at {host.address}"]
    for segment, member in fabric.of_host(name):
        told.append(f"{member.port} half {segment.half + 1}  {member.interface or 'link-local'}")
        told.append(f"   {member.netdev}")
    return tuple(told)


def _cables(fabric: Fabric, boxes: Mapping[str, Box]) -> Iterator[list[str]]:
    beside: dict[frozenset[str], int] = {}
    for name in dict.fromkeys(one.link for one in fabric.segments):
        halves = [one for one in fabric.segments if one.link == name]
        first = halves[0]
        if first.switch is not None:
            for member in first.members:
                yield [_line(boxes[member.host], boxes[first.switch])]
            continue
        one, other = (boxes[member.host] for member in first.members)
        pair = frozenset((one.name, other.name))
        many = sum(_between(each) == pair for each in fabric.segments if each.half == first.half)
        beside[pair] = beside.get(pair, -1) + 1
        down = APART * (beside[pair] - (many - 1) / 2)  # several between the same two
        one, other = replace(one, y=one.y + down), replace(other, y=other.y + down)
        yield [
            _line(one, other),
            *_label(first, halves, (one.x + other.x) / 2, (one.y + other.y) / 2),
        ]


def _between(segment: Segment) -> frozenset[str]:
    return frozenset(member.host for member in segment.members)


def _line(one: Box, other: Box, style: str = "cable") -> str:
    return f'<line class="{style}" x1="{one.x:.0f}" y1="{one.y:.0f}" x2="{other.x:.0f}" y2="{other.y:.0f}"/>'


def _label(first: Segment, halves: Sequence[Segment], x: float, y: float) -> Iterator[str]:
    """Which port to which, and a subnet for each half, on white."""
    ports = " — ".join(member.port for member in first.members)
    told = [ports, *(str(half.subnet) for half in halves)]
    width, height = 130, 15 * len(told) + 8
    yield (
        f'<rect class="under" x="{x - width / 2:.0f}" y="{y - height / 2:.0f}" width="{width}"'
        f' height="{height}"/>'
    )
    for place, text in enumerate(told):
        yield (
            f'<text class="label" text-anchor="middle" x="{x:.0f}"'
            f' y="{y - height / 2 + 15 * (place + 1):.0f}">{escape(text)}</text>'
        )


def _your_network(boxes: Sequence[Box]) -> Iterator[str]:
    """No link at all: only the network by which the hosts are reached."""
    y = max(box.y + box.height / 2 for box in boxes) + 35
    for box in boxes:
        yield f'<line class="way" x1="{box.x:.0f}" y1="{box.y:.0f}" x2="{box.x:.0f}" y2="{y:.0f}"/>'
    yield f'<line class="way" x1="{boxes[0].x:.0f}" y1="{y:.0f}" x2="{boxes[-1].x:.0f}" y2="{y:.0f}"/>'
    middle = sum(box.x for box in boxes) / len(boxes)
    yield (
        f'<text class="dim" text-anchor="middle" x="{middle:.0f}" y="{y + 20:.0f}">'
        "your network: no link in the inventory</text>"
    )


def path(name: str) -> Path:
    return ROOT / "docs" / f"cables-{name}.svg"


def drawn(name: str) -> str:
    return drawing(load_inventory(ROOT / "examples" / DRAWN[name][0]))


def main() -> int:
    stale = []
    for name in DRAWN:
        text = drawn(name)
        if "--check" not in sys.argv:
            path(name).write_text(text, encoding="utf-8")
        elif not path(name).exists() or path(name).read_text(encoding="utf-8") != text:
            stale.append(path(name).name)
    if stale:
        sys.stderr.write(f"run scripts/cables.py: {', '.join(stale)}\n")
    return int(bool(stale))


if __name__ == "__main__":
    sys.exit(main())
