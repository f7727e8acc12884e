"""The dead man on a host whose disks are full or can't be written: what can't be undone is not begun.

The real program, with its folders moved below a test's own; what it would ask of systemd and netplan is fake.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from orchestrator.data import read_template

FAKES = {
    "systemctl": "case $* in *.timer) exit 0 ;; esac; exit 3",  # no renderer runs here
    "systemd-run": "exit 0",
    "networkctl": "exit 1",
    "nmcli": "exit 1",
    # what netplan generates: a file for the interface, with what its own file says
    "netplan": 'mkdir -p "$3/run/systemd/network"\n'
    'cat "$3"/etc/netplan/*.yaml >"$3/run/systemd/network/10-netplan-lo.network"',
    "ip": "case $* in *save*) echo saved ;; esac",
}
NEW, OLD = "new\n", "old\n"


class Site:
    """One host's folders, and a change that is prepared step by step."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.etc, self.home = root / "netplan", root / "home"
        self.change = self.home / "tx"
        self.network = root / "run/systemd/network/10-netplan-lo.network"
        for folder in (self.etc, self.change / "new", self.network.parent, root / "bin"):
            folder.mkdir(parents=True)
        (root / "wants").mkdir()
        (root / "orch-netplan-revert.service").write_text("")
        (self.etc / "40-orch.yaml").write_text(OLD)
        self.network.write_text(OLD)
        (self.change / "new/40-orch.yaml").write_text(NEW)
        (self.change / "ids").write_text("lo\n")
        mtu = Path("/sys/class/net/lo/mtu").read_text().strip()
        (self.change / "expect").write_text(f"lo {mtu} -\n")
        for name, text in FAKES.items():
            self.fake(name, text)
        self.program = root / "dead-man"
        self.program.write_text(moved(root))

    def fake(self, name: str, text: str) -> None:
        path = self.root / "bin" / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "ORCH_NETPLAN_HOME": str(self.home)}
        command = ["/bin/sh", str(self.program), *words]
        return subprocess.run(command, env=env, capture_output=True, text=True, check=False)

    def armed(self) -> None:
        for words in (("prepare", "tx"), ("arm", "tx", "120")):
            done = self.run(*words)
            assert done.returncode == 0, done.stderr

    @property
    def text(self) -> str:
        return (self.etc / "40-orch.yaml").read_text()


def moved(root: Path, settle: int = 0) -> str:
    text = read_template("netplan/dead-man.sh")
    for old, new in {
        "PATH=/usr/sbin": f"PATH={root}/bin:/usr/sbin",
        "etc=/etc/netplan": f"etc={root}/netplan",
        "run=/run": f"run={root}/run",
        "wanted=/etc/systemd/system/multi-user.target.wants/": f"wanted={root}/wants/",
        "/usr/libexec/netplan/generate /usr/lib/netplan/generate /lib/netplan/generate": "/none",
        "settle=20": f"settle={settle}",
    }.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_a_change_is_made_and_goes_back(site: Site) -> None:
    site.armed()
    assert site.run("apply", "tx").returncode == 0
    assert (site.text, site.network.read_text()) == (NEW, NEW)
    assert site.run("revert").returncode == 0
    assert (site.text, site.network.read_text()) == (OLD, OLD)
    assert (site.change / "outcome").read_text() == "reverted (deadline): exact\n"


def test_an_address_counts_once_it_stays(site: Site) -> None:
    """A renderer gives an address, takes all away once more, and gives it again."""
    site.program.write_text(moved(site.root, settle=60))
    mtu = Path("/sys/class/net/lo/mtu").read_text().strip()
    (site.change / "expect").write_text(f"lo {mtu} 10.1.1.1/24\n")
    site.armed()
    looks = site.root / "looks"
    site.fake("sleep", "exit 0")
    site.fake(
        "ip",
        f"""case $* in *addr*) echo >>{looks} ;; esac
        [ "$(wc -l <{looks})" = 3 ] || echo '1: lo inet 10.1.1.1/24 scope global lo'""",
    )
    assert site.run("apply", "tx").returncode == 0
    assert (site.change / "result").read_text() == "applied\n"
    assert looks.read_text().count("\n") == 6, "two looks, one that found nothing, three"


