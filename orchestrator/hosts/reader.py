"""Queries to answers: all that is asked of a host is one script, each answer stands for itself."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field, replace
from operator import itemgetter
from typing import Any, TypeVar, cast

from orchestrator.contracts import Facts, Hosts, Query
from orchestrator.errors import NoAnswer, NotRead, OrchError, OutcomeUnknown, Unknown
from orchestrator.hosts.pool import in_parallel, run_all
from orchestrator.script import Command, Request, Result, Script

T = TypeVar("T")
BODY_BYTES = 16 * 1024 * 1024


class Answers:
    """`contracts.Facts`: what one host answered. A query that could not be read raises why."""

    def __init__(self, host: str, values: Mapping[Query[Any], Any] | None = None) -> None:
        self.host = host
        self._values = dict(values or {})

    def get(self, query: Query[T]) -> T:
        """The answer. Raises the error that reading it gave, or NotRead."""
        try:
            value = self._values[query]
        except KeyError:
            raise NotRead(f"{query} was not read", host=self.host) from None
        if isinstance(value, Unknown):
            raise type(value)(value.message, host=self.host, hint=value.hint) from value
        if isinstance(value, OrchError):  # the host was lost
            raise value
        return cast("T", value)

    def __contains__(self, query: object) -> bool:
        return query in self._values

    def __iter__(self) -> Iterator[Query[Any]]:
        return iter(self._values)

    def with_answers(self, newer: Answers) -> Answers:
        """These answers with the newer ones over them."""
        return Answers(self.host, {**self._values, **newer._values})

    def without(self, queries: Iterable[Query[Any]]) -> Answers:
        """These answers less some that are out of date."""
        gone = set(queries)
        if not gone:
            return self
        return Answers(
            self.host, {key: one for key, one in self._values.items() if key not in gone}
        )


class Reading(Mapping[str, Answers]):
    """A World, and the errors of the hosts that could not be read, all of them."""

    def __init__(self, answers: Mapping[str, Answers], errors: Mapping[str, OrchError]) -> None:
        self._answers = dict(answers)
        self.errors = dict(errors)

    def __getitem__(self, host: str) -> Answers:
        return self._answers[host]

    def __iter__(self) -> Iterator[str]:
        return iter(self._answers)

    def __len__(self) -> int:
        return len(self._answers)


@dataclass(frozen=True)
class Union:
    """The commands of many queries as one mapping. A command that two of them ask runs once."""

    commands: Mapping[str, Command] = field(default_factory=dict)
    names: Mapping[Query[Any], Mapping[str, str]] = field(default_factory=dict)  # its → ours
    requests: Mapping[Query[Any], Request] = field(default_factory=dict)

    def split(self, host: str, results: Mapping[str, Result]) -> Answers:
        """Each query's answer from the results of `commands`."""
        return Answers(
            host, {query: _answer(query, names, results) for query, names in self.names.items()}
        )


Asked = tuple[Query[Any], Script | Request]


def union(queries: Iterable[Query[Any]], prefix: str = "read") -> Union:
    """Join what the queries ask."""
    return union_of(((query, query.ask()) for query in dict.fromkeys(queries)), prefix)


def union_of(each: Iterable[Asked], prefix: str = "read") -> Union:
    """Join queries with what they ask; each is there once.

    A query may have a `turn`: -1, asked before all others, or 1, after them; so what ends between two looks
    is never seen as done by the first and as gone by the second.
    """
    commands: dict[Command, str] = {}
    names: dict[Query[Any], Mapping[str, str]] = {}
    requests: dict[Query[Any], Request] = {}
    for query, asked in sorted(each, key=lambda one: getattr(one[0], "turn", 0)):
        if isinstance(asked, Request):
            requests[query] = asked
            continue
        if asked.mutates:
            raise TypeError(f"{query} would change the host")
        names[query] = {
            name: commands.setdefault(command, f"{prefix}.{len(commands)}")
            for name, command in asked.commands.items()
        }
    return Union({name: command for command, name in commands.items()}, names, requests)


def _answer(
    query: Query[Any], names: Mapping[str, str], results: Mapping[str, Result]
) -> object | Unknown:
    try:
        own = {name: results[ours] for name, ours in names.items()}
    except KeyError:
        return Unknown(f"{query} was not answered: the reply ended before it")
    return _parsed(query, own)


def _parsed(query: Query[Any], results: Mapping[str, Result]) -> object | Unknown:
    """What the query makes of the results; whatever it trips over is Unknown, never a guess."""
    try:
        value: object = query.parse(results)
    except Unknown as error:
        return error
    except Exception as error:  # an answer in a form that nobody foresaw
        return Unknown(f"{query} can't be read: {type(error).__name__}: {error}")
    return value


# --- a script with fresh reads -----------------------------------------------------------------


@dataclass(frozen=True)
class Joined:
    """A script and queries that travel together; `split` takes the results apart."""

    script: Script
    asked: Union
    own: frozenset[str]

    def split(self, host: str, results: Mapping[str, Result]) -> tuple[dict[str, Result], Answers]:
        """The script's own results, and the answers."""
        own = {name: result for name, result in results.items() if name in self.own}
        return own, self.asked.split(host, results)


