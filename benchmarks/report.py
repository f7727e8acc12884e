"""From measurements to one Markdown table of ratios, and into docs/performance.md between its marks."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.contestants import Floor, FramedFloor, Orch, OrchWarm

BEGIN, END = "<!-- begin: make bench -->", "<!-- end: make bench -->"
FLOOR = Floor.name
HEAD = ("what", "hosts", "who", "runs", "wall s (min–max)", "× floor", "client CPU s", "× floor",
        "sshd CPU s", "memory MiB")  # fmt: skip


def markdown(found: Mapping[str, Any]) -> str:
    """Everything that was measured, as one table, with the machine above it and the rest below."""
    parts = [_machine(found["machine"])]
    if "nothing" in found:
        parts += [_nothing(found["nothing"]), _goals(found["nothing"])]
        parts += [_round_trips(found["nothing"])]
    rows = [*_help_rows(found.get("speed", {})), *_plan_rows(found.get("speed", {}))]
    rows += [*_up_rows(found.get("up", {})), *_fabric_plan_rows(found.get("fabric", {}))]
    if rows:
        parts.append(_table(("what", "measured", "compared with", "ratio or goal"), rows))
    parts.append(_fabric(found.get("fabric", {}).get("pairs", {})))
    return "\n\n".join(part for part in parts if part)


def write(path: Path, text: str) -> None:
    """Replace what is between the marks; the words around it are written by people."""
    page = path.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark:
        raise ValueError(f"{path} has no place for the table: {BEGIN} … {END}")
    path.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _machine(machine: Mapping[str, str]) -> str:
    return "Machine: " + "; ".join(f"{name} {value}" for name, value in machine.items()) + "."


# --- nothing to do ------------------------------------------------------------------------------


def _nothing(found: Mapping[str, Any]) -> str:
    if "missing" in found:
        return f"Nothing to do on many hosts: not measured, {found['missing']}."
    rows = [row for one in found["rounds"] for row in _round_rows(one)]
    return _table(HEAD, rows)


def _round_rows(round_: Mapping[str, Any]) -> Iterator[list[str]]:
    base = {
        phase: _medians(samples)
        for series in round_["series"]
        if series["name"] == FLOOR
        for phase, samples in series["samples"].items()
    }
    for phase in ("cold", "warm"):
        what = f"nothing to do, {phase}" + (", heavy login rc" if round_["heavy_rc"] else "")
        for series in round_["series"]:
            samples = series["samples"].get(phase, [])
            if samples:
                cells = _cells(samples, base.get(phase, {}), round_["limit_s"], series["right"])
                yield [what, str(round_["hosts"]), series["name"], str(len(samples)), *cells]
        if phase == "cold":
            for name, why in round_["given_up"].items():
                yield [what, str(round_["hosts"]), name, "0", f"not asked: {why}", *["–"] * 5]


def _goals(found: Mapping[str, Any]) -> str:
    """The goal: at most 1.5 times a bare loop that sends the same program; that is the second floor."""
    rows = []
    for round_ in found.get("rounds", ()):
        by_name = {one["name"]: one["samples"] for one in round_["series"] if one["right"]}
        for name, phase in ((Orch.name, "cold"), (OrchWarm.name, "cold"), (OrchWarm.name, "warm")):
            base, mine = by_name.get(FramedFloor.name, {}), by_name.get(name, {})
            if not round_["heavy_rc"] and phase in base and phase in mine:
                one, other = _medians(mine[phase]), _medians(base[phase])
                walls, cpus = ((one[n], other[n]) for n in ("wall_s", "client_cpu_s"))
                cells = (str(round_["hosts"]), f"{name}, {phase}", _ratio(*walls), _ratio(*cpus))
                rows.append(cells)
    head = ("hosts", "against a bare loop with the same program", "wall", "client CPU")
    return _table(head, rows) if rows else ""


def _medians(samples: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    names = ("wall_s", "client_cpu_s", "server_cpu_s", "peak_bytes")
    return {name: statistics.median(one[name] for one in samples) for name in names}


def _cells(
    samples: Sequence[Mapping[str, Any]], base: Mapping[str, float], limit: float, right: bool
) -> list[str]:
    """Wall, ratio, CPU, ratio, sshd's CPU, memory; or why there are none."""
    wrong = next((one["error"] for one in samples if one["error"]), "")
    if wrong:
        return [f"failed: {_one_line(wrong)}", *["–"] * 5]
    if any(one["over"] for one in samples):
        return [f"over {limit:.0f}", f"> {_ratio(limit, base.get('wall_s'))}", *["–"] * 4]
    if not right or any(one["changed"] != 0 for one in samples):
        return ["wrong: it changed something, or did not say", *["–"] * 5]
    mid = _medians(samples)
    walls = [one["wall_s"] for one in samples]
    spread = f" ({_number(min(walls))}–{_number(max(walls))})" if len(walls) > 1 else ""
    return [
        _number(mid["wall_s"]) + spread,
        _ratio(mid["wall_s"], base.get("wall_s")),
        _number(mid["client_cpu_s"]),
        _ratio(mid["client_cpu_s"], base.get("client_cpu_s")),
        _number(mid["server_cpu_s"]),
        f"{mid['peak_bytes'] / 2**20:.0f}",
    ]


