"""Why here: where a folder of the host lies, or would lie: file system, free space, inodes, read-ahead."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.errors import Unknown
from orchestrator.facts.answers import Disk
from orchestrator.facts.identity import yes
from orchestrator.facts.probe import (
    NEAREST,
    count,
    fields,
    host_path,
    listed,
    probe,
    reading,
    script,
)
from orchestrator.question import question
from orchestrator.script import Raw, Result, Script, sh

# The device number leads to the disk; btrfs gives numbers of its own, there the mount's source does.
DEVICE = sh(
    """number=$(stat -L -c %d -- "$near")
number=$(((number >> 8) & 4095)):$(((number & 255) | ((number >> 12) & 1048320)))
mount=$(grep -m 1 " $number " /proc/self/mountinfo)
block=/sys/dev/block/$number
if [ ! -e "$block" ]; then
  mount=${mount:-$(df -P -- "$near" | while read -r source _; do
    case $source in (/dev/*) echo "- - $source" ;; esac; done)}
  source=${mount##* - }
  source=${source#* }
  source=${source%% *}
  block=/sys/class/block/${source##*/}
fi
[ ! -e "$block/partition" ] || block=$block/..
device= ahead=
{ while IFS='=' read -r key value; do
  if [ "$key" = DEVNAME ]; then device=$value; fi
done <"$block/uevent"
read -r ahead <"$block/queue/read_ahead_kb"; } 2>/dev/null"""
)


@question
class ReadDisk:
    """The disk under a path; where the path does not exist, under the nearest folder that does."""

    path: str

    def ask(self) -> Script:
        body = sh(
            """{}
{}
{}
if [ ! -d "$near" ] || [ -x "$near" ]; then echo hidden no; else echo hidden yes; fi
if [ -w "$near" ]; then echo writable yes; else echo writable no; fi
printf '%s\\n' "path $p" "near $near" "space $(stat -f -c '%S %a %b %d %c' -- "$near")" \
  "type $(stat -f -c %T -- "$near")" "mount $mount" "device $device" "ahead $ahead"
echo end""",
            Raw(host_path(self.path)),
            Raw(NEAREST),
            Raw(DEVICE),
        )
        return script(disk=probe(body))

    def parse(self, results: Mapping[str, Result]) -> Disk:
        what = f"disk of {self.path}"
        with reading(what):
            found = fields(listed(results, "disk", what))
            if yes(found["hidden"]) and found["near"] != found["path"]:
                raise Unknown(f"{what}: this user may not look into {found['near']}")
            unit, free, total, inodes, all_inodes = map(count, found["space"].split())
            if total == 0 or unit == 0:
                raise ValueError("a file system without size")
            mounted_as = found["mount"].rpartition(" - ")[2].split()
            fstype = mounted_as[0] if mounted_as and mounted_as[0] != "-" else found["type"]
            if not fstype or not found["path"].startswith("/"):
                raise ValueError("no file system type or no path")
            return Disk(
                path=found["path"],
                fstype=fstype,
                total_bytes=unit * total,
                free_bytes=unit * free,
                free_inodes=inodes,
                device=found["device"],
                read_ahead_kb=count(found["ahead"]) if found["ahead"] else None,
                near=found["near"],
                writable=yes(found["writable"]),
                total_inodes=all_inodes,
            )
