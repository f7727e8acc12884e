"""What is known of the hosts in a run: answers as they were last read, shared by all threads."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from orchestrator.contracts import Facts, Query, World
from orchestrator.errors import NotRead, OrchError

T = TypeVar("T")
Reads = frozenset[tuple[str, Query[Any]]]
Reader = Callable[[Reads], World]  # asks the hosts anew; an unreadable answer raises on get


class HostAnswers:
    """One host's answers; implements contracts.Facts."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.answers: dict[Query[Any], Any] = {}
        self.asked: dict[Query[Any], int] = {}  # when, as LiveWorld counts

    def get(self, query: Query[T]) -> T:
        try:
            answer = self.answers[query]
        except KeyError:
            raise NotRead(f"{query} was not read", host=self.host) from None
        if isinstance(answer, OrchError):
            raise answer
        return answer  # type: ignore[no-any-return]  # the dict is keyed by the query's own type


class LiveWorld(Mapping[str, Facts]):
    """The newest answer of every (host, query); `read` asks, `get` never does.

    Newest is what was asked last: an answer that took its time never takes the place of one that was asked
    for after it, or that came with an apply.
    """

    def __init__(self, hosts: Iterable[str], reader: Reader) -> None:
        self._hosts = {name: HostAnswers(name) for name in hosts}
        self._reader = reader
        self._lock = threading.Lock()
        self._ticks = itertools.count(1)

    def __getitem__(self, host: str) -> Facts:
        return self._hosts[host]

    def __iter__(self) -> Iterator[str]:
        return iter(self._hosts)

    def __len__(self) -> int:
        return len(self._hosts)

    def read(self, wanted: Reads) -> None:
        """Ask the hosts anew, all at once."""
        if wanted:
            asked = next(self._ticks)
            self._keep(wanted, self._reader(wanted), asked)

    def take(self, wanted: Reads, answers: World) -> None:
        """Keep answers that came some other way (with an apply, in the same round trip): they are of just now."""
        self._keep(wanted, answers, next(self._ticks))

    def _keep(self, wanted: Reads, answers: World, asked: int) -> None:
        with self._lock:
            for host, query in wanted:
                here = self._hosts[host]
                if here.asked.get(query, 0) > asked:
                    continue
                try:
                    value = answers[host].get(query)
                except NotRead:
                    continue
                except OrchError as error:
                    value = error
                here.answers[query] = value
                here.asked[query] = asked

    def known(self, wanted: Reads) -> bool:
        return all(query in self._hosts[host].answers for host, query in wanted)
