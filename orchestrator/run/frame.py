"""One picture of a run, as lines that fit a terminal: pure, from a record, a time and a size."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from rich.text import Text

from orchestrator.run.layout import BAD, Group, Layout, idle, neighbours, quiet
from orchestrator.run.record import ENDED, Record, State, StepRecord, span

MANY_HOSTS = 8  # above, only steps that are under way or failed get a line of their own
SPIN_HZ = 8
STYLES: dict[State, str] = {
    "pending": "dim",
    "waiting": "dim",
    "running": "cyan",
    "changed": "green",
    "unchanged": "dim green",
    "failed": "bold red",
    "refused": "bold red",
    "skipped": "yellow",
    "pruned": "dim",
}


@dataclass(frozen=True)
class Glyphs:
    """What stands for each state, and for the bar; a terminal without UTF-8 gets ASCII."""

    icons: dict[State, str]
    spinner: str
    full: str
    empty: str
    dot: str


FANCY = Glyphs(
    {
        "pending": "·",
        "waiting": "·",
        "changed": "✔",
        "unchanged": "✔",
        "failed": "✘",
        "refused": "✘",
        "skipped": "↷",
        "pruned": " ",
    },
    spinner="⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏",
    full="━",
    empty="─",
    dot=" · ",
)
ASCII = Glyphs(
    {
        "pending": ".",
        "waiting": ".",
        "changed": "+",
        "unchanged": "=",
        "failed": "x",
        "refused": "x",
        "skipped": "-",
        "pruned": " ",
    },
    spinner="|/-\\",
    full="#",
    empty="-",
    dot=", ",
)


def glyphs_for(encoding: str) -> Glyphs:
    """Those that a terminal of this encoding can show."""
    return FANCY if encoding.lower().startswith("utf") else ASCII


@dataclass(frozen=True)
class Detail:
    """How much is told; the first of LEVELS that fits is taken."""

    done_steps: bool = False  # steps of a stage under way that have ended already
    logs: bool = False  # last log lines on lines of their own
    merged: bool = False  # stages that are over, or have not begun, share a line


LEVELS = (
    Detail(done_steps=True, logs=True),
    Detail(done_steps=True),
    Detail(),
    Detail(merged=True),
)


class Frame:
    """Draws one record at one time."""

    def __init__(
        self,
        record: Record,
        now: float,
        width: int,
        glyphs: Glyphs = FANCY,
        layout: Layout | None = None,
    ) -> None:
        self._record = record
        self._now = now
        self._width = max(20, width)
        self._glyphs = glyphs
        self._layout = layout or Layout(record)
        self._groups = self._layout.groups()

    def lines(self, height: int) -> list[Text]:
        """At most `height` lines; what is left out is counted, failures stay longest."""
        levels = LEVELS[2:] if self._layout.hosts > MANY_HOSTS else LEVELS
        found: list[Text] = []
        for detail in levels:
            found = self._all(detail, limit=None)
            if len(found) <= height:
                return found
        shown = sum(len(self._own_lines(group, LEVELS[-1])) for group in self._groups)
        room = height - (len(found) - shown) - 1  # the one that counts the rest
        return self._all(LEVELS[-1], limit=max(0, room))[:height]

    def final(self) -> list[Text]:
        """The stages alone, for the scrollback; neighbours with nothing to do, or not begun, on one line."""
        parts = neighbours(self._groups, idle)
        return [self._merged(one) if len(one) > 1 else self._stage_line(one[0]) for one in parts]

    def _all(self, detail: Detail, limit: int | None) -> list[Text]:
        lines = [self._head(), self._bar()]
        own: list[tuple[Group, list[Text]]] = [
            (group, self._own_lines(group, detail)) for group in self._groups
        ]
        kept = _limited(own, limit)
        for part in neighbours(self._groups, quiet if detail.merged else idle):
            if len(part) > 1:
                lines.append(self._merged(part))
                continue
            lines.append(self._stage_line(part[0]))
            lines.extend(kept.get(part[0].title, ()))
        dropped = sum(len(rows) for _, rows in own) - sum(len(rows) for rows in kept.values())
        if dropped:
            lines.append(Text(f"    … and {dropped} more", style="dim"))
        return lines

    def _head(self) -> Text:
        record = self._record
        title = f"orch {record.title}" if record.verb else record.run
        left = Text.assemble((title, "bold"), "  ", (record.run, "dim"))
        return self._row(left, span(self._elapsed()))

    def _elapsed(self) -> float:
        began = self._record.started
        return 0.0 if began is None else max(0.0, (self._record.ended or self._now) - began)

    def _bar(self) -> Text:
        counts = self._record.counts()
        total = sum(n for state, n in counts.items() if state != "pruned")
        over = sum(n for state, n in counts.items() if state in ENDED and state != "pruned")
        wide = max(10, min(40, self._width - 44))
        full = round(wide * over / total) if total else 0
        bar = Text.assemble(
            (self._glyphs.full * full, "green"), (self._glyphs.empty * (wide - full), "dim")
        )
        told = [f"{over} of {total} steps" if total else "looking at the hosts"]
        states: tuple[State, ...] = ("running", "failed", "refused", "skipped")
        told += [f"{counts[state]} {state}" for state in states if counts.get(state)]
        bar.append("  " + self._glyphs.dot.join(told))
        return self._row(bar)

    def _icon(self, state: State) -> str:
        if state == "running":
            spinner = self._glyphs.spinner
            return spinner[int(self._now * SPIN_HZ) % len(spinner)]
        return self._glyphs.icons[state]

    def _stage_line(self, group: Group) -> Text:
        state = group.state
        style = STYLES["changed"] if state == "unchanged" and not group.idle else STYLES[state]
        left = Text.assemble(
            (self._icon(state) + " ", style),
            (f"{group.title:<24}", "" if group.over or state == "running" else "dim"),
            " ",
            (self._glyphs.dot.join(self._told(group)), "dim"),
        )
        seconds = None if group.idle else group.seconds(self._now)
        return self._row(left, span(seconds) if seconds is not None else "")

    def _told(self, group: Group) -> Iterator[str]:
        if group.state == "waiting" and (needs := self._waits_for(group)):
            yield f"waits for {_few(needs)}"
            return
        if (lone := group.under_way_alone) is not None:
            where = lone.host if self._layout.hosts > 1 else None
            what = self._step_text(lone, inline_log=False).plain
            yield from (part for part in (where, what) if part)
            return
        hosts = len({step.host for step in group.steps if step.host})
        if hosts > 1:
            yield f"{hosts} hosts"
        if group.idle:
            yield "as it should be"
            return
        if group.over:
            yield from self._over(group)
            return
        words: tuple[tuple[str, tuple[State, ...]], ...] = (
            ("done", ("changed", "unchanged")),
            ("running", ("running",)),
            ("waiting", ("pending", "waiting")),
            ("failed", ("failed",)),
            ("refused", ("refused",)),
            ("skipped", ("skipped",)),
        )
        for word, states in words:
            if number := sum(group.counts[state] for state in states):
                yield f"{number} {word}"

    def _over(self, group: Group) -> Iterator[str]:
        """How the steps of a stage ended; a number only where they ended differently."""
        words = Counter(step.word for step in group.steps)
        if len(words) > 1:
            del words["passed"]  # a gate before a change is no news once the change was made
        plain = len(words) == 1 and group.counts["unchanged"] == len(group.steps)
        yield from (word if plain else f"{number} {word}" for word, number in words.items())

    def _waits_for(self, group: Group) -> list[str]:
        """Titles of the stages that are not over and hold what this one needs."""
        needs = self._layout.needs[group.title]
        return [one.title for one in self._groups if one.title in needs and not one.over]

    def _open(self, name: str) -> bool:
        step = self._record.steps.get(name)
        return step is not None and step.state not in ENDED

    def _own_lines(self, group: Group, detail: Detail) -> list[Text]:
        """Lines of single steps below their stage."""
        if group.over:
            return [self._step_line(one) for one in group.steps if one.state in BAD]
        if group.state == "waiting":
            return []
        if (lone := group.under_way_alone) is not None:
            return [self._log_line(lone, indent=4)] if lone.log else []
        lines: list[Text] = []
        steps = group.steps
        if detail.merged:  # some may be left out: not the failed ones
            steps = sorted(steps, key=lambda step: step.state not in BAD)
        for step in steps:
            if detail.done_steps or step.state == "running" or step.state in BAD:
                lines.append(self._step_line(step, inline_log=not detail.logs))
                if detail.logs and step.log and step.state == "running":
                    lines.append(self._log_line(step, indent=8))
        return lines

    def _log_line(self, step: StepRecord, indent: int) -> Text:
        return self._row(Text(" " * indent + step.log, style="dim italic"))

    def _step_line(self, step: StepRecord, inline_log: bool = True) -> Text:
        left = Text.assemble(
            "    ",
            (self._icon(step.state) + " ", STYLES[step.state]),
            f"{step.label:<20} ",
            self._step_text(step, inline_log),
        )
        end = step.ended if step.ended is not None else self._now
        took = span(max(0.0, end - step.started)) if step.started is not None else ""
        return self._row(left, took)

    def _step_text(self, step: StepRecord, inline_log: bool) -> Text:
        if step.state in BAD:
            return Text((step.why.splitlines() or [step.error])[0], style="red")
        if step.state in ("pending", "waiting"):
            needs = [name for name in step.needs if self._open(name)]
            return Text(f"waits for {_few(needs)}" if needs else step.why, style="dim")
        if step.state != "running":
            return Text(step.why or step.summary, style="dim")
        parts = [step.summary, step.why, step.log if inline_log else ""]
        return Text(self._glyphs.dot.join(part for part in parts if part))

    def _merged(self, part: list[Group]) -> Text:
        state: State = part[0].state if len({one.state for one in part}) == 1 else "changed"
        if not part[0].over:
            state = "waiting"
        names = ", ".join(group.title for group in part)
        left = Text.assemble(
            (self._icon(state) + " ", STYLES[state]), f"{len(part)} stages  ", (names, "dim")
        )
        return self._row(left)

    def _row(self, left: Text, right: str = "") -> Text:
        """One line of the terminal's width, `right` at its end."""
        room = self._width - len(right) - (1 if right else 0)
        left = Text(" ").join(left.split())
        left.no_wrap = True
        left.truncate(room, overflow="ellipsis", pad=bool(right))
        if right:
            left.append(f" {right}", style="dim")
        return left


def _few(names: list[str]) -> str:
    return ", ".join(names[:2]) + (f" and {len(names) - 2} more" if len(names) > 2 else "")


def _limited(own: list[tuple[Group, list[Text]]], limit: int | None) -> dict[str, list[Text]]:
    """At most `limit` lines of steps, stages with failures served first."""
    left = limit
    kept: dict[str, list[Text]] = {}
    for group, rows in sorted(own, key=lambda item: item[0].state not in BAD):
        take = rows if left is None else rows[:left]
        kept[group.title] = take
        left = None if left is None else left - len(take)
    return kept
