"""Whether neighbours answer over one interface, in packets of its full MTU that may not be cut."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.errors import Unknown
from orchestrator.question import question
from orchestrator.script import Command, Raw, Result, Script, Sh, seq, sh

HEADERS = 28  # IPv4 and ICMP
ANSWERED = "0"


@question
class Ping:
    """Address → "" where it answers, else what `ping` said. All at once, a second each."""

    netdev: str
    mtu: int
    addresses: tuple[str, ...]

    def ask(self) -> Script:
        body = sh(
            """export PATH="$PATH:/usr/sbin:/sbin" LC_ALL=C
p() {
    s=$(ping -n -q -M do -c 1 -W 1 -s "$2" -I "$3" "$1" 2>&1)
    r=$?
    echo "$1 $r $(echo "$s" | grep -v '^$' | grep -v '^PING ' | head -n 2 | tr '\\n' ' ')"
}
{}
wait
echo end""",
            Raw(seq(self._one(address) for address in self.addresses)),
        )
        return Script({self._name: Command(body, timeout=10)})

    def _one(self, address: str) -> Sh:
        return sh("p {} {} {} &", address, self.mtu - HEADERS, self.netdev)

    @property
    def _name(self) -> str:
        return f"ping-{self.netdev}"

    def parse(self, results: Mapping[str, Result]) -> Mapping[str, str]:
        result = results.get(self._name)
        lines = result.text.splitlines() if result is not None and result.rc == 0 else []
        if not lines or lines[-1] != "end":
            raise Unknown(f"ping over {self.netdev}: no answer that can be read")
        found: dict[str, str] = {}
        for line in lines[:-1]:
            address, _, rest = line.partition(" ")
            code, _, said = rest.partition(" ")
            found[address] = "" if code == ANSWERED else _why(code, said)
        if found.keys() != set(self.addresses):
            raise Unknown(f"ping over {self.netdev}: not every address was tried")
        return found


def _why(code: str, said: str) -> str:
    if code == "127":
        return "there is no `ping` on the host"
    if "too long" in said:
        return "the packet does not fit: the MTU is smaller than it should be"
    if code == "1":
        return "no answer"
    return said.strip() or f"ping ended with {code}"