def _round_trips(found: Mapping[str, Any]) -> str:
    """One host, from the slope of the wall time against a delay that is put in."""
    rows = [
        [name, *(f"{phases[p]:.1f}" if p in phases else "–" for p in ("cold", "warm"))]
        for name, phases in found.get("round_trips", {}).items()
        if phases
    ]
    notes = [
        f"{name}: left out, {_one_line(why)}" for name, why in found.get("refused", {}).items()
    ]
    versions = ", ".join(f"{name} {one}" for name, one in found.get("versions", {}).items())
    if versions:
        notes.append(f"Peers: {versions}.")
    table = _table(("round trips a host", "cold", "warm"), rows) if rows else ""
    return "\n\n".join(part for part in (table, *notes) if part)


# --- start-up, plan, up -------------------------------------------------------------------------


def _help_rows(speed: Mapping[str, Any]) -> Iterator[list[str]]:
    if "help" in speed:
        ours, bare = (
            statistics.median(speed["help"][k]) for k in ("orch --help", "python -c pass")
        )
        yield [
            *("`orch --help`", f"{ours * 1000:.0f} ms", f"`python -c pass` {bare * 1000:.0f} ms"),
            f"{ours / bare:.1f}×; goal: under 150 ms",
        ]


def _plan_rows(speed: Mapping[str, Any]) -> Iterator[list[str]]:
    plan = speed.get("plan", {})
    what = "`orch plan`, 1,000 hosts, 200 deployments"
    if "missing" in plan:
        yield [what, f"failed: {_one_line(plan['missing'])}", "", ""]
    elif plan:
        parts = ", ".join(
            f"{name} {plan[name]:.1f}" for name in ("load", "build", "survey", "show")
        )
        runs = plan["runs_total"]
        yield [
            what,
            f"{plan['total']:.1f} s ({min(runs):.1f}–{max(runs):.1f}; {parts}), "
            f"{plan['cpu']:.1f} s of CPU, {plan['peak_mib']:.0f} MiB",
            f"{plan['steps']:.0f} steps, {plan['scripts_a_host']:.0f} script a host",
            "goal: under 3 s and 300 MiB",
        ]


def _up_rows(up: Mapping[str, Any]) -> Iterator[list[str]]:
    what = "`orch up` of the demo's cluster"
    if "missing" in up:
        yield [what, f"not measured: {_one_line(up['missing'])}", "", ""]
    elif up:
        runs = up["runs"]
        ours, hand = (statistics.median(runs[name]) for name in ("orch up", "by hand"))
        again = statistics.median(runs["orch up again"])
        yield [
            *(what, f"{_span(runs['orch up'])} s", f"by hand {_span(runs['by hand'])} s"),
            f"{100 * (ours / hand - 1):+.1f} %; goal: under +5 %",
        ]
        yield ["`orch up` again, nothing to do", f"{again:.1f} s", "", ""]


# --- the fabric ---------------------------------------------------------------------------------


def _fabric(pairs: Mapping[str, Any]) -> str:
    """All pairs in rounds against one by one; the ratio that there could be at most is pairs to rounds."""
    if "missing" in pairs:
        return f"All pairs of lab hosts: not measured, {_one_line(pairs['missing'])}."
    rows = []
    for one in pairs.get("rows", ()):
        rounds, alone = one["in rounds"], one["one by one"]
        most = one["pairs"] / (one["hosts"] - 1)
        cells = (one["hosts"], one["pairs"], one["hosts"] - 1, f"{rounds:.1f}", f"{alone:.1f}")
        rows.append([*map(str, cells), f"{alone / rounds:.1f}", f"{most:.1f}"])
    head = ("hosts", "pairs", "rounds", "in rounds, s", "one by one, s", "times as fast", "at most")
    return _table(head, rows) if rows else ""


def _fabric_plan_rows(fabric: Mapping[str, Any]) -> Iterator[list[str]]:
    plan = fabric.get("plan", {})
    if "missing" in plan:
        yield ["all-pairs plan", f"failed: {_one_line(plan['missing'])}", "", ""]
    elif plan:
        parts = ", ".join(f"{name} {plan[name]:.1f}" for name in ("load", "build", "survey"))
        yield [
            f"plan of all pairs, {plan['hosts']} hosts on a switch",
            f"{plan['total']:.1f} s ({parts}), {plan['cpu']:.1f} s of CPU, {plan['peak_mib']:.0f} MiB",
            f"{plan['pairs']} pairs, {plan['steps']} steps, {plan['scripts_a_host']:.0f} script a host",
            f"{plan['rounds']} rounds; goal: {plan['hosts'] - 1}",
        ]


def _span(values: Sequence[float]) -> str:
    """The median, and from the least to the most."""
    middle = f"{statistics.median(values):.1f}"
    return f"{middle} ({min(values):.1f}–{max(values):.1f})" if len(values) > 1 else middle


def _number(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.1f}"


def _ratio(value: float, base: float | None) -> str:
    return f"{value / base:.1f}" if base else "–"


def _one_line(text: str) -> str:
    return " ".join(text.split()).replace("|", "/")[-160:]
