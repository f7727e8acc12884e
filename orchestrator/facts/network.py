"""Why here: netdevs with addresses and speed, which of them carries our SSH, and who configures them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from orchestrator.errors import Unknown
from orchestrator.facts.answers import Netdev, Network
from orchestrator.facts.probe import (
    count,
    fields,
    json_of,
    listed,
    mapping,
    probe,
    reading,
    said,
    script,
    sections,
    text_of,
    whole,
)
from orchestrator.question import question
from orchestrator.script import Result, Script, seq, sh

TABLES = sh(
    """echo @addresses
ip -j addr show || echo failed
echo @routes
ip -j route show || echo failed"""
)
# One line per netdev: name, index, speed, carrier, driver, PCI address, networkd's state, NetworkManager's.
SYSFS = sh(
    """echo @sysfs
for dev in /sys/class/net/*; do
  index=- speed=- carrier=- driver=- pci=- networkd=- manager=-
  { read -r index <"$dev/ifindex"
  read -r speed <"$dev/speed"
  read -r carrier <"$dev/carrier"
  while IFS='=' read -r key value; do
    case $key in DRIVER) driver=$value ;; PCI_SLOT_NAME) pci=$value ;; esac
  done <"$dev/device/uevent"
  while IFS='=' read -r key value; do
    if [ "$key" = ADMIN_STATE ]; then networkd=$value; fi
  done <"/run/systemd/netif/links/$index"
  while IFS='=' read -r key value; do
    if [ "$key" = managed ]; then manager=$value; fi
  done <"/run/NetworkManager/devices/$index"; } 2>/dev/null
  [ ! -e "$dev/ifindex" ] || printf '%s\\n' \
    "${dev##*/} $index ${speed:--} ${carrier:--} ${driver:--} ${pci:--} $networkd $manager"
done"""
)

RENDERER = sh(
    """echo @renderer
printf 'ssh %s\\n' "${SSH_CONNECTION:-}"
for unit in systemd-networkd NetworkManager; do
  if [ -d /run/systemd/system ]; then state=$(systemctl is-active "$unit.service" 2>/dev/null)
  else state=nosystemd; fi
  printf '%s %s\\n' "$unit" "$state"
done
echo end"""
)
NETWORKD_OURS = frozenset({"configured", "configuring", "pending", "initialized", "degraded"})


@question
class ReadNetwork:
    """Netdevs, routes, renderer. Unknown where our SSH's address is on no netdev."""

    def ask(self) -> Script:
        body = seq([TABLES, SYSFS, RENDERER])
        return script(network=probe(body, keep=2_097_152))

    def parse(self, results: Mapping[str, Result]) -> Network:
        with reading("network"):
            lines = listed(results, "network", "network")
            parts = sections(lines, "addresses", "routes", "sysfs", "renderer")
            addresses, table, sysfs, renderer = parts
            if "failed" in (*addresses[-1:], *table[-1:]):
                raise Unknown(f"network: ip: {said(results['network'])}")
            devices = sysfs_of(sysfs)
            links = json_of("\n".join(addresses))
            netdevs = {
                name: netdev
                for link in links
                if mapping(link)
                for name, netdev in [netdev_of(link, devices)]
            }
            if not netdevs:
                raise ValueError("no netdev at all")
            routes = [mapping(one) for one in json_of("\n".join(table))]
            found = fields(renderer)
            ssh_address = ssh_server(found["ssh"])
            return Network(
                netdevs=netdevs,
                ssh_netdev=carrier_of(ssh_address, netdevs),
                ssh_address=ssh_address,
                default_netdev=default_of(routes),
                renderer=renderer_of(found),
                routes=tuple(
                    f"{text_of(one['dst'])} dev {text_of(one['dev'])}"
                    for one in routes
                    if "dev" in one
                ),
            )


def sysfs_of(lines: list[str]) -> dict[str, list[str]]:
    """Name → its words; a name that holds blanks can't be a netdev."""
    rows = [line.split() for line in lines]
    if any(len(row) != 8 for row in rows):
        raise ValueError("a netdev's line has not 8 words")
    return {row[0]: row[1:] for row in rows}


def netdev_of(link: Mapping[str, Any], devices: Mapping[str, list[str]]) -> tuple[str, Netdev]:
    """One link of `ip -j addr` with what sysfs says of it. Old versions print {} for filtered links."""
    name = text_of(link["ifname"])
    _, speed, carrier, driver, pci, networkd, manager = devices.get(name, ["-"] * 7)
    flags = link["flags"]
    addresses = tuple(
        f"{text_of(one['local'])}/{whole(one['prefixlen'])}"
        for one in map(mapping, link.get("addr_info", []))
        if "local" in one
    )
    by_manager = "NetworkManager" if manager in ("1", "true") else ""
    return name, Netdev(
        name=name,
        mac=text_of(link.get("address", "")),
        mtu=whole(link["mtu"]),
        up="UP" in flags,
        carrier=carrier == "1" if carrier in ("0", "1") else "LOWER_UP" in flags,
        speed_mbps=count(speed) if speed not in ("-", "-1", "4294967295") else None,
        addresses=addresses,
        driver="" if driver == "-" else driver,
        pci=pci if re.fullmatch(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]", pci) else "",
        manager="networkd" if networkd in NETWORKD_OURS else by_manager,
    )


def ssh_server(connection: str) -> str:
    """The address that sshd was reached at; "" for a host that was not reached over SSH."""
    if not connection:
        return ""
    _, _, server, port = connection.split()
    count(port)
    return server.partition("%")[0].removeprefix("::ffff:")


def carrier_of(address: str, netdevs: Mapping[str, Netdev]) -> str:
    """The netdev that has the address."""
    if not address:
        return ""
    for netdev in netdevs.values():
        if any(one.partition("/")[0] == address for one in netdev.addresses):
            return netdev.name
    raise Unknown(f"network: no netdev has the address {address} that our SSH came in at")


def default_of(routes: list[Mapping[str, Any]]) -> str:
    """The netdev of the default route with the lowest metric; "" where there is none."""
    defaults = [one for one in routes if one.get("dst") == "default" and "dev" in one]
    best = min(defaults, key=lambda one: whole(one.get("metric", 0)), default=None)
    return text_of(best["dev"]) if best is not None else ""


def renderer_of(found: Mapping[str, str]) -> str:
    """Who could render netplan's files."""
    states = {unit: found[unit] for unit in ("systemd-networkd", "NetworkManager")}
    if any(not re.fullmatch(r"[a-z-]+", state) for state in states.values()):
        raise Unknown("network: systemd does not say whether networkd or NetworkManager runs")
    active = [unit.removeprefix("systemd-") for unit, state in states.items() if state == "active"]
    return "both" if len(active) > 1 else active[0] if active else "none"
