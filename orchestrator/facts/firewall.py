"""Why here: whether a firewall of the host may be what keeps a measurement from its peer."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.facts.probe import listed, probe, reading, script
from orchestrator.question import question
from orchestrator.script import Result, Script, sh

MOST = 8
# Rules that name RoCE's port or the tests' own, and inputs that drop what no rule takes.
BODY = sh(
    """if command -v ufw >/dev/null && ufw status 2>/dev/null | grep -q '^Status: active'; then
  echo "ufw is active"; fi
if command -v firewall-cmd >/dev/null && firewall-cmd --state >/dev/null 2>&1; then
  echo "firewalld is active"; fi
if command -v nft >/dev/null; then
  nft list ruleset 2>/dev/null | grep -E '(4791|1851[56]).*(drop|reject)|hook input.*policy drop'
fi
if command -v iptables-save >/dev/null; then
  iptables-save 2>/dev/null | grep -E '(4791|1851[56]).*(DROP|REJECT)|^:INPUT DROP'
fi
echo end"""
)


@question
class ReadFirewall:
    """What may be in the way, a line each; () if nothing was found or nobody may look."""

    sudo: bool = True

    def ask(self) -> Script:
        return script(firewall=probe(BODY, sudo=self.sudo))

    def parse(self, results: Mapping[str, Result]) -> tuple[str, ...]:
        with reading("firewall"):
            lines = listed(results, "firewall", "firewall")
            told = [" ".join(line.split())[:160] for line in lines]
            return tuple(dict.fromkeys(told))[:MOST]
