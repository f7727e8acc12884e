"""Why here: a frame that a host sends by itself finds the other end of a cable with no address on either.

The hosts must listen at the same time, so all of them are asked at once and each listens for a while.
"""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.data import read_template
from orchestrator.errors import Unknown
from orchestrator.facts.answers import Sighting
from orchestrator.facts.probe import NOT_FOUND, answered, json_of, listed, probe, reading, script
from orchestrator.question import question
from orchestrator.reply import no_sudo
from orchestrator.script import Raw, Result, Script, argv, sh

SECONDS = 6.0  # a port that was down needs some until its light is there


@question
class ReadFrames:
    """Frames of other hosts that came in over these interfaces. Unknown without root or python3."""

    host: str  # as whom we introduce ourselves
    netdevs: tuple[str, ...]
    seconds: float = SECONDS

    def ask(self) -> Script:
        words = argv("python3", "-", self.seconds, self.host, *self.netdevs)
        body = sh("exec {}", Raw(words))
        program = read_template("network/frames.py").encode()
        return script(frames=probe(body, timeout=self.seconds + 15, sudo=True, stdin=program))

    def parse(self, results: Mapping[str, Result]) -> tuple[Sighting, ...]:
        what = "probe frames"
        result = answered(results, "frames", what)
        if no_sudo(result):
            raise Unknown(f"{what}: sudo without a password is needed")
        if result.rc == NOT_FOUND:
            raise Unknown(f"{what}: there is no python3 on the host")
        with reading(what):
            found = []
            for line in listed(results, "frames", what):
                netdev, mac, host, sender = json_of(line)
                if not all(isinstance(word, str) for word in (netdev, mac, host, sender)):
                    raise TypeError("a sighting is four texts")
                if host != self.host:  # two of our own ports on one switch hear each other
                    found.append(Sighting(netdev, mac.lower(), host, sender))
            return tuple(found)
