"""One host's network as it is, compared with what the links want of it: what to write, or why not."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import unified_diff
from ipaddress import IPv4Interface, IPv4Network

from orchestrator.errors import Refused
from orchestrator.facts.answers import Netdev, NetplanFile, Network, Profile
from orchestrator.network.claims import Claims, conflicts, netplan_documents
from orchestrator.network.fabric import Fabric
from orchestrator.network.netplan import (
    FOLDER,
    MODE,
    NAME,
    Renderer,
    Wanted,
    netplan_text,
    wanted_of,
)
from orchestrator.network.profiles import FOLDER as PROFILES
from orchestrator.network.profiles import ProfileClaims, profile_claims
from orchestrator.spec.models import Cluster

UPLINK = "the management interface is never changed: use another port for the link"


@dataclass(frozen=True)
class Target:
    """What the host's netplan files shall be, and what each interface shall have then."""

    text: str  # of 40-orch.yaml; "": it shall not be there
    write: Mapping[str, str]  # name in /etc/netplan → text, where it differs from what is there
    remove: tuple[str, ...]
    adopt: tuple[str, ...]  # of the user's, kept as a copy
    wanted: tuple[Wanted, ...]
    ids: tuple[str, ...]  # netplan's names of all that may change
    diff: str
    reasons: tuple[str, ...]  # why something has to be done; empty: nothing

    @property
    def digest(self) -> str:
        """Names the change by what shall be, so that it is known again while it waits and once it is done."""
        parts = [self.text, *(expectation(one) for one in self.wanted)]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


def target_of(
    cluster: Cluster,
    fabric: Fabric,
    host: str,
    network: Network,
    files: Sequence[NetplanFile],
    profiles: Sequence[Profile] = (),
) -> Target:
    """Raises Refused where the host's own settings forbid it, with all the reasons at once."""
    wanted = wanted_of(cluster, fabric, host)
    reasons = [*forbidden(cluster, host, wanted, network), *_clashes(wanted, network)]
    claims = conflicts(files, wanted, network, cluster.adopt)
    open_ones = [one for one in wanted if one.netdev not in claims.matched]
    by_manager = profile_claims(profiles, open_ones, network, cluster.adopt)
    reasons += [*claims.refused, *by_manager.refused]
    if reasons:
        raise Refused(
            "; ".join(reasons),
            host=host,
            hint=f"correct that in the inventory (`links:`, `network:`) or on {host}; `orch render` prints"
            " what is to be written",
        )
    text = netplan_text(
        cluster,
        fabric,
        host,
        renderer=renderer_of(network, files),
        without={*claims.matched, *by_manager.matched},
    )
    return _target(wanted, claims, by_manager, text, network, files)


def _target(
    wanted: tuple[Wanted, ...],
    claims: Claims,
    by_manager: ProfileClaims,
    text: str,
    network: Network,
    files: Sequence[NetplanFile],
) -> Target:
    there = {file.path: file for file in files}
    new: dict[str, str | None] = {one.name: one.remainder for one in claims.adopted}
    new[NAME] = text or None
    write: dict[str, str] = {}
    remove: list[str] = []
    for name, content in sorted(new.items()):
        old = there.get(f"{FOLDER}/{name}")
        if content is None and old is not None:
            remove.append(name)
        elif content is not None and (old is None or (old.text, old.mode) != (content, MODE)):
            write[name] = content
    ids = {one.netdev for one in wanted} | {one.id for one in claims.matched.values()}
    ids.update(*(one.ids for one in claims.adopted))
    diff = _diff(there, write, remove) + "".join(
        f"--- {PROFILES}/{name}\n+++ /dev/null\n" for name in by_manager.adopted
    )
    adopt = (*_names(claims), *by_manager.adopted)
    remove += by_manager.adopted
    reasons = [f"{name} is taken over" for name in adopt]
    reasons += [f"{name} {'changes' if _at(name) in there else 'is new'}" for name in write]
    reasons += [f"{name} goes" for name in remove if name not in adopt]
    reasons += live_faults(wanted, network)
    return Target(
        text=text,
        write=write,
        remove=tuple(remove),
        adopt=adopt,
        wanted=wanted,
        ids=tuple(sorted(ids)),
        diff=diff,
        reasons=tuple(reasons),
    )


def _names(claims: Claims) -> tuple[str, ...]:
    return tuple(one.name for one in claims.adopted)


def _at(name: str) -> str:
    return f"{FOLDER}/{name}"


