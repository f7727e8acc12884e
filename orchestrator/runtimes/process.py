"""Process: a rank without a container and without root, by what a Linux host has: a unit of the user's, or a session.

Where the user has a service manager that outlives the login (linger), the rank is a transient unit of it; else
it has a session of its own. In both a small supervisor (templates/process/rank.sh) keeps its log, its exit code
and its restarts, and everything that a rank starts carries a token in its environment, by which it is found and
ended. What is secret goes through a pipe: into no file, no argument, no unit.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from orchestrator.contracts import Query, Rank
from orchestrator.data import read_template
from orchestrator.errors import FilesWrong
from orchestrator.facts.process_folder import FOLDER, KNOWN, log_of, marked, placed
from orchestrator.facts.process_folder import RUNTIME as NAMED
from orchestrator.facts.process_host import MANAGER, SAFE
from orchestrator.facts.processes import ReadProcesses, record
from orchestrator.flags import flags
from orchestrator.ranks.entrypoint import READY
from orchestrator.ranks.files import on_host, words
from orchestrator.ranks.labels import labels
from orchestrator.ranks.secret_marks import secret_values
from orchestrator.script import Command, Raw, Script, Sh, argv, seq, sh
from orchestrator.spec.fields import VARIABLE

HERE = "\x01"  # stands for the rank's folder until the host is known
OURS = re.compile(r"(?<![\w./-])/orch(?=/)")
PREFIXED = frozenset({"PATH", "LD_LIBRARY_PATH"})  # folders are put before what there is
# docker's name → option of the shell's ulimit, and bytes of its unit
ULIMITS = {"memlock": ("-l", 1024), "nofile": ("-n", 1), "stack": ("-s", 1024)}
START_TIMEOUT = 60.0
PROGRAMS = {
    "rank.sh": "process/rank.sh",
    "left.sh": "process/left.sh",
    "stamp.py": "process/stamp.py",
    "stamp.sh": "process/stamp.sh",
}


def exports(rank: Rank) -> Sh:
    """The rank's environment as shell; secrets are not in it."""
    lines: list[Sh] = []
    for name, value in sorted({**rank.env, **visible(rank)}.items()):
        if not VARIABLE.match(name) or "\0" in value:
            raise FilesWrong(f"{rank.deployment}: {name!r} can't be an environment variable")
        lines.append(sh("export {}={}", Raw(Sh(name)), value))
    for name, folders in sorted(rank.paths.items()):
        joined = Sh(":".join(str(words([on_host(one)])) for one in folders))
        if name in PREFIXED:
            was = Raw(Sh(name))
            lines.append(sh('export {}={}"${{}:+:${}}"', was, Raw(joined), was, was))
        else:
            lines.append(sh("export {}={}", Raw(Sh(name)), Raw(joined)))
    return seq(lines)


