"""The wheel, installed into an empty environment and used from an empty folder, is the same orch.

Nothing is downloaded: dependencies come from the environment that runs the test.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from orchestrator import __version__, data

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.timeout(300)
Done = subprocess.CompletedProcess[str]


def run(argv: Sequence[object], cwd: Path, **more: Any) -> Done:
    env = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    words = [str(word) for word in argv]
    return subprocess.run(words, cwd=cwd, env=env, text=True, capture_output=True, **more)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    words = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation",
             "--wheel-dir", folder, ROOT]  # fmt: skip
    done = run(words, folder)
    assert done.returncode == 0, done.stderr
    (found,) = folder.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def orch(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `orch` of a new environment that sees the dependencies, and not this checkout."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, with_pip=False)
    python = folder / "bin/python"
    site = folder / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    words = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps",
             "--no-index", wheel]  # fmt: skip
    done = run(words, folder)
    assert done.returncode == 0, done.stderr
    # behind what was installed: an editable orch over there must not be found first
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "bin/orch"


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    return tmp_path


def test_the_starting_files_and_all_data_are_in_it(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder in ("profiles", "playbooks", "templates"):
        for path in data.listing(folder):
            assert f"orchestrator/packed/{folder}/{path}" in names
    for kind in data.listing("kinds"):
        assert f"orchestrator/kinds/{kind}" in names
    assert {"orchestrator/packed/cluster.yaml", "orchestrator/packed/inventory.yaml"} <= names
    assert {"orchestrator/knowledge/failures.yaml", "orchestrator/flags/vllm.yaml"} <= names
    assert "orchestrator/lab/recipe.yaml" in names
    assert not [name for name in names if name.startswith(("tests/", "benchmarks/"))]


def test_the_version_comes_from_one_place(wheel: Path, orch: Path, empty: Path) -> None:
    assert wheel.name == f"orch-{__version__}-py3-none-any.whl"
    assert run([orch, "--version"], empty).stdout == f"orch, version {__version__}\n"


def test_it_is_the_installed_one(orch: Path, empty: Path) -> None:
    said = run(
        [orch.parent / "python", "-c", "import orchestrator; print(orchestrator.__file__)"], empty
    )
    assert Path(said.stdout.strip()).is_relative_to(orch.parents[1])


def test_help_and_schema(orch: Path, empty: Path) -> None:
    assert "Commands:" in run([orch, "--help"], empty, check=True).stdout
    for name in ("cluster", "inventory", "profile", "kind", "playbook"):
        assert json.loads(run([orch, "schema", name], empty, check=True).stdout)["title"]


def test_from_nothing_to_a_rendered_cluster(orch: Path, empty: Path) -> None:
    """As a new user does: told where to start, copies, checks, renders."""
    for name in ("cluster.yaml", "inventory.yaml"):
        refused = run([orch, "check"], empty)
        assert refused.returncode == 2
        line = next(one for one in refused.stdout.splitlines() if name in one and "cp " in one)
        run(["sh", "-c", "cp " + line.split("cp ")[1].rstrip(")")], empty, check=True)
    said = run([orch, "check"], empty)
    assert said.returncode == 0, said.stdout
    assert "packed:profiles/qwen3-vl-235b-awq.yaml" in said.stdout
    assert "packed:kinds/dgx-spark.yaml" in said.stdout
    shown = json.loads(run([orch, "render", "--json"], empty, check=True).stdout)["hosts"]
    assert all(parts["netplan"] and parts["ranks"] for parts in shown.values())
    here = json.loads(run([sys.executable, "-m", "orchestrator.cli", "render", "--json",
                           empty / "cluster.yaml"], ROOT, check=True).stdout)["hosts"]  # fmt: skip
    assert shown == here


def test_playbooks_are_found(orch: Path, empty: Path) -> None:
    said = run([orch, "run", "--list"], empty, check=True).stdout
    assert "packed:playbooks/up.yaml" in said
    assert "reachable" in said


def test_plan_goes_as_far_as_the_hosts(orch: Path, empty: Path) -> None:
    """A host that refuses connections ends it with exit code 3, not for want of a file."""
    (empty / "inventory.yaml").write_text(
        "version: 1\nhosts: {a: {kind: lab, address: 127.0.0.1, ssh: {port: 1}}}\n"
    )
    (empty / "cluster.yaml").write_text(
        "version: 1\nname: c\ndeployments: {d: {profile: lab-llama, hosts: [a], port: 8000}}\n"
    )
    done = run([orch, "plan"], empty)
    assert done.returncode in (1, 3)
    assert "127.0.0.1" in done.stdout + done.stderr
