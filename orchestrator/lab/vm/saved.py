"""Machines that have booted once, as states on disk: a lab that starts from them is up in seconds."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import Failed
from orchestrator.lab.command import until
from orchestrator.lab.home import Home
from orchestrator.lab.progress import Progress
from orchestrator.lab.recipe import content_hash
from orchestrator.lab.up import for_each
from orchestrator.lab.vm import processes
from orchestrator.lab.vm.accelerator import version
from orchestrator.lab.vm.argv import Accelerator, Start, qemu_argv
from orchestrator.lab.vm.host import fits, netplan_text, overlay, start, wait_for_agent
from orchestrator.lab.vm.image import Image
from orchestrator.lab.vm.qmp import checked, qemu

SAVE_SECONDS = 120
BOOTED = "systemctl is-system-running --wait"
# All that a lab relies on is there, and nothing waits to be written when the state is taken.
READY = """set -e
netplan generate
networkctl reload
networkctl reconfigure eth0
rdma link show
test "$(rdma -j link show | jq length)" = 4
systemctl is-active ssh.service
n=0
until ip -brief address show dev eth0 | grep -q '/24'; do sleep 0.2; n=$((n + 1)); test $n -lt 300; done
sync
echo 3 >/proc/sys/vm/drop_caches
"""


@dataclass(frozen=True)
class Saved:
    folder: Path

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def disk(self) -> Path:
        return self.folder / "disk.qcow2"


def saved_folder(image: Image, accelerator: Accelerator, slot: int) -> Path:
    """A state is for one QEMU and one set of virtual hardware: they are in its name."""
    template = Start(Path("/x"), Path("/k"), Path("/i"), accelerator, slot)
    key = content_hash(version(), qemu_argv(template), READY, netplan_text(slot))
    return image.folder / f"slot{slot}-{key}"


def ensure_saved(
    home: Home, image: Image, accelerator: Accelerator, slots: Sequence[int], progress: Progress
) -> dict[int, Saved]:
    """Return a saved machine for each slot, booting those that there are none of, under the setup lock."""
    folders = {slot: saved_folder(image, accelerator, slot) for slot in slots}
    missing = {str(slot): slot for slot in slots if not folders[slot].exists()}
    if missing:
        how = "under KVM" if accelerator == "kvm" else "emulated"
        with progress.timed(f"first boot of {len(missing)} virtual machines, {how}"):
            for_each(
                missing,
                lambda slot: _boot_and_save(home, image, accelerator, slot, folders[slot]),
            )
    return {slot: Saved(folder) for slot, folder in folders.items()}


def _boot_and_save(
    home: Home, image: Image, accelerator: Accelerator, slot: int, target: Path
) -> None:
    with home.making(target) as folder:
        fits(folder)
        overlay(image.disk, folder)
        try:
            start(Start(folder, image.kernel, image.initrd, accelerator, slot))
            wait_for_agent(folder, f"machine {slot}")
            checked(folder, "/bin/sh", "-c", BOOTED, seconds=SAVE_SECONDS)
            plan = netplan_text(slot).encode()
            write = "umask 077; cat >/etc/netplan/01-mgmt.yaml"
            checked(folder, "/bin/sh", "-c", write, stdin=plan)
            checked(folder, "/bin/sh", "-c", READY, seconds=SAVE_SECONDS)
            _save(folder)
        finally:
            left = processes.end(folder)
            for name in ("qmp", "agent", "pid"):
                (folder / name).unlink(missing_ok=True)
        if left:
            raise Failed(f"still running: {', '.join(left)}")


def _save(folder: Path) -> None:
    with qemu(folder) as line:
        line("stop")
        line("migrate-set-parameters", **{"max-bandwidth": 10**12})
        line("migrate", uri=f"exec:cat > {shlex.quote(str(folder / 'state'))}")
        until(
            lambda: line("query-migrate").get("status") in ("completed", "failed"),
            seconds=SAVE_SECONDS,
            what="the machine's state is saved",
        )
        told = line("query-migrate")
        if told.get("status") != "completed":
            raise Failed(f"the machine's state can't be saved: {told.get('error-desc', told)}")
        line("quit")
