"""Who takes part in "nothing to do", each set up the way its own documentation says is fastest."""

from __future__ import annotations

import json
import os
import re
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks import resources
from benchmarks.farm import Farm
from orchestrator.framing import render
from orchestrator.script import Command, Script, user_shell

HERE = Path(__file__).parent
FAN_OUT = 100  # hosts at once, for everyone that asks; fewer when there are fewer hosts


@dataclass(frozen=True)
class Job:
    """One measurement: so many hosts on that port, files in that folder, ended at that limit."""

    farm: Farm
    count: int
    port: int
    folder: Path
    peers: Path | None  # interpreter folder of the peers' virtual environment
    limit_s: float

    @property
    def fan_out(self) -> int:
        return min(self.count, FAN_OUT)

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return path

    def peer(self, program: str) -> str:
        if self.peers is None:
            raise FileNotFoundError("the peers are not installed")
        return str(self.peers / program)


class Contestant(ABC):
    """`talks`: one process goes through cold and warm, and says `done CHANGED` after each."""

    name: str
    warm = True  # has something that stays open between two runs
    talks = False
    applies = True  # makes the changes that it finds
    own_round_trips = True  # no other contestant has the same number of them for one host

    @abstractmethod
    def command(self, job: Job) -> list[str]:
        """Write what it needs into the job's folder; the command line that does the work once."""

    def environment(self, job: Job) -> Mapping[str, str]:
        return {}

    @abstractmethod
    def changed(self, output: str) -> int | None:
        """How many changes it says it made; None when it does not say so for every host."""


class Floor(Contestant):
    """Bare paramiko, threads, TCP_NODELAY: connect, send the hand-written program once, read."""

    name = "floor: bare paramiko, one script"
    talks = True

    def command(self, job: Job) -> list[str]:
        job.write("script.sh", resources.script())
        hosts = job.write("hosts", "\n".join(job.farm.addresses(job.count)))
        module = ["-m", "benchmarks.workers.floor"]
        return [sys.executable, *module, str(job.farm.root), str(hosts), str(job.port)]

    def changed(self, output: str) -> int | None:
        return _sum(r"^done (\d+)$", output)


class FramedFloor(Floor):
    """The same with the very program that orch sends, to tell its framing from its client side."""

    name = "floor: bare paramiko, orch's program"
    applies = False

    def command(self, job: Job) -> list[str]:
        command = super().command(job)
        job.write("script.sh", framed_program())
        return command


class Orch(Contestant):
    """`orch run` of a playbook with twenty shell stages; it connects anew in each run."""

    name = "orch run (CLI)"
    warm = False

    def command(self, job: Job) -> list[str]:
        write_orch_files(job)
        playbook = job.write("twenty.yaml", resources.orch_playbook())
        cluster = str(job.folder / "cluster.yaml")
        return [sys.executable, "-m", "orchestrator.cli", "run", str(playbook), cluster, "--json"]

    def environment(self, job: Job) -> Mapping[str, str]:
        return {"PYTHONPATH": str(HERE.parent)}

    def changed(self, output: str) -> int | None:
        """Steps that its events call changed, when its last event says that all went well."""
        events = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
        if not events or events[-1].get("data", {}).get("exit_code") != 0:
            return None
        done = [one for one in events if one["kind"] == "step-done"]
        return len([one for one in done if one["data"]["changed"]])


class OrchWarm(Contestant):
    """The same plan through the library; the second survey goes over the connections of the first."""

    name = "orch (library)"
    talks = True
    applies = False

    def command(self, job: Job) -> list[str]:
        write_orch_files(job)
        playbook = job.write("twenty.yaml", resources.orch_playbook())
        return [sys.executable, "-m", "benchmarks.workers.orch", str(job.folder), str(playbook)]

    def changed(self, output: str) -> int | None:
        return _sum(r"^done (\d+)$", output)


class Pyinfra(Contestant):
    """`-y` (no second pass for a preview) and `--no-wait` (no barrier between operations)."""

    name = "pyinfra"
    warm = False

    def command(self, job: Job) -> list[str]:
        job.write("resources.json", resources.as_json())
        root = job.farm.root
        data = {
            "ssh_port": job.port,
            "ssh_user": "root",
            "ssh_key": str(root / "user_key"),
            "ssh_known_hosts_file": str(root / "known_hosts"),
            "ssh_strict_host_key_checking": "yes",
        }
        hosts = [
            (job.farm.address(i), {**data, "root_dir": str(job.farm.home(i))})
            for i in range(job.count)
        ]
        inventory = job.write("inventory.py", f"hosts = {hosts!r}\n")
        return [
            *(job.peer("pyinfra"), "-y", "--no-wait", "--parallel", str(job.count)),
            *(str(inventory), str(HERE / "peers" / "pyinfra_deploy.py")),
        ]

    def environment(self, job: Job) -> Mapping[str, str]:
        return {"BENCH_RESOURCES": str(job.folder / "resources.json")}

    def changed(self, output: str) -> int | None:
        """The grand total's success column, when the error column is empty."""
        row = re.findall(r"Grand total +(\d+) +(\S+) +(\S+) +(\S+)", _plain(output))
        if not row or row[-1][2] != "-":
            return None
        return 0 if row[-1][1] == "-" else int(row[-1][1])


