"""`make bench`: measures, prints one table of ratios, and with `--write` puts it into docs/performance.md."""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import machine, namespace, peers, report, start_up
from benchmarks.nothing_to_do import ROUNDS, Round

ROOT = Path(__file__).parents[1]
PARTS = ("nothing", "speed", "up", "fabric")


def main() -> int:
    options = options_of()
    # Ended as politely as by Ctrl-C: the lab is taken down, folders are removed, the namespace ends.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    found: dict[str, Any] = {"machine": machine.describe()}
    if "nothing" in options.parts:
        found["nothing"] = _nothing_to_do(options.rounds, options.only, options.no_peers)
    if "speed" in options.parts:
        found["speed"] = start_up.measure()
    if "up" in options.parts:
        from benchmarks import up_overhead

        found["up"] = up_overhead.measure()
    if "fabric" in options.parts:
        from benchmarks import fabric

        found["fabric"] = fabric.measure(options.fabric_hosts)
    if options.raw:
        options.raw.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    table = report.markdown(found)
    print(table)
    if options.write:
        report.write(ROOT / "docs" / "performance.md", table)
    return 0


def options_of(words: Sequence[str] | None = None) -> argparse.Namespace:
    """What was asked for; the command line where no words are given."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "parts",
        nargs="*",
        type=_part,
        default=PARTS,
        help=f"{', '.join(PARTS)}; all if none is named",
    )
    parser.add_argument(
        "--write", action="store_true", help="put the table into docs/performance.md"
    )
    parser.add_argument("--raw", type=Path, help="write every sample to this file as JSON")
    parser.add_argument("--only", default="", help="contestants with one of A,B in their name")
    parser.add_argument("--no-peers", action="store_true", help="without pyinfra and Ansible")
    parser.add_argument(
        "--rounds", type=_rounds, default=ROUNDS, help="HOSTSxRUNS,…, e.g. 10x3,100x1 (h: heavy rc)"
    )
    parser.add_argument(
        "--fabric-hosts",
        type=_numbers,
        default=(2, 4, 8, 16),
        help="lab hosts of `fabric`: 2,4,8,16",
    )
    return parser.parse_args(words)


def _part(name: str) -> str:
    if name not in PARTS:
        raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(PARTS)}")
    return name


def _numbers(text: str) -> Sequence[int]:
    return [int(one) for one in text.split(",")]


def _rounds(text: str) -> Sequence[Round]:
    found = []
    for one in text.split(","):
        hosts, runs = one.rstrip("h").split("x")
        found.append(Round(int(hosts), int(runs), 60, heavy_rc=one.endswith("h")))
    return found


@contextmanager
def _farm_folder() -> Iterator[str]:
    """A folder that goes for certain: the namespace's last processes may still be writing as they die."""
    folder = tempfile.mkdtemp(prefix="orch-bench-", dir="/run")
    try:
        yield folder
    finally:
        end = time.monotonic() + 10
        while Path(folder).exists() and time.monotonic() < end:
            shutil.rmtree(folder, ignore_errors=True)
            time.sleep(0.1)


def _nothing_to_do(rounds: Sequence[Round], only: str, no_peers: bool) -> dict[str, Any]:
    why = namespace.missing()
    if why:
        return {"missing": why}
    programs = None if no_peers else peers.install()
    with _farm_folder() as folder:
        output = Path(folder) / "found.json"
        asked = {
            "rounds": [asdict(one) for one in rounds],
            "peers": str(programs) if programs else "",
            "only": only,
            "output": str(output),
            "farm": folder,
        }
        code = namespace.run_inside("benchmarks.nothing_to_do", [json.dumps(asked)])
        if code or not output.exists():
            sys.exit(f"the measurement ended with exit {code}")
        found: dict[str, Any] = json.loads(output.read_text(encoding="utf-8"))
    return {**found, "versions": peers.versions(programs) if programs else {}}
