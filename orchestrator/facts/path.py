"""Why here: what lies at a path (weights, mostly), told apart by names and sizes without reading it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from orchestrator.errors import Unknown
from orchestrator.facts.answers import PathInfo
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
from orchestrator.script import Raw, Result, Script, Sh, argv, sh


def tree(ignore: tuple[str, ...]) -> Sh:
    """Shell that prints the sum of all names and sizes below `p`, their count, bytes, broken links.

    Links are followed: a hub snapshot is links to blobs. Summed on the host: the list may be long.
    """
    # No brackets: busybox forgets an `-exec … +` inside them.
    skip = [word for name in ignore for word in ("-name", name, "-prune", "-o")]
    sizes = ["-type", "f", "-exec", "stat", "-L", "-c", "%s %n", "--", "{}", "+"]
    broken = ["-type", "l", "-exec", "printf", "broken %s\\n", "{}", "+"]
    return sh(
        """list=$(cd -- "$p" && {}) \\
&& printf 'tree %s\\n' "$(printf '%s\\n' "$list" | sort | sha256sum)" \\
&& printf 'sums %s\\n' "$(printf '%s\\n' "$list" | awk '
$1 == "broken" { broken++; next }
NF { files++; size += $1 }
END { printf "%d %.0f %d", files, size, broken }')" """,
        Raw(argv("find", "-L", ".", *skip, *sizes, "-o", *broken)),
    )


# What a model's own files name and the folder has not: shards of an index, parts of a split GGUF, which engines
# load all or nothing of. Of a hub's folder the revision that is in use, as others may lie there in part.
PARTS = sh(
    """top=$p
if [ -f "$p/refs/main" ] && [ -d "$p/snapshots/$(cat "$p/refs/main")" ]; then top=$p/snapshots/$(cat "$p/refs/main"); fi
lacks=$(cd -- "$top" && {
find -L . -type f -name '*.safetensors.index.json' | while IFS= read -r index; do
grep -o ': *"[^"]*\\.safetensors"' "$index" | sed 's/^: *"//;s/"$//' | sort -u | while IFS= read -r name; do
[ -e "${index%/*}/$name" ] || printf '%s\\n' "${index%/*}/$name"; done; done
find -L . -type f -name '*-of-*.gguf' | awk '
match($0, /-[0-9][0-9][0-9][0-9][0-9]-of-[0-9][0-9][0-9][0-9][0-9]\\.gguf$/) {
stem = substr($0, 1, RSTART - 1); of[stem] = substr($0, RSTART + 10, 5); seen[stem, substr($0, RSTART + 1, 5) + 0] }
END { for (stem in of) for (n = 1; n <= of[stem] + 0; n++) if (!((stem, n) in seen))
printf "%s-%05d-of-%s.gguf\\n", stem, n, of[stem] }'
})
printf 'lacks %d\\n' "$(printf '%s\\n' "$lacks" | grep -c .)"
printf 'first %s\\n' "$(printf '%s\\n' "$lacks" | sort | sed -n '/./{s,^\\./,,;p;q;}')"
printf 'unfinished %d\\n' "$(find "$p/" -type f -name '*.incomplete' | grep -c .)"
"""
)


# A file's size; of one part of a split GGUF that of all parts, which an engine that is given one looks for beside it.
FILE = sh(
    """case ${p##*/} in
*-[0-9][0-9][0-9][0-9][0-9]-of-[0-9][0-9][0-9][0-9][0-9].gguf)
printf '%s\\n' "$p" | awk '{ stem = substr($0, 1, length($0) - 20); of = substr($0, length($0) - 9, 5)
for (n = 1; n <= of + 0; n++) printf "%s-%05d-of-%s.gguf\\n", stem, n, of }' ;;
*) printf '%s\\n' "$p" ;;
esac | {
sizes= lacks=0 first=
while IFS= read -r part; do
if [ -f "$part" ]; then sizes="$sizes $(stat -L -c %s -- "$part")"
else lacks=$((lacks + 1)) first=${first:-${part##*/}}; fi; done
printf '%s\\n' "sizes$sizes" "lacks $lacks" "first $first"
}"""
)


@question
class ReadPath:
    """A file or a folder. `ignore`: names (patterns of `find`) that are left out with all below them."""

    path: str
    ignore: tuple[str, ...] = ()

    def ask(self) -> Script:
        body = sh(
            """{}
{}
printf 'path %s\\n' "$p"
if [ -d "$p" ]; then echo is folder && {} && { {}
} && echo end
elif [ -f "$p" ]; then echo is file && {} && echo end
elif [ -e "$p" ] || [ -h "$p" ]; then echo is other; echo end
elif [ -d "$near" ] && [ ! -x "$near" ]; then echo is hidden; echo end
else echo is absent; echo end; fi""",
            Raw(host_path(self.path)),
            Raw(NEAREST),
            Raw(tree(self.ignore)),
            Raw(PARTS),
            Raw(FILE),
        )
        return script(path=probe(body, timeout=60))

    def parse(self, results: Mapping[str, Result]) -> PathInfo:
        what = f"path {self.path}"
        with reading(what):
            found = fields(listed(results, "path", what))
            path, kind = found["path"], found["is"]
            if kind == "absent":
                return PathInfo(path, False, False, 0, 0, "")
            if kind == "file":
                sizes = [count(one) for one in found["sizes"].split()]
                digest = hashlib.sha256(found["sizes"].encode()).hexdigest()
                missing = (count(found["lacks"]), found["first"])
                return PathInfo(path, True, False, sum(sizes), len(sizes), digest, 0, *missing)
            if kind != "folder":
                raise Unknown(f"{what}: it is {kind}: neither a file nor a folder that can be read")
            fingerprint = found["tree"].split()[0]
            files, size, broken = map(count, found["sums"].split())
            if len(fingerprint) != 64:
                raise ValueError("no sum")
            parts = (count(found["lacks"]), found["first"], count(found["unfinished"]))
            return PathInfo(path, True, True, size, files, fingerprint, broken, *parts)
