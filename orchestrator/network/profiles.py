"""Who else sets our interfaces: NetworkManager's own profiles, matched, taken over by name, or refused.

Profiles don't add up as netplan's files do: of those that fit an interface NetworkManager brings up one, by
priority and by when it was last used. Which one after a boot must not be left to that.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from orchestrator.facts.answers import Netdev, Network, Profile
from orchestrator.network.netplan import PRIORITY, Wanted

FOLDER = "/etc/NetworkManager/system-connections"


@dataclass(frozen=True)
class ProfileClaims:
    """What the user's profiles say of our interfaces."""

    matched: frozenset[str]  # netdevs that a profile sets as we would
    adopted: tuple[str, ...]  # names in FOLDER
    refused: tuple[str, ...]


def profile_claims(
    profiles: Iterable[Profile],
    wanted: Sequence[Wanted],
    network: Network,
    adopt: Collection[str] = (),
) -> ProfileClaims:
    """Nothing where NetworkManager does not run: nobody reads its profiles then."""
    if network.renderer not in ("NetworkManager", "both"):
        return ProfileClaims(frozenset(), (), ())
    ours = {one.netdev for one in wanted}
    matched: set[str] = set()
    adopted: set[str] = set()
    refused: list[str] = []
    known = list(profiles)
    for one in wanted:
        claims = [profile for profile in known if one.netdev in _hits(profile, network)]
        if len(claims) == 1 and _matches(claims[0], one) and _name(claims[0]) not in adopt:
            matched.add(one.netdev)
            continue
        for profile in claims:
            reason = _why_not_adopted(profile, one, _hits(profile, network) - ours, adopt)
            if reason:
                refused.append(reason)
            adopted.add(_name(profile))
    return ProfileClaims(
        frozenset(matched), () if refused else tuple(sorted(adopted)), tuple(refused)
    )


def _hits(profile: Profile, network: Network) -> set[str]:
    """Netdevs that NetworkManager may bring up with it before ours, without being asked."""
    if not profile.autoconnect:
        return set()
    if not (profile.interface or profile.mac or profile.patterns) and profile.priority < PRIORITY:
        return set()
    return {name for name, netdev in network.netdevs.items() if _fits(profile, netdev)}


def _fits(profile: Profile, netdev: Netdev) -> bool:
    """All that is given must fit; a pattern that is more than a glob fits."""
    return (
        profile.interface in ("", netdev.name)
        and profile.mac in ("", netdev.mac.lower())
        and (
            not profile.patterns
            or any(one[0] in "!&|" or fnmatchcase(netdev.name, one) for one in profile.patterns)
        )
    )


def _matches(profile: Profile, wanted: Wanted) -> bool:
    """Does it set one of ours, and only that, to just what we want?"""
    if profile.port_of or profile.interface != wanted.netdev or profile.mtu != wanted.mtu:
        return False
    if wanted.address is None:
        return profile.method == "link-local" and not profile.addresses
    return profile.method == "manual" and profile.addresses == (str(wanted.address),)


def _name(profile: Profile) -> str:
    return PurePosixPath(profile.path).name


def _why_not_adopted(
    profile: Profile, wanted: Wanted, others: set[str], adopt: Collection[str]
) -> str:
    """Why it can't be taken over; "" if it can."""
    what = f"NetworkManager's profile {profile.path} ({profile.id or 'without a name'})"
    if others:
        return (
            f"{what} may take {wanted.netdev} and {', '.join(sorted(others))}: give it an `interface-name` "
            f"that leaves {wanted.netdev} out"
        )
    if profile.port_of:
        return (
            f"{what} gives {wanted.netdev} to {profile.port_of}: take the link out of the inventory, or "
            f"{wanted.netdev} out of {profile.port_of}"
        )
    if str(PurePosixPath(profile.path).parent) != FOLDER or profile.path.endswith(".yaml"):
        return f"{what} sets {wanted.netdev}, and is not kept: `nmcli connection delete` it"
    if _name(profile) in adopt:
        return ""
    theirs = ", ".join(profile.addresses) or f"`{profile.method}`"
    return (
        f"{what} sets {wanted.netdev} to {theirs} and MTU {profile.mtu}, the inventory to "
        f"{wanted.address or 'link-local'} and MTU {wanted.mtu}: write `adopt: [{_name(profile)}]` under "
        "`network:` to hand it over (a copy is kept), or make them equal"
    )
