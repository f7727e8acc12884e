"""Makes README's moving picture of `orch up` from a real run's journal. Same journal, same bytes.

    python scripts/picture.py ~/.local/state/orch/runs/RUN.jsonl docs/up.svg

The frames are those that the live display draws; the last one, what stays on the screen, is also
what a viewer without animation shows. The clock in it is the run's; the picture is quicker.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import click
from rich.console import Console, Group
from rich.text import Text

from orchestrator.contracts import Event
from orchestrator.run.frame import FANCY, Frame
from orchestrator.run.journal import read_events
from orchestrator.run.record import Record, fold
from orchestrator.run.summary import summary

FRAME_SECONDS = 0.6
LAST_SECONDS = 6.0
GLYPHS = replace(FANCY, spinner="●")  # a still spinner; few fonts have braille
MARK = "<!--part-->"
# rich fills in the picture of one console; we keep its parts and stack them
PARTS = MARK.join(("{styles}", "{lines}", "{backgrounds}", "{matrix}", "{width} {height}"))
PAGE = """<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
text {{ font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; font-size: 20px;
line-height: 24.4px; white-space: pre; }}
{styles}
{moves}
@media (prefers-reduced-motion: reduce) {{ .frame {{ animation: none !important; }} }}
</style>
<defs>{lines}</defs>
<rect fill="#1b1b1f" stroke="rgba(255,255,255,0.3)" x="1" y="1" width="{inner_width}"
height="{inner_height}" rx="8"/>
{frames}
</svg>
"""


@dataclass(frozen=True)
class Still:
    """One frame as rich drew it."""

    styles: str
    lines: str
    backgrounds: str
    matrix: str
    width: float
    height: float


def moments(events: Sequence[Event], count: int) -> list[float]:
    """Times to draw, spread over the events rather than the clock, so that long waits are short."""
    times = [event.at for event in events]
    last = len(times) - 1
    picked = {times[round(last * number / count)] for number in range(1, count)}
    return sorted(picked - {times[-1]})


def frames(events: Sequence[Event], count: int, width: int, height: int) -> Iterator[list[Text]]:
    """What the terminal shows at each moment, and at last what stays."""
    whole = fold(events)
    typed = Text.assemble(("$ ", "bold green"), f"orch {whole.verb}")
    for moment in moments(events, count):
        record = fold(event for event in events if event.at <= moment)
        if record.steps:
            yield [typed, *Frame(record, moment, width, GLYPHS).lines(height - 2)]
    yield [typed, *_final(whole, width)]


def _final(record: Record, width: int) -> list[Text]:
    return [*Frame(record, record.at, width, GLYPHS).final(), *summary(record)]


def rows(lines: Sequence[Text], width: int) -> int:
    """Lines on the screen, long ones folded."""
    return sum(max(1, -(-line.cell_len // width)) for line in lines)


def still(lines: list[Text], number: int, width: int, height: int) -> Still:
    """One frame through rich's own SVG export."""
    console = Console(
        record=True, width=width, file=io.StringIO(), force_terminal=True, color_system="truecolor"
    )
    room = height - rows(lines, width)
    for line in lines:
        line.no_wrap, line.overflow = False, "fold"
    console.print(Group(*lines, *[Text()] * max(0, room)))
    svg = console.export_svg(title="", code_format=PARTS, unique_id=f"f{number}")
    styles, clips, backgrounds, matrix, size = svg.split(MARK)
    wide, high = (float(part) for part in size.split())
    return Still(styles, clips, backgrounds, matrix, wide, high)


def page(stills: Sequence[Still]) -> str:
    """All frames on top of each other; each is seen in its own time."""
    total = FRAME_SECONDS * (len(stills) - 1) + LAST_SECONDS
    moves, groups = [], []
    for number, one in enumerate(stills):
        last = number == len(stills) - 1
        begin = 100 * FRAME_SECONDS * number / total
        end = 100.0 if last else 100 * FRAME_SECONDS * (number + 1) / total
        before = "0% { opacity: 0; } " if number else ""
        after = "" if last else f" {end:.3f}% {{ opacity: 0; }}"
        moves.append(
            f".m{number} {{ opacity: {int(last)}; "
            f"animation: k{number} {total:.1f}s step-end infinite; }}\n"
            f"@keyframes k{number} {{ {before}{begin:.3f}% {{ opacity: 1; }}{after} }}"
        )
        groups.append(
            f'<g class="frame m{number}" transform="translate(9, 12)">'
            f"{one.backgrounds}{one.matrix}</g>"
        )
    width, height = max(one.width for one in stills), max(one.height for one in stills)
    text = PAGE.format(
        width=width,
        height=height,
        inner_width=width - 2,
        inner_height=height - 2,
        styles="\n".join(one.styles for one in stills),
        moves="\n".join(moves),
        lines="".join(one.lines for one in stills),
        frames="\n".join(groups),
    )
    return re.sub(r"[ \t]+\n", "\n", text)


def picture(events: Sequence[Event], count: int, width: int, height: int) -> str:
    """The whole SVG of a run."""
    drawn = list(frames(events, count, width, height))
    tallest = max(rows(lines, width) for lines in drawn)
    return page([still(lines, n, width, tallest) for n, lines in enumerate(drawn)])


@click.command()
@click.argument("journal", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("output", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--frames", "count", default=16, show_default=True, type=click.IntRange(min=2))
@click.option("--width", default=100, show_default=True)
@click.option("--height", default=24, show_default=True)
def main(journal: Path, output: Path, count: int, width: int, height: int) -> None:
    """Draw JOURNAL as an SVG."""
    events = [event for event in read_events(journal) if event is not None]
    if not events:
        raise click.ClickException(f"{journal} has no events")
    output.write_text(picture(events, count, width, height), encoding="utf-8")
    click.echo(f"{output}: {output.stat().st_size // 1024} KiB")


if __name__ == "__main__":
    main()
