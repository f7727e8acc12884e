"""Who else sets our interfaces: the user's own netplan files, matched, taken over by name, or refused.

netplan merges files and *appends* their address lists, so a second file for an interface never replaces
the first. What might match an interface (a glob, a MAC, a driver) is taken to match it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from ipaddress import AddressValueError, IPv4Interface, NetmaskValueError
from pathlib import PurePosixPath
from typing import Any

import yaml

from orchestrator.facts.answers import Netdev, NetplanFile, Network
from orchestrator.network.netplan import FOLDER, PATH, Wanted

FOLDERS = ("/run/netplan", FOLDER, "/lib/netplan", "/usr/lib/netplan")  # the first hides the others
PHYSICAL = ("ethernets", "wifis", "modems", "nm-devices", "dummy-devices", "virtual-ethernets")
ABOVE = ("bonds", "bridges", "vrfs")  # these take an interface for themselves
HEADER = "# What orch left of your {name}: the interfaces of its links moved to 40-orch.yaml.\n"


@dataclass(frozen=True)
class Adopted:
    """A file of the user's that is taken over. `remainder` is what stays of it; None: nothing."""

    name: str
    remainder: str | None
    ids: frozenset[str]


@dataclass(frozen=True)
class Matched:
    """The file that sets an interface as we would, and netplan's name for it there."""

    name: str
    id: str


@dataclass(frozen=True)
class Claims:
    """What the user's files say of our interfaces."""

    matched: Mapping[str, Matched]  # by netdev
    adopted: tuple[Adopted, ...]
    refused: tuple[str, ...]  # sentences, each with what to type


@dataclass(frozen=True)
class _Claim:
    """One stanza that sets one of our interfaces, or might."""

    path: str
    section: str
    id: str
    netdev: str
    body: Mapping[str, Any]
    alone: bool  # it can reach no other interface of the host

    @property
    def name(self) -> str:
        return PurePosixPath(self.path).name


def conflicts(
    files: Iterable[NetplanFile],
    wanted: Sequence[Wanted],
    network: Network,
    adopt: Iterable[str] = (),
) -> Claims:
    """Compare the user's files with what we want. Pure: nothing is decided but what is said here."""
    documents, refused = netplan_documents(files)
    claims: dict[str, list[_Claim]] = defaultdict(list)
    for path, content in documents.items():
        for one in wanted:
            for claim in _claims(path, content, one.netdev, network):
                claims[one.netdev].append(claim)
    named = frozenset(adopt)
    matched = {
        one.netdev: Matched(claims[one.netdev][-1].name, claims[one.netdev][-1].id)
        for one in wanted
        if claims[one.netdev] and _matches(claims[one.netdev], one)
    }
    taken: set[str] = set()
    open_ones = [one for one in wanted if claims[one.netdev] and one.netdev not in matched]
    for one in open_ones:
        reason = _why_not_adopted(claims[one.netdev], one, named)
        if reason:
            refused.append(reason)
        taken.update(claim.path for claim in claims[one.netdev])
    if refused:
        return Claims(matched, (), tuple(refused))
    # a file that is taken over gives up all of our interfaces, those too that it sets as we would
    given_up = {netdev for netdev in matched if taken & {claim.path for claim in claims[netdev]}}
    matched = {netdev: one for netdev, one in matched.items() if netdev not in given_up}
    moved = [claim for each in claims.values() for claim in each if claim.path in taken]
    return Claims(matched, tuple(_adopted(documents, path, moved) for path in sorted(taken)), ())


def netplan_documents(
    files: Iterable[NetplanFile],
) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Path → the `network:` mapping, in the order in which netplan merges; and what can't be read."""
    by_name: dict[str, NetplanFile] = {}
    for file in sorted(files, key=lambda one: _rank(one.path), reverse=True):
        by_name[PurePosixPath(file.path).name] = file
    found: dict[str, dict[str, Any]] = {}
    refused: list[str] = []
    for _, file in sorted(by_name.items()):
        if file.path == PATH:
            continue
        try:
            content = yaml.safe_load(file.text)
        except (yaml.YAMLError, ValueError, RecursionError) as wrong:
            line = str(wrong).splitlines()[0]
            refused.append(f"{file.path} is not YAML ({line}): netplan can't be used until it is")
            continue
        network = content.get("network") if isinstance(content, dict) else content
        if network is None:
            continue
        if isinstance(network, dict):
            found[file.path] = network
        else:
            refused.append(f"{file.path} has no `network:` mapping: netplan can't read it either")
    return found, refused


def _rank(path: str) -> int:
    folder = str(PurePosixPath(path).parent)
    return FOLDERS.index(folder) if folder in FOLDERS else len(FOLDERS)


def _claims(
    path: str, content: Mapping[str, Any], netdev: str, network: Network
) -> Iterable[_Claim]:
    reached: dict[str, bool] = {netdev: True}  # ids that stand for the netdev
    for section in PHYSICAL:
        for ident, body in _stanzas(content, section):
            hits = _hits(ident, body, network)
            if netdev in hits:
                reached[ident] = True
                alone = hits == {netdev} and section == "ethernets"
                yield _Claim(path, section, ident, netdev, body, alone)
    for section in ABOVE:
        for ident, body in _stanzas(content, section):
            if any(str(member) in reached for member in _items(body.get("interfaces"))):
                yield _Claim(path, section, ident, netdev, body, alone=False)


