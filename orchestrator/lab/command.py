"""Runs this machine's own commands as argument lists, through sudo where the user is not root."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path

from tenacity import RetryError, Retrying, retry_if_result, stop_after_delay, wait_fixed

from orchestrator.errors import CommandFailed, NoPatience, Refused


def run(
    argv: Sequence[str],
    *,
    stdin: bytes = b"",
    env: Mapping[str, str] | None = None,
    timeout: float = 120,
) -> str:
    """Run a command and return its standard output; a failure carries its last words."""
    try:
        done = subprocess.run(
            list(argv),
            input=stdin,
            env={**os.environ, **(env or {})},
            timeout=timeout,
            capture_output=True,
            check=False,
        )
    except FileNotFoundError as missing:
        raise CommandFailed(f"{argv[0]}: not installed on this machine") from missing
    except subprocess.TimeoutExpired as late:
        raise NoPatience(f"{short(argv)}: not done after {timeout:.0f} s") from late
    if done.returncode != 0:
        raise CommandFailed(failure(argv, done.returncode, done.stderr.decode(errors="replace")))
    return done.stdout.decode(errors="replace")


def run_logged(argv: Sequence[str], log: Path, *, env: Mapping[str, str] | None = None) -> None:
    """Run a long command with all it says in a file; a failure carries the end of that file."""
    try:
        with log.open("wb") as file:
            code = subprocess.run(
                list(argv),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                check=False,
            ).returncode
    except FileNotFoundError as missing:
        raise CommandFailed(f"{argv[0]}: not installed on this machine") from missing
    if code != 0:
        said = log.read_text(errors="replace")
        raise CommandFailed(failure(argv, code, said), hint=f"all it said is in {log}")


def short(argv: Sequence[str], keep: int = 6) -> str:
    """The beginning of a command, for a message."""
    words = [word if len(word) <= 60 else word[:57] + "…" for word in argv[:keep]]
    return " ".join(words) + (" …" if len(argv) > keep else "")


def failure(argv: Sequence[str], code: int, said: str) -> str:
    """What failed and its last three lines, which is where programs put the reason."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    why = " | ".join(lines[-3:])[:600] or "it said nothing"
    return f"{short(argv)}: exit code {code}: {why}"


def succeeds(argv: Sequence[str], *, env: Mapping[str, str] | None = None) -> bool:
    """Whether a question put as a command is answered with exit code 0."""
    try:
        run(argv, env=env, timeout=60)
    except (CommandFailed, NoPatience):
        return False
    return True


@cache
def as_root() -> tuple[str, ...]:
    """What to put before a command that needs root: nothing for root, else `sudo -n`."""
    if os.geteuid() == 0:
        return ()
    if shutil.which("sudo") and succeeds(["sudo", "-n", "true"]):
        return ("sudo", "-n")
    raise Refused(
        "the lab's set-up needs root on this machine, and `sudo -n true` does not work",
        hint="run it as root, or allow this user sudo without a password while you set the lab up",
    )


def remove_tree(folder: Path) -> None:
    """Remove a folder of ours, as root where a container's root wrote into it."""
    try:
        shutil.rmtree(folder)
    except PermissionError:
        run([*as_root(), "rm", "-rf", "--one-file-system", "--", str(folder)])


def until(
    question: Callable[[], bool], *, seconds: float, what: str, hint: str = "", every: float = 0.2
) -> None:
    """Ask again until the answer is yes; NoPatience names what did not come."""
    asking = Retrying(
        stop=stop_after_delay(seconds),
        wait=wait_fixed(every),
        retry=retry_if_result(lambda answer: not answer),
    )
    try:
        asking(question)
    except RetryError as late:
        raise NoPatience(f"{what}: not after {seconds:.0f} s", hint=hint) from late
