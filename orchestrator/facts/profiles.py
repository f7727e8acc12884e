"""Why here: NetworkManager's own connection profiles: one of the user's may set an interface of a link."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from orchestrator.facts.answers import Profile
from orchestrator.facts.probe import listed, probe, reading, script
from orchestrator.question import question
from orchestrator.script import Result, Script, sh

FOLDERS = ("/etc/NetworkManager/system-connections", "/run/NetworkManager/system-connections")
# Only sections that hold no secret leave the host; each of their lines comes with a blank before it.
BODY = sh(
    """failed=0
for file in {}/* {}/*; do
  [ -f "$file" ] || continue
  printf 'profile %s\\n' "$file"
  section=
  while IFS= read -r line || [ -n "$line" ]; do
    case $line in "["*) section=$line ;; esac
    case $section in "[connection]"|"[ethernet]"|"[802-3-ethernet]"|"[match]"|"[ipv4]"|"[.nmmeta]")
      printf ' %s\\n' "$line" ;;
    esac
  done <"$file" || failed=1
done
for folder in {} {}; do
  if [ -d "$folder" ] && [ ! -r "$folder" ]; then echo "no access to $folder" >&2; failed=1; fi
done
echo end
(exit "$failed")""",
    *FOLDERS,
    *FOLDERS,
)


@question
class ReadProfiles:
    """Those that somebody wrote: not what netplan or NetworkManager itself has made. Needs root."""

    sudo: bool = True

    def ask(self) -> Script:
        return script(profiles=probe(BODY, sudo=self.sudo, keep=1_048_576))

    def parse(self, results: Mapping[str, Result]) -> tuple[Profile, ...]:
        with reading("connection profiles"):
            lines = listed(results, "profiles", "connection profiles")
            return tuple(one for one in _profiles(lines) if one is not None)


def _profiles(lines: list[str]) -> Iterator[Profile | None]:
    path, own = "", list[str]()
    for line in [*lines, "profile "]:
        if line.startswith("profile "):
            if path:
                yield _profile(path, own)
            path, own = line.removeprefix("profile "), []
        elif path and line.startswith(" "):
            own.append(line.strip())
        else:
            raise ValueError(f"{line[:80]!r}")


def _profile(path: str, lines: list[str]) -> Profile | None:
    """None for what was generated, and for what is no wire."""
    found = _sections(lines)
    connection, ipv4 = found.get("connection", {}), found.get("ipv4", {})
    wire = found.get("802-3-ethernet", {}) | found.get("ethernet", {})
    by_netplan = path.startswith(f"{FOLDERS[1]}/netplan-")
    if by_netplan or found.get(".nmmeta", {}).get("nm-generated") == "true":
        return None
    if connection.get("type") not in ("ethernet", "802-3-ethernet"):
        return None
    mtu, priority = wire.get("mtu", "0"), connection.get("autoconnect-priority", "0")
    return Profile(
        path=path,
        id=connection.get("id", ""),
        interface=connection.get("interface-name", ""),
        mac=wire.get("mac-address", "").lower(),
        patterns=tuple(
            one for one in found.get("match", {}).get("interface-name", "").split(";") if one
        ),
        autoconnect=connection.get("autoconnect", "true") != "false",
        priority=int(priority),
        port_of=connection.get("master", "") or connection.get("controller", ""),
        method=ipv4.get("method", "auto"),
        addresses=tuple(_address(key, value) for key, value in ipv4.items() if _is_address(key)),
        mtu=int(mtu) or 1500,
    )


def _sections(lines: list[str]) -> dict[str, dict[str, str]]:
    """A keyfile as GLib reads it: a line that is no setting is passed over, the last of a key holds."""
    found: dict[str, dict[str, str]] = {}
    section: dict[str, str] = {}
    for line in lines:
        if line.startswith("[") and line.endswith("]"):
            section = found.setdefault(line[1:-1], {})
        elif "=" in line and not line.startswith("#"):
            key, _, value = line.partition("=")
            section[key.strip()] = value.strip()
    return found


def _is_address(key: str) -> bool:
    return key.removeprefix("addresses").isdigit() or key.removeprefix("address").isdigit()


def _address(key: str, value: str) -> str:
    """`192.168.1.2/24,192.168.1.1`, or in old files `192.168.1.2;24;192.168.1.1;`."""
    old = value.split(";")
    return f"{old[0]}/{old[1]}" if len(old) > 1 else value.split(",")[0]
