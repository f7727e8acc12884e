"""Secret values: read where the files say, put in as bytes are sent, and nowhere before."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from orchestrator.errors import FilesWrong
from orchestrator.redact import Redactor
from orchestrator.script import SECRET_MARK, Command, Request, Script
from orchestrator.spec.models import Cluster, Host, SecretRef

_MARK = re.compile(re.escape(SECRET_MARK).replace(re.escape("{}"), "([^\x03]*)"))


def become_name(host: str) -> str:
    """The name of the secret that is a host's sudo password."""
    return f"become/{host}"


def secret_refs(
    hosts: Mapping[str, Host], cluster: Cluster | None = None
) -> Mapping[str, SecretRef]:
    """All secrets of the files by name: become/<host>, <deployment>/<variable>, …/api_key."""
    refs = {
        become_name(name): host.become_password
        for name, host in hosts.items()
        if host.become_password is not None
    }
    for name, deployment in (cluster.deployments if cluster else {}).items():
        profile = deployment.profile
        refs.update({f"{name}/{key}": ref for key, ref in profile.secrets.items()})
        if profile.api_key is not None:
            refs[f"{name}/api_key"] = profile.api_key
    return refs


class Secrets:
    """Secret values by name, each read once, when it is first needed, and known to the redactor."""

    def __init__(self, refs: Mapping[str, SecretRef], redactor: Redactor, root: Path) -> None:
        self._refs = refs
        self._redactor = redactor
        self._root = root
        self._lock = threading.Lock()
        self._values: dict[str, str] = {}

    def __call__(self, name: str) -> str:
        with self._lock:
            if name not in self._values:
                if name not in self._refs:
                    raise FilesWrong(f"secret {name}: the files do not say where it comes from")
                value = _read(name, self._refs[name], self._root)
                self._redactor.add(value)
                self._values[name] = value
            return self._values[name]

    def turn_to(self, refs: Mapping[str, SecretRef]) -> None:
        """From now on they come from where other files say; what was read stays known to the redactor."""
        with self._lock:
            self._refs = refs
            self._values.clear()

    def check(self) -> None:
        """Read all of them, so that one that is not set is found before anything is touched."""
        wrong: list[str] = []
        for name in self._refs:
            try:
                self(name)
            except FilesWrong as error:
                wrong.append(error.message)
        if wrong:
            raise FilesWrong("; ".join(wrong), hint="set them, or change where they come from")


def _read(name: str, ref: SecretRef, root: Path) -> str:
    if ref.env is not None:
        value = os.environ.get(ref.env, "")
        where = f"the environment variable {ref.env} is not set"
    elif ref.file is not None:
        value, where = _from_file(root / Path(ref.file).expanduser())
    elif ref.command is not None:
        value, where = _from_command(ref.command)
    else:
        value, where = "", "neither env, file nor command is given"
    if not value:
        raise FilesWrong(f"secret {name}: {where}")
    return value


def _from_file(path: Path) -> tuple[str, str]:
    try:
        return path.read_text().strip("\r\n"), f"{path} is empty"
    except (OSError, UnicodeDecodeError) as error:
        return "", f"{path} can't be read ({error.__class__.__name__})"


def _from_command(command: str) -> tuple[str, str]:
    try:
        done = subprocess.run(
            shlex.split(command), capture_output=True, text=True, timeout=60, check=False
        )
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        return "", f"its command failed ({error.__class__.__name__})"
    if done.returncode != 0:
        return "", f"its command ended with exit code {done.returncode}"
    return done.stdout.strip("\r\n"), "its command printed nothing"


def fill_script(script: Script, secrets: Callable[[str], str]) -> Script:
    """The script with the marks in stdin replaced by values."""
    mark = SECRET_MARK[0].encode()
    both = [*script.commands.values(), *script.then.values()]
    if not any(mark in command.stdin for command in both):
        return script

    def filled(commands: Mapping[str, Command]) -> Mapping[str, Command]:
        return {
            name: replace(command, stdin=_fill(command.stdin, secrets))
            for name, command in commands.items()
        }

    return replace(script, commands=filled(script.commands), then=filled(script.then))


def fill_request(request: Request, secrets: Callable[[str], str]) -> Request:
    """The request with the marks in headers and body replaced."""
    headers = tuple(
        (key, _fill(value.encode(), secrets).decode()) for key, value in request.headers
    )
    return replace(request, headers=headers, body=_fill(request.body, secrets))


def _fill(data: bytes, secrets: Callable[[str], str]) -> bytes:
    if SECRET_MARK[0].encode() not in data:
        return data
    # latin-1 keeps every byte as it is, so binary data around a mark survives.
    text = data.decode("latin-1")
    return _MARK.sub(lambda found: _value(found, secrets), text).encode("latin-1")


def _value(found: re.Match[str], secrets: Callable[[str], str]) -> str:
    name = found.group(1).encode("latin-1").decode()
    return secrets(name).encode().decode("latin-1")
