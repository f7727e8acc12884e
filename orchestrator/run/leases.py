"""The leases of one run: taken on all hosts or on none, renewed by a thread, given back."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from contextlib import suppress
from typing import Any

from orchestrator.contracts import Hosts, Query
from orchestrator.errors import Failed, Fenced, Locked, OrchError
from orchestrator.facts.lease import LeaseState, last_line, parse_lease
from orchestrator.framing import Held
from orchestrator.hosts.pool import run_all
from orchestrator.hosts.reader import Answers, Reading, Union, read, union
from orchestrator.reply import no_sudo
from orchestrator.run.lease import (
    BUSY,
    HELD,
    LOST,
    SECONDS,
    UNWRITABLE,
    WAIT,
    Holder,
    acquire,
    break_lease,
    release,
    renew,
)
from orchestrator.script import Command, Result, Script, Sh

RENEW_EVERY = 60.0


class Leases:
    """The leases of one run: taken on all hosts or on none, renewed by a thread, given back."""

    def __init__(
        self,
        hosts: Hosts,
        held: dict[str, Held],
        holder: Holder,
        *,
        seconds: int = SECONDS,
        every: float = RENEW_EVERY,
        on_lost: Callable[[str, OrchError], None] = lambda host, error: None,
    ) -> None:
        self._hosts = hosts
        self._held = held
        self._holder = holder
        self._seconds = seconds
        self._every = every
        self._on_lost = on_lost
        self._rootless: set[str] = set()
        self.reading = Reading({}, {})
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def acquire(
        self, names: Iterable[str], reads: Set[tuple[str, Query[Any]]] = frozenset()
    ) -> Mapping[str, LeaseState]:
        """Take all of them, or none: then one error names every host that was in the way.

        `reads` are answered in the same round trip, as the hosts are once they are ours: see
        `reading` afterwards.
        """
        wanted = list(dict.fromkeys(names))
        asked: dict[str, list[Query[Any]]] = {host: [] for host in wanted}
        for host, query in reads:
            if host in asked:
                asked[host].append(query)
        unions = {host: union(queries) for host, queries in asked.items()}
        taken: dict[str, LeaseState] = {}
        answers: dict[str, Answers] = {}
        errors: dict[str, OrchError] = {}
        take = acquire(self._holder, self._seconds)
        for host, outcome in self._run(wanted, take, unions):
            try:
                taken[host], results = self._taken(host, outcome, unions[host])
                answers[host] = unions[host].split(host, results)
            except OrchError as error:
                errors[host] = error
        if errors:
            self.release()
            raise _all_of(errors)
        http = {(host, query) for host in wanted for query in unions[host].requests}
        self.reading = read(self._hosts, http, answers) if http else Reading(answers, {})
        return taken

    def _taken(
        self, host: str, outcome: Mapping[str, Result] | OrchError, reads: Union
    ) -> tuple[LeaseState, Mapping[str, Result]]:
        lease = _lease_or_raise(host, outcome)
        if lease.token != self._holder.token and self._dead(lease):
            over = acquire(self._holder, self._seconds, over=lease.token)
            ((_, outcome),) = self._run([host], over, {host: reads})
            lease = _lease_or_raise(host, outcome)
        if lease.token != self._holder.token:
            raise locked(host, lease)
        if isinstance(outcome, OrchError):
            raise outcome
        self._held[host] = Held(self._holder.token, lease.directory)
        return lease, outcome

    def _dead(self, lease: LeaseState) -> bool:
        """A run of this very machine whose process is gone: nobody needs to wait for it."""
        if lease.client != self._holder.client or lease.pid == self._holder.pid:
            return False
        try:
            os.kill(lease.pid, 0)
        except ProcessLookupError:
            return True
        except OSError:
            return False
        return False

    @property
    def ours(self) -> list[str]:
        """The hosts that we hold."""
        return [host for host, held in self._held.items() if held.token == self._holder.token]

    def release(self) -> None:
        """Give back what we hold. A host that can't be reached frees itself when the lease ends."""
        self._stop.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()
        names = self.ours
        for host, _ in self._run(names, release(self._holder)):
            self._held.pop(host, None)

    def start(self) -> None:
        """Renew in the background until `release`."""
        self._stop.clear()
        self._thread = threading.Thread(target=self._keep, name="leases", daemon=True)
        self._thread.start()

    def _keep(self) -> None:
        while not self._stop.wait(self._every):
            with suppress(Exception):  # whatever it was: nothing else keeps the hosts ours
                self.renew()

    def renew(self) -> None:
        """Renew once. A host that can't be reached now is tried again; a lost lease is reported."""
        for host, outcome in self._run(self.ours, renew(self._holder, self._seconds)):
            if not isinstance(outcome, OrchError) and outcome["lease"].rc == LOST:
                # `held` keeps the old token: it is what fences our scripts from now on.
                self._on_lost(host, _lost(host, outcome["lease"]))

    def _run(
        self, names: list[str], command: Sh, reads: Mapping[str, Union] | None = None
    ) -> Iterator[tuple[str, Mapping[str, Result] | OrchError]]:
        return as_root_or_self(self._hosts, names, command, reads, self._rootless)


