"""A cluster of a test on the lab's hosts: its files in a folder of its own, and `orch` as a user calls it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.lab.conftest import Lab

LLAMA = """\
version: 1
name: {name}
inventory: inventory.yaml
deployments:
  tiny: {{profile: lab-llama, hosts: [spark-1, spark-2], port: 8000, gate: {{rdma: "off"}}}}
"""
ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Site:
    """`orch` in a folder with inventory.yaml and cluster.yaml; its journal and evidence stay there too."""

    lab: Lab
    folder: Path
    name: str = "t"
    env: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for one in ("inventory.yaml", "id_ed25519", "known_hosts"):
            shutil.copy(self.lab.dir / one, self.folder / one)
        self.write("cluster.yaml", LLAMA.format(name=self.name))

    def write(self, path: str, text: str) -> Path:
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        return target

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "orchestrator.cli", *words]

    @property
    def environment(self) -> dict[str, str]:
        state = {"XDG_STATE_HOME": str(self.folder / "state"), "PYTHONPATH": str(ROOT)}
        return {**os.environ, **state, **self.env}

    def orch(
        self, *words: str, rc: int | None = 0, timeout: float = 240
    ) -> subprocess.CompletedProcess[str]:
        """Run a verb; `rc` is the exit code that it must have (None: any)."""
        done = subprocess.run(
            self.command(*words),
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        if rc is not None and done.returncode != rc:
            raise AssertionError(
                f"orch {' '.join(words)}: exit {done.returncode}, not {rc}\n{told(done.stdout)}{done.stderr}"
            )
        return done

    @contextmanager
    def running(self, *words: str) -> Iterator[subprocess.Popen[str]]:
        """A verb in the background, its events as JSON lines on stdout; killed at the end if it still runs."""
        with subprocess.Popen(
            self.command(*words),
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def events(self, *words: str, rc: int = 0, timeout: float = 240) -> list[dict[str, Any]]:
        """A verb's events."""
        done = self.orch(*words, "--json", rc=rc, timeout=timeout)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def ranks(self, deployment: str = "tiny", hosts: Sequence[str] = ()) -> Mapping[str, str]:
        """Host → id of the container of the deployment, as docker says there (on all hosts if not said)."""
        found = {}
        for host in hosts or self.lab.hosts:
            label = f"label=orch.deployment={deployment}"
            cluster = f"label=orch.cluster={self.name}"
            argv = ["docker", "ps", "-aq", "--no-trunc", "--filter", label, "--filter", cluster]
            ids = self.lab.run(host, argv).stdout.split()
            if ids:
                found[host] = ids[0]
        return found


def told(output: str) -> str:
    """A verb's output for a reader of a failed test: of events only those that tell what went wrong."""
    plain = (
        '"kind": "plan"',
        '"kind": "step-started"',
        '"kind": "step-done"',
        '"kind": "step-progress"',
    )
    return "".join(
        line for line in output.splitlines(keepends=True) if not any(one in line for one in plain)
    )


def changed(events: Sequence[Mapping[str, Any]]) -> list[str]:
    """Steps that changed something, in order."""
    return [
        str(event["step"])
        for event in events
        if event["kind"] == "step-done" and event.get("data", {}).get("changed")
    ]


def events_of(process: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    """The events of a running verb, as they come."""
    if process.stdout is None:
        raise TypeError("stdout is not piped")
    for line in process.stdout:
        yield json.loads(line)
