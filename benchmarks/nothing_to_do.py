"""Twenty resources a host that are all as they should be: what it costs each contestant to find out."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks import farm as farms
from benchmarks import namespace
from benchmarks.arena import Arena, Phase, Series
from benchmarks.contestants import Contestant, contestants
from benchmarks.measure import Sample


@dataclass(frozen=True)
class Round:
    """So many hosts, so many runs of each contestant, each ended at a limit."""

    hosts: int
    runs: int
    limit_s: float
    heavy_rc: bool = False

    @property
    def name(self) -> str:
        return f"{self.hosts}{'-heavy' if self.heavy_rc else ''}"


# The whole bench ends in 15 minutes: a contestant that needed longer than SLOW_S is not asked again in a round,
# one that was ended at its limit is not asked with more hosts, and after BUDGET_S nobody is asked again.
SLOW_S = 10.0
BUDGET_S = 600.0
ROUNDS = (
    Round(10, 5, 60),
    Round(100, 3, 60),
    Round(500, 2, 60),
    Round(1, 5, 60),
    Round(10, 3, 60, heavy_rc=True),
)
ROUND_TRIP_RUNS = 5
FEW_S = 5.0


def play(
    arena: Arena, round_: Round, who: list[Contestant], expected: str, end: float
) -> list[Series]:
    """Interleaved: every contestant once, then every contestant again, while there is time."""
    arena.farm.settle(round_.hosts)
    arena.farm.login_rc(round_.heavy_rc)
    series = {one.name: Series(one.name) for one in who}
    for turn in range(round_.runs):
        for one in who:
            mine = series[one.name]
            if time.monotonic() > end or (turn and _slow(mine)):
                continue
            for phase, sample in arena.once(one, round_.hosts, round_.limit_s):
                mine.samples.setdefault(phase, []).append(sample)
                _say(round_.name, one.name, phase, sample)
            mine.right &= arena.farm.hashes(round_.hosts) == {expected}
    arena.farm.login_rc(heavy=False)
    return [one for one in series.values() if one.samples]


def _slow(series: Series) -> bool:
    """Took long, or could not run at all."""
    return any(one.wall_s > SLOW_S or one.error for one in series.samples.get("cold", ()))


def round_trips(arena: Arena, one: Contestant) -> dict[Phase, float]:
    """How much longer one host takes per second of round-trip time; a cold one adds TCP's own.

    The proxy answers the TCP handshake itself, so that one is added.
    """
    best: dict[int, dict[Phase, float]] = {farms.PORT: {}, farms.DELAYED_PORT: {}}
    for _ in range(ROUND_TRIP_RUNS):
        for port, found in best.items():
            for phase, sample in arena.once(one, 1, 120, port):
                if sample.error or sample.over:
                    return {}
                found[phase] = min(sample.wall_s, found.get(phase, sample.wall_s))
        if best[farms.DELAYED_PORT]["cold"] > FEW_S:
            break  # so many round trips that noise does not matter
    near, far = best[farms.PORT], best[farms.DELAYED_PORT]
    slope: dict[Phase, float] = {p: (far[p] - near[p]) / farms.ROUND_TRIP_S for p in near}
    return {p: count + (1 if p == "cold" else 0) for p, count in slope.items()}


def makes_it_so(arena: Arena, one: Contestant, expected: str) -> str:
    """From empty hosts each contestant must reach the same state and then report no change."""
    hosts = 1
    arena.farm.empty(hosts)
    for phase, sample in arena.once(one, hosts, 120, phases=("cold",)):
        if sample.error or sample.over:
            return sample.error or "over its limit"
        if phase == "cold" and not sample.changed:
            return "changed nothing on empty hosts"
        if one.applies and arena.farm.hashes(hosts) != {expected}:
            return "left another state than the hand-written program"
    arena.farm.settle(hosts)
    again = [sample.changed for _, sample in arena.once(one, hosts, 120, phases=("cold",))]
    return "" if set(again) == {0} else f"says {again} changes when there is nothing to do"


def _say(round_: str, name: str, phase: Phase, sample: Sample) -> None:
    text = f"{round_:>9} {name:34} {phase}: {sample.wall_s:7.2f} s, client {sample.client_cpu_s:6.2f} s"
    print(f"{text}, sshd {sample.server_cpu_s:6.2f} s {sample.error}", file=sys.stderr, flush=True)


def main(rounds: Sequence[Round], peers: Path | None, only: str, folder: Path) -> dict[str, Any]:
    """All rounds, as plain data. Inside the namespace; whoever started it removes the folder."""
    names = only.split(",")
    who = [one for one in contestants() if any(name in one.name for name in names)]
    farm = farms.start(folder, max(one.hosts for one in rounds))
    arena = Arena(farm, peers)
    farm.empty(1)
    farm.settle(1)
    (expected,) = farm.hashes(1)
    refused = {one.name: makes_it_so(arena, one, expected) for one in who}
    farm.empty(2)
    farm.settle(2)
    for name, why in refused.items():
        print(f"{name}: {why or 'right'}", file=sys.stderr, flush=True)
    able = [one for one in who if not refused[one.name]]
    return {
        "refused": {name: why for name, why in refused.items() if why},
        "rounds": all_rounds(arena, rounds, able, expected),
        "round_trips": {one.name: round_trips(arena, one) for one in able if one.own_round_trips},
    }


def all_rounds(
    arena: Arena, rounds: Sequence[Round], who: list[Contestant], expected: str
) -> list[dict[str, Any]]:
    """One after another; who was ended at a limit is not asked with more hosts."""
    found = []
    beyond: dict[str, Round] = {}
    end = time.monotonic() + BUDGET_S
    for round_ in rounds:
        given_up = {
            name: f"over {one.limit_s:.0f} s with {one.hosts} hosts"
            for name, one in beyond.items()
            if one.hosts < round_.hosts
        }
        able = [one for one in who if one.name not in given_up]
        series = play(arena, round_, able, expected, end)
        if time.monotonic() > end:
            done = {one.name for one in series}
            given_up |= {one.name: "out of time" for one in able if one.name not in done}
        found.append(
            {**asdict(round_), "series": [asdict(one) for one in series], "given_up": given_up}
        )
        if not round_.heavy_rc:
            over = [s.name for s in series for one in s.samples.get("cold", ()) if one.over]
            beyond = {**dict.fromkeys(over, round_), **beyond}
    return found


if __name__ == "__main__":
    if not namespace.inside():
        sys.exit("this module is started by benchmarks/run.py in a namespace of its own")
    options = json.loads(sys.argv[1])
    peers_folder = Path(options["peers"]) if options["peers"] else None
    asked = [Round(**one) for one in options["rounds"]]
    found = main(asked, peers_folder, options["only"], Path(options["farm"]))
    Path(options["output"]).write_text(json.dumps(found), encoding="utf-8")
