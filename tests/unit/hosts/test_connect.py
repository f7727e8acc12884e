"""What connections share, with nobody at the other end: one Config, key files, known names."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import paramiko
import pytest
from paramiko.hostkeys import HostKeys

from orchestrator.errors import FilesWrong, Unreachable
from orchestrator.hosts import connect
from orchestrator.hosts.connect import Opener
from orchestrator.hosts.keys import KnownKeys
from orchestrator.hosts.own_keys import OwnKeys
from orchestrator.spec.models import Ssh

THREADS, CONNECTIONS = 32, 400


@pytest.fixture
def busy() -> Iterator[None]:
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "id"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path


@pytest.mark.usefixtures("busy")
def test_many_threads_build_connections_that_share_a_config(
    key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never two at once, and nothing of one is written into what all of them read."""
    inside: list[int] = []
    most: list[int] = []
    build = connect._Connection.__init__

    def watched(self: object, *args: object, **kwargs: object) -> None:
        inside.append(1)
        most.append(len(inside))
        build(self, *args, **kwargs)
        inside.pop()

    monkeypatch.setattr(connect._Connection, "__init__", watched)
    opener = Opener(KnownKeys())
    ssh = Ssh(user="tom", key=str(key), known_hosts=str(key.with_name("none")))
    together = threading.Barrier(THREADS)

    def one(number: int) -> tuple[str, str, int]:
        if number < THREADS:
            together.wait()
        made = opener._prepare(f"host-{number}", ssh, None, 10)
        return made.host, made.user, made.port

    with ThreadPoolExecutor(THREADS) as threads:
        found = list(threads.map(one, range(CONNECTIONS)))
    assert found == [(f"host-{number}", "tom", 22) for number in range(CONNECTIONS)]
    assert max(most) == 1
    (config,) = opener._configs.values()
    assert config._modifications == {}


def test_a_key_file_is_read_once_until_it_changes(
    key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[str] = []
    read = paramiko.Ed25519Key.from_private_key_file

    def counted(path: str, password: str | None = None) -> paramiko.PKey:
        reads.append(path)
        return read(path, password)

    monkeypatch.setattr(paramiko.Ed25519Key, "from_private_key_file", counted)
    own = OwnKeys()
    first = own.offer(key)["pkey"]
    assert all(own.offer(key)["pkey"] is first for _ in range(50))
    assert len(reads) == 1
    key.unlink()
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    assert own.offer(key)["pkey"] != first
    assert len(reads) == 2


def test_a_key_that_cannot_be_read_here_is_left_to_paramiko(key: Path, tmp_path: Path) -> None:
    change = ["ssh-keygen", "-q", "-p", "-P", "", "-N", "a passphrase", "-f", str(key)]
    subprocess.run(change, check=True, stdout=subprocess.DEVNULL)
    assert OwnKeys().offer(key) == {"key_filename": [str(key)]}
    with pytest.raises(Unreachable, match="does not exist"):
        OwnKeys().offer(tmp_path / "none")
    for folder in (tmp_path, Path("/")):
        with pytest.raises(Unreachable, match="is a folder"):
            OwnKeys().offer(folder)


def test_known_names_plain_and_hashed(key: Path, tmp_path: Path) -> None:
    kind, text = key.with_suffix(".pub").read_text().split()[:2]
    hashed = HostKeys.hash_host("[two]:2222")
    lines = [f"one,10.0.0.1 {kind} {text}", f"{hashed} {kind} {text}", f"|1|no|salt {kind} {text}"]
    file = tmp_path / "known_hosts"
    file.write_text("\n".join(lines) + "\n")
    known = KnownKeys()
    for name in ("one", "10.0.0.1", "[two]:2222"):
        client = paramiko.SSHClient()
        known.expect(client, name, None, [file])
        expected = client.get_host_keys().lookup(name)
        assert expected is not None
        assert expected[kind].get_base64() == text
        assert known.file_of(name, [file]) == file
    for name in ("two", "three"):
        assert known.file_of(name, [file]) is None


@pytest.mark.parametrize(
    "error",
    [
        OSError(113, "No route to host"),
        ConnectionRefusedError(111, "Connection refused"),
        TimeoutError("timed out"),
        paramiko.AuthenticationException("no"),
        paramiko.PasswordRequiredException("no"),
        paramiko.SSHException("no"),
        paramiko.ChannelException(2, "no"),
        paramiko.ProxyCommandFailure("ssh -W", "no"),
        EOFError(),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("seconds", [0.1, 1e6])
def test_whatever_went_wrong_there_is_something_to_do(error: Exception, seconds: float) -> None:
    opener = Opener(KnownKeys())
    connection = connect._Connection("10.0.0.1", user="tom", port=22)
    said = opener._reason(error, connection, Ssh(user="tom"), seconds)
    assert isinstance(said, Unreachable)
    assert "10.0.0.1" in str(said) or "passphrase" in str(said)
    assert said.hint


@pytest.mark.parametrize("text", [b"Host *\n  ProxyJump\n", b"\xff\xfe\x00"])
def test_an_ssh_config_that_can_not_be_read_is_told_as_such(tmp_path: Path, text: bytes) -> None:
    config = tmp_path / "config"
    config.write_bytes(text)
    opener = Opener(KnownKeys())
    with pytest.raises(FilesWrong, match=f"{config} can't be read") as caught:
        opener.open("192.0.2.1", Ssh(config=str(config)))
    assert "ssh -G" in caught.value.hint
