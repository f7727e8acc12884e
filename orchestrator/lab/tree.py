"""The image inside each lab host: no bytes of its own, ranks borrow the host's /usr and the engine.

Gigabytes of vLLM per host would make a lab of three impossible on a laptop. The image carries
what a real serving image carries in its configuration: PATH, PYTHONPATH. It is written by hand so
that every host has the same id.
"""

from __future__ import annotations

import hashlib
import io
import json
import platform
import tarfile

IMAGE = "orch-lab/host-tree:latest"
ENGINE, LLAMA = "/opt/orch-lab/engine", "/opt/orch-lab/llama"
FOLDERS = {
    "usr": 0o755, "etc": 0o755, "tmp": 0o1777, "proc": 0o555, "sys": 0o555, "dev": 0o755,
    "root": 0o700, "opt": 0o755, "var": 0o755, "var/tmp": 0o1777, "run": 0o755, "models": 0o755,
    "home": 0o755,
}  # fmt: skip
LINKS = {"bin": "usr/bin", "sbin": "usr/sbin", "lib": "usr/lib", "lib64": "usr/lib64"}
ENVIRONMENT = [
    f"PATH={ENGINE}/bin:{LLAMA}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    f"PYTHONPATH={ENGINE}",
]
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
CREATED = "2026-01-01T00:00:00Z"  # fixed: the id is a hash of this too, and is one on all hosts


def image_archive(machine: str | None = None) -> bytes:
    """What `docker load` takes; the same bytes on every machine of one architecture."""
    layer = _layer()
    digest = hashlib.sha256(layer).hexdigest()
    architecture = machine or platform.machine()
    config = {
        "architecture": ARCHITECTURES.get(architecture, architecture),
        "os": "linux",
        "created": CREATED,
        "config": {"Env": ENVIRONMENT, "Labels": {"orch.lab.image": "borrows the host's files"}},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
        "history": [{"created": CREATED, "created_by": "orch lab"}],
    }
    described = json.dumps(config, sort_keys=True).encode()
    name = f"{hashlib.sha256(described).hexdigest()}.json"
    manifest = [{"Config": name, "RepoTags": [IMAGE], "Layers": [f"{digest}/layer.tar"]}]
    return archive({
        name: described,
        f"{digest}/layer.tar": layer,
        "manifest.json": json.dumps(manifest).encode(),
    })  # fmt: skip


def _layer() -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for path, mode in FOLDERS.items():
            entry = tarfile.TarInfo(path)
            entry.type, entry.mode = tarfile.DIRTYPE, mode
            tar.addfile(entry)
        for path, target in LINKS.items():
            entry = tarfile.TarInfo(path)
            entry.type, entry.linkname, entry.mode = tarfile.SYMTYPE, target, 0o777
            tar.addfile(entry)
    return packed.getvalue()


def archive(files: dict[str, bytes]) -> bytes:
    """A tar of plain files with fixed owners and times."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for path, content in files.items():
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(content), 0o644
            tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()