class PyinfraNoDelay(Pyinfra):
    """The same with TCP_NODELAY set on its sockets, which pyinfra and paramiko do not do by themselves."""

    name = "pyinfra, patched with TCP_NODELAY"

    def command(self, job: Job) -> list[str]:
        _, *arguments = super().command(job)
        return [job.peer("python"), str(HERE / "peers" / "pyinfra_nodelay.py"), *arguments]


class Ansible(Contestant):
    """forks = hosts up to 100, pipelining, ControlPersist, no facts, interpreter named, quiet output."""

    def __init__(self, strategy: str, one_task: bool = False) -> None:
        self.name = "ansible, one shell task" if one_task else f"ansible, strategy {strategy}"
        self._strategy = strategy
        self.own_round_trips = strategy == "linear"  # strategies differ between hosts, not for one
        self._one_task = one_task

    def command(self, job: Job) -> list[str]:
        common = f"ansible_port={job.port} ansible_python_interpreter=/usr/bin/python3"
        lines = [f"{job.farm.address(i)} root_dir={job.farm.home(i)}" for i in range(job.count)]
        inventory = job.write(
            "hosts.ini", "\n".join([*lines, "[all:vars]", common.replace(" ", "\n")])
        )
        play = (
            resources.ansible_script_play()
            if self._one_task
            else resources.ansible_play(self._strategy)
        )
        return [
            job.peer("ansible-playbook"),
            "-i",
            str(inventory),
            str(job.write("play.yaml", play)),
        ]

    def environment(self, job: Job) -> Mapping[str, str]:
        persist = "-o ControlMaster=auto -o ControlPersist=120s"
        return {
            "ANSIBLE_FORKS": str(job.fan_out),
            "ANSIBLE_PIPELINING": "True",
            "ANSIBLE_SSH_ARGS": f"-F {job.farm.root}/ssh_config {persist}",
            "ANSIBLE_SSH_CONTROL_PATH_DIR": str(job.folder / "cm"),
            "ANSIBLE_DISPLAY_OK_HOSTS": "False",
            "ANSIBLE_HOST_KEY_CHECKING": "True",
            "ANSIBLE_NOCOLOR": "1",
            "LC_ALL": "C.UTF-8",
        }

    def changed(self, output: str) -> int | None:
        if re.search(r"(unreachable|failed)=[1-9]", output):
            return None
        return _sum(r"\bchanged=(\d+)", output)


class Ssh(Contestant):
    """OpenSSH's client per host through ControlMaster, `xargs -P`, the hand-written program on stdin."""

    name = "ssh + ControlMaster, one script"

    def command(self, job: Job) -> list[str]:
        script = job.write("script.sh", resources.script())
        hosts = job.write("addresses", "\n".join(job.farm.addresses(job.count)) + "\n")
        control = f"-o ControlMaster=auto -o ControlPath={job.folder}/%h -o ControlPersist=120"
        one = f'ssh -F {job.farm.root}/ssh_config -p {job.port} {control} "$0" "sh -s" < {script} 2>/dev/null'
        return ["xargs", "-a", str(hosts), "-P", str(job.fan_out), "-n", "1", "sh", "-c", one]

    def changed(self, output: str) -> int | None:
        return _sum(r"changed=(\d+)", output)


def framed_program() -> str:
    """What `orch run` sends to find out about the twenty."""
    checks = {one.name: Command(user_shell(resources.check(one))) for one in resources.RESOURCES}
    return render(Script(checks), marker="0" * 32).decode()


def write_orch_files(job: Job) -> None:
    """An inventory of the farm's hosts and a cluster with no deployment."""
    root = job.farm.root
    host = "  h{0}: {{address: {1}}}\n"
    hosts = "".join(host.format(i, job.farm.address(i)) for i in range(job.count))
    defaults = (
        f"  ssh: {{user: root, key: {root}/user_key, port: {job.port},"
        f" known_hosts: {root}/known_hosts}}\n  kind: gpu-host\n  become: never\n"
    )
    job.write("inventory.yaml", f"version: 1\ndefaults:\n{defaults}hosts:\n{hosts}")
    job.write("cluster.yaml", "version: 1\nname: farm\ninventory: inventory.yaml\n")


def _plain(output: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", output)


def _sum(pattern: str, output: str) -> int | None:
    found = re.findall(pattern, output, re.MULTILINE)
    return sum(map(int, found)) if found else None


def contestants() -> list[Contestant]:
    return [
        Floor(),
        FramedFloor(),
        Orch(),
        OrchWarm(),
        Ssh(),
        PyinfraNoDelay(),
        Pyinfra(),
        Ansible("linear", one_task=True),
        Ansible("free"),
        Ansible("linear"),
    ]


def client_environment(job: Job) -> dict[str, str]:
    """What every contestant gets: a home of its own, no colour, our path."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(job.farm.root / "client"),
        "NO_COLOR": "1",
        "PYTHONPATH": str(HERE.parent),
    }
