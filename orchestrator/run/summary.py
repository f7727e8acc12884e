"""What stays on the screen when a run has ended: where to ask, or what failed and what to type."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.text import Text

from orchestrator.contracts import Event
from orchestrator.run.record import Record, StepRecord, span

CHAT = "/v1/chat/completions"
MAX_FAILURES = 20  # the rest is in `orch runs show`


def summary(record: Record) -> list[Text]:
    """The closing lines of a run, without the tree of stages."""
    lines = [Text()]
    lines.extend(_note(note) for note in record.notes)
    lines.extend(_failures(record))
    lines.extend(_served(record))
    lines.append(_verdict(record))
    lines.extend(_after_failure(record))
    return lines


def _note(note: Event) -> Text:
    """A warning, or a word of what was found, as what the first answer went over."""
    told = Text.assemble(_at(note.host), note.text)
    if note.data.get("severity") == "warning":
        return Text.assemble(("warning: ", "yellow"), told)
    return told


def _verdict(record: Record) -> Text:
    counts = record.counts()
    changed = counts.get("changed", 0)
    took, title = span(record.seconds), record.title
    if record.outcome == "done":
        steps = "1 step" if changed == 1 else f"{changed} steps"
        did = f"{steps} changed" if changed else "nothing to change"
        did = record.text if record.dry else did
        return Text.assemble(("✔ ", "bold green"), (title, "bold"), f"  {did}, {took}")
    failed = counts.get("failed", 0) + counts.get("refused", 0)
    parts = [f"{failed} failed"] if failed else []
    skipped = counts.get("skipped", 0)
    parts += [f"{skipped} skipped"] if skipped else []
    parts += [f"{changed} changed", took]
    outcome = record.outcome or "cut short"
    line = Text.assemble(("✘ ", "bold red"), (f"{title}: {outcome}", "bold"))
    line.append("  " + ", ".join(parts))
    if not failed and record.text not in ("", outcome):
        line.append(f"\n  {record.text}")
    return line


def _at(host: str | None) -> str:
    return f"{host}: " if host else ""


def _failures(record: Record) -> Iterator[Text]:
    failures, blamed = alike(record.failures), record.blamed()
    for steps in failures[:MAX_FAILURES]:
        yield from failure_lines(*steps)
        stopped = {one.id: one for step in steps for one in blamed[step.id]}
        if stopped:
            yield Text.assemble("  stopped   ", (_names([*stopped.values()]), "dim"))
    if len(failures) > MAX_FAILURES:
        yield Text(f"… and {len(failures) - MAX_FAILURES} more: orch runs show {record.run}")
    if failures:
        yield Text()


def alike(failures: Sequence[StepRecord]) -> list[list[StepRecord]]:
    """Steps of a host that failed for the same reason are one failure."""
    found: dict[tuple[str, ...], list[StepRecord]] = {}
    for step in failures:
        where = step.host or step.id
        found.setdefault((where, step.state, step.why, step.hint), []).append(step)
    return list(found.values())


def failure_lines(step: StepRecord, *alike: StepRecord) -> Iterator[Text]:
    """One failure: what, on which host, why, what to do, where the evidence is."""
    word = "refused" if step.state == "refused" else "failed"
    yield Text.assemble(
        (f"✘ {word}  ", "bold red"),
        (_names([step, *alike]), "bold"),
        f"  on {step.host}" if step.host else "",
    )
    why = step.why.strip().splitlines() or [step.error or "no reason was given"]
    yield Text.assemble("  why       ", why[0])
    for line in why[1:]:
        yield Text(f"            {line}")
    if step.hint:
        yield Text.assemble("  hint      ", (step.hint, "cyan"))
    for place in dict.fromkeys(one.evidence for one in (step, *alike) if one.evidence):
        yield Text(f"  evidence  {place}")


def _names(steps: Sequence[StepRecord]) -> str:
    shown = ", ".join(step.id for step in steps[:4])
    return shown if len(steps) <= 4 else f"{shown} and {len(steps) - 4} more"


def _served(record: Record) -> Iterator[Text]:
    for served in record.served:
        yield Text.assemble(
            ("● ", "green"),
            (str(served["deployment"]), "bold"),
            "  ",
            (str(served["url"]), "cyan underline"),
            f"  {served.get('model', '')}",
        )
        if served.get("answer"):
            yield Text.assemble("  it said   ", (" ".join(str(served["answer"]).split()), "italic"))
        yield Text(f"  {curl(served)}")
        yield Text()


def curl(served: Mapping[str, Any]) -> str:
    """A command line that asks the deployment, ready to paste."""
    url = str(served["url"]).rstrip("/") + str(served.get("path") or CHAT)
    if served.get("path") not in (None, "", CHAT) and not served.get("body"):
        return f"curl {shlex.quote(url)}"
    chat = {"model": served.get("model", ""), "messages": [{"role": "user", "content": "Hello"}]}
    body = str(served.get("body") or json.dumps(chat, ensure_ascii=False))
    words = ["curl", shlex.quote(url), "-H", "'Content-Type: application/json'"]
    if served.get("key"):
        words += ["-H", f'"Authorization: Bearer {served["key"]}"']
    return " ".join([*words, "-d", shlex.quote(body)])


def _after_failure(record: Record) -> Iterator[Text]:
    if record.hint:
        yield Text.assemble("  hint      ", (record.hint, "cyan"))
    if record.evidence:
        yield Text(f"  evidence  {record.evidence}")
    if record.running:
        ranks = (f"{one['deployment']} on {one['host']}" for one in record.running)
        yield Text(f"  still up  {', '.join(ranks)}")
    for number, command in enumerate(record.then):
        yield Text.assemble("  next      " if number == 0 else "            ", (command, "bold"))
    if record.outcome != "done":
        yield Text.assemble("  the run   ", (f"orch runs show {record.run}", "dim"))
