"""One sshd that is many hosts: every 127.a.b.c has a home of its own, and real state on disk in it."""

from __future__ import annotations

import os
import resource
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks import namespace
from benchmarks.resources import script, state_hash

PORT, DELAYED_PORT = 2222, 2223
ROUND_TRIP_S = 0.1  # of the delayed port

SSHD_CONFIG = """\
Port {port}
ListenAddress 0.0.0.0
HostKey {root}/host_key
AuthorizedKeysFile {root}/user_key.pub
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
StrictModes no
PrintMotd no
PrintLastLog no
MaxStartups 4000
MaxSessions 100
PidFile none
LogLevel ERROR
Subsystem sftp {sftp}
ForceCommand {root}/per_host.sh
"""

PER_HOST = """\
#!/bin/sh
# Each loopback address is a host: its own home, picked by the address that was called.
set -- $SSH_CONNECTION
export HOME={root}/hosts/$3
cd "$HOME" || exit 97
exec /bin/sh -c "${{SSH_ORIGINAL_COMMAND:-exec /bin/sh}}"
"""

SSH_CONFIG = """\
Host *
  User root
  IdentityFile {root}/user_key
  IdentitiesOnly yes
  UserKnownHostsFile {root}/known_hosts
  GlobalKnownHostsFile /dev/null
  StrictHostKeyChecking yes
  KexAlgorithms curve25519-sha256
  LogLevel ERROR
"""

# What version managers and prompt themes put into ~/.bashrc: a few dozen small processes per login.
HEAVY_RC = """\
for tool in $(seq 60); do
  version=$(/usr/bin/printf '%s' "$tool")
  folder=$(/usr/bin/dirname "/opt/tools/$tool/bin")
done
"""


@dataclass(frozen=True)
class Farm:
    root: Path
    sshd: int  # pid
    proxy: int

    def address(self, number: int) -> str:
        """The number-th host; 250 to a block, never 127.0.0.1."""
        return f"127.7.{number // 250}.{number % 250 + 1}"

    def addresses(self, count: int) -> list[str]:
        return [self.address(i) for i in range(count)]

    def home(self, number: int) -> Path:
        return self.root / "hosts" / self.address(number)

    def empty(self, count: int) -> None:
        """Hosts with nothing on them."""
        for number in range(count):
            shutil.rmtree(self.home(number), ignore_errors=True)
            self.home(number).mkdir(parents=True)

    def settle(self, count: int) -> None:
        """Hosts on which all twenty resources are as they should be, by the hand-written program."""
        for number in range(count):
            if not (self.home(number) / "state").exists():
                self.home(number).mkdir(parents=True, exist_ok=True)
                subprocess.run(
                    ["/bin/sh", "-c", script()],
                    env={"HOME": str(self.home(number)), "PATH": "/usr/bin:/bin"},
                    check=True,
                    stdout=subprocess.DEVNULL,
                )

    def hashes(self, count: int) -> set[str]:
        return {state_hash(self.home(number)) for number in range(count)}

    def login_rc(self, heavy: bool) -> None:
        (self.root / "login" / ".bashrc").write_text(HEAVY_RC if heavy else "")


def start(root: Path, hosts: int) -> Farm:
    """Keys, configuration, sshd and the delay proxy. Only inside the namespace."""
    if not namespace.inside():
        raise RuntimeError("the farm runs in its own namespace only")
    namespace.loopback_up()
    _more_files()
    _write_files(root, hosts)
    sshd = subprocess.Popen(
        [_sshd(), "-D", "-E", str(root / "sshd.log"), "-f", str(root / "sshd_config")],
        preexec_fn=namespace.keep_orphans,
    )
    proxy = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.delay_proxy"]
        + [str(value) for value in (DELAYED_PORT, PORT, ROUND_TRIP_S / 2)]
    )
    farm = Farm(root, sshd.pid, proxy.pid)
    for port in (PORT, DELAYED_PORT):
        _await(farm.address(0), port)
    return farm


def _sshd() -> str:
    found = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
    if found is None:
        raise FileNotFoundError(
            "sshd is not installed (Debian, Ubuntu: apt install openssh-server)"
        )
    return found


def _sftp_server() -> str:
    for name in ("/usr/lib/openssh/sftp-server", "/usr/libexec/openssh/sftp-server"):
        if Path(name).exists():
            return name
    raise FileNotFoundError("sftp-server is not installed")


def _more_files() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _write_files(root: Path, hosts: int) -> None:
    for name in ("user_key", "host_key"):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(root / name)], check=True
        )
    farm = Farm(root, 0, 0)
    key = " ".join((root / "host_key.pub").read_text().split()[:2])
    known = [
        f"[{address}]:{port} {key}\n"
        for address in farm.addresses(hosts)
        for port in (PORT, DELAYED_PORT)
    ]
    (root / "known_hosts").write_text("".join(known))
    texts = {"sshd_config": SSHD_CONFIG, "per_host.sh": PER_HOST, "ssh_config": SSH_CONFIG}
    for name, text in texts.items():
        (root / name).write_text(text.format(root=root, port=PORT, sftp=_sftp_server()))
    (root / "per_host.sh").chmod(0o755)
    for name in ("login", "client", "hosts"):
        (root / name).mkdir()
    farm.login_rc(heavy=False)
    _own_root_account(root)


def _own_root_account(root: Path) -> None:
    """In this namespace root logs in with bash, in a home of the farm's: no rc file of the machine counts."""
    others = [
        line
        for line in Path("/etc/passwd").read_text().splitlines()
        if not line.startswith("root:")
    ]
    if not any(line.startswith("sshd:") for line in others):
        others.append("sshd:x:74:65534::/run/sshd:/usr/sbin/nologin")
    account = f"root:x:0:0:root:{root}/login:/bin/bash"
    (root / "passwd").write_text("\n".join([account, *others]) + "\n")
    namespace.bind(str(root / "passwd"), "/etc/passwd")
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)


def _await(address: str, port: int, patience: float = 10) -> None:
    end = time.monotonic() + patience
    while True:
        try:
            socket.create_connection((address, port), timeout=1).close()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
        else:
            return
