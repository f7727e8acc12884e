"""Builds the image that the lab's virtual machines start from: kernel, first root, disk. Nothing is mounted."""

from __future__ import annotations

import io
import lzma
import os
import shlex
import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import CommandFailed, Refused
from orchestrator.lab.command import as_root, run, run_logged
from orchestrator.lab.home import Home, gib
from orchestrator.lab.image import own_mirror
from orchestrator.lab.layout import MANAGEMENT
from orchestrator.lab.progress import Progress
from orchestrator.lab.recipe import content_hash, package_folder, recipe
from orchestrator.lab.vm.layout import MANAGEMENT_SLOT, RAIL_SLOTS

ROOM = 3 * 1024**3  # bytes: the tree, the raw disk (sparse) and the disk
ELF = b"\x7fELF"

# file in lab/: (path in the image, mode)
FILES = {
    "vm/inside/finish.sh": ("/usr/lib/orch-lab/finish.sh", 0o644),
    "vm/inside/init": ("/usr/lib/orch-lab/init", 0o755),
    "vm/inside/rxe.sh": ("/usr/lib/orch-lab/rxe.sh", 0o755),
    "vm/inside/become.sh": ("/usr/lib/orch-lab/become.sh", 0o644),
    "vm/inside/orch-lab-rxe.service": ("/etc/systemd/system/orch-lab-rxe.service", 0o644),
    "vm/inside/modules.conf": ("/etc/modules-load.d/orch-lab.conf", 0o644),
    "inside/sshd.conf": ("/etc/ssh/sshd_config.d/10-orch-lab.conf", 0o644),
    "inside/sudoers": ("/etc/sudoers.d/orch", 0o440),
}


@dataclass(frozen=True)
class Image:
    """What QEMU is given to start."""

    folder: Path

    @property
    def kernel(self) -> Path:
        return self.folder / "kernel"

    @property
    def initrd(self) -> Path:
        return self.folder / "initrd"

    @property
    def disk(self) -> Path:
        return self.folder / "disk.qcow2"


def image_folder(home: Home) -> Path:
    """Named by what goes into it: a change of the recipe is another image."""
    made_of = recipe().vm.model_dump(exclude={"memory_mib", "cpus", "machine", "not_rehearsed"})
    contents = [(package_folder(name)) for name in FILES]
    return home.path / f"vm-{content_hash(made_of, link_files(), *contents)}"


def ensure_image(home: Home, progress: Progress) -> Image:
    """Return the image, building it when there is none of that recipe. Call while holding the setup lock."""
    folder = image_folder(home)
    if not folder.exists():
        if home.free_bytes() < ROOM:
            raise Refused(
                f"{home.path}: {gib(home.free_bytes())} free, the image of virtual machines needs {gib(ROOM)}",
                hint="free some space, or set ORCH_LAB_HOME to a larger disk",
            )
        with home.making(folder) as made, home.scratch("vm-tree") as scratch:
            _build(home, progress, made, scratch)
    return Image(folder)


def _build(home: Home, progress: Progress, made: Path, scratch: Path) -> None:
    tree, ours, log = scratch / "tree", scratch / "ours.tar", home.log("vm-image")
    ours.write_bytes(files_archive())
    with progress.timed(f"virtual machine {recipe().vm.release} (mmdebstrap)", log):
        try:
            run_logged([*as_root(), *bootstrap_argv(tree, ours, made)], log)
        except CommandFailed as first:
            own = own_mirror()
            if own is None:
                raise
            progress.note(f"{first}; again with this machine's own mirror {own}")
            run([*as_root(), "rm", "-rf", "--one-file-system", str(tree)])
            run_logged([*as_root(), *bootstrap_argv(tree, ours, made, own)], log)
    with progress.timed("virtual machine (disk)"):
        run(
            [
                *as_root(),
                "chown",
                f"{os.getuid()}:{os.getgid()}",
                str(made / "vmlinuz"),
                str(made / "initrd"),
            ]
        )
        vmlinuz = made / "vmlinuz"
        (made / "kernel").write_bytes(uncompressed(vmlinuz.read_bytes()))
        vmlinuz.unlink()
        _disk(tree, scratch / "disk.raw", made / "disk.qcow2")


