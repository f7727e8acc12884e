"""The hosts that `orch init` is given: how they are reached without an inventory, and what they turn out to be."""

from __future__ import annotations

import functools
import ipaddress
import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import yaml

from orchestrator import data
from orchestrator.contracts import Facts, Query
from orchestrator.errors import FilesWrong, OrchError
from orchestrator.facts import Identify, ReadGpus, ReadNetwork, ReadRdma
from orchestrator.hosts.reader import read
from orchestrator.network.recognise import Known, recognise
from orchestrator.network.written import WrittenHost
from orchestrator.spec.models import Cluster, Host
from orchestrator.spec.resolve import load_inventory

if TYPE_CHECKING:
    from orchestrator.hosts.pool import Pool

T = TypeVar("T")
NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]{0,62}")
PLACE = re.compile(r"[^\s/\\*?,;:@\[\]]{1,253}(?::(?P<port>[0-9]{1,5}))?")
QUERIES: tuple[Query[Any], ...] = (Identify(), ReadNetwork(), ReadRdma(), ReadGpus())
FILES = ("key", "known_hosts")  # their paths start here, not where the file lies that we load


def provisional(words: Sequence[str], ssh: Mapping[str, str]) -> Cluster:
    """An inventory of hosts of which only the address is known."""
    hosts: dict[str, dict[str, Any]] = {}
    for word in words:
        user, at, address = word.rpartition("@")
        if not _is_place(address) or (at and not user):
            raise FilesWrong(f"{word!r} is no host", hint="like spark-1, 192.168.1.101, me@spark-1")
        name = _name(address, hosts)
        hosts[name] = {"kind": "gpu-host", "address": address}
        if user:
            hosts[name]["ssh"] = {"user": user}
    if len({one["address"] for one in hosts.values()}) < len(words):
        raise FilesWrong("a host is named twice")
    return _loaded({"version": 1, "defaults": {"ssh": absolute(ssh)}, "hosts": hosts})


def absolute(ssh: Mapping[str, str]) -> dict[str, str]:
    """Paths that hold wherever the file lies that names them."""
    return {
        name: str(Path(value).resolve()) if name in FILES and not value.startswith("~") else value
        for name, value in ssh.items()
    }


def _name(address: str, taken: Mapping[str, object]) -> str:
    """The first part of a host name; an address has none until the host says its own."""
    if _is_address(address) or not NAME.fullmatch(address.split(".")[0]):
        return f"host-{len(taken) + 1}"
    first = address.split(".")[0]
    return first if first not in taken else address


def _is_place(text: str) -> bool:
    """Whether a host can be called so: a name or an IPv4 address, also with a port; an IPv6 address."""
    named = PLACE.fullmatch(text)
    port = named["port"] if named is not None else None
    return (named is not None and (port is None or 0 < int(port) < 65_536)) or _is_address(text)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _loaded(document: Mapping[str, Any]) -> Cluster:
    with tempfile.TemporaryDirectory(prefix="orch-init-") as folder:
        path = Path(folder) / "inventory.yaml"
        path.write_text(yaml.safe_dump(dict(document), sort_keys=False), encoding="utf-8")
        return load_inventory(path)


@functools.cache
def known() -> Known:
    """All kinds that ship, and which of them build on another one."""
    files = data.listing("kinds", None, ".yaml")
    raw = {
        name.removesuffix(".yaml"): yaml.safe_load(path.read_text(encoding="utf-8"))
        for name, path in files.items()
    }
    loaded = _loaded({"version": 1, "hosts": {name: {"kind": name} for name in raw}})
    kinds = {name: loaded.hosts[name].kind for name in raw}
    return Known(kinds, frozenset(name for name, one in raw.items() if "extends" in one))


def found_hosts(
    pool: Pool, cluster: Cluster, ssh: Mapping[str, str]
) -> tuple[dict[str, WrittenHost], dict[str, OrchError]]:
    """What each host is, under the name that it was reached by; and those that could not be read."""
    reading = read(pool, {(host, query) for host in cluster.hosts for query in QUERIES})
    errors: dict[str, OrchError] = dict(reading.errors)
    hosts: dict[str, WrittenHost] = {}
    for name in cluster.hosts:
        if name in errors:
            continue
        try:
            hosts[name] = _found(cluster.hosts[name], ssh, reading[name], hosts.values())
        except OrchError as error:
            errors[name] = error
    return hosts, errors


def _found(
    spec: Host, ssh: Mapping[str, str], facts: Facts, others: Iterable[WrittenHost]
) -> WrittenHost:
    identity = facts.get(Identify())
    found = recognise(
        known(),
        identity,
        facts.get(ReadNetwork()),
        _or_none(facts, ReadRdma()),
        _or_none(facts, ReadGpus()),
    )
    title = spec.name
    if _is_address(spec.address):
        called = identity.hostname.split(".")[0]
        free = NAME.fullmatch(called) and called not in {one.name for one in others}
        title = called if free else spec.name
    own = spec.ssh.user if spec.ssh.user != ssh.get("user") else None
    return WrittenHost(title, spec.address, found, {"user": own} if own else {})


def _or_none(facts: Facts, query: Query[T]) -> T | None:
    """What helps to recognise a host, if it could be read."""
    try:
        return facts.get(query)
    except OrchError:
        return None