def visible(rank: Rank) -> dict[str, str]:
    """GPUs: a container sees those that it is given, a process those that CUDA is told of."""
    if rank.gpus is None or rank.gpus == "all":
        return {}
    return {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": ",".join(rank.gpus)}


def line(rank: Rank) -> tuple[str, ...]:
    """What is executed."""
    return (rank.entrypoint, *rank.argv) if rank.entrypoint is not None else rank.argv


def _ulimits(rank: Rank) -> Iterator[Sh]:
    """As many files as this user may have; what the rank says that it needs is needed."""
    yield sh('ulimit -n "$(ulimit -Hn)" 2>/dev/null')
    wanted = {"memlock": "-1", **rank.ulimits} if rank.rdma else dict(rank.ulimits)
    for name, value in sorted(wanted.items()):
        if name not in ULIMITS:
            raise FilesWrong(f"{rank.deployment}: a process can't be given the limit {name!r}")
        option, unit = ULIMITS[name]
        soft = value.partition(":")[0]
        limit = "unlimited" if soft == "-1" else str(int(soft) // unit)
        yield sh(
            'ulimit {} {} 2>/dev/null || { echo {} "$(ulimit {})"; exit 2; }',
            option,
            limit,
            f"orch: this user may not have the limit {name}={value}; in units of {unit} it is",
            option,
        )


def _files(rank: Rank) -> dict[str, str]:
    """What lies in the rank's folder, by its name there."""
    shown = flags("docker")["health"]
    conf = seq(
        sh("{}={}", Raw(Sh(name)), value)
        for name, value in {
            "interval": shown["interval_s"],
            "limit": shown["timeout_s"],
            "retries": shown["retries"],
            "start_period": rank.health_start_s,
        }.items()
    )
    run = seq([*_ulimits(rank), sh("exec {}", Raw(argv(*line(rank))))])
    made = {name: read_template(template) for name, template in PROGRAMS.items()}
    made |= {"conf": f'{conf}\nread -r token <"$d/token"\n', "run": _here(run) + "\n"}
    if rank.health is not None:
        made["check"] = _here(rank.health) + "\n"
    for path in sorted(rank.files):
        if not path.startswith(f"{FOLDER}/"):
            raise FilesWrong(f"{rank.deployment}: a process has no file of its own at {path}")
        made[path[1:]] = _here(rank.files[path])
    return made


def _here(text: str) -> str:
    """Paths below /orch, which a container has for itself, become paths below the rank's folder."""
    return OURS.sub(f"{HERE}{FOLDER}", text)


def _file(rank: Rank, name: str, text: str) -> Command:
    body = sh(
        """{}
p=$d/{}
umask 077 && mkdir -p "${p%/*}" && here=$(printf '\\001') && sed "s|$here|$d|g" >"$p" && chmod 0700 "$p\"""",
        Raw(placed(rank.name)),
        name,
    )
    return Command(body, stdin=text.encode())


def _free(rank: Rank) -> Command:
    """Make room: what is left of an earlier rank of this name ends; one of another deployment is refused."""
    owner = f"{rank.cluster}/{rank.deployment}"
    look = sh(
        """{}
case $d in *[!{}]*) echo "orch can't use $all: its name has characters that scripts can't carry" >&2; exit 4 ;; esac
if [ -e "$d/owner" ]; then
  read -r owner <"$d/owner"
  [ "$owner" = {} ] || { echo {} "$owner: it is left alone" >&2; exit 4; }
fi""",
        Raw(placed(rank.name)),
        Raw(SAFE),
        owner,
        f"a rank named {rank.name} runs here for",
    )
    return Command(seq([look, _end(rank.name, 0)]), timeout=60)


def _end(name: str, grace: float) -> Sh:
    """TERM to the program and, when it has ended or its time is over, KILL to all that has its token."""
    return sh(
        """{}
{}
[ -d "$d" ] || exit 0
unit=
[ ! -e "$d/unit" ] || read -r unit <"$d/unit"
until=$(($(date +%s) + {}))
if alive; then
  kill -TERM "$pid" 2>/dev/null
  while alive && [ "$(date +%s)" -lt "$until" ]; do sleep 0.1 || sleep 1; done
fi
{}left
if [ -n "$unit" ]; then
  timeout 20 systemctl --user kill --signal=KILL "$unit"
  timeout 20 systemctl --user stop "$unit"
  timeout 20 systemctl --user reset-failed "$unit"
fi 2>/dev/null
if [ -n "$(members)" ]; then echo "does not end:" $(members) >&2; exit 1; fi
rm -rf "$d\"""",
        Raw(placed(name)),
        Raw(KNOWN),
        max(0, round(grace)),
        Raw(Sh(read_template(PROGRAMS["left.sh"]))),
    )


def stdin(rank: Rank) -> bytes:
    """How many secrets, each on a line of its own, a dot, and shell for the rest: see rank.sh."""
    hidden = secret_values(rank)
    lines = [str(len(hidden)), *(f"{name}={value}" for name, value in hidden.items()), "."]
    return ("\n".join([*lines, _here(exports(rank))]) + "\n").encode()


def _launch(rank: Rank) -> Command:
    """The supervisor as a unit, or with a session of its own; then its environment, through a pipe."""
    text = sh(
        """{}
{}
name={}
token=$name.$(date +%s).$$
printf '%s\\n' "$token" >"$d/token" || exit 1
t=$(mktemp -d "$XDG_RUNTIME_DIR/orch.XXXXXX" 2>/dev/null) || t=$(mktemp -d /tmp/orch.XXXXXX) || exit 1
mkfifo -m 600 "$t/env" || exit 1
began=
if [ -n "$manager" ]; then
  echo "$name.service" >"$d/unit"
  timeout 20 systemd-run --user --quiet --collect --unit="$name" -p KillMode=mixed -p TimeoutStopSec=45 \\
    -p TasksMax=infinity --setenv=ORCH_PROCESS="$token" --setenv=HOME="$HOME" --setenv=PATH="$PATH" \\
    sh "$d/rank.sh" "$d" "$t" </dev/null && began=1
fi
if [ -z "$began" ]; then
  rm -f "$d/unit"
  setsid env -i ORCH_PROCESS="$token" HOME="$HOME" PATH="$PATH" XDG_RUNTIME_DIR="$XDG_RUNTIME_DIR" \\
    sh "$d/rank.sh" "$d" "$t" >/dev/null 2>&1 </dev/null 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&- &
fi
timeout 30 sh -c 'cat >"$1"' - "$t/env" || { rm -rf "$t"; echo "its supervisor did not start" >&2; exit 1; }
tries=0
while [ ! -e "$d/started" ] && [ ! -e "$d/rc" ] && [ "$tries" -lt 100 ]; do
  tries=$((tries + 1))
  sleep 0.1 || sleep 1
done
[ -e "$d/started" ] || { cat "$d/log" >&2; echo "it did not start" >&2; exit 1; }""",
        Raw(placed(rank.name)),
        Raw(MANAGER),
        rank.name,
    )
    return Command(text, stdin=stdin(rank), timeout=START_TIMEOUT)


@dataclass(frozen=True)
class Process:
    """See contracts.Runtime."""

    name: str = NAMED

    def start(self, rank: Rank) -> Script:
        """The owner and the record first: whatever comes then, what is there can be told and taken away."""
        commands = {"free": _free(rank)}
        files = {"owner": f"{rank.cluster}/{rank.deployment}\n", "record": record(labels(rank))}
        for name, text in {**files, **_files(rank)}.items():
            commands[f"file {name}"] = _file(rank, name, text)
        commands["start"] = _launch(rank)
        return Script(commands, mutates=True, stop_on_error=True)

    def stop(self, name: str, grace: float) -> Script:
        command = Command(_end(name, max(1, round(grace))), timeout=max(1, round(grace)) + 90)
        return Script({"stop": command}, mutates=True, stop_on_error=True)

    def logs(self, name: str, lines: int) -> Script:
        return Script({"logs": Command(log_of(name, lines), keep=1_048_576)})

    def question(self, rank: Rank, text: Sh) -> Sh:
        """In its environment, but for what lies in a folder that it has only once it runs."""
        env = {name: value for name, value in rank.env.items() if not OURS.search(value)}
        return sh("(\n{}\n{}\n) </dev/null", Raw(exports(replace(rank, env=env))), Raw(text))

    def supervise(self, name: str, restart: str) -> Script:
        """The mark first: a restarted entrypoint must find it."""
        policy = sh(
            """{}
printf '%s\\n' {} >"$d/restart.new" && mv "$d/restart.new" "$d/restart\"""",
            Raw(placed(name)),
            restart,
        )
        commands = {"mark": Command(marked(name, READY)), "update": Command(policy)}
        return Script(commands, mutates=True, stop_on_error=True)

    def ours(self, cluster: str | None) -> Query[Sequence[Any]]:
        return ReadProcesses(cluster)

    def describe(self, rank: Rank) -> str:
        """What a person would type; secrets by name only, files where they lie on the host."""
        lines = [f"export {name}  # a secret" for name in secret_values(rank)]
        lines += [exports(rank), str(argv(*line(rank)))]
        folder = f"~/.local/state/orch/processes/$(hostname)/{rank.name}"
        return _here("\n".join(one for one in lines if one)).replace(HERE, folder)


RUNTIME = Process()
