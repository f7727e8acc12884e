"""Why here: which package manager a host has, and which versions of given packages."""

from __future__ import annotations

import re
from collections.abc import Mapping

from orchestrator.errors import Unknown
from orchestrator.facts.answers import Packages
from orchestrator.facts.probe import listed, probe, reading, said, script
from orchestrator.question import question
from orchestrator.script import Raw, Result, Script, argv, sh

KNOWN = {"apt-get": "apt", "dnf": "dnf", "yum": "dnf", "zypper": "zypper", "pacman": "pacman"}
ABSENT_RC = 1  # dpkg-query, rpm and pacman: at least one of the packages is not there


@question
class ReadPackages:
    """Installed versions by name."""

    names: tuple[str, ...]

    def ask(self) -> Script:
        names = Raw(argv(*self.names))
        body = sh(
            """manager=
for tool in apt-get dnf yum zypper pacman; do
  if [ -z "$manager" ] && command -v "$tool" >/dev/null; then manager=$tool; fi
done
echo "manager $manager"
case $manager in
apt-get) dpkg-query -W -f '${db:Status-Status} ${Package} ${Version}\\n' -- {} ;;
dnf | yum | zypper) rpm -q --qf 'installed %{NAME} %{VERSION}-%{RELEASE}\\n' -- {} ;;
pacman) pacman -Q -- {} ;;
esac
printf 'rc %s\\nend\\n' $?""",
            names,
            names,
            names,
        )
        return script(packages=probe(body))

    def parse(self, results: Mapping[str, Result]) -> Packages:
        with reading("packages"):
            first, *lines, last = listed(results, "packages", "packages")
            manager = first.removeprefix("manager").strip()
            if first.partition(" ")[0] != "manager":
                raise ValueError("the answer does not begin with the manager")
            if not manager:
                return Packages("", dict.fromkeys(self.names, ""))
            if last not in ("rc 0", f"rc {ABSENT_RC}"):
                raise Unknown(f"packages: {said(results['packages'])}")
            complaints = [*lines, *results["packages"].err.decode(errors="replace").splitlines()]
            rows = [line.split() for line in lines]
            if manager == "pacman":
                rows = [["installed", *row] for row in rows]
            installed = {row[1]: row[2] for row in rows if len(row) == 3 and row[0] == "installed"}
            return Packages(
                KNOWN[manager],
                {name: installed.get(name) or absent(name, complaints) for name in self.names},
            )


def absent(name: str, complaints: list[str]) -> str:
    """\"\", if the manager says so of this package; silence is not an answer."""
    if not any(re.search(rf"(?<![\w.+-]){re.escape(name)}(?![\w.+-])", one) for one in complaints):
        raise ValueError(f"nothing is said of {name}")
    return ""
