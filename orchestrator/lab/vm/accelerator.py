"""Finds out whether KVM runs machines here: by trying, for /dev/kvm alone does not tell."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from orchestrator.lab.command import run
from orchestrator.lab.home import Home
from orchestrator.lab.progress import Progress
from orchestrator.lab.vm.argv import HOW, PROGRAM, Accelerator
from orchestrator.lab.vm.image import Image

SAID = b"orch-lab-runs"  # by vm/inside/init
TRY_SECONDS = 8  # a machine that has KVM gets so far in one


def version() -> str:
    """QEMU's; a state that one version saved is not for another."""
    return run([PROGRAM, "--version"]).splitlines()[0]


def accelerator(home: Home, image: Image, progress: Progress) -> Accelerator:
    """KVM where a machine comes to life with it; what was found is kept until this machine's next boot."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    usable = os.access("/dev/kvm", os.R_OK | os.W_OK)
    tried = {"boot": boot, "qemu": version(), "image": image.folder.name, "usable": usable}
    known = home.path / "vm-accelerator.json"
    try:
        found = json.loads(known.read_text())
    except (OSError, ValueError):
        found = {}
    if found.get("tried") != tried:
        found = {"tried": tried, "kvm": usable and _runs(image)}
        known.write_text(json.dumps(found))
    if not found["kvm"]:
        progress.note("KVM does not run machines here: they are emulated, which is slower")
    return "kvm" if found["kvm"] else "tcg"


def _runs(image: Image) -> bool:
    """Whether a machine gets to the first process of the image under KVM."""
    argv = [
        PROGRAM, "-M", "q35", *HOW["kvm"], "-m", "256", "-nodefaults", "-no-user-config", "-no-reboot",
        "-display", "none", "-serial", "stdio", "-kernel", str(image.kernel),
        "-initrd", str(image.initrd), "-append", "console=ttyS0 quiet panic=-1 orch.probe",
    ]  # fmt: skip
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=TRY_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as late:
        return SAID in (late.stdout or b"")
    return SAID in done.stdout
