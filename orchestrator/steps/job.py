"""Work that takes minutes (install, pull, copy) must outlive the connection that started it.

A job runs detached on its host, named by step and content, not by run: a dead laptop does not kill it, the
next run finds it under way and watches it. Root's jobs are transient systemd units (`orch-job-NAME`), others
and hosts without systemd get a session of their own. A job has a folder (`~/.local/state/orch/jobs/HOST/NAME`,
root's: `/var/lib/orch-jobs/NAME`) with `run`, `log`, `pid`, `started`, `rc`, and a `lock` that is held as long
as it runs: a reader sees running, done or lost for certain, across reboots and reused process numbers too.

How a step uses it:

    @dataclass(frozen=True, kw_only=True)
    class Pull(Step):
        image: str

        @property
        def job(self) -> Job:
            return Job(job_name("image", self.image))

        # the builder: reads=frozenset({(host, ReadImage("docker", image)), (host, Job(job_name(…)))}),
        #              patience=Patience(total=3600, stall=600, poll=2)

        def check(self, world: World) -> Change | None:
            if world[self.host].get(ReadImage("docker", self.image)).present:
                return None
            change = Change(f"pull {self.image}")
            return watched(change, world[self.host].get(self.job))

        def apply(self, change: Change, world: World) -> Script:
            return job_script(self.job.name, argv("docker", "pull", self.image))

While it runs, `check` gives a Change with `under_way` set, whose `progress` moves with the log (and with what
`pulse` prints). When it has ended and the fact is still not as wanted, the Change is not under way any more,
and its summary tells the exit code and the last line of the log: after an apply that means failed; in a fresh
run it means that it is tried anew.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace

from orchestrator.contracts import Change
from orchestrator.facts.job import LOOK, JobState, checked_name, job_folder
from orchestrator.facts.probe import PREAMBLE
from orchestrator.script import Command, Raw, Script, Sh, seq, sh

KEPT_DAYS = 7  # results of ended jobs; long enough for "what happened at the weekend"


def job_name(step: str, *content: str) -> str:
    """A name from a step and what it works on: the same work has the same name in every run.

    >>> job_name("image", "vllm/vllm-openai:v0.11.0")
    'image-e23d6dfb0d1b'
    """
    digest = hashlib.sha256("\0".join(content).encode()).hexdigest()[:12]
    return checked_name(f"{step}-{digest}")


# $1 folder, $2 seconds, $3 umask. The program gets neither the lock nor our stdin; `run` may hold secrets.
WRAPPER = sh(
    """d=$1
umask "$3"
exec 9>>"$d/lock" && flock 9 || exit 1
cd /
timeout -k 30 "$2" sh "$d/run" >>"$d/log" 2>&1 </dev/null 9>&- &
echo "$!" >"$d/pid.new" && mv "$d/pid.new" "$d/pid"
wait $!
rc=$?
rm -f "$d/run"
echo "$rc $(date +%s)" >"$d/rc.new" && chmod 644 "$d/rc.new" && mv "$d/rc.new" "$d/rc"
"""
)

# Descriptors are closed because the script that starts the job may hold the host's lock on one of them.
LAUNCH = sh(
    """began=
if [ "$(id -u)" = 0 ] && [ -d /run/systemd/system ] && command -v systemd-run >/dev/null; then
  systemd-run --quiet --collect --unit="orch-job-$name" --setenv=HOME="${HOME:-/root}" \
    --setenv=PATH="$PATH" --setenv=LC_ALL=C sh "$d/wrap" "$d" "$limit" "$mask" </dev/null && began=1
fi
if [ -z "$began" ]; then
  setsid sh "$d/wrap" "$d" "$limit" "$mask" >/dev/null 2>&1 </dev/null \
    3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&- &
fi
tries=0
while [ ! -s "$d/pid" ] && [ "$tries" -lt 100 ]; do
  sleep 0.1 2>/dev/null || sleep 1
  tries=$((tries + 1))
done
if [ -s "$d/pid" ]; then echo started; else echo "the job did not start" >&2; exit 1; fi"""
)

PREPARE = sh(
    """mask=$(umask)
umask 077
mkdir -p "${d%/*}" && rm -rf "$d" && mkdir "$d" || exit 1
cat >"$d/run" && date +%s >"$d/started" && : >"$d/log" && : >"$d/lock" || exit 1
[ -z "$open" ] || chmod 755 "${d%/*}" "$d"
chmod 644 "$d/log" "$d/started" "$d/lock\""""
)

PRUNE = sh(
    """find "${d%/*}" -mindepth 2 -maxdepth 2 -name rc -mtime +{} \
  -exec sh -c 'rm -rf "${1%/rc}"' - {} ';' 2>/dev/null""",
    KEPT_DAYS,
    "{}",
)


def job_script(name: str, program: Sh, *, sudo: bool = False, limit: float = 14_400) -> Script:
    """Start the program as a job; one that runs already is left alone, an ended one is started anew.

    `limit`: seconds after which it is ended. Secrets: `secret_mark` in the program (it travels on stdin and
    lies in a file that only its user can read, until it ends).
    """
    start = sh(
        """(
name={} limit={} open={}
{}
command -v flock >/dev/null || { echo "flock is missing" >&2; exit 1; }
{}
if [ "$state" = running ]; then cat >/dev/null; echo "under way"; exit 0; fi
{}
printf %s {} >"$d/wrap" || exit 1
{}
{}
)""",
        checked_name(name),
        int(limit),
        "1" if sudo else "",
        Raw(job_folder(name, sudo)),
        Raw(LOOK),
        Raw(PREPARE),
        WRAPPER,
        Raw(PRUNE),
        Raw(LAUNCH),
    )
    program_text = seq([PREAMBLE, program])
    command = Command(
        seq([PREAMBLE, start]), stdin=program_text.encode() + b"\n", sudo=sudo, timeout=60
    )
    return Script({"job": command}, mutates=True, stop_on_error=True)


def end_job(name: str, *, sudo: bool = False, grace: int = 3) -> Script:
    """See that a job is over: it may end by itself within `grace` seconds, then it is ended."""
    body = sh(
        """(
{}
{}
[ "$state" = running ] || exit 0
timeout {} flock -s "$d/lock" true && exit 0
read -r pid <"$d/pid" && kill "$pid"
timeout 10 flock -s "$d/lock" true && exit 0
kill -9 "$pid" 2>/dev/null
timeout 5 flock -s "$d/lock" true
)""",
        Raw(job_folder(name, sudo)),
        Raw(LOOK),
        grace,
    )
    return Script({"job": Command(seq([PREAMBLE, body]), sudo=sudo)}, mutates=True)


def watched(change: Change, job: JobState) -> Change:
    """The change as its job stands: under way and moving, or with what went wrong the last time."""
    if job.state == "running":
        return replace(
            change, under_way=True, progress=f"{job.log_bytes} {job.pulse} {job.last_line}".strip()
        )
    if job.failed:
        how = f"exit code {job.rc}" if job.rc is not None else "it ended without a result"
        last = f": {job.last_line}" if job.last_line else ""
        return replace(change, summary=f"{change.summary} (the last try failed, {how}{last})")
    return change
