"""An Ansible inventory, whichever way it was written: groups with hosts, children and variables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from orchestrator.take.machines import add_groups, add_host, spread
from orchestrator.take.model import Taken

DEEPEST = 32
MOST_HOSTS = 4096


@dataclass
class Group:
    hosts: dict[str, dict[str, Any]] = field(default_factory=dict)
    children: list[str] = field(default_factory=list)
    variables: dict[str, Any] = field(default_factory=dict)


@dataclass
class Tree:
    """All groups by name; `all` is everybody's parent."""

    groups: dict[str, Group] = field(default_factory=dict)

    def group(self, name: str) -> Group:
        return self.groups.setdefault(name, Group())

    def members(self, name: str, depth: int = 0) -> Iterator[str]:
        """Hosts of a group and of its children."""
        if depth > DEEPEST or name not in self.groups:
            return
        yield from self.groups[name].hosts
        for child in self.groups[name].children:
            yield from self.members(child, depth + 1)

    def depth(self, name: str, seen: frozenset[str] = frozenset()) -> int:
        """How far from `all`: what is nearer to the host wins."""
        if name in seen or len(seen) > DEEPEST:
            return 0
        above = [one for one, it in self.groups.items() if name in it.children]
        return 1 + max((self.depth(one, seen | {name}) for one in above), default=0)


def take_tree(tree: Tree, taken: Taken) -> None:
    """Every host once, with what its groups say of it."""
    order = sorted((one for one in tree.groups if one != "all"), key=tree.depth)
    membership = {name: set(tree.members(name)) for name in order}
    titles = dict.fromkeys(
        host for name in ("all", *order) for host in tree.groups.get(name, Group()).hosts
    )
    names: dict[str, str] = {}
    for title in titles:
        variables: dict[str, Any] = dict(tree.groups.get("all", Group()).variables)
        for name in order:
            if title in membership[name]:
                variables |= tree.groups[name].variables
        for name in ("all", *order):
            variables |= tree.groups.get(name, Group()).hosts.get(title, {})
        names[title] = add_host(taken, title, variables)
    groups = {
        name: [names[title] for title in tree.members(name)]
        for name in order
        if name != "ungrouped"
    }
    add_groups(taken, groups)


def add(tree: Tree, group: str, pattern: str, variables: Mapping[str, Any], taken: Taken) -> None:
    """A host, or the hosts of a range."""
    for count, title in enumerate(spread(pattern)):
        if count >= MOST_HOSTS:
            taken.leave(f"group {group}", pattern, f"more than {MOST_HOSTS} hosts")
            return
        tree.group(group).hosts.setdefault(title, {}).update(variables)
