"""The twenty things every contestant checks on every host, said once and rendered for each of them."""

from __future__ import annotations

import hashlib
import json
import shlex
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import yaml


@dataclass(frozen=True)
class Resource:
    """One thing under `$HOME/state` that shall be so."""

    name: str
    kind: Literal["directory", "file", "link", "line"]
    path: str
    mode: str = ""
    text: str = ""  # a file's content, a link's target, a line


def _config(number: int) -> str:
    lines = [f"# service {number}", f"port = {8000 + number}", "workers = 4", "log = 'info'"]
    return "\n".join(lines + [f"option_{i} = {number * i}" for i in range(20)]) + "\n"


RESOURCES: tuple[Resource, ...] = (
    Resource("dir-state", "directory", "state", "755"),
    Resource("dir-app", "directory", "state/app", "755"),
    Resource("dir-bin", "directory", "state/app/bin", "755"),
    Resource("dir-etc", "directory", "state/app/etc", "755"),
    Resource("dir-log", "directory", "state/app/log", "750"),
    Resource("dir-run", "directory", "state/app/run", "700"),
    *(
        Resource(f"file-{i}", "file", f"state/app/etc/{i}.conf", "644", _config(i))
        for i in range(8)
    ),
    *(
        Resource(f"link-{i}", "link", f"state/app/bin/tool-{i}", text=f"../etc/{i}.conf")
        for i in range(3)
    ),
    *(
        Resource(f"line-{i}", "line", "state/app/limits", text=f"limit_{i} 100{i}")
        for i in range(3)
    ),
)


def check(one: Resource) -> str:
    """Shell that exits 0 when nothing is to do; paths are under the host's own $HOME."""
    path, text = f'"$HOME"/{shlex.quote(one.path)}', shlex.quote(one.text)
    mode = f'[ "$(stat -c %a {path})" = {one.mode} ]'
    return {
        "directory": f"[ -d {path} ] && {mode}",
        "file": f"[ -f {path} ] && {mode} && printf %s {text} | cmp -s - {path}",
        "link": f'[ "$(readlink {path})" = {text} ]',
        "line": f"grep -qxF {text} {path} 2>/dev/null",
    }[one.kind]


def apply(one: Resource) -> str:
    """Shell that makes it so."""
    path, text = f'"$HOME"/{shlex.quote(one.path)}', shlex.quote(one.text)
    return {
        "directory": f"mkdir -p {path} && chmod {one.mode} {path}",
        "file": f"printf %s {text} > {path} && chmod {one.mode} {path}",
        "link": f"ln -sfn {text} {path}",
        "line": f"printf '%s\\n' {text} >> {path}",
    }[one.kind]


def script() -> str:
    """All of it as one hand-written program that says how many it changed."""
    lines = (
        f"{{ {check(one)}; }} || {{ {apply(one)} && changed=$((changed+1)); }}" for one in RESOURCES
    )
    return "\n".join(["changed=0", *lines, 'echo "changed=$changed"']) + "\n"


def orch_playbook() -> str:
    """Twenty shell stages, each after the one before: the folders come first."""
    stages = [
        {"name": one.name, "shell": {"check": check(one), "apply": apply(one)}} for one in RESOURCES
    ]
    return yaml.safe_dump({"version": 1, "name": "twenty", "stages": stages}, sort_keys=False)


def ansible_play(strategy: str) -> str:
    """One task per resource, each with the module that Ansible's own documentation names for it."""
    tasks = [{"name": one.name, **_ansible_task(one)} for one in RESOURCES]
    play = {"hosts": "all", "gather_facts": False, "strategy": strategy, "tasks": tasks}
    return yaml.safe_dump([play], sort_keys=False)


def _ansible_task(one: Resource) -> dict[str, Any]:
    path = "{{ root_dir }}/" + one.path
    mode = f"0{one.mode}"
    if one.kind == "directory":
        return {"ansible.builtin.file": {"path": path, "state": "directory", "mode": mode}}
    if one.kind == "file":
        return {"ansible.builtin.copy": {"dest": path, "content": one.text, "mode": mode}}
    if one.kind == "link":
        return {
            "ansible.builtin.file": {"dest": path, "src": one.text, "state": "link", "force": True}
        }
    return {
        "ansible.builtin.lineinfile": {
            "path": path,
            "line": one.text,
            "create": True,
            "mode": "0644",
        }
    }


def ansible_script_play() -> str:
    """The whole hand-written program as one task: the least that Ansible can send."""
    task = {
        "name": "all",
        "ansible.builtin.shell": {"cmd": "{% raw %}" + script() + "{% endraw %}"},
        "register": "said",
        "changed_when": "'changed=0' not in said.stdout",
    }
    play = {"hosts": "all", "gather_facts": False, "strategy": "free", "tasks": [task]}
    return yaml.safe_dump([play], sort_keys=False)


def as_json() -> str:
    """For pyinfra's deploy file, which runs in another interpreter."""
    return json.dumps([asdict(one) for one in RESOURCES])


def state_hash(root: Path) -> str:
    """One digest of everything under `root/state`: names, kinds, modes, contents, link targets."""
    digest = hashlib.sha256()
    for path in sorted((root / "state").rglob("*")):
        digest.update(str(path.relative_to(root)).encode() + b"\0")
        if path.is_symlink():
            digest.update(b"link " + str(path.readlink()).encode())
        else:
            digest.update(f"{path.stat().st_mode:o} ".encode())
            digest.update(path.read_bytes() if path.is_file() else b"folder")
        digest.update(b"\n")
    return digest.hexdigest()
