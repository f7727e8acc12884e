"""Why here: RDMA devices with state, rate, MTU and GIDs, from sysfs: ibdev2netdev is not packaged anywhere."""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import IPv6Address
from typing import Any

from orchestrator.errors import Unknown
from orchestrator.facts.answers import Rdma, RdmaDevice
from orchestrator.facts.identity import yes
from orchestrator.facts.probe import (
    count,
    json_of,
    listed,
    mapping,
    probe,
    reading,
    script,
    sections,
    text_of,
    whole,
)
from orchestrator.question import question
from orchestrator.script import Result, Script, seq, sh

# mlx5 has 256 GIDs a port and rxe 1024, nearly all zero: one grep finds the few that are set. The kernel fills
# the table from the front, so rxe's last three quarters are not read: each file is a question to the driver.
SYSFS = sh(
    """echo @sysfs
for port in /sys/class/infiniband/*/ports/*; do
  if [ -e "$port/state" ]; then
    device=${port%/ports/*} state= rate= layer= firmware= parent= only=
    { read -r state <"$port/state"
    read -r rate <"$port/rate"
    read -r layer <"$port/link_layer"
    read -r firmware <"$device/fw_ver"
    read -r parent <"$device/parent"; } 2>/dev/null
    for net in "$device"/device/net/*; do [ ! -e "$net" ] || only="$only ${net##*/}"; done
    printf '%s\\n' "port ${device##*/} ${port##*/}" "state $state" "rate $rate" "layer $layer" \
      "firmware $firmware" "parent $parent" "net $only"
  fi
done
grep -v -x '0000:0000:0000:0000:0000:0000:0000:0000' \
  /sys/class/infiniband/*/ports/*/gids/? /sys/class/infiniband/*/ports/*/gids/?? \
  /sys/class/infiniband/*/ports/*/gids/[12]?? /dev/null 2>/dev/null | while IFS=: read -r file gid; do
  type= netdev= attrs=${file%/gids/*}/gid_attrs
  { read -r type <"$attrs/types/${file##*/}"
  read -r netdev <"$attrs/ndevs/${file##*/}"; } 2>/dev/null
  printf '%s\\n' "gid $file $gid ${netdev:--} $type"
done
if [ -d /dev/infiniband ]; then echo devices yes; else echo devices no; fi
caps= locked=
{ while read -r key value; do
  if [ "$key" = CapBnd: ]; then caps=$value; fi
done </proc/1/status
read -r pid </var/run/docker.pid
while read -r max locked memory soft hard unit; do
  if [ "$max $locked" = "Max locked" ]; then echo "daemon $hard"; fi
done <"/proc/$pid/limits"; } 2>/dev/null
echo "caps $caps"
"""
)
# In a container the rdma tool may not open its socket: then sysfs has to do. The active MTU is not in sysfs.
TOOLS = sh(
    """echo @links
if command -v rdma >/dev/null; then rdma -j link show 2>/dev/null || echo; fi
echo @devinfo
if command -v ibv_devinfo >/dev/null; then ibv_devinfo 2>/dev/null; fi
echo end"""
)
CAP_SYS_RESOURCE = 1 << 24
GID = re.compile(r"/sys/class/infiniband/([^/]+)/ports/(\d+)/gids/(\d+) ([0-9a-f:]{39}) (\S+) (.+)")
RATE = re.compile(r"(\d+(?:\.\d+)?) Gb/sec(?: .*)?")
PORT_KEYS = ("state", "rate", "layer", "firmware", "parent", "net")

Gids = dict[tuple[str, int], list[tuple[int, str, str, str]]]


