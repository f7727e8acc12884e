"""Builds the image that every lab host is started from: this machine's own release, made with mmdebstrap."""

from __future__ import annotations

import platform
import shlex
import shutil
from pathlib import Path

from orchestrator.errors import CommandFailed, Refused
from orchestrator.lab.command import as_root, run, run_logged
from orchestrator.lab.docker import Docker
from orchestrator.lab.home import Home
from orchestrator.lab.progress import Progress
from orchestrator.lab.recipe import Release, content_hash, package_folder, recipe

REPOSITORY = "orch-lab/host"
ROOM = 4 * 1024**3  # bytes: the tree, its archive and the imported layer

# file beside this module: (path in the image, mode)
FILES = {
    "init.sh": ("/usr/lib/orch-lab/init.sh", "0755"),
    "interfaces.py": ("/usr/lib/orch-lab/interfaces.py", "0755"),
    "orch-lab-net.service": ("/etc/systemd/system/orch-lab-net.service", "0644"),
    "container.conf": ("/etc/systemd/system/docker.service.d/orch-lab.conf", "0644"),
    "sshd.conf": ("/etc/ssh/sshd_config.d/10-orch-lab.conf", "0644"),
    "sudoers": ("/etc/sudoers.d/orch", "0440"),
}


def codename() -> str:
    """VERSION_CODENAME of this machine: lab hosts are of the same release, so its packages fit its kernel."""
    found = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    if found not in recipe().host_image.releases:
        known = ", ".join(recipe().host_image.releases)
        raise Refused(
            f"no recipe for lab hosts of this machine's release {found or '(unnamed)'}",
            hint=f"the lab runs on {known}",
        )
    return found


def release() -> Release:
    return recipe().host_image.releases[codename()]


def image_tag() -> str:
    """Named by what goes into it: a change of the recipe is another image."""
    parts = (recipe().host_image, package_folder("inside"), codename(), platform.machine())
    return f"{REPOSITORY}:{content_hash(*parts)}"


def ensure_host_image(docker: Docker, home: Home, progress: Progress) -> str:
    """Return the image's tag, building it when this engine has none of that recipe."""
    tag = image_tag()
    if docker.has_image(tag):
        return tag
    if home.free_bytes() < ROOM:
        raise Refused(
            f"{home.path}: {home.free_bytes() / 1024**3:.1f} GiB free, the host image needs {ROOM / 1024**3:.0f}",
            hint="free some space, or set ORCH_LAB_HOME to a larger disk",
        )  # fmt: skip
    with home.lock("image"):
        if docker.has_image(tag):
            return tag
        folder = home.path / "tmp" / "host-image"
        folder.mkdir(exist_ok=True)
        try:
            _build(docker, home, progress, folder, tag)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    return tag


def _build(docker: Docker, home: Home, progress: Progress, folder: Path, tag: str) -> None:
    tree, log = folder / "rootfs.tar", home.log("mmdebstrap")
    with progress.timed(f"host image {codename()} (mmdebstrap)", log):
        try:
            run_logged([*as_root(), *bootstrap_argv(tree, mirror=None)], log)
        except CommandFailed as first:
            own = own_mirror()
            if own is None:
                raise
            progress.note(f"{first}; again with this machine's own mirror {own}")
            run_logged([*as_root(), *bootstrap_argv(tree, mirror=own)], log)
    with progress.timed("host image (docker import)"):
        docker("import", str(tree), tag, timeout=600)


def bootstrap_argv(tree: Path, mirror: str | None) -> list[str]:
    """The mmdebstrap command: packages, our files, what is masked, and a user with sudo and docker."""
    image, inside = recipe().host_image, package_folder("inside")
    packages = list(image.packages)
    for package, companions in image.alternatives.items():
        if package in packages:
            packages += [name for name in companions if _is_package(name)]
    hooks = []
    for name, (path, mode) in FILES.items():
        hooks += [
            f'install -D -m {mode} {shlex.quote(str(inside / name))} "$1"{path}',
        ]
    hooks += [
        'chroot "$1" useradd --create-home --shell /bin/bash --groups sudo,docker orch',
        'chroot "$1" systemctl --quiet enable orch-lab-net.service ssh.service docker.service',
        f'chroot "$1" systemctl --quiet mask {" ".join(image.masked)}',
        'rm -f "$1"/etc/ssh/ssh_host_*',
        ': > "$1/etc/machine-id"',
        'rm -f "$1/var/lib/dbus/machine-id"',
    ]
    argv = [
        "mmdebstrap", "--variant=minbase", f"--components={release().components}",
        f"--include={','.join(packages)}",
        *(f"--customize-hook={hook}" for hook in hooks),
        codename(), str(tree),
    ]  # fmt: skip
    return [*argv, mirror] if mirror else argv


def _is_package(name: str) -> bool:
    try:
        return bool(run(["apt-cache", "show", name]).strip())
    except CommandFailed:
        return False


def own_mirror() -> str | None:
    """The archive this machine itself installs its release from, for networks that reach no other."""
    texts = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]
    for path in (path for path in texts if path.is_file()):
        for line in path.read_text(errors="replace").splitlines():
            words = line.split()
            if words[:1] == ["URIs:"] and codename() in path.read_text(errors="replace"):
                return words[1]
            bare = [word for word in words if not word.startswith("[") and "=" not in word]
            if bare[:1] == ["deb"] and codename() in bare[2:3]:
                return bare[1]
    return None
