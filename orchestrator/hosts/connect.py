"""Opens one SSH connection with Fabric (config, keys, jump hosts), and says why it could not."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import paramiko
from fabric import Config, Connection  # type: ignore[import-untyped]
from paramiko.ssh_exception import (
    ChannelException,
    ConfigParseError,
    CouldNotCanonicalize,
    ProxyCommandFailure,
)

from orchestrator.errors import (
    AuthRefused,
    AuthTimeout,
    ConnectTimeout,
    FilesWrong,
    OrchError,
    Unreachable,
)
from orchestrator.hosts.keys import SYSTEM_FILE, USER_FILE, KnownKeys, wrong_key
from orchestrator.hosts.own_keys import OwnKeys
from orchestrator.spec.models import Ssh
from orchestrator.spec.units import parse_duration

KEEPALIVE = 15  # seconds
LOOK_UP = 2.0  # seconds
DEAD_AFTER = 30  # seconds without an acknowledgement: the connection is gone
OFF = "is the host on, and the address right?"
BUSY = "is sshd there stopped, or too busy?"

# paramiko reports connection errors to the log as well; ours go to the caller, once.
logging.getLogger("paramiko").addHandler(logging.NullHandler())


class _Connection(Connection):  # type: ignore[misc]
    """Fabric's, sharing one Config: an attribute that the class lacks would be written into it.

    Such a write builds the Config anew while others read it; so they are made one at a time as well.
    """

    inline_ssh_env: bool | None = None


@dataclass(frozen=True)
class Timeouts:
    """Seconds for each phase of connecting."""

    connect: float = 10
    banner: float = 15
    auth: float = 20
    channel: float = 15


@dataclass
class Opener:
    """What all connections share: parsed config files, known keys, the limits on starts."""

    keys: KnownKeys
    timeouts: Timeouts = field(default_factory=Timeouts)
    starts: threading.BoundedSemaphore = field(
        default_factory=lambda: threading.BoundedSemaphore(32)
    )
    own: OwnKeys = field(default_factory=OwnKeys)
    _configs: dict[str, Config] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def open(self, address: str, ssh: Ssh, gateway: Connection | None = None) -> Connection:
        """An open connection. Raises Unreachable or one of its kinds; `host` is for the caller."""
        timeout = self.timeouts.connect if ssh.timeout is None else parse_duration(ssh.timeout)
        with self.starts:
            connection = self._prepare(address, ssh, gateway, timeout)
            began = time.monotonic()
            try:
                with self._reasons(connection, ssh, began):
                    if not connection.gateway:
                        connection.connect_kwargs["sock"] = dial(
                            connection.host, connection.port, timeout
                        )
                        began = time.monotonic()
                    connection.open()
            except BaseException:
                connection.client.close()
                sock = connection.connect_kwargs.get("sock")
                if sock is not None:
                    sock.close()
                raise
        connection.transport.set_keepalive(KEEPALIVE)
        # paramiko's reader looks up ten times a second; with hundreds of hosts that is all of a core.
        connection.transport.sock.settimeout(LOOK_UP)
        return connection

    def _prepare(
        self, address: str, ssh: Ssh, gateway: Connection | None, timeout: float
    ) -> Connection:
        kwargs: dict[str, object] = {
            "banner_timeout": self.timeouts.banner,
            "auth_timeout": self.timeouts.auth,
            "channel_timeout": self.timeouts.channel,
        }
        if ssh.key is not None:
            # Others' keys would use up the server's patience before an agent's turn comes.
            kwargs |= {**self.own.offer(Path(ssh.key).expanduser()), "look_for_keys": False}
        config = self._config(ssh.config)
        try:
            with self._lock:
                connection = _Connection(
                    host=address,
                    user=ssh.user,
                    port=ssh.port,
                    gateway=gateway,
                    config=config,
                    connect_timeout=max(1, round(timeout)),
                    connect_kwargs=kwargs,
                )
        except (ValueError, CouldNotCanonicalize) as error:
            raise FilesWrong(f"address {address}: {error}") from error
        name = connection.host
        if connection.port != 22:
            name = f"[{name}]:{connection.port}"
        self.keys.expect(connection.client, name, ssh.host_key, _known_hosts(connection, ssh))
        return connection

    def _config(self, path: str | None) -> Config:
        with self._lock:
            wanted = str(Path(path).expanduser()) if path else ""
            if wanted and not Path(wanted).exists():
                raise FilesWrong(f"the ssh config file {wanted} does not exist")
            if wanted not in self._configs:
                self._configs[wanted] = _parsed(wanted)
            return self._configs[wanted]

    @contextmanager
    def _reasons(self, connection: Connection, ssh: Ssh, began: float) -> Iterator[None]:
        try:
            yield
        except OrchError:
            raise
        except paramiko.BadHostKeyException as error:
            pinned = ssh.host_key is not None
            files = [] if pinned else _known_hosts(connection, ssh)
            raise wrong_key(error, self.keys.file_of(error.hostname, files)) from error
        except Exception as error:
            raise self._reason(error, connection, ssh, time.monotonic() - began) from error

    def _reason(
        self, error: Exception, connection: Connection, ssh: Ssh, seconds: float
    ) -> Unreachable:
        where = f"{connection.host} port {connection.port}"
        if isinstance(error, paramiko.PasswordRequiredException):
            return AuthRefused(
                f"the key {ssh.key or 'file'} has a passphrase", hint="ssh-add it to your agent"
            )
        if isinstance(error, paramiko.AuthenticationException):
            if seconds >= self.timeouts.auth:
                return AuthTimeout(
                    f"{where} did not finish the login in {self.timeouts.auth:g} s",
                    hint=f"{BUSY} {_by_hand(connection)}",
                )
            return AuthRefused(
                f"{where} refused the keys offered for user {connection.user}",
                hint=f"{_by_hand(connection)}; set ssh.user and ssh.key in the inventory, "
                "or add the key there",
            )
        if isinstance(error, ChannelException):
            return Unreachable(
                f"the jump host can't reach {where} ({error.text})",
                hint="is the host on? its address must be the one that the jump host knows",
            )
        if isinstance(error, ProxyCommandFailure):
            return Unreachable(
                f"the ProxyCommand for {where} failed: {error}", hint=_by_hand(connection)
            )
        if isinstance(error, OSError):
            return _network(error, where)
        limit = min(self.timeouts.banner, float(connection.connect_timeout or 1e9))
        if seconds >= limit - 0.5:
            return AuthTimeout(
                f"{where} took the connection, but no SSH server answered in {seconds:.0f} s",
                hint=f"{BUSY} {_by_hand(connection)}",
            )
        return Unreachable(
            f"no SSH session with {where}: {error or type(error).__name__}",
            hint=_by_hand(connection),
        )


def _by_hand(connection: Connection) -> str:
    return f"try `ssh -p {connection.port} {connection.user}@{connection.host}`"


def dial(host: str, port: int, timeout: float) -> socket.socket:
    """A TCP connection that sends at once, and notices when the other end is gone."""
    try:
        sock = socket.create_connection((host, port), timeout)
    except OSError as error:
        raise _network(error, f"{host} port {port}", timeout) from error
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, DEAD_AFTER * 1000)
    return sock


def _network(error: OSError, where: str, timeout: float | None = None) -> Unreachable:
    if isinstance(error, socket.gaierror):
        return Unreachable(
            f"the name can't be resolved ({where})",
            hint="give its address: `address:` in the inventory, or HostName in ~/.ssh/config",
        )
    if isinstance(error, TimeoutError):
        within = f" in {timeout:g} s" if timeout else ""
        return ConnectTimeout(f"{where} did not answer{within}", hint=OFF)
    if isinstance(error, ConnectionRefusedError):
        return Unreachable(
            f"{where} refused the connection", hint="is sshd running there? is the port right?"
        )
    return Unreachable(f"{where}: {error.strerror or error or type(error).__name__}", hint=OFF)


def _parsed(path: str) -> Config:
    """That file, or ssh's own two where it is ""."""
    try:
        return Config(runtime_ssh_path=path or None)
    except (ConfigParseError, UnicodeDecodeError) as error:
        raise FilesWrong(
            f"{path or '~/.ssh/config or /etc/ssh/ssh_config'} can't be read: {error}",
            hint="`ssh -G localhost` names the line",
        ) from error


def _known_hosts(connection: Connection, ssh: Ssh) -> list[Path]:
    if ssh.known_hosts is not None:
        return [Path(ssh.known_hosts).expanduser()]
    named = connection.ssh_config.get("userknownhostsfile", "")
    own = [Path(word).expanduser() for word in named.split()] or [USER_FILE.expanduser()]
    return [*own, SYSTEM_FILE]
