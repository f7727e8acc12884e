"""Why here: who a host is, and what its clock says: read first, on every host."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping

from orchestrator.facts.answers import Identity
from orchestrator.facts.probe import count, fields, listed, probe, reading, script
from orchestrator.question import question
from orchestrator.script import Result, Script, sh

BODY = sh(
    """os= version= boot= machine= host=
{ while IFS='=' read -r key value; do
  case $key in ID) os=$value ;; VERSION_ID) version=$value ;; esac
done </etc/os-release
read -r boot </proc/sys/kernel/random/boot_id
read -r machine </etc/machine-id
read -r host </proc/sys/kernel/hostname; } 2>/dev/null
printf '%s\\n' "os $os" "version $version" "boot $boot" "machine $machine" "host $host" \
  "uname $(uname -rm)" "cpus $(nproc 2>/dev/null || getconf _NPROCESSORS_ONLN)" \
  "user $(id -un 2>/dev/null)" "uid $(id -u)"
{ while IFS='=' read -r key value; do
  case $key in DGX_OTA_VERSION | DGX_SWBUILD_VERSION) printf '%s %s\\n' "$key" "$value" ;; esac
done </etc/dgx-release; } 2>/dev/null
if [ -e /etc/dgx-release ]; then echo dgx yes; else echo dgx no; fi
if [ -e /etc/orch-lab ]; then echo lab yes; else echo lab no; fi
printf 'clock %s\\n' "$(date +%s.%N)"
echo end"""
)
CLOCK = re.compile(r"(\d{9,11})(\.(\d+|%?N))?")  # busybox knows no %N


@question
class Identify:
    """OS, kernel, boot, user and clock of a host."""

    def ask(self) -> Script:
        return script(identity=probe(BODY))

    def parse(self, results: Mapping[str, Result]) -> Identity:
        now = time.time()
        with reading("identity"):
            found = fields(listed(results, "identity", "identity"))
            kernel, arch = found["uname"].split()
            clock = CLOCK.fullmatch(found["clock"])
            if clock is None or not found["boot"] or not found["host"]:
                raise ValueError("clock, boot id or host name is missing")
            fraction = clock[3] if clock[3] and clock[3].isdigit() else "0"
            dgx = yes(found["dgx"])
            dgx_version = found.get("DGX_OTA_VERSION") or found.get("DGX_SWBUILD_VERSION") or ""
            return Identity(
                os_id="dgx-os" if dgx else unquoted(found["os"]),
                os_version=unquoted(dgx_version or found["version"]),
                kernel=kernel,
                arch=arch,
                boot_id=found["boot"],
                machine_id=found["machine"],
                hostname=found["host"],
                clock_epoch_s=float(f"{clock[1]}.{fraction}"),
                cpus=count(found["cpus"]),
                user=found["user"] or found["uid"],
                uid=count(found["uid"]),
                in_lab=yes(found["lab"]),
                controller_epoch_s=now,
                read_s=max(0.0, now - (results["identity"].sent_epoch_s or now)),
            )


def yes(word: str) -> bool:
    """`yes` or `no`, nothing else."""
    if word not in ("yes", "no"):
        raise ValueError(f"neither yes nor no: {word[:20]!r}")
    return word == "yes"


def unquoted(value: str) -> str:
    """A value of os-release without its shell quotes."""
    return value.strip("\"'")
