"""Signals to a real `orch` whose step goes on for as long as the test wants."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

FILES = {
    "inventory.yaml": "version: 1\nhosts: {here: {kind: gpu-host, address: local, become: never}}\n",
    "cluster.yaml": "version: 1\nname: t\ninventory: inventory.yaml\n",
    "playbooks/slow.yaml": "version: 1\nname: slow\ndescription: waits\nstages:\n"
    "  - name: nap\n    shell:\n      check: test -e {0}/done\n"
    "      apply: echo >{0}/began; cat {0}/go; echo >{0}/done\n",
}
PATIENCE = 30.0


def until(true: Callable[[], object], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end, f"not within {PATIENCE} s: {what}"
        time.sleep(0.02)


@contextmanager
def napping(folder: Path, ignored: signal.Signals | None = None) -> Iterator[subprocess.Popen[str]]:
    """`orch run slow` in the middle of its step, which ends when something is written to `go`."""
    for name, text in FILES.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text.replace("{0}", str(folder)))
    os.mkfifo(folder / "go")
    state = {"XDG_STATE_HOME": str(folder / "state"), "ORCH_STATE": str(folder / "orch")}
    trap = "" if ignored is None else f"trap '' {ignored.name.removeprefix('SIG')}; "
    with subprocess.Popen(
        ["/bin/sh", "-c", f'{trap}exec "$0" -m orchestrator.cli run slow', sys.executable],
        cwd=folder,
        env={**os.environ, **state},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            until((folder / "began").exists, "the step has begun")
            yield process
        finally:
            process.kill()


def test_a_second_ctrl_c_leaves_at_once_and_what_has_begun_goes_on(tmp_path: Path) -> None:
    with napping(tmp_path) as orch:
        told = orch.stdout
        assert told is not None
        orch.send_signal(signal.SIGINT)
        until(lambda: "once more" in told.readline(), "it says how to leave")
        orch.send_signal(signal.SIGINT)
        assert orch.wait(PATIENCE) == 130
        assert not (tmp_path / "done").exists()
        assert not (tmp_path / "orch" / "lease").exists(), "the host is given back"
        (tmp_path / "go").write_text("")
        until((tmp_path / "done").exists, "the step's shell goes on to its end")


def test_what_is_ignored_stays_ignored_as_nohup_wants_it(tmp_path: Path) -> None:
    with napping(tmp_path, ignored=signal.SIGHUP) as orch:
        orch.send_signal(signal.SIGHUP)
        (tmp_path / "go").write_text("")
        out, _ = orch.communicate(timeout=PATIENCE)
        assert orch.returncode == 0, out
