"""templates/health.sh against a real server: with Python, with bash, with a bare shell."""

from __future__ import annotations

import http.server
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.data import read_template


class Answering(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/health" else 503)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *words: object) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(params=["python3", "bash", "bare"])
def way(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path]:
    """A PATH that has only this."""
    for name in {"python3", "bash"} & {request.param}:
        found = sys.executable if name == "python3" else shutil.which(name)
        assert found
        (tmp_path / name).symlink_to(Path(found).resolve())
    return request.param, tmp_path


def asked(way: tuple[str, Path], port: int, path: str) -> int:
    shell = shutil.which("dash") or "/bin/sh"
    words = [shell, "-s", "--", "python3", "127.0.0.1", str(port), path]
    done = subprocess.run(
        words, input=read_template("health.sh", None), env={"PATH": str(way[1])}, text=True,
        capture_output=True, timeout=15,
    )  # fmt: skip
    return done.returncode


def test_a_good_answer(way: tuple[str, Path], port: int) -> None:
    assert asked(way, port, "/health") == 0


def test_a_bad_answer(way: tuple[str, Path], port: int) -> None:
    """A bare shell sees no more than that somebody listens."""
    assert (asked(way, port, "/loading") == 0) is (way[0] == "bare")


def test_nobody_there(way: tuple[str, Path]) -> None:
    assert asked(way, 9, "/health") != 0
