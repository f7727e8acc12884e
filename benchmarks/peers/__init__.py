"""The peers: installed into an environment of their own, since pyinfra needs an older paramiko than ours."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).parents[2]
HOME = ROOT / "build" / "peers"


def install() -> Path:
    """The folder of their programs. What is installed is the `bench` extra of pyproject.toml."""
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    packages: list[str] = wanted["project"]["optional-dependencies"]["bench"]
    programs, ready = HOME / "bin", HOME / ".ready"
    if not ready.exists() or ready.read_text().splitlines() != packages:
        print(f"installing {', '.join(packages)} into {HOME}", file=sys.stderr, flush=True)
        venv.create(HOME, with_pip=True, clear=True)
        pip = [str(programs / "python"), "-m", "pip", "install", "--quiet"]
        subprocess.run([*pip, *packages], check=True)
        ready.write_text("\n".join(packages) + "\n")
    return programs


def versions(programs: Path) -> dict[str, str]:
    """Package → version, for the report."""
    code = (
        "import importlib.metadata as m\n"
        "for one in ('pyinfra', 'ansible-core', 'paramiko'): print(one, m.version(one))"
    )
    done = subprocess.run(
        [str(programs / "python"), "-c", code], check=True, capture_output=True, text=True
    )
    return dict(line.split() for line in done.stdout.splitlines())
