"""What came back of a program (see `framing`): results by name, or the error that explains why not."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator, Mapping
from types import MappingProxyType

from orchestrator.errors import Failed, Fenced, Locked, OrchError, OutcomeUnknown
from orchestrator.framing import (
    GRACE,
    LOCK_WAIT,
    NO_SUDO,
    NO_SUDO_TEXT,
    NOISE_BYTES,
    flushes,
)
from orchestrator.script import Command, Result, Script
from orchestrator.shared import LIMIT, shared


class Reply:
    """Collects a reply as it comes, and knows when it is whole and how long to wait for more."""

    def __init__(self, script: Script, marker: str, *, lock_wait: float = LOCK_WAIT) -> None:
        self.script = script
        self.marker = marker
        self.data = bytearray()
        self.finished = False
        self.frames = 0
        self._looked = 0
        self._sent = time.time()
        self._lock_wait = lock_wait if script.mutates else 0.0
        self._together = LIMIT + GRACE if shared(script) else 0  # seconds before any runs alone
        self._flushes = flushes(script)
        self._timeouts = [command.timeout for command in script.every.values()]
        keeps = sum(2 * command.keep + 512 for command in script.every.values())
        self._limit = keeps + NOISE_BYTES

    def feed(self, data: bytes) -> None:
        """Take what arrived; raises OutcomeUnknown if it is more than any reply can be."""
        if self.finished:
            return
        self.data += data
        done, end = (f"\n{self.marker} {word}\n".encode() for word in ("done", "end"))
        ended_from = max(0, self._looked - len(end))
        while (at := self.data.find(done, self._looked)) >= 0:
            self.frames += 1
            self._looked = at + len(done)
        self._looked = max(self._looked, len(self.data) - len(done) + 1)
        self.finished = self.data.find(end, ended_from) >= 0
        if not self.finished and len(self.data) > self._limit:
            raise OutcomeUnknown(
                "the host sent more than any reply can be", results=self.results_so_far()
            )

    def patience(self) -> float:
        """Seconds within which the next frames must come, from when the last ones did."""
        slack = 20.0 if self.frames else 40.0 + self._lock_wait  # rc files, a busy host, the lock
        if self.frames >= len(self._timeouts):
            return slack
        awaited = self._timeouts[self.frames : self._flushes[self.frames] + 1]
        return sum(math.ceil(one) + GRACE for one in awaited) + self._together + slack

    def results_so_far(self) -> Mapping[str, Result]:
        """The frames that arrived whole."""
        return dict(_frames(bytes(self.data), self.marker, self.script))

    def results(self) -> Mapping[str, Result]:
        """All results, or the reason why there are none."""
        return parse(bytes(self.data), self.marker, self.script, self._sent)


def parse(reply: bytes, marker: str, script: Script, sent: float = 0.0) -> Mapping[str, Result]:
    """Results by name. Raises OutcomeUnknown with what arrived, Fenced, Locked, Failed."""
    results = dict(_frames(reply, marker, script, sent))
    end = f"\n{marker} end\n".encode()
    if end not in reply:
        raise OutcomeUnknown(
            f"the connection ended after {len(results)} of {len(script.every)} commands",
            results=results,
            hint="what was sent may still run on the host; look at it before you repeat it",
        )
    refusal = _refusal(reply, marker)
    if refusal is not None:
        raise refusal
    missing = _missing(results, script)
    if missing:
        raise OutcomeUnknown(f"the reply lacks {', '.join(missing)}", results=results)
    return MappingProxyType(results)


def _missing(results: Mapping[str, Result], script: Script) -> list[str]:
    missing = [name for name in script.then if name not in results]
    for name in script.commands:
        if name not in results:
            missing.append(name)
        elif script.stop_on_error and results[name].rc != 0:
            break
    return missing


_HEADER = re.compile(rb"(\d{1,6}) (\d{1,3}) (\d{1,12}(?:\.\d+)?) (\d{1,12}(?:\.\d+)?) ([-twn])")


def _frames(
    reply: bytes, marker: str, script: Script, sent: float = 0.0
) -> Iterator[tuple[str, Result]]:
    commands = list(script.every.items())
    head = f"{marker} frame ".encode()
    err, done = (f"\n{marker} {word}\n".encode() for word in ("err", "done"))
    following = 0
    start = reply.find(f"{marker} start\n".encode())
    at = reply.find(head, start) if start >= 0 else -1
    while at >= 0:
        line = reply.find(b"\n", at)
        middle = reply.find(err, line)
        last = reply.find(done, middle)
        if line < 0 or middle < 0 or last < 0:
            return
        said = _HEADER.fullmatch(reply, at + len(head), line)
        if said is None or not following <= (number := int(said[1])) < len(commands):
            return
        following = number + 1
        at = reply.find(head, line)
        if 0 <= at < last:
            return  # a frame that lacks its end
        name, command = commands[number]
        yield (
            name,
            _result(command, said, reply[line + 1 : middle], reply[middle + len(err) : last], sent),
        )


def _result(command: Command, said: re.Match[bytes], out: bytes, err: bytes, sent: float) -> Result:
    rc, seconds, flag = int(said[2]), float(said[4]) - float(said[3]), said[5]
    if flag == b"w":
        rc, out, err = 125, b"", b"orch: the scratch folder is full; the command was not run"
    if flag == b"n":
        rc, err = NO_SUDO, NO_SUDO_TEXT + err
    keep = command.keep
    over = len(out) > keep or len(err) > keep
    return Result(
        rc=rc,
        out=out[max(0, len(out) - keep) :],
        err=err[max(0, len(err) - keep) :],
        seconds=max(0.0, round(seconds, 2)),
        truncated=over or flag == b"t",
        sent_epoch_s=sent,
    )


def no_sudo(result: Result) -> bool:
    """Whether this command was not run because root could not be had."""
    return result.rc == NO_SUDO and result.err.startswith(NO_SUDO_TEXT)


_REFUSALS: Mapping[str, tuple[type[OrchError], str, str]] = {
    "scratch": (
        Failed,
        "no folder to work in: /dev/shm and /tmp are full or not writable; nothing was run",
        "free some space there",
    ),
    "noflock": (
        Failed,
        "flock is missing (util-linux); nothing was run",
        "install util-linux on the host",
    ),
    "tools": (
        Failed,
        "its sh has no printf of its own, or base64 is missing; nothing was run",
        "let /bin/sh be dash, bash or busybox there",
    ),
    "gone": (
        Fenced,
        "our lease is gone from the host (was it rebooted?); nothing was run",
        "run the command again: it takes a new lease",
    ),
    "busy": (
        Locked,
        "another script holds this host's lock; nothing was run",
        "a script of a lost connection may still be at work: wait, or look with "
        "`orch exec -- fuser -v /run/orch/lock`",
    ),
}


def _refusal(reply: bytes, marker: str) -> OrchError | None:
    """Why the program refused to run any command, if it did."""
    at = reply.find(f"{marker} start\n".encode())
    words = reply[at:].split(b"\n", 2)
    word = words[1].decode(errors="replace").removeprefix(f"{marker} ") if len(words) > 1 else ""
    if word in _REFUSALS:
        kind, message, hint = _REFUSALS[word]
        return kind(message, hint=hint)
    if word == "fenced":
        text = words[2].split(f"\n{marker} end".encode())[0].decode(errors="replace")
        return fenced(text)
    return None


def fenced(lease: str) -> Fenced:
    """The error for a script that met another's lease, from that lease's text."""
    facts = dict(line.split(" ", 1) for line in lease.splitlines() if " " in line)
    if not facts:
        return Fenced(
            "our lease is gone from the host; nothing was run",
            hint="run the command again: it takes a new lease",
        )
    return Fenced(
        f"the lease is now {facts.get('owner', 'another')}'s (run {facts.get('run', '?')}); "
        "nothing was run",
        hint="wait for that run, or see `orch status`",
    )