def _disk(tree: Path, raw: Path, disk: Path) -> None:
    """An ext4 file system with what is in the tree, written without mounting it."""
    used = int(run([*as_root(), "du", "-sm", str(tree)], timeout=300).split()[0])
    size = f"{used * 13 // 10 + recipe().vm.disk_spare_mib}M"
    run([*as_root(), "mke2fs", "-q", "-t", "ext4", "-J", "size=8", "-m", "0", "-d", str(tree), str(raw), size],
        timeout=600)  # fmt: skip
    run([*as_root(), "chown", f"{os.getuid()}:{os.getgid()}", str(raw)])
    run(["qemu-img", "convert", "-O", "qcow2", str(raw), str(disk)], timeout=600)


def bootstrap_argv(tree: Path, ours: Path, out: Path, mirror: str | None = None) -> list[str]:
    """The mmdebstrap command: the packages, our files, and what is left to do in the tree."""
    vm = recipe().vm
    finish = ["sh", "/usr/lib/orch-lab/finish.sh"]
    finish += [" ".join(vm.modules), " ".join(vm.initrd), " ".join(vm.masked)]
    without = ("doc", "man", "locale", "info")
    argv = [
        "mmdebstrap", "--variant=minbase", "--mode=root", "--format=directory",
        f"--include={','.join(vm.packages)}",
        "--aptopt=Apt::Install-Recommends \"false\"", "--aptopt=Acquire::Languages \"none\"",
        *(f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in without),
        # no initrd and no links of the kernel package's own
        "--essential-hook=printf 'do_symlinks=no\\ndo_initrd=no\\n' >\"$1/etc/kernel-img.conf\"",
        f"--customize-hook=tar-in {shlex.quote(str(ours))} /",
        f"--customize-hook=chroot \"$1\" {shlex.join(finish)}",
        f"--customize-hook=copy-out /out/vmlinuz /out/initrd {shlex.quote(str(out))}",
        "--customize-hook=rm -r \"$1/out\"",
        vm.release, str(tree),
    ]  # fmt: skip
    return [*argv, mirror] if mirror else argv


def files_archive() -> bytes:
    """Our files as a tar to unpack at the image's root."""
    files = {
        path: (package_folder(name).read_bytes(), mode) for name, (path, mode) in FILES.items()
    }
    files |= {path: (text.encode(), 0o644) for path, text in link_files().items()}
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for path, (content, mode) in files.items():
            entry = tarfile.TarInfo(path.lstrip("/"))
            entry.size, entry.mode = len(content), mode
            tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def link_files() -> dict[str, str]:
    """What names the interfaces: by the slot that each card is in, as firmware does it on a real host."""
    slots = {MANAGEMENT: MANAGEMENT_SLOT, **RAIL_SLOTS}
    return {
        f"/etc/systemd/network/05-orch-lab-{netdev}.link": (
            f"[Match]\nPath=pci-0000:00:{slot:02x}.0*\n[Link]\nNamePolicy=\nName={netdev}\n"
        )
        for netdev, slot in slots.items()
    }


def uncompressed(kernel: bytes) -> bytes:
    """The kernel itself out of a bzImage (xz or gzip), or the bzImage where it is packed otherwise.

    Unpacking it under emulation takes 3 s of each boot.
    """
    for magic, unpack in ((b"\xfd7zXZ\0", _unxz), (b"\x1f\x8b\x08", _gunzip)):
        found = kernel.find(magic)
        while found >= 0:
            try:
                inside = unpack(kernel[found:])
            except (lzma.LZMAError, zlib.error):
                inside = b""
            if inside.startswith(ELF):
                return inside
            found = kernel.find(magic, found + 1)
    return kernel


def _unxz(data: bytes) -> bytes:
    return lzma.LZMADecompressor(lzma.FORMAT_XZ).decompress(data)


def _gunzip(data: bytes) -> bytes:
    return zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(data)
