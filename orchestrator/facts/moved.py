"""Whether a gang's data goes over the fabric is told by counters around a request, not by settings.

On RoCE a device's counters cover RDMA traffic only, in words of four bytes (kernel:
Documentation/ABI/stable/sysfs-class-infiniband); a netdev's cover everything else.
"""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.facts.probe import count, listed, probe, reading, script
from orchestrator.question import question
from orchestrator.script import Result, Script, Sh, seq, sh

WORD = 4


def counters(rdma: tuple[tuple[str, int], ...], netdevs: tuple[str, ...]) -> Sh:
    """Shell that prints `name bytes` for each; a counter that can't be read is left out."""
    lines = [
        sh(
            'd=/sys/class/infiniband/{}/ports/{}/counters; if x=$(cat "$d/port_xmit_data") &&'
            ' r=$(cat "$d/port_rcv_data"); then echo {} $(((x + r) * {})); fi 2>/dev/null',
            device,
            port,
            device,
            WORD,
        )
        for device, port in rdma
    ]
    lines += [
        sh(
            'd=/sys/class/net/{}/statistics; if x=$(cat "$d/tx_bytes") &&'
            ' r=$(cat "$d/rx_bytes"); then echo {} $((x + r)); fi 2>/dev/null',
            netdev,
            netdev,
        )
        for netdev in netdevs
    ]
    return seq(lines)


@question
class ReadMoved:
    """Device → bytes that moved during the question that was kept in this file; None where there is none."""

    path: str

    def ask(self) -> Script:
        return script(
            moved=probe(
                sh(
                    'f="${HOME:-/root}"/{}; if [ -e "$f" ]; then echo kept; cat "$f"; fi; echo end',
                    self.path,
                )
            )
        )

    def parse(self, results: Mapping[str, Result]) -> Mapping[str, int] | None:
        what = "bytes that moved"
        with reading(what):
            lines = listed(results, "moved", what)
            if not lines:
                return None
            before: dict[str, int] = {}
            moved: dict[str, int] = {}
            for line in lines[1:]:
                when, name, value = line.split()
                if when == "before":
                    before[name] = count(value)
                elif name in before:
                    moved[name] = count(value) - before[name]
            return moved
