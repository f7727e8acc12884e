"""An Ansible inventory in YAML: groups that have `hosts:`, `children:` and `vars:`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.take.ansible import DEEPEST, Tree, add, take_tree
from orchestrator.take.model import Source, Taken, mapping

KEYS = frozenset(("hosts", "children", "vars"))


class AnsibleYaml:
    """See model.Format."""

    name = "ansible-yaml"
    what = "an Ansible inventory in YAML"

    def fits(self, source: Source) -> bool:
        groups = mapping(source.data)
        return (
            bool(groups)
            and "version" not in groups
            and all(
                one is None or (isinstance(one, Mapping) and set(one) <= KEYS)
                for one in groups.values()
            )
            and any(isinstance(one, Mapping) and one for one in groups.values())
        )

    def take(self, source: Source) -> Taken:
        taken = Taken(self.name)
        tree = Tree()
        for name, group in mapping(source.data).items():
            self._group(tree, name, group, taken, 0)
        take_tree(tree, taken)
        return taken

    def _group(self, tree: Tree, name: str, group: Any, taken: Taken, depth: int) -> None:
        if depth > DEEPEST:
            taken.leave(f"group {name}", "", "nested too deep")
            return
        said = mapping(group)
        tree.group(name).variables |= mapping(said.get("vars"))
        hosts = said.get("hosts")
        if not isinstance(hosts, Mapping) and hosts is not None:
            taken.leave(f"group {name}: hosts", hosts, "a mapping of hosts is needed")
        for pattern, variables in mapping(hosts).items():
            add(tree, name, pattern, mapping(variables), taken)
        for child, one in mapping(said.get("children")).items():
            tree.group(name).children.append(child)
            self._group(tree, child, one, taken, depth + 1)
        for key in said:
            if key not in KEYS:
                taken.leave(f"group {name}: {key}", said[key], "no part of a group")


FORMAT = AnsibleYaml()