def _diff(there: Mapping[str, NetplanFile], write: Mapping[str, str], remove: Iterable[str]) -> str:
    lines: list[str] = []
    for name, text in sorted({**write, **dict.fromkeys(remove, "")}.items()):
        path = _at(name)
        old = there[path].text if path in there else ""
        lines += unified_diff(
            old.splitlines(keepends=True),
            text.splitlines(keepends=True),
            path if old else "/dev/null",
            path if text else "/dev/null",
        )
    return "".join(line if line.endswith("\n") else line + "\n" for line in lines)


def live_faults(wanted: Iterable[Wanted], network: Network) -> list[str]:
    """What the interfaces have now that is not as it shall be."""
    found: list[str] = []
    for one in wanted:
        netdev = network.netdevs.get(one.netdev)
        if netdev is None:
            found.append(f"there is no {one.netdev}")
        else:
            found += _netdev_faults(one, netdev)
    return found


def _netdev_faults(one: Wanted, netdev: Netdev) -> Iterable[str]:
    if netdev.mtu != one.mtu:
        yield f"{one.netdev} has MTU {netdev.mtu}, not {one.mtu}"
    have = [IPv4Interface(text) for text in netdev.addresses if ":" not in text]
    if one.address is None:
        if not any(address.is_link_local for address in have):
            yield f"{one.netdev} has no link-local address"
        return
    if one.address not in have:
        yield f"{one.netdev} has no {one.address}"


def forbidden(
    cluster: Cluster, host: str, wanted: Iterable[Wanted], network: Network
) -> Iterable[str]:
    """Interfaces that are not there, or that carry what must not be touched."""
    management = set(cluster.hosts[host].management)
    for one in wanted:
        at = f"{host}.{one.port} is {one.netdev}"
        if one.netdev not in network.netdevs:
            known = ", ".join(sorted(network.netdevs)) or "none"
            yield f"{at}, which {host} has not (it has {known}): correct `ports:` of the host or kind"
        elif one.netdev == network.ssh_netdev:
            yield f"{at}, which carries our SSH; {UPLINK}"
        elif one.netdev == network.default_netdev:
            yield f"{at}, which has the default route; {UPLINK}"
        elif one.netdev in management:
            yield f"{at}, which the inventory calls a management interface; {UPLINK}"


def _clashes(wanted: Sequence[Wanted], network: Network) -> Iterable[str]:
    """Our subnets against what the host has on other interfaces, and where it routes them."""
    ours = {one.netdev for one in wanted}
    for one in wanted:
        if one.address is None:
            continue
        subnet = one.address.network
        for device, there in _others(ours, network):
            if subnet.overlaps(there):
                yield (
                    f"{subnet} of {one.netdev} overlaps {there} on {device}: set another `pool:` "
                    "under `network:`, or pin `subnets:` of the link"
                )


def _others(ours: set[str], network: Network) -> Iterable[tuple[str, IPv4Network]]:
    """Networks that the host has elsewhere. A wider route elsewhere is none: the narrower one wins."""
    for name, netdev in network.netdevs.items():
        if name not in ours:
            for text in netdev.addresses:
                if ":" not in text:
                    yield name, IPv4Interface(text).network
    if network.ssh_address and _is_v4(network.ssh_address):
        yield network.ssh_netdev or "the SSH connection", IPv4Network(network.ssh_address)
    for route in network.routes:
        prefix, _, device = route.partition(" dev ")
        device = device.split(" ")[0]
        if device not in ours and _is_v4(prefix) and IPv4Network(prefix).prefixlen >= 24:
            yield f"a route to {device}", IPv4Network(prefix)


def _is_v4(text: str) -> bool:
    try:
        IPv4Network(text, strict=False)
    except ValueError:
        return False
    return True


def renderer_of(network: Network, files: Iterable[NetplanFile]) -> Renderer:
    """The one that runs. Where both do: what the user's files say for all, else netplan's own default."""
    said = network.renderer
    if said == "both":
        said = ""
        for content in netplan_documents(files)[0].values():  # later files win
            section = content.get("ethernets")
            for part in (content, section if isinstance(section, dict) else {}):
                said = str(part.get("renderer") or said)
    return "NetworkManager" if said == "NetworkManager" else "networkd"


def expectation(one: Wanted) -> str:
    """A line of the dead man's `expect`."""
    return f"{one.netdev} {one.mtu} {one.address if one.address is not None else '-'}"
