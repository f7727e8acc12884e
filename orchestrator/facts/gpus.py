"""Why here: GPUs as nvidia-smi and the PCI bus tell them; GB10 has no memory of its own and says [N/A]."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping

from orchestrator.errors import Unknown
from orchestrator.facts.answers import Gpu, Gpus
from orchestrator.facts.identity import yes
from orchestrator.facts.probe import count, listed, probe, reading, said, script, sections
from orchestrator.question import question
from orchestrator.script import Result, Script, seq, sh

MIB = 1024 * 1024
NO_DEVICES_RC = 6
NOT_SAID = frozenset(
    {"[N/A]", "N/A", "[Not Supported]", "[Unknown Error]", "[GPU requires reset]", "[Unknown]"}
)

SMI = sh(
    """echo @smi
if command -v nvidia-smi >/dev/null; then
  nvidia-smi --query-gpu=index,uuid,pci.bus_id,driver_version,memory.total,memory.used,memory.free,name \
    --format=csv,noheader,nounits
  printf 'rc %s\\n' $?
else echo none; fi"""
)
# The matrix takes nvidia-smi most of a second: asked only where there is more than one GPU to relate.
TOPOLOGY = sh(
    """echo @topology
(set -- /proc/driver/nvidia/gpus/*
if [ $# -gt 1 ]; then nvidia-smi topo -m 2>/dev/null; fi)
echo end"""
)
BUS = sh(
    """echo @bus
for gpu in /sys/bus/pci/devices/*; do
  vendor= node=
  { read -r vendor <"$gpu/vendor"; } 2>/dev/null
  if [ "$vendor" = 0x10de ]; then
    { read -r node <"$gpu/numa_node"; } 2>/dev/null
    echo "${gpu##*/} $node"
  fi
done
toolkit=no
for tool in nvidia-ctk nvidia-container-runtime nvidia-container-cli; do
  if command -v "$tool" >/dev/null; then toolkit=yes; fi
done
echo "toolkit $toolkit"
"""
)
PCI = re.compile(r"([0-9a-fA-F]{4,8}):([0-9a-fA-F]{2}:[0-9a-fA-F]{2}\.[0-7])")


@question
class ReadGpus:
    """GPUs in PCI bus order, their links, and whether containers can have them."""

    def ask(self) -> Script:
        return script(gpus=probe(seq([SMI, BUS, TOPOLOGY]), timeout=60))

    def parse(self, results: Mapping[str, Result]) -> Gpus:
        with reading("GPUs"):
            lines = listed(results, "gpus", "GPUs")
            smi, bus, matrix = sections(lines, "smi", "bus", "topology")
            rows = smi_rows(smi, said(results["gpus"]))
            nodes, toolkit = bus_nodes(bus)
            gpus = tuple(sorted((gpu_of(row, nodes) for row in rows), key=lambda gpu: gpu.index))
            if len({gpu.index for gpu in gpus}) != len(gpus):
                raise ValueError("two GPUs with one index")
            return Gpus(gpus, topology_of(matrix, len(gpus)), toolkit)


def smi_rows(lines: list[str], complaint: str) -> list[list[str]]:
    """The CSV rows; none where there is no nvidia-smi or no device; Unknown where it failed."""
    if lines == ["none"]:
        return []
    if not lines or not re.fullmatch(r"rc \d+", lines[-1]):
        raise ValueError("nvidia-smi's exit code is missing")
    rc = count(lines[-1].removeprefix("rc "))
    body = [line for line in lines[:-1] if line.strip()]
    if rc == NO_DEVICES_RC and body in ([], ["No devices were found"]):
        return []
    if rc != 0:
        why = body[-1] if body else complaint
        raise Unknown(f"nvidia-smi failed (exit code {rc}): {why[:300]}")
    return [[cell.strip() for cell in row] for row in csv.reader(body)]


def gpu_of(row: list[str], nodes: Mapping[str, int | None]) -> Gpu:
    """One CSV row. The name comes last: it is the only field that might hold a comma."""
    index, uuid, bus, driver, total, used, free, *name = row
    place = PCI.fullmatch(bus)
    if place is None or not uuid.startswith(("GPU-", "MIG-")) or not name or not driver:
        raise ValueError(f"not a GPU's row: {', '.join(row)[:120]!r}")
    pci = f"{int(place[1], 16):04x}:{place[2].lower()}"
    return Gpu(
        index=count(index),
        uuid=uuid,
        name=", ".join(name),
        memory_bytes=mebibytes(total),
        memory_used_bytes=mebibytes(used),
        memory_free_bytes=mebibytes(free),
        numa_node=nodes.get(pci),
        driver=driver,
        pci=pci,
    )


def mebibytes(text: str) -> int | None:
    """A size in MiB as bytes; None where the card does not say."""
    return None if text in NOT_SAID else count(text) * MIB


def bus_nodes(lines: list[str]) -> tuple[dict[str, int | None], bool]:
    """PCI address → NUMA node (None where there is one node only, which the kernel calls -1)."""
    nodes: dict[str, int | None] = {}
    toolkit: bool | None = None
    for line in lines:
        name, _, value = line.partition(" ")
        if name == "toolkit":
            toolkit = yes(value)
        elif PCI.fullmatch(name):
            nodes[name] = None if value in ("", "-1") else count(value)
        else:
            raise ValueError(f"not a PCI device: {line[:60]!r}")
    if toolkit is None:
        raise ValueError("the container toolkit's line is missing")
    return nodes, toolkit


def topology_of(lines: list[str], gpus: int) -> dict[tuple[int, int], str]:
    """`nvidia-smi topo -m`: rows `GPU0  X  NV4  NODE …`; columns after the GPUs are not links."""
    links: dict[tuple[int, int], str] = {}
    for line in lines:
        words = re.sub(r"\x1b\[[0-9;]*m", "", line).split()
        if not words or not re.fullmatch(r"GPU\d+", words[0]) or "X" not in words[1 : gpus + 1]:
            continue  # the header has no X, the legend no GPU
        row = count(words[0].removeprefix("GPU"))
        for column, link in enumerate(words[1 : gpus + 1]):
            if link != "X" and re.fullmatch(r"[A-Z]{2,4}\d*", link):
                links[row, column] = link
    return links
