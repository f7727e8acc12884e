"""The program of one end of a trial: counters, the tool, counters again, and all of it left as a file.

No stage of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from orchestrator.facts.fabric_left import MAGIC, effort_text, folder
from orchestrator.rdma.answers import End, Test
from orchestrator.script import Raw, Sh, argv, seq, sh

NETDEV = ("rx_bytes", "tx_bytes", "rx_dropped", "tx_dropped", "rx_errors", "tx_errors")
OUT_BYTES = 200_000  # of what the tool printed
ERR_BYTES = 4_000
# Counters of bytes or packets are told even if they stand still: that is what tells that nothing moved.
TOOLS = sh(
    """look() {
  for c in "$@"; do
    v=
    { read -r v <"$c"; } 2>/dev/null
    case $v in '' | *[!0-9]*) ;; *) echo "${c#/sys/class/} $v" ;; esac
  done
}
telling() {
  printf '%s\\n' "$1" | grep -E '/(port_xmit_data|port_rcv_data|sent_pkts|rcvd_pkts|[rt]x_bytes) '
  printf '%s\\n' "$1" | grep -v -x -F -e "$2"
}"""
)


@dataclass(frozen=True)
class Part:
    """One tool of an end: what it is called with, and under which name it leaves what it said."""

    test: Test
    key: str
    end: End
    argv: Sequence[str]
    run: str
    stands: Mapping[str, str]  # the fingerprint
    attempt: int = 1


def program(parts: Iterable[Part], sudo: bool, limit: int) -> Sh:
    """All parts at once; each tool is ended after `limit` seconds, come what may."""
    return sh(
        """umask 022
{}
mkdir -p "$f" || exit 1
{}
{}
wait""",
        Raw(folder(sudo)),
        Raw(TOOLS),
        Raw(seq(_part(part, limit) for part in parts)),
    )


def _part(part: Part, limit: int) -> Sh:
    """`--foreground`: the tool stays in the job's process group, and goes when the job is ended."""
    test = part.test
    head = [
        MAGIC,
        f"run {part.run}",
        f"attempt {part.attempt}",
        f"test {test.id}",
        f"way {test.way}",
        f"effort {effort_text(test.effort)}",
        f"argv {' '.join(part.argv)}",
        *(f"stands {name}\t{value}" for name, value in sorted(part.stands.items())),
    ]
    return sh(
        """(
k={}
rm -f "$f/$k" "$f/$k".*
b=$(look {})
timeout --foreground -k 5 {} {} >"$f/$k.out" 2>"$f/$k.err" </dev/null
rc=$?
a=$(look {})
{
printf '%s\\n' {}
echo "at $(date +%s)"
echo "rc $rc"
telling "$b" "$a" | sed 's/^/before /'
telling "$a" "$b" | sed 's/^/after /'
tail -c {} "$f/$k.out" | tr -d '\\000' | sed 's/^/out /'
tail -c {} "$f/$k.err" | tr -d '\\000' | sed 's/^/err /'
echo end
} >"$f/$k.new" && mv "$f/$k.new" "$f/$k"
rm -f "$f/$k".out "$f/$k".err
) &""",
        part.key,
        Raw(_counters(part.end)),
        limit,
        Raw(argv(*part.argv)),
        Raw(_counters(part.end)),
        Raw(argv(*head)),
        OUT_BYTES,
        ERR_BYTES,
    )


def _counters(end: End) -> Sh:
    """The files to look at, as shell words: all that the RDMA device has, some of the netdev's."""
    netdev = argv(*(f"/sys/class/net/{end.netdev}/statistics/{name}" for name in NETDEV))
    if end.rdma is None:
        return netdev
    device = sh(
        "/sys/class/infiniband/{}/ports/1/counters/* /sys/class/infiniband/{}/ports/1/hw_counters/*",
        end.rdma,
        end.rdma,
    )
    return sh("{} {}", Raw(device), Raw(netdev))
