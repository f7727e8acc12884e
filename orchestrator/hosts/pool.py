"""All hosts of the files behind one object: SSH or local by address, many at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

from orchestrator.contracts import Hosts
from orchestrator.errors import OrchError
from orchestrator.framing import LOCK_WAIT, Held
from orchestrator.script import Request, Result, Script
from orchestrator.spec.models import Host

if TYPE_CHECKING:
    from orchestrator.hosts.http import HttpStream

THREADS = 64  # blocked on sockets nearly all of the time
T = TypeVar("T")

Outcome = Mapping[str, Result] | OrchError


class Pool:
    """`contracts.Hosts` for a whole inventory. `held`: the leases that we hold."""

    def __init__(
        self,
        hosts: Mapping[str, Host],
        secrets: Callable[[str], str],
        *,
        accept_new_host_keys: bool = False,
        lock_wait: float = LOCK_WAIT,
    ) -> None:
        self.held: dict[str, Held] = {}
        self._hosts = hosts
        self._secrets = secrets
        self._accept_new = accept_new_host_keys
        self._lock_wait = lock_wait
        self._guard = threading.Lock()
        self._by_way: dict[str, _Way] = {}

    def run(self, host: str, script: Script) -> Mapping[str, Result]:
        return self._way(host).run(host, script)

    def http(self, host: str, request: Request) -> HttpStream:
        return self._way(host).http(host, request)

    def run_all(self, scripts: Mapping[str, Script]) -> Mapping[str, Outcome]:
        """One script on each host, at once; a host's error is its outcome, and no other's."""
        return run_all(self, scripts)

    def close(self) -> None:
        with self._guard:
            ways, self._by_way = list(self._by_way.values()), {}
        for way in ways:
            way.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.close()

    def _way(self, host: str) -> _Way:
        spec = self._hosts.get(host)
        local = spec is not None and spec.local
        with self._guard:
            name = "local" if local else "ssh"
            if name not in self._by_way:
                self._by_way[name] = self._local() if local else self._ssh()
            return self._by_way[name]

    def _ssh(self) -> _Way:
        from orchestrator.hosts.ssh import SshHosts  # paramiko is slow to import

        return SshHosts(
            self._hosts,
            self._secrets,
            accept_new_host_keys=self._accept_new,
            held=self.held,
            lock_wait=self._lock_wait,
        )

    def _local(self) -> _Way:
        from orchestrator.hosts.local import LocalHosts

        return LocalHosts(self._hosts, self._secrets, held=self.held, lock_wait=self._lock_wait)


if TYPE_CHECKING:
    from orchestrator.hosts.local import LocalHosts
    from orchestrator.hosts.ssh import SshHosts

    _Way = SshHosts | LocalHosts


def run_all(hosts: Hosts, scripts: Mapping[str, Script]) -> Mapping[str, Outcome]:
    """`Pool.run_all` over any Hosts."""

    def run(host: str) -> Outcome:
        try:
            return hosts.run(host, scripts[host])
        except OrchError as error:
            return error

    return in_parallel(run, scripts)


def in_parallel(work: Callable[[str], T], names: Mapping[str, object]) -> Mapping[str, T]:
    """`work` for each name with bounded threads; in the names' order."""
    if len(names) <= 1:
        return {name: work(name) for name in names}
    with threads(len(names)) as executor:
        futures = {name: executor.submit(work, name) for name in names}
        return {name: future.result() for name, future in futures.items()}


@contextmanager
def threads(wanted: int) -> Iterator[ThreadPoolExecutor]:
    """An executor that does not hold up Ctrl-C: what has not started then never does."""
    executor = ThreadPoolExecutor(min(wanted, THREADS), thread_name_prefix="hosts")
    try:
        yield executor
    except BaseException:
        executor.shutdown(wait=False, cancel_futures=True)
        raise
    executor.shutdown()
