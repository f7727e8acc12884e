"""An Ansible inventory as INI: `[group]`, `[group:children]`, `[group:vars]`, a host a line."""

from __future__ import annotations

import re
import shlex

from orchestrator.take.ansible import Tree, add, take_tree
from orchestrator.take.model import Source, Taken

SECTION = re.compile(r"\[([^\]:]+)(?::(children|vars|hosts))?\]\s*(?:[#;].*)?$")
HOST = re.compile(r"[A-Za-z0-9_.:\[\]-]+$")
PAIR = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)$")


class AnsibleIni:
    """See model.Format."""

    name = "ansible-ini"
    what = "an Ansible inventory in INI"

    def fits(self, source: Source) -> bool:
        """By its sections: a list of names alone could be anything."""
        if isinstance(source.data, (dict, list)):
            return False
        lines = [line.strip() for line in source.text.splitlines()]
        return any(SECTION.match(line) for line in lines) and not any(
            line.startswith(("Description=", "ExecStart=")) for line in lines
        )

    def take(self, source: Source) -> Taken:
        taken = Taken(self.name)
        tree = Tree()
        group, kind = "ungrouped", "hosts"
        for number, raw in enumerate(source.text.splitlines(), start=1):
            line = raw.strip()
            if not line or line.startswith(("#", ";")):
                continue
            section = SECTION.match(line)
            if section is not None:
                group, kind = section[1].strip(), section[2] or "hosts"
                tree.group(group)
            elif not _line(tree, group, kind, line, taken):
                taken.leave(f"line {number}", line, "not understood")
        take_tree(tree, taken)
        return taken


def _line(tree: Tree, group: str, kind: str, line: str, taken: Taken) -> bool:
    if kind == "children":
        tree.group(group).children.append(line.split()[0])
        tree.group(line.split()[0])
        return True
    if kind == "vars":
        pair = PAIR.match(line)
        if pair is not None:
            tree.group(group).variables[pair[1]] = pair[2].strip().strip("'\"")
        return pair is not None
    try:
        words = shlex.split(line, comments=True)
    except ValueError:
        return False
    if not words or not HOST.match(words[0]):
        return False
    pairs = [PAIR.match(word) for word in words[1:]]
    if not all(pairs):
        return False
    add(tree, group, words[0], {one[1]: one[2] for one in pairs if one}, taken)
    return True


FORMAT = AnsibleIni()
