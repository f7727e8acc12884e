"""orch as a library: the plan of a playbook, surveyed twice over the same connections."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import yaml

from benchmarks.workers import speak
from orchestrator.hosts.pool import Pool
from orchestrator.hosts.reader import Answers, read
from orchestrator.plan.build import build
from orchestrator.plan.decide import settled
from orchestrator.redact import Redactor
from orchestrator.run.survey import survey
from orchestrator.run.world import LiveWorld, Reads
from orchestrator.spec.playbook import PlaybookFile
from orchestrator.spec.resolve import load_cluster


def main(folder: Path, playbook: Path) -> None:
    cluster = load_cluster(folder / "cluster.yaml")
    steps = build(cluster, PlaybookFile.model_validate(yaml.safe_load(playbook.read_text())))
    pool = Pool(cluster.hosts, Redactor().scrub)

    def reader(wanted: Reads) -> Mapping[str, Answers]:
        reading = read(pool, wanted)
        if reading.errors:
            raise next(iter(reading.errors.values()))
        return reading

    def once() -> int:
        decision = survey(steps, LiveWorld(cluster.hosts, reader))
        if decision.problems or decision.missing:
            raise RuntimeError(next(iter(decision.problems.values()), "something was not read"))
        return 0 if settled(decision) else len(decision.plan.changes)

    speak(once)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
