"""What is known of the hosts in a run: answers as they were last read, shared by all threads."""

from __future__ import annotations

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

    def get(self, query: Query[T]) -> T:
        if query not in self.answers:
            raise NotRead(f"{query} was not read", host=self.host)
        answer = self.answers[query]
        if isinstance(answer, OrchError):
            raise answer
        return answer  # type: ignore[no-any-return]  # the dict is keyed by the query's own type


class LiveWorld(Mapping[str, Facts]):
    """The newest answer of every (host, query); `read` asks, `get` never does."""

    def __init__(self, hosts: Iterable[str], reader: Reader) -> None:
        self._hosts = {name: HostAnswers(name) for name in hosts}
        self._reader = reader
        self._lock = threading.Lock()

    def __getitem__(self, host: str) -> Facts:
        return self._hosts[host]

    def __iter__(self) -> Iterator[str]:
        return iter(self._hosts)

    def __len__(self) -> int:
        return len(self._hosts)

    def read(self, wanted: Reads) -> None:
        """Ask the hosts anew, all at once."""
        if wanted:
            self.take(wanted, self._reader(wanted))

    def take(self, wanted: Reads, answers: World) -> None:
        """Keep answers that came some other way (with an apply, in the same round trip)."""
        with self._lock:
            for host, query in wanted:
                try:
                    value = answers[host].get(query)
                except NotRead:
                    continue
                except OrchError as error:
                    value = error
                self._hosts[host].answers[query] = value

    def known(self, wanted: Reads) -> bool:
        return all(query in self._hosts[host].answers for host, query in wanted)
