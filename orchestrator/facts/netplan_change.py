"""Whether a netplan change is waiting to be confirmed on a host, and whether the host could take one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.errors import Unknown
from orchestrator.question import question
from orchestrator.script import Command, Result, Script, sh

HOME = "/var/lib/orch/netplan"


@dataclass(frozen=True)
class NetplanChange:
    """What the dead man on the host knows."""

    netplan: bool  # the tool is there
    systemd: bool  # PID 1
    unconfirmed: str  # the change that waits; "" for none
    since_epoch_s: int | None  # the host's clock when it was armed
    under_way: bool  # it is being applied just now
    outcomes: Mapping[str, str]  # change → "confirmed", "reverted (deadline): exact", …


@question
class ReadNetplanChange:
    """Needs root: what is there may hold a Wi-Fi password."""

    def ask(self) -> Script:
        body = sh(
            """export PATH="$PATH:/usr/sbin:/sbin"
command -v netplan >/dev/null && echo "netplan yes" || echo "netplan no"
[ -d /run/systemd/system ] && echo "systemd yes" || echo "systemd no"
for d in {}/*/; do
    t=$(basename "$d")
    [ ! -e "$d/outcome" ] || echo "outcome $t $(head -n 1 "$d/outcome")"
    [ ! -e "$d/unconfirmed" ] || echo "unconfirmed $t $(head -n 1 "$d/unconfirmed")"
    [ ! -e "$d/unconfirmed" ] || [ -e "$d/result" ] || echo "under-way $t"
done
echo end""",
            HOME,
        )
        return Script({"netplan-change": Command(body, sudo=True, timeout=15)})

    def parse(self, results: Mapping[str, Result]) -> NetplanChange:
        result = results.get("netplan-change")
        if result is None or result.rc != 0:
            said = result.err.decode(errors="replace").strip() if result is not None else ""
            raise Unknown(f"the state of netplan changes: {said or 'no answer'}")
        lines = result.text.splitlines()
        if not lines or lines[-1] != "end" or result.truncated:
            raise Unknown("the state of netplan changes: the answer is cut")
        return _read(lines[:-1])


def _read(lines: list[str]) -> NetplanChange:
    tools: dict[str, bool] = {}
    outcomes: dict[str, str] = {}
    waiting: dict[str, int] = {}
    under_way: set[str] = set()
    for line in lines:
        key, _, rest = line.partition(" ")
        name, _, tail = rest.partition(" ")
        if key in ("netplan", "systemd") and rest in ("yes", "no"):
            tools[key] = rest == "yes"
        elif key == "outcome" and tail:
            outcomes[name] = tail
        elif key == "unconfirmed" and tail.isdigit():
            waiting[name] = int(tail)
        elif key == "under-way" and name:
            under_way.add(name)
        else:
            raise Unknown(f"the state of netplan changes: {line[:80]!r} can't be read")
    if tools.keys() != {"netplan", "systemd"} or len(waiting) > 1:
        raise Unknown("the state of netplan changes can't be read")
    name = next(iter(waiting), "")
    return NetplanChange(
        netplan=tools["netplan"],
        systemd=tools["systemd"],
        unconfirmed=name,
        since_epoch_s=waiting.get(name),
        under_way=name in under_way,
        outcomes=outcomes,
    )