def _stanzas(content: Mapping[str, Any], section: str) -> Iterable[tuple[str, Mapping[str, Any]]]:
    stanzas = content.get(section)
    if not isinstance(stanzas, dict):
        return
    for ident, body in stanzas.items():
        if isinstance(body, dict) or body is None:
            yield str(ident), body or {}


def _items(value: object) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _hits(ident: str, body: Mapping[str, Any], network: Network) -> set[str]:
    """Netdevs of the host that a stanza sets, or may set."""
    renamed = {str(body["set-name"])} if body.get("set-name") else set()
    match = body.get("match")
    if match is None:
        return {ident} | _passed_through(body) | renamed
    if not isinstance(match, dict):
        return set(network.netdevs) | renamed
    return renamed | {
        name for name, netdev in network.netdevs.items() if _could_match(match, netdev)
    }


def _passed_through(body: Mapping[str, Any]) -> set[str]:
    """The interface that a NetworkManager profile names where netplan has no key for it."""
    try:
        return {str(body["networkmanager"]["passthrough"]["connection.interface-name"])}
    except (KeyError, TypeError):
        return set()


def _could_match(match: Mapping[str, Any], netdev: Netdev) -> bool:
    """All criteria that are given must fit; one that we don't know fits."""
    names, macs, drivers = (_items(match.get(key)) for key in ("name", "macaddress", "driver"))
    return (
        (not names or any(fnmatchcase(netdev.name, str(one)) for one in names))
        and (not macs or any(str(one).lower() == netdev.mac.lower() for one in macs))
        and (
            not drivers
            or not netdev.driver
            or any(fnmatchcase(netdev.driver, str(one)) for one in drivers)
        )
    )


def _matches(claims: Sequence[_Claim], wanted: Wanted) -> bool:
    """Do these stanzas together give just what we want?"""
    if not all(claim.alone for claim in claims) or len({claim.id for claim in claims}) > 1:
        return False
    merged: dict[str, Any] = {}
    for claim in claims:
        merged.update({k: v for k, v in claim.body.items() if k != "addresses"})
    if merged.get("dhcp4") or merged.get("dhcp6"):
        return False
    local = "ipv4" in _items(merged.get("link-local"))
    addresses = _addresses(claims)
    wanted_addresses = set() if wanted.address is None else {str(wanted.address)}
    return (
        addresses == wanted_addresses
        and local == (wanted.address is None)
        and merged.get("mtu", 1500) == wanted.mtu
    )


def _addresses(claims: Iterable[_Claim]) -> set[str]:
    found: set[str] = set()
    for claim in claims:
        for item in _items(claim.body.get("addresses")):
            text = str(next(iter(item), "")) if isinstance(item, dict) else str(item)
            try:
                found.add(str(IPv4Interface(text)))
            except (AddressValueError, NetmaskValueError, ValueError):
                found.add(text)  # IPv6, or nonsense: never equal to what we want
    return found


def _why_not_adopted(claims: Sequence[_Claim], wanted: Wanted, named: frozenset[str]) -> str:
    """Why the files that set this interface can't be taken over; "" if they can."""
    ours = f"{wanted.address or 'link-local'} and MTU {wanted.mtu}"
    for claim in claims:
        what = f"{claim.path} ({claim.section}.{claim.id})"
        if not claim.alone and claim.section in PHYSICAL:
            return (
                f"{what} may set {wanted.netdev} and other interfaces too: narrow its `match:` "
                f"so that it leaves {wanted.netdev} out"
            )
        if not claim.alone:
            return (
                f"{what} takes {wanted.netdev} for itself: take the link out of the inventory, "
                f"or {wanted.netdev} out of {claim.id}"
            )
        if PurePosixPath(claim.path).parent != PurePosixPath(FOLDER):
            return f"{what} sets {wanted.netdev}, and is not in {FOLDER}: remove it there"
        if claim.name not in named:
            theirs = ", ".join(sorted(_addresses([claim]))) or "no fixed address"
            mtu = claim.body.get("mtu", 1500)
            return (
                f"{what} sets {wanted.netdev} to {theirs} and MTU {mtu}, the inventory to {ours}: "
                f"write `adopt: [{claim.name}]` under `network:` to hand it over (a copy is kept), "
                "or make them equal (`subnets:` of the link, `mtu:` of the network)"
            )
    return ""


def _adopted(
    documents: Mapping[str, Mapping[str, Any]], path: str, moved: Iterable[_Claim]
) -> Adopted:
    ids = frozenset(claim.id for claim in moved if claim.path == path)
    left = {
        key: {i: b for i, b in value.items() if str(i) not in ids} if key == "ethernets" else value
        for key, value in documents[path].items()
    }
    left = {key: value for key, value in left.items() if value not in ({}, None)}
    name = PurePosixPath(path).name
    if left.keys() <= {"version"}:
        return Adopted(name, None, ids)
    text = yaml.safe_dump({"network": left}, sort_keys=False)
    return Adopted(name, HEADER.format(name=name) + text, ids)