@question
class ReadRdma:
    """RDMA devices and what containers may have of them."""

    def ask(self) -> Script:
        return script(rdma=probe(seq([SYSFS, TOOLS])))

    def parse(self, results: Mapping[str, Result]) -> Rdma:
        with reading("RDMA"):
            lines = listed(results, "rdma", "RDMA")
            sysfs, links, devinfo = sections(lines, "sysfs", "links", "devinfo")
            ports, gids, rest = sysfs_of(sysfs)
            netdevs = links_of("\n".join(links))
            mtus = active_mtus(devinfo)
            devices = tuple(
                device_of(name, port, words, gids.get((name, port), []), netdevs, mtus)
                for (name, port), words in sorted(ports.items())
            )
            if set(gids) - set(ports):
                raise ValueError("GIDs of a port that is not there")
            return Rdma(devices, yes(rest["devices"]), may_lock(rest))


def sysfs_of(
    lines: list[str],
) -> tuple[dict[tuple[str, int], dict[str, str]], Gids, dict[str, str]]:
    """Ports with their attributes, GIDs, and what concerns the whole host."""
    ports: dict[tuple[str, int], dict[str, str]] = {}
    gids: Gids = {}
    rest: dict[str, str] = {}
    current: dict[str, str] = {}
    for line in lines:
        key, _, value = line.partition(" ")
        if key == "port":
            name, port = value.split()
            current = ports[name, count(port)] = {}
        elif key == "gid":
            found = GID.fullmatch(value)
            if found is None:
                raise ValueError(f"not a GID's line: {line[:100]!r}")
            gids.setdefault((found[1], int(found[2])), []).append(
                (int(found[3]), found[4], found[5], found[6])
            )
        elif key in PORT_KEYS:
            current[key] = value.strip()
        elif key in ("devices", "caps", "daemon"):
            rest[key] = value.strip()
        else:
            raise ValueError(f"not a line of ours: {line[:60]!r}")
    return ports, gids, rest


def device_of(
    name: str,
    port: int,
    words: Mapping[str, str],
    gids: list[tuple[int, str, str, str]],
    netdevs: Mapping[tuple[str, int], str],
    mtus: Mapping[tuple[str, int], int],
) -> RdmaDevice:
    """One port of a device. Its netdev: from `rdma link`, the GIDs, the parent (rxe), or the only one."""
    rate = RATE.fullmatch(words["rate"])
    number, _, state = words["state"].partition(": ")
    count(number)
    named = {one[2] for one in gids} - {"-"}
    only = words["net"].split()
    guess = next(iter(named)) if len(named) == 1 else words["parent"]
    return RdmaDevice(
        name=name,
        port=port,
        netdev=netdevs.get((name, port)) or guess or (only[0] if len(only) == 1 else ""),
        state=state,
        rate_gbps=float(rate[1]) if rate is not None else None,
        active_mtu=mtus.get((name, port)),
        link_layer=words["layer"],
        firmware=words["firmware"],
        gids=tuple((index, str(IPv6Address(gid)), kind) for index, gid, _, kind in sorted(gids)),
    )


def links_of(text: str) -> dict[tuple[str, int], str]:
    """`rdma -j link`; empty where the tool is missing or may not ask."""
    links: list[Mapping[str, Any]] = [mapping(one) for one in json_of(text.strip() or "[]")]
    return {
        (text_of(one["ifname"]), whole(one["port"])): text_of(one["netdev"])
        for one in links
        if "netdev" in one
    }


def active_mtus(lines: list[str]) -> dict[tuple[str, int], int]:
    """From `ibv_devinfo`; nothing where it is not there or finds no device."""
    found: dict[tuple[str, int], int] = {}
    device, port = "", 0
    for line in lines:
        key, _, value = line.strip().partition(":")
        if key == "hca_id":
            device = value.strip()
        elif key == "port":
            port = count(value.strip())
        elif key == "active_mtu":
            found[device, port] = count(value.split()[0])
    return found


def may_lock(rest: Mapping[str, str]) -> bool:
    """May a container get unlimited locked memory: by a right that nobody took away, or the daemon's limit."""
    if not re.fullmatch(r"[0-9a-f]{16}", rest["caps"]):
        raise Unknown("RDMA: the capabilities of process 1 can't be read")
    return rest.get("daemon") == "unlimited" or bool(int(rest["caps"], 16) & CAP_SYS_RESOURCE)