def script_with_reads(script: Script, queries: Iterable[Query[Any]]) -> Joined:
    """The script, and then the reads whatever it did. HTTP queries are left in `asked.requests`."""
    asked = union(queries)
    joined = replace(script, then={**script.then, **asked.commands})
    return Joined(joined, asked, frozenset({*script.commands, *script.then}))


def apply_and_read(
    hosts: Hosts, host: str, script: Script, queries: Iterable[Query[Any]]
) -> tuple[dict[str, Result], Answers]:
    """Run a script and read afresh in one round trip (and one for each HTTP query)."""
    joined = script_with_reads(script, queries)
    results, answers = joined.split(host, hosts.run(host, joined.script))
    for query, request in joined.asked.requests.items():
        answers = answers.with_answers(
            Answers(host, {query: _ask_http(hosts, host, query, request)})
        )
    return results, answers


# --- reading many hosts ------------------------------------------------------------------------


def read(
    hosts: Hosts,
    wanted: Set[tuple[str, Query[Any]]],
    known: Mapping[str, Facts] | None = None,
) -> Reading:
    """Ask all hosts at once: a script each, then their HTTP queries. `known` fills in the rest."""
    # Most queries are the same on every host: each is named, and asked what it is, once.
    once = enumerate(sorted({query for _, query in wanted}, key=repr))
    told = {query: (number, (query, query.ask())) for number, query in once}
    by_host: dict[str, list[tuple[int, Asked]]] = {}
    for host, query in wanted:
        by_host.setdefault(host, []).append(told[query])
    asked = _asked(by_host)
    errors: dict[str, OrchError] = {}
    fresh = {host: Answers(host) for host in asked}
    scripts = {host: Script(one.commands) for host, one in asked.items() if one.commands}
    for host, outcome in run_all(hosts, scripts).items():
        if isinstance(outcome, OrchError):
            errors[host] = outcome
            partial = outcome.results if isinstance(outcome, OutcomeUnknown) else {}
            fresh[host] = _unread(asked[host], host, outcome, partial)
        else:
            fresh[host] = asked[host].split(host, outcome)
    _read_http(hosts, asked, fresh, errors)
    return Reading({**_old(known), **_over(known, fresh)}, errors)


def _asked(by_host: Mapping[str, list[tuple[int, Asked]]]) -> dict[str, Union]:
    """What to ask each host; hosts that are asked the same share one of them."""
    same: dict[tuple[int, ...], Union] = {}
    asked: dict[str, Union] = {}
    for host in sorted(by_host):
        ordered = sorted(by_host[host], key=itemgetter(0))
        numbers = tuple(number for number, _ in ordered)
        if numbers not in same:
            same[numbers] = union_of(one for _, one in ordered)
        asked[host] = same[numbers]
    return asked


def _old(known: Mapping[str, Facts] | None) -> dict[str, Answers]:
    return {host: one for host, one in (known or {}).items() if isinstance(one, Answers)}


def _over(known: Mapping[str, Facts] | None, fresh: Mapping[str, Answers]) -> dict[str, Answers]:
    old = _old(known)
    return {
        host: old[host].with_answers(one) if host in old else one for host, one in fresh.items()
    }


def _unread(asked: Union, host: str, error: OrchError, partial: Mapping[str, Result]) -> Answers:
    """What arrived before the error, and Unknown for the rest."""
    why = Unknown(f"not read: {error}", host=host, hint=error.hint)
    values: dict[Query[Any], Any] = dict.fromkeys([*asked.names, *asked.requests], why)
    for query, names in asked.names.items():
        if names and all(name in partial for name in names.values()):
            values[query] = _answer(query, names, partial)
    return Answers(host, values)


def _read_http(
    hosts: Hosts,
    asked: Mapping[str, Union],
    fresh: dict[str, Answers],
    errors: dict[str, OrchError],
) -> None:
    wanted = {
        f"{host}\0{number}": (host, query, request)
        for host, one in asked.items()
        if host not in errors
        for number, (query, request) in enumerate(one.requests.items())
    }

    def ask(key: str) -> object:
        host, query, request = wanted[key]
        try:
            return _ask_http(hosts, host, query, request)
        except OrchError as error:
            return error

    for key, value in in_parallel(ask, wanted).items():
        host, query, _ = wanted[key]
        answer = value
        if isinstance(value, OrchError) and not isinstance(value, Unknown):
            errors.setdefault(host, value)
            answer = Unknown(f"not read: {value}", host=host, hint=value.hint)
        fresh[host] = fresh[host].with_answers(Answers(host, {query: answer}))


def _ask_http(hosts: Hosts, host: str, query: Query[Any], request: Request) -> object | Unknown:
    """The answer of an HTTP query; a port that does not answer is a result (rc 0), not an error."""
    began = time.monotonic()
    try:
        stream = hosts.http(host, request)
        body = bytearray()
        for piece in stream:
            body += piece
            if len(body) > BODY_BYTES:
                return Unknown(f"{query}: the answer is longer than {BODY_BYTES} bytes", host=host)
        status = int(getattr(stream, "status", 200))
        result = Result(status, bytes(body), b"", time.monotonic() - began)
    except NoAnswer as error:
        result = Result(0, b"", str(error).encode(), time.monotonic() - began)
    return _parsed(query, {"http": result})
