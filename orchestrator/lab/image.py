"""Builds the image that a lab's hosts are started from, of this machine's own release or another."""

from __future__ import annotations

import io
import platform
import tarfile
import uuid
from pathlib import Path

from orchestrator.errors import CommandFailed, Refused
from orchestrator.lab.command import as_root, run_logged
from orchestrator.lab.docker import Docker
from orchestrator.lab.home import Home, gib
from orchestrator.lab.progress import Progress
from orchestrator.lab.recipe import Release, content_hash, package_folder, recipe

REPOSITORY, BASE = "orch-lab/host", "orch-lab/base"
ROOM = 4 * 1024**3  # bytes: the tree, its archive and the imported layer

# file beside this module: (path in the image, mode)
FILES = {
    "init.sh": ("/usr/lib/orch-lab/init.sh", 0o755),
    "interfaces.py": ("/usr/lib/orch-lab/interfaces.py", 0o755),
    "orch-lab-net.service": ("/etc/systemd/system/orch-lab-net.service", 0o644),
    "container.conf": ("/etc/systemd/system/docker.service.d/orch-lab.conf", 0o644),
    "storage.conf": ("/etc/containers/storage.conf", 0o644),
    "udevadm": ("/usr/local/bin/udevadm", 0o755),
    "sshd.conf": ("/etc/ssh/sshd_config.d/10-orch-lab.conf", 0o644),
    "sudoers": ("/etc/sudoers.d/orch", 0o440),
}

# runs in a container of the base image, with the units to mask as arguments
FINISH = """set -e
useradd --create-home --shell /bin/bash --groups sudo,docker orch
systemctl --quiet enable orch-lab-net.service ssh.service docker.service
systemctl --quiet mask "$@"
rm -f /etc/ssh/ssh_host_* /var/lib/dbus/machine-id
: > /etc/machine-id
"""


def codename(asked: str = "") -> str:
    """The release of a lab's hosts: the one that was asked for, else that of this machine."""
    known = recipe().host_image.releases
    found = asked or platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    if found not in known:
        whose = "the release" if asked else "this machine's release"
        raise Refused(
            f"no recipe for lab hosts of {whose} {found or '(unnamed)'}",
            hint=f"there is one for {', '.join(known)}",
        )
    return found


def release(name: str) -> Release:
    return recipe().host_image.releases[name]


def packages_of(name: str) -> tuple[str, ...]:
    return (*recipe().host_image.packages, *release(name).packages)


def base_tag(name: str) -> str:
    """The packages alone: what takes most of a minute to make."""
    parts = (name, release(name).components, packages_of(name), platform.machine())
    return f"{BASE}:{content_hash(*parts)}"


def image_tag(name: str) -> str:
    """Named by what goes into it: a change of the recipe is another image."""
    parts = (base_tag(name), package_folder("inside"), recipe().host_image.masked, FINISH)
    return f"{REPOSITORY}:{content_hash(*parts)}"


def ensure_host_image(docker: Docker, home: Home, progress: Progress, name: str) -> str:
    """Return the tag of a release's image, building it when this engine has none of that recipe."""
    base, tag = base_tag(name), image_tag(name)
    if docker.has_image(tag):
        return tag
    with home.lock("image"):
        if not docker.has_image(base):
            _bootstrap(docker, home, progress, name)
        if not docker.has_image(tag):
            with progress.timed("host image (our files)"):
                _finish(docker, base, tag)
    return tag


def _bootstrap(docker: Docker, home: Home, progress: Progress, name: str) -> None:
    """Make the base image with mmdebstrap, from this machine's own mirror if no other is reached."""
    if home.free_bytes() < ROOM:
        raise Refused(
            f"{home.path}: {gib(home.free_bytes())} free, the host image needs {gib(ROOM)}",
            hint="free some space, or set ORCH_LAB_HOME to a larger disk",
        )
    log = home.log("mmdebstrap")
    with home.scratch("host-image") as folder:
        tree = folder / "rootfs.tar"
        with progress.timed(f"host image {name} (mmdebstrap)", log):
            try:
                run_logged([*as_root(), *bootstrap_argv(tree, name)], log)
            except CommandFailed as first:
                own = own_mirror()
                if own is None:
                    raise
                progress.note(f"{first}; again with this machine's own mirror {own}")
                run_logged([*as_root(), *bootstrap_argv(tree, name, own)], log)
        with progress.timed("host image (docker import)"):
            docker("import", str(tree), base_tag(name), timeout=900)


def _finish(docker: Docker, base: str, tag: str) -> None:
    """Put our files, the masked units and the user into the base image."""
    container = f"orch-lab-finish-{uuid.uuid4().hex[:12]}"
    units = recipe().host_image.masked
    try:
        docker(
            "create", "--name", container, "--network", "none", base,
            "sh", "-c", FINISH, "sh", *units,
        )  # fmt: skip
        docker("cp", "-", f"{container}:/", stdin=files_archive())
        docker("start", "--attach", container)
        docker("commit", "--change", 'CMD ["/bin/sh"]', container, tag, timeout=300)
    finally:
        docker("rm", "--force", container)


def files_archive() -> bytes:
    """Our files as a tar to unpack at the image's root."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, (path, mode) in FILES.items():
            content = (package_folder("inside") / name).read_bytes()
            entry = tarfile.TarInfo(path.lstrip("/"))
            entry.size, entry.mode = len(content), mode
            tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def bootstrap_argv(tree: Path, name: str, mirror: str | None = None) -> list[str]:
    """The mmdebstrap command for the packages."""
    argv = [
        "mmdebstrap", "--variant=minbase", f"--components={release(name).components}",
        f"--include={','.join(packages_of(name))}", name, str(tree),
    ]  # fmt: skip
    return [*argv, mirror] if mirror else argv


def own_mirror() -> str | None:
    """Where this machine itself installs its release from, for networks that reach no other."""
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
