"""Why here: with two interfaces of a host on one wire, the kernel answers ARP for either on both by default."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.facts.answers import IpSettings
from orchestrator.facts.probe import count, listed, probe, reading, script
from orchestrator.question import question
from orchestrator.script import Result, Script, sh

ALL = "all"
BODY = sh(
    """for dev in /proc/sys/net/ipv4/conf/*; do
  ignore=- announce=- filter=-
  { read -r ignore <"$dev/arp_ignore"
  read -r announce <"$dev/arp_announce"
  read -r filter <"$dev/rp_filter"; } 2>/dev/null
  printf '%s\\n' "${dev##*/} ${ignore:--} ${announce:--} ${filter:--}"
done
echo end"""
)


@question
class ReadIpSettings:
    """Interface → its arp_ignore, arp_announce and rp_filter; "all" is one of them."""

    def ask(self) -> Script:
        return script(ipsettings=probe(BODY))

    def parse(self, results: Mapping[str, Result]) -> Mapping[str, IpSettings]:
        with reading("IP settings"):
            found = {
                name: IpSettings(count(ignore), count(announce), count(path))
                for line in listed(results, "ipsettings", "IP settings")
                for name, ignore, announce, path in [line.split(" ")]
                if "-" not in (ignore, announce, path)  # went away while it was read
            }
            if ALL not in found:
                raise ValueError("nothing is said of all interfaces")
            return found


def in_force(settings: Mapping[str, IpSettings], netdev: str) -> IpSettings | None:
    """What counts for an interface: the larger of its own and of "all" (kernel: ip-sysctl)."""
    own = settings.get(netdev)
    if own is None:
        return None
    every = settings[ALL]
    return IpSettings(
        max(own.arp_ignore, every.arp_ignore),
        max(own.arp_announce, every.arp_announce),
        max(own.rp_filter, every.rp_filter),
    )
