"""Hosts as other inventories know them, as `hosts:` and `groups:` of ours."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from orchestrator.take.model import Document, Taken, text
from orchestrator.take.names import name_for
from orchestrator.take.secrets import secret_name

RANGE = re.compile(r"\[([0-9]{1,6}|[a-z]):([0-9]{1,6}|[a-z])(?::([0-9]{1,4}))?\]")
MOST = 4096  # hosts that a range may give
LOCAL = frozenset(("local", "community.docker.docker"))
OPTION = re.compile(r"(?:-o\s*)?(\w+)=(\S+)")
PLAYBOOKS = "a variable of your playbooks"


def spread(pattern: str) -> Iterator[str]:
    """`spark-[1:3]` as its hosts; a leading zero is kept."""
    match = RANGE.search(pattern)
    if match is None:
        yield pattern
        return
    first, last, step = match[1], match[2], int(match[3] or 1) or 1
    if first.isdecimal() and last.isdecimal():
        width = len(first) if first.startswith("0") else 0
        found = [str(number).zfill(width) for number in range(int(first), int(last) + 1, step)]
    elif first.isalpha() and last.isalpha():
        found = [chr(code) for code in range(ord(first), ord(last) + 1, step)]
    else:
        found = []
    for one in found[:MOST]:
        yield from spread(pattern[: match.start()] + one + pattern[match.end() :])


def add_host(taken: Taken, title: str, variables: Mapping[str, Any]) -> str:
    """A host of Ansible with its variables, those of its groups before; gives its name here."""
    name = name_for(title)
    if name != title:
        taken.leave(f"host {title}", "", f"called {name} here")
    entry: Document = {"address": title}
    ssh: Document = {}
    for key, value in variables.items():
        take = VARIABLES.get(key)
        if take is None:
            why = "a secret is never written" if secret_name(key) else PLAYBOOKS
            shown = "" if secret_name(key) else value
            if secret_name(key):
                taken.secrets.add(text(value))
            taken.leave(f"host {title}: {key}", shown, SECRETS.get(key, why))
        elif not take(entry, ssh, value):
            taken.leave(f"host {title}: {key}", value, "not translated")
    if ssh:
        entry["ssh"] = ssh
    taken.hosts[name] = entry
    return name


def _address(entry: Document, ssh: Document, value: Any) -> bool:
    entry["address"] = text(value) or entry["address"]
    return bool(text(value))


def _user(entry: Document, ssh: Document, value: Any) -> bool:
    ssh["user"] = text(value)
    return bool(ssh["user"])


def _port(entry: Document, ssh: Document, value: Any) -> bool:
    told = text(value)
    if told.isdecimal() and 0 < int(told[:6]) < 65536:
        ssh["port"] = int(told)
        return True
    return False


def _key(entry: Document, ssh: Document, value: Any) -> bool:
    ssh["key"] = text(value)
    return bool(ssh["key"])


def _connection(entry: Document, ssh: Document, value: Any) -> bool:
    if value == "local":
        entry["address"] = "local"
    return value in ("local", "ssh", "smart", "paramiko", "paramiko_ssh")


def _arguments(entry: Document, ssh: Document, value: Any) -> bool:
    """`-J bastion`, `-o ProxyJump=bastion`; anything else is not understood."""
    try:
        words = shlex.split(text(value))
    except ValueError:
        return False
    joined = " ".join(words)
    options = dict(OPTION.findall(joined))
    left = OPTION.sub("", joined).split()
    jump = options.pop("ProxyJump", "")
    if len(left) >= 2 and left[0] == "-J":
        jump, left = left[1], left[2:]
    if jump:
        ssh["jump"] = jump
    return bool(jump) and not options and not [word for word in left if word != "-o"]


Take = Callable[[Document, Document, Any], bool]
VARIABLES: Mapping[str, Take] = {
    "ansible_host": _address,
    "ansible_ssh_host": _address,
    "ansible_user": _user,
    "ansible_ssh_user": _user,
    "ansible_port": _port,
    "ansible_ssh_port": _port,
    "ansible_ssh_private_key_file": _key,
    "ansible_private_key_file": _key,
    "ansible_connection": _connection,
    "ansible_ssh_common_args": _arguments,
    "ansible_ssh_extra_args": _arguments,
}
SECRETS = {
    "ansible_become_password": "a secret is never written: `become_password: {env: NAME}`",
    "ansible_become_pass": "a secret is never written: `become_password: {env: NAME}`",
    "ansible_ssh_pass": "orch logs in with a key",
    "ansible_password": "orch logs in with a key",
    "ansible_become": "`become: never` for a host without sudo",
    "ansible_python_interpreter": "orch needs no Python on a host",
}


def add_groups(taken: Taken, groups: Mapping[str, list[str]]) -> None:
    """Groups with their hosts, in order; a group that is called like a host gets another name."""
    for title, members in groups.items():
        name = name_for(title, taken.hosts)
        if name != title:
            taken.leave(f"group {title}", "", f"called {name} here")
        kept = [one for one in dict.fromkeys(members) if one in taken.hosts]
        if kept:
            taken.groups[name] = kept
        else:
            taken.leave(f"group {title}", "", "has no hosts")
