"""Which host key is right: the pinned one, else that of known_hosts; an unknown one is refused."""

from __future__ import annotations

import hmac
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import paramiko
from paramiko.hostkeys import HostKeyEntry, HostKeys

from orchestrator.errors import FilesWrong, HostKeyWrong

SYSTEM_FILE = Path("/etc/ssh/ssh_known_hosts")
USER_FILE = Path("~/.ssh/known_hosts")


class KnownKeys:
    """The known_hosts files, parsed once for all connections."""

    def __init__(self, *, accept_new: bool = False) -> None:
        self.accept_new = accept_new
        self._lock = threading.Lock()
        self._files: dict[Path, _File] = {}

    def expect(
        self, client: paramiko.SSHClient, name: str, pin: str | None, files: Sequence[Path]
    ) -> None:
        """Tell the client which keys are right for `name` ("host" or "[host]:port")."""
        expected = client.get_host_keys()
        for kind, key in self._pinned(name, pin) if pin else self._known(name, files):
            expected.add(name, kind, key)
        client.set_missing_host_key_policy(_Unknown(self, files, pinned=pin is not None))

    def _pinned(self, name: str, pin: str) -> Sequence[tuple[str, paramiko.PKey]]:
        entry = _entry(f"{name} {pin.strip()}")
        if entry is None or entry.key is None:
            raise FilesWrong(
                f"ssh.host_key of {name} is not a host key",
                hint="it looks like 'ssh-ed25519 AAAA…' (see /etc/ssh/ssh_host_ed25519_key.pub)",
            )
        return [(entry.key.get_name(), entry.key)]

    def _known(self, name: str, files: Sequence[Path]) -> Sequence[tuple[str, paramiko.PKey]]:
        found: dict[str, paramiko.PKey] = {}
        with self._lock:
            for path in files:
                for kind, key in self._load(path).of(name).items():
                    found.setdefault(kind, key)
        # ed25519 first: it is what servers have and clients prefer.
        return sorted(found.items(), key=lambda one: one[0] != "ssh-ed25519")

    def file_of(self, name: str, files: Sequence[Path]) -> Path | None:
        """The first of the files that has a key for `name`."""
        with self._lock:
            return next((path for path in files if self._load(path).of(name)), None)

    def _load(self, path: Path) -> _File:
        if path not in self._files:
            keys = _File()
            for line in _lines(path):
                entry = _entry(line)
                if entry is not None and entry.hostnames and entry.key is not None:
                    for hostname in entry.hostnames:
                        keys.add(hostname, entry.key.get_name(), entry.key)
            self._files[path] = keys
        return self._files[path]

    def learn(self, name: str, key: paramiko.PKey, path: Path) -> None:
        """Add a key to a known_hosts file; the user asked for it with --accept-new-host-keys."""
        with self._lock:
            self._load(path).add(name, key.get_name(), key)
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with path.open("a") as file:
                file.write(f"{name} {key.get_name()} {key.get_base64()}\n")


class _File:
    """One known_hosts file. Names are found at once; hashed ones have to be tried one by one."""

    def __init__(self) -> None:
        self._named: dict[str, dict[str, paramiko.PKey]] = {}
        self._hashed: list[tuple[str, str, paramiko.PKey]] = []

    def add(self, name: str, kind: str, key: paramiko.PKey) -> None:
        if name.startswith("|1|"):
            self._hashed.append((name, kind, key))
        else:
            self._named.setdefault(name, {}).setdefault(kind, key)

    def of(self, name: str) -> Mapping[str, paramiko.PKey]:
        """The host's keys by kind; the first of a kind is the one."""
        found = dict(self._named.get(name, {}))
        for hashed, kind, key in self._hashed:
            if kind not in found and _hash_fits(name, hashed):
                found[kind] = key
        return found


def _hash_fits(name: str, hashed: str) -> bool:
    try:
        return hmac.compare_digest(HostKeys.hash_host(name, hashed), hashed)
    except (AssertionError, ValueError):
        return False  # a salt that is none: ssh passes such a line over, too


class _Unknown(paramiko.MissingHostKeyPolicy):
    """What happens with a host whose key nobody knows."""

    def __init__(self, known: KnownKeys, files: Sequence[Path], *, pinned: bool) -> None:
        self._known = known
        self._files = files
        self._pinned = pinned

    def missing_host_key(
        self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey
    ) -> None:
        if self._known.accept_new and not self._pinned:
            self._known.learn(hostname, key, self._files[0])
            return
        raise HostKeyWrong(
            f"its host key is not known: {key.get_name()} {key.fingerprint}",
            hint="compare that fingerprint with the host's own (ssh-keygen -lf "
            "/etc/ssh/ssh_host_ed25519_key.pub), then add --accept-new-host-keys, "
            "or pin the key as ssh.host_key in the inventory",
        )


def wrong_key(error: paramiko.BadHostKeyException, file: Path | None) -> HostKeyWrong:
    """The host answered with a key that is not the one we know, from `file` or pinned in the inventory."""
    anew = "correct ssh.host_key in the inventory"
    if file is not None:
        anew = f"ssh-keygen -R {error.hostname} -f {file}, then add --accept-new-host-keys"
    return HostKeyWrong(
        f"its host key is {error.key.get_name()} {error.key.fingerprint}, "
        f"but {error.expected_key.get_name()} {error.expected_key.fingerprint} was expected",
        hint=f"if the host was installed anew: {anew}; if not, someone else may be answering",
    )


def _lines(path: Path) -> Sequence[str]:
    try:
        text = path.read_text(errors="replace")
    except FileNotFoundError:
        return ()
    # @revoked and @cert-authority lines are no plain host keys.
    return [line for line in text.splitlines() if line.strip() and line.strip()[0] not in "#@"]


def _entry(line: str) -> HostKeyEntry | None:
    try:
        return HostKeyEntry.from_line(line)
    except (paramiko.SSHException, ValueError, OSError):
        return None
