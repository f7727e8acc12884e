"""Runs in a lab host at every boot: gives its interfaces the names of a real one, and no addresses.

Docker creates eth0, eth1, … in an order of its own with addresses of its own, and does so again
after each restart. The address is what tells them apart. What orch configures later is netplan's,
as on a real host.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

MARKER = Path("/etc/orch-lab")
HOSTS = """127.0.0.1 localhost
127.0.1.1 {host}
::1 localhost ip6-localhost ip6-loopback
"""


def plan(links: list[dict[str, Any]], wanted: dict[str, str]) -> list[list[str]]:
    """The `ip` commands that lead from what is there to the wanted name of each address."""
    park, name = [], []
    for link in links:
        for entry in link.get("addr_info", []):
            target = wanted.get(entry.get("local", ""))
            if target is None:
                continue
            rail = target != "eth0"
            if link["ifname"] != target or rail:
                parked = f"park{link['ifindex']}"
                park += [
                    ["link", "set", "dev", link["ifname"], "down"],
                    ["link", "set", "dev", link["ifname"], "name", parked],
                ]
                name.append(["link", "set", "dev", parked, "name", target])
            if rail:
                address = f"{entry['local']}/{entry['prefixlen']}"
                name += [
                    ["address", "del", address, "dev", target],
                    ["link", "set", "dev", target, "mtu", "1500"],
                ]
    return park + name


def main() -> None:
    lab = json.loads(MARKER.read_text())
    shown = subprocess.run(
        ["ip", "-json", "-4", "address", "show"], check=True, capture_output=True, text=True
    ).stdout
    links = [link for link in json.loads(shown) if link.get("ifname")]
    for words in plan(links, lab["interfaces"]):
        subprocess.run(["ip", *words], check=True)
    # docker lists an address of every cable here; a real host knows itself as 127.0.1.1
    Path("/etc/hosts").write_text(HOSTS.format(host=lab["host"]))


if __name__ == "__main__":
    main()
