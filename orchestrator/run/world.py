"""What is known of the hosts in a run: answers as they were last read, shared by all threads."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from orchestrator.contracts import Facts, Query
from orchestrator.hosts.reader import Answers

Reads = frozenset[tuple[str, Query[Any]]]
Reader = Callable[[Reads], Mapping[str, Answers]]  # asks the hosts anew


class LiveWorld(Mapping[str, Facts]):
    """The newest answer of every (host, query); `read` asks, `get` never does.

    Newest is what was asked last: an answer that took its time never takes the place of one that was asked
    for after it, or that came with an apply.
    """

    def __init__(self, hosts: Iterable[str], reader: Reader) -> None:
        self._hosts = {name: Answers(name) for name in hosts}
        self._asked: dict[str, dict[Query[Any], int]] = {name: {} for name in self._hosts}
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
            self._keep(self._reader(wanted), asked)

    def take(self, answers: Mapping[str, Answers]) -> None:
        """Keep answers that came some other way (with an apply, in the same round trip): they are of just now."""
        self._keep(answers, next(self._ticks))

    def _keep(self, answers: Mapping[str, Answers], asked: int) -> None:
        with self._lock:
            for host, fresh in answers.items():
                before = self._asked[host]
                newest = fresh.without(one for one in fresh if before.get(one, 0) > asked)
                before.update(dict.fromkeys(newest, asked))
                self._hosts[host] = self._hosts[host].with_answers(newest)

    def known(self, wanted: Reads) -> bool:
        return all(query in self._hosts[host] for host, query in wanted)
