"""Hosts over SSH: one connection each, reused; scripts on open shells; HTTP through the same."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import paramiko
from paramiko.ssh_exception import ChannelException

from orchestrator.errors import FilesWrong, NoAnswer, OrchError, OutcomeUnknown, Unreachable
from orchestrator.framing import LOCK_WAIT, Become, Held, new_marker, render
from orchestrator.hosts.connect import Opener
from orchestrator.hosts.http import HttpStream, ask
from orchestrator.hosts.keys import KnownKeys
from orchestrator.hosts.secrets import become_name, fill_request, fill_script
from orchestrator.hosts.shell import Lost, Shell
from orchestrator.reply import Reply
from orchestrator.script import Request, Result, Script
from orchestrator.spec.models import Host, Ssh

if TYPE_CHECKING:
    from fabric import Connection  # type: ignore[import-untyped]

ANSWERS_IN = 25.0  # seconds: with shell.GLANCE before it as long as connect.DEAD_AFTER
CHANNELS = 8  # sshd's MaxSessions is 10
STARTS_PER_JUMP = 8  # sshd's MaxStartups begins to refuse at 10


def become_of(host: Host, secrets: Callable[[str], str]) -> Become:
    """How commands become root on this host."""
    if host.become == "never":
        return Become("never")
    password = secrets(become_name(host.name)) if host.become_password is not None else None
    return Become("sudo", password)


@dataclass
class _Link:
    """A host's connection and its idle shells."""

    connection: Connection
    idle: list[Shell] = field(default_factory=list)
    slots: threading.BoundedSemaphore = field(
        default_factory=lambda: threading.BoundedSemaphore(CHANNELS)
    )

    @property
    def transport(self) -> paramiko.Transport:
        transport: paramiko.Transport = self.connection.transport
        return transport

    @property
    def alive(self) -> bool:
        return bool(self.transport.is_active())

    @contextmanager
    def shell(self, timeout: float) -> Iterator[Shell]:
        """A shell for one script; it goes back only if the script ended well."""
        with self.slots:
            shell = self._take() or Shell(self.transport, timeout)
            try:
                yield shell
            except BaseException:
                shell.close()
                raise
            self.idle.append(shell)

    def answers(self) -> bool:
        """Whether its sshd does, when asked; paramiko's own keepalive wants no answer."""
        asking = threading.Thread(target=self._ask, daemon=True)
        asking.start()
        asking.join(ANSWERS_IN)
        return self.alive and not asking.is_alive()

    def _ask(self) -> None:
        with suppress(paramiko.SSHException, OSError, EOFError):
            self.transport.global_request("keepalive@openssh.com", wait=True)

    def _take(self) -> Shell | None:
        while True:
            try:
                shell = self.idle.pop()
            except IndexError:
                return None
            if shell.usable:
                return shell
            shell.close()

    def close(self) -> None:
        # Wakes paramiko's reader at once; else it is noticed only at its next look.
        sock = self.transport.sock
        with suppress(OSError):
            if isinstance(sock, socket.socket):
                sock.shutdown(socket.SHUT_RDWR)
            else:
                sock.close()  # a jump host's channel, or a ProxyCommand
        self.connection.close()