def as_root_or_self(
    hosts: Hosts,
    names: Iterable[str],
    command: Sh,
    reads: Mapping[str, Union] | None = None,
    rootless: set[str] | None = None,
) -> Iterator[tuple[str, Mapping[str, Result] | OrchError]]:
    """A lease command on each host: as root, or as the account itself where root can't be had."""
    rootless = set() if rootless is None else rootless
    names = list(names)
    for root in (True, False):
        scripts = {
            host: Script(
                {"lease": Command(command, sudo=root, timeout=2 * WAIT)},
                then=reads[host].commands if reads else {},
            )
            for host in names
            if (host not in rootless) == root
        }
        for host, outcome in run_all(hosts, scripts).items():
            if root and not isinstance(outcome, OrchError) and no_sudo(outcome["lease"]):
                rootless.add(host)
            else:
                yield host, outcome


def break_all(
    hosts: Hosts, names: Iterable[str], by: str, reason: str
) -> Mapping[str, LeaseState | OrchError | None]:
    """Break the leases of these hosts; what each was, None where there was none."""
    found: dict[str, LeaseState | OrchError | None] = {}
    for host, outcome in as_root_or_self(hosts, names, break_lease(by, reason)):
        if isinstance(outcome, OrchError):
            found[host] = outcome
            continue
        result = outcome["lease"]
        try:
            found[host] = parse_lease(result)
            if result.rc != 0:
                found[host] = Failed(f"its lease stays: {last_line(result)}", host=host)
        except OrchError as error:
            error.host = host
            found[host] = error
    return found


def locked(host: str, lease: LeaseState) -> Locked:
    """Who holds the host, since when, and until when."""
    return Locked(
        f"{host} is locked by {lease}",
        host=host,
        hint=f"wait, or `orch unlock {host} --reason …`",
    )


def _lease_or_raise(host: str, outcome: Mapping[str, Result] | OrchError) -> LeaseState:
    if isinstance(outcome, OrchError):
        raise outcome
    result = outcome["lease"]
    if result.rc == BUSY:
        raise Locked(
            "a script still runs there and holds the host's lock",
            host=host,
            hint="it may be of a run that lost its connection: wait, or see what it is",
        )
    if result.rc not in (0, HELD):
        hint = f"on {host}: `ls -ld` and `df` that folder; it has to belong to who uses it"
        raise Failed(
            f"its lease can't be taken: {last_line(result)}",
            host=host,
            hint=hint if result.rc == UNWRITABLE else "",
        )
    lease = parse_lease(result)
    if lease is None:
        raise Failed("its lease can't be taken: it was not written", host=host)
    return lease


def _lost(host: str, result: Result) -> Fenced:
    lease = parse_lease(result)
    by = f"; now {lease}" if lease is not None else ""
    return Fenced(f"{host}: our lease is gone{by}", host=host, hint="nothing more is changed there")


def _all_of(errors: Mapping[str, OrchError]) -> OrchError:
    """One error that tells all of them, of the kind of the first that is more than a lock."""
    each = list(errors.values())
    if len(each) == 1:
        return each[0]
    leading = next((one for one in each if not isinstance(one, Locked)), each[0])
    return type(leading)("; ".join(str(one) for one in each), hint=leading.hint)