def test_an_interface_is_set_up_once(site: Site) -> None:
    """What `reload` takes up because its file changed is not emptied again by `reconfigure`."""
    asked = site.root / "asked"
    site.fake("systemctl", "case $* in *NetworkManager*) exit 3 ;; esac")
    site.fake("networkctl", f"echo $1 >>{asked}")
    (site.change / "expect").write_text("lo 1 -\n")  # which it never has
    site.armed()
    asked.unlink()
    site.run("apply", "tx")
    assert asked.read_text().split()[0] == "reload"
    assert "reconfigure" not in asked.read_text().split("reload")[1]


def test_an_interface_whose_file_stays_is_told(site: Site) -> None:
    asked = site.root / "asked"
    site.fake("systemctl", "case $* in *NetworkManager*) exit 3 ;; esac")
    site.fake("networkctl", f"echo $1 >>{asked}")
    (site.change / "expect").write_text("lo 1 -\n")
    site.network.write_text(NEW)
    site.armed()
    asked.unlink()
    site.run("apply", "tx")
    assert asked.read_text().split()[:2] == ["reload", "reconfigure"]


def test_a_timer_whose_change_is_gone_does_not_keep_a_new_one_from_being_armed(site: Site) -> None:
    timer = site.root / "timer"
    site.fake("systemd-run", f"[ ! -e {timer} ] && : >{timer}")
    site.fake(
        "systemctl", f"case $* in 'stop orch-netplan-deadline-tx.timer') rm -f {timer} ;; esac"
    )
    site.armed()
    site.armed()


def test_a_snapshot_that_lacks_something_is_refused(site: Site) -> None:
    site.fake("cp", f'case $* in *"{site.root}/run"*) exit 1 ;; esac; exec /bin/cp "$@"')
    done = site.run("prepare", "tx")
    assert (done.returncode, "the snapshot failed" in done.stderr) == (1, True)


def test_addresses_that_could_not_be_noted_are_no_snapshot(site: Site) -> None:
    once = f'[ -e "{site.root}/asked" ] || {{ : >"{site.root}/asked"; exit 0; }}'
    tells = (
        f"case $* in *save*) echo saved ;; *addr*) {once}; echo 1: lo inet 127.0.0.1/8 lo ;; esac"
    )
    site.fake("ip", tells)
    done = site.run("prepare", "tx")
    assert (done.returncode, "the snapshot failed" in done.stderr) == (1, True)


def test_what_netplan_made_is_kept_whole_or_the_change_is_refused(site: Site) -> None:
    site.fake("cp", f'case $* in *"{site.change}/after"*) exit 1 ;; esac; exec /bin/cp "$@"')
    assert site.run("prepare", "tx").returncode == 1
    assert site.run("arm", "tx", "120").returncode == 1, "not prepared"


@pytest.mark.parametrize("name", ["boot", "unconfirmed"])
def test_without_its_marks_nothing_is_armed(site: Site, name: str) -> None:
    assert site.run("prepare", "tx").returncode == 0
    (site.change / f"{name}.part").mkdir()
    assert site.run("arm", "tx", "120").returncode == 1
    assert site.run("apply", "tx").returncode == 1
    assert site.text == OLD


def test_what_could_not_be_undone_is_not_begun(site: Site) -> None:
    site.armed()
    (
        site.change / "applying.part"
    ).mkdir()  # as a full disk: the note that a change began can't be written
    assert site.run("apply", "tx").returncode == 1
    assert (site.text, site.network.read_text()) == (OLD, OLD)


def test_files_that_cannot_be_written_are_undone_at_once(site: Site) -> None:
    """The interfaces are as they shall be already, so they alone would not tell."""
    site.armed()
    (site.change / "new/50-more.yaml").write_text(NEW)
    site.fake(
        "sync", f'case $* in *.50-more.yaml.orch) exit 1 ;; esac; exec {shutil.which("sync")} "$@"'
    )
    site.run("apply", "tx")
    assert (site.change / "result").read_text() == "its files can't be written\n"
    assert site.text == OLD
    assert not (site.change / "unconfirmed").exists()