class SshHosts:
    """`contracts.Hosts` over SSH. Safe to use from many threads."""

    def __init__(
        self,
        hosts: Mapping[str, Host],
        secrets: Callable[[str], str],
        *,
        accept_new_host_keys: bool = False,
        held: Mapping[str, Held] | None = None,
        opener: Opener | None = None,
        lock_wait: float = LOCK_WAIT,
    ) -> None:
        self._hosts = hosts
        self._secrets = secrets
        self._held = held if held is not None else {}
        self._opener = opener or Opener(KnownKeys(accept_new=accept_new_host_keys))
        self._lock_wait = lock_wait
        self._guard = threading.Lock()
        self._locks: dict[tuple[str, str], threading.Lock] = {}
        self._jump_starts: dict[str, threading.BoundedSemaphore] = {}
        self._links: dict[str, _Link] = {}
        self._failed: dict[str, tuple[float, Unreachable]] = {}  # when it was last tried in vain
        self._closed = False

    # --- contracts.Hosts --------------------------------------------------------------------

    def run(self, host: str, script: Script) -> Mapping[str, Result]:
        """One script, one round trip. Raises Unreachable, OutcomeUnknown, Fenced, Locked."""
        try:
            if not script.mutates:
                return self._run(host, script)
            # The host's flock is for ghosts and other operators; our own threads wait here.
            with self._lock(host, "mutate"):
                return self._run(host, script)
        except OrchError as error:
            error.host = error.host or host
            raise

    def http(self, host: str, request: Request) -> HttpStream:
        """HTTP to a port of the host through its connection. Raises Unreachable, NoAnswer."""
        try:
            return ask(
                host, fill_request(request, self._secrets), lambda: self._tunnel(host, request)
            )
        except OrchError as error:
            error.host = error.host or host
            raise

    def close(self) -> None:
        """End all connections; what other threads wait for ends too."""
        with self._guard:
            self._closed = True
            links, self._links = list(self._links.values()), {}
        # A jump host's connection goes last, with those that it carries still able to say goodbye.
        for link in reversed(links):
            link.close()

    # --- scripts ----------------------------------------------------------------------------

    def _run(self, host: str, script: Script) -> Mapping[str, Result]:
        spec = self._spec(host)
        filled = fill_script(script, self._secrets)
        marker = new_marker()
        program = render(
            filled,
            marker=marker,
            held=self._held.get(host),
            become=become_of(spec, self._secrets),
            lock_wait=self._lock_wait,
        )
        before = ""
        for last in (False, True):
            reply = Reply(filled, marker, lock_wait=self._lock_wait)
            try:
                self._send(host, program, reply, fresh=script.fresh)
                return reply.results()
            except Lost as lost:
                if self._closed or last or (lost.sent and (script.mutates or script.once)):
                    raise self._lost(lost, script, reply) from lost
                before = f"{lost}; "
            except Unreachable as error:
                raise _again(error, before) from error
        raise Unreachable("no connection", host=host)

    def _send(self, host: str, program: bytes, reply: Reply, *, fresh: bool) -> None:
        link = self._open(host) if fresh else self._link(host)
        try:
            with link.shell(self._opener.timeouts.channel) as shell:
                shell.run(program, reply, link.answers)
        except Lost:
            self._drop(host, link)
            raise
        finally:
            if fresh:
                link.close()

    def _lost(self, lost: Lost, script: Script, reply: Reply) -> OrchError:
        if not lost.sent:
            return Unreachable(f"the connection was lost before anything was run: {lost}")
        return OutcomeUnknown(
            f"the connection was lost after {reply.frames} of "
            f"{len(script.commands) + len(script.then)} commands: {lost}",
            results=reply.results_so_far(),
            hint="what was sent may still run on the host; the next run looks before it acts",
        )

    # --- connections ------------------------------------------------------------------------

    def _spec(self, host: str) -> Host:
        try:
            return self._hosts[host]
        except KeyError:
            raise FilesWrong(f"host {host} is not in the inventory") from None

    def _lock(self, host: str, what: str) -> threading.Lock:
        with self._guard:
            return self._locks.setdefault((host, what), threading.Lock())

    def _link(self, host: str) -> _Link:
        """The host's open connection, opened if need be. What failed for one fails for all who waited for it."""
        asked = time.monotonic()
        with self._lock(host, "open"):
            failed, error = self._failed.get(host, (0.0, None))
            if error is not None and failed > asked:
                raise _again(error) from error
            link = self._links.get(host)
            if link is not None and link.alive:
                return link
            if link is not None:
                self._drop(host, link)
            try:
                link = self._open(host)
            except Unreachable as error:
                self._failed[host] = (time.monotonic(), error)
                raise
            with self._guard:
                if not self._closed:
                    self._links[host] = link
                    return link
            link.close()
            raise Unreachable("the run was ended", host=host)

    def _drop(self, host: str, link: _Link) -> None:
        with self._guard:
            if self._links.get(host) is link:
                del self._links[host]
        link.close()

    def _open(self, host: str) -> _Link:
        if self._closed:
            raise Unreachable("the run was ended", host=host)
        address, ssh = self._where(host)
        try:
            if ssh.jump is None:
                return _Link(self._opener.open(address, ssh))
            return _Link(self._through(ssh.jump, address, ssh, host))
        except OrchError as error:
            error.host = error.host or host
            raise

    def _where(self, host: str) -> tuple[str, Ssh]:
        spec = self._hosts.get(host)
        if spec is None:  # a jump host that the inventory does not list
            return host, Ssh()
        return spec.address, spec.ssh

    def _through(self, jump: str, address: str, ssh: Ssh, host: str) -> Any:
        self._no_circle(host)
        with self._guard:
            starts = self._jump_starts.setdefault(jump, threading.BoundedSemaphore(STARTS_PER_JUMP))
        try:
            gateway = self._link(jump).connection
        except Unreachable as error:
            message = f"its jump host {jump}: {error.message}"
            raise type(error)(message, host=host, hint=error.hint) from error
        with starts:
            return self._opener.open(address, ssh, gateway)

    def _no_circle(self, host: str) -> None:
        """Hosts that jump through each other would wait for each other for ever."""
        seen = [host]
        while (jump := self._where(seen[-1])[1].jump) is not None:
            seen.append(jump)
            if jump in seen[:-1]:
                raise FilesWrong(f"jump hosts in a circle: {' → '.join(seen)}")

    def _tunnel(self, host: str, request: Request) -> paramiko.Channel:
        self._spec(host)
        for last in (False, True):
            link = self._link(host)
            try:
                return link.transport.open_channel(
                    "direct-tcpip",
                    (request.address, request.port),
                    ("127.0.0.1", 0),
                    timeout=min(request.timeout, self._opener.timeouts.channel),
                )
            except ChannelException as error:
                raise _no_tunnel(error, request) from error
            except (paramiko.SSHException, OSError, EOFError) as error:
                self._drop(host, link)  # nothing was sent yet, so this may be done again
                if last or self._closed:
                    raise Unreachable(f"the connection was lost: {error}") from error
        raise Unreachable("no connection", host=host)


def _again(error: Unreachable, before: str = "") -> Unreachable:
    """The same for another who asks: each adds where it was."""
    return type(error)(f"{before}{error.message}", host=error.host, hint=error.hint)


def _no_tunnel(error: ChannelException, request: Request) -> NoAnswer:
    if error.code == 1:  # administratively prohibited
        return NoAnswer(
            "its sshd does not allow forwarding, so its ports can't be asked",
            hint="set AllowTcpForwarding yes (or local) in its sshd_config",
        )
    return NoAnswer(f"nothing listens on {request.address} port {request.port}")
