"""A rank in a container: what docker and podman have in common, which is most of it; they say what differs.

Nothing but text is made here. The environment travels on stdin (a 0600 pipe, never a file, never argv).
"""

from __future__ import annotations

import csv
import io
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any, Literal, Self

from orchestrator.contracts import Mount, Query, Rank
from orchestrator.errors import FilesWrong
from orchestrator.facts import ReadContainers
from orchestrator.facts.engine_words import spoken, typed
from orchestrator.flags import flags
from orchestrator.ranks.entrypoint import FOLDER, READY
from orchestrator.ranks.files import Word, on_host, rank_folder, words
from orchestrator.ranks.labels import labels
from orchestrator.ranks.secret_marks import secret_values
from orchestrator.script import Command, Raw, Script, Sh, all_of, quote, sh
from orchestrator.spec.fields import VARIABLE

ENV_LINE_MAX = 60_000  # env files are read with a 64 KiB line buffer
CACHES = "~/.cache/"
CREATE_TIMEOUT = 120.0
START_TIMEOUT = 120.0


def host_file(rank: Rank, path: str) -> str:
    return f"{rank_folder(rank.state, rank.name)}/{PurePosixPath(path).name}"


def _mount(mount: Mount) -> Iterator[Word]:
    if mount.tmpfs:
        yield "--tmpfs"
        yield mount.target + (f":{mount.options}" if mount.options else "")
        return
    yield "--mount"
    before, home, after = mount_fields(mount).partition("source=~/")
    yield Raw(sh('{}"$HOME"/{}', f"{before}source=", after)) if home else before


def mount_fields(mount: Mount) -> str:
    """As `--mount` takes it: unlike `-v` it refuses a source that is missing, where docker makes a folder of root's."""
    kind = "bind" if "/" in mount.source or mount.source == "~" else "volume"
    source = "~/" if mount.source == "~" else mount.source
    fields = [f"type={kind}", f"source={source}", f"target={mount.target}"]
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(fields + ["readonly"] * mount.read_only)
    return line.getvalue()


def caches(mounts: Iterable[Mount]) -> list[str]:
    """Folders that are made where they are missing, as the user that we are there."""
    return [one.source for one in mounts if one.source.startswith(CACHES)]


def looking(
    called: Raw,
    mounts: Iterable[Mount],
    env: Mapping[str, str],
    given: Iterable[Word],
    then: Iterable[Word],
) -> Sh:
    """A container that only looks, without a network, and is gone again."""
    mounts = list(mounts)
    run: list[Word] = [called, "run", "--rm", "--network", "none", *given]
    run += [word for name in sorted(env) for word in ("-e", f"{name}={env[name]}")]
    run += [word for mount in mounts for word in _mount(mount)]
    line = words([*run, *then])
    made = caches(mounts)
    return all_of(_made(made), line) if made else line


def _made(folders: Iterable[str]) -> Sh:
    return words(["mkdir", "-p", *map(on_host, folders)])


def _resources(rank: Rank) -> Iterator[Word]:
    if rank.rdma:
        yield from ("--device=/dev/infiniband", "--ulimit", "memlock=-1", "--cap-add", "IPC_LOCK")
    for name, value in sorted(rank.ulimits.items()):
        yield from ("--ulimit", f"{name}={value}")
    for cap in sorted(rank.caps):
        yield from ("--cap-add", cap)
    if rank.memory_bytes is not None:
        yield from ("--memory", rank.memory_bytes)
    if rank.memory_swap_bytes is not None:
        yield from ("--memory-swap", rank.memory_swap_bytes)
    if rank.cpus is not None:
        yield from ("--cpus", f"{rank.cpus:g}")


def _health(rank: Rank) -> Iterator[Word]:
    if rank.health is None:
        yield "--no-healthcheck"
        return
    if not rank.health:  # the image's own, with its own figures
        yield from ("--health-start-period", f"{rank.health_start_s}s")
        return
    figures = flags("docker")["health"]
    yield from ("--health-cmd", rank.health, "--health-interval", f"{figures['interval_s']}s")
    yield from ("--health-timeout", f"{figures['timeout_s']}s")
    yield from ("--health-retries", figures["retries"])
    yield from ("--health-start-period", f"{rank.health_start_s}s")


def _network(rank: Rank) -> list[Word]:
    """The host's, unless ports of the host lead into one of its own, whose way back is a name."""
    if not rank.publish:
        return ["--network", "host"]
    return [
        *("--add-host", "host.docker.internal:host-gateway"),
        *(word for one in rank.publish for word in ("--publish", one)),
    ]


def _mounts(rank: Rank) -> Iterator[Word]:
    for mount in rank.mounts:
        yield from _mount(mount)
    for path in sorted(rank.files):
        yield from _mount(Mount(host_file(rank, path), path, read_only=True))


def environment(rank: Rank) -> tuple[dict[str, str], dict[str, str]]:
    """What an env-file can hold (secrets as marks), and what it can't: line breaks, very long values."""
    held: dict[str, str] = {}
    loose: dict[str, str] = {}
    for name, value in sorted(rank.env.items()):
        if not VARIABLE.match(name) or "\0" in value:
            raise FilesWrong(f"{rank.deployment}: {name!r} can't be an environment variable")
        odd = "\n" in value or "\r" in value or len(value.encode()) > ENV_LINE_MAX
        (loose if odd else held)[name] = value
    held.update(secret_values(rank))
    return held, loose


def _file(rank: Rank, path: str) -> Command:
    """A new inode each time, so that a container that still has the old one keeps what it started with."""
    target = host_file(rank, path)
    new = on_host(f"{target}.new")
    text = sh(
        "umask 022 && mkdir -p {} && cat > {} && chmod 0755 {} && mv {} {}",
        *(on_host(rank_folder(rank.state, rank.name)), new, new, new, on_host(target)),
    )
    return Command(text, stdin=rank.files[path].encode(), sudo=not rank.state.startswith("~"))


@dataclass(frozen=True)
class Containers(ABC):
    """See contracts.Runtime. `called`: the words that reach it, where they are more than its name."""

    name: str
    called: str = ""

    @abstractmethod
    def gpus(self, gpus: Sequence[str] | Literal["all"]) -> Iterable[Word]:
        """Words that hand out these, by index or UUID."""

    @abstractmethod
    def own(self) -> Iterable[Word]:
        """Words that every rank has with this engine: its log, and where its defaults are not wanted."""

    def by(self, called: str) -> Self:
        """The same, called so."""
        return replace(self, called=called)

    @property
    def _runtime(self) -> str:
        return self.called or self.name

    @property
    def _do(self) -> Raw:
        return spoken(self._runtime)

    def options(self, rank: Rank, *, label: bool = True) -> list[Word]:
        """The words between `create` and the image, without the environment."""
        parts: list[Word] = ["--name", rank.name]
        if label:
            pairs = labels(rank).items()
            parts += [w for key, value in pairs for w in ("--label", f"{key}={value}")]
        parts += _network(rank)
        parts += ["--ipc", "host"] if rank.shm_bytes is None else ["--shm-size", rank.shm_bytes]
        if rank.gpus is not None:
            parts += self.gpus(rank.gpus)
        parts += [*_resources(rank), *_mounts(rank), *_health(rank)]
        parts += ["--restart", "no", *self.own()]
        if rank.entrypoint is not None:
            parts += ["--entrypoint", rank.entrypoint]
        return parts

    def start(self, rank: Rank) -> Script:
        commands = {"free": self._free(rank)}
        if made := caches(rank.mounts):
            commands["caches"] = Command(_made(made))
        commands |= {f"file {path}": _file(rank, path) for path in sorted(rank.files)}
        commands["create"] = self._create(rank)
        commands["start"] = Command(sh("{} start {}", self._do, rank.name), timeout=START_TIMEOUT)
        return Script(commands, mutates=True, stop_on_error=True)

    def stop(self, name: str, grace: float) -> Script:
        seconds = max(1, round(grace))
        stop = all_of(
            sh("{} stop -t {} {} >/dev/null", self._do, seconds, name),
            sh("{} rm -f {} >/dev/null", self._do, name),
        )
        return Script(
            {"stop": Command(self._known(name, stop), timeout=seconds + 60)},
            mutates=True,
            stop_on_error=True,
        )

    def logs(self, name: str, lines: int) -> Script:
        text = sh("{} logs --timestamps --tail {} {} 2>&1", self._do, lines, name)
        return Script({"logs": Command(text, keep=1_048_576)})

    def question(self, rank: Rank, text: Sh) -> Sh:
        """In a container as the rank's."""
        gpus = self.gpus(rank.gpus) if rank.gpus is not None else ()
        then = ("--entrypoint", "sh", rank.image, "-c", text)
        return looking(self._do, rank.mounts, rank.env, gpus, then)

    def supervise(self, name: str, restart: str) -> Script:
        """The mark first: a restarted entrypoint must find it. An image without a shell has none of ours."""
        make = sh("mkdir -p {} && : > {}", FOLDER, READY)
        mark = sh(
            "{} exec -u 0 {} sh -c {} || case $? in 126|127) ;; *) (exit 1) ;; esac",
            *(self._do, name, make),
        )
        update = sh("{} update --restart {} {} >/dev/null", self._do, restart, name)
        return Script(
            {"mark": Command(mark), "update": Command(update)}, mutates=True, stop_on_error=True
        )

    def ours(self, cluster: str | None) -> Query[Sequence[Any]]:
        return ReadContainers(self._runtime, cluster)

    def describe(self, rank: Rank) -> str:
        """The `run` that a person would type; secrets by name only."""
        held, loose = environment(rank)
        given: list[Word] = []
        hidden = secret_values(rank)
        for name, value in {**held, **loose}.items():
            given += ["-e", name if name in hidden else f"{name}={value}"]
        flat = [*self.options(rank, label=False), *given]
        lines = [f"{typed(self._runtime)} run -d"] + [str(words(one)) for one in _pairs(flat)]
        lines.append(str(words([rank.image])))
        lines += [str(words(one)) for one in _pairs(list(rank.argv))]
        return " \\\n  ".join(lines)

    def _create(self, rank: Rank) -> Command:
        """Its environment is on stdin; a secret with a line break would be a second variable."""
        held, loose = environment(rank)
        handed = self._runtime == self.name  # sudo hands no environment on
        given: list[Word] = []
        for name, value in loose.items():
            given += ["-e", name if handed else f"{name}={value}"]
        create = words(["create", "--env-file", "/dev/stdin", *given, *self.options(rank)])
        line = sh("{} {} {}", self._do, Raw(create), Raw(words([rank.image, *rank.argv])))
        for name, value in loose.items() if handed else ():
            line = Sh(f"{name}={quote(value)} {line}")
        text = sh(
            'e=$(cat; echo .) && e=${e%.} && n=$(printf %s "$e" | wc -l) || exit 1\n'
            '[ "$n" -eq {} ] || { echo {} >&2; exit 2; }\n'
            'printf %s "$e" | {}',
            len(held),
            f"a secret holds a line break; {self.name} takes one line",
            Raw(line),
        )
        stdin = "".join(f"{name}={value}\n" for name, value in held.items()).encode()
        return Command(text, stdin=stdin, timeout=CREATE_TIMEOUT)

    def _free(self, rank: Rank) -> Command:
        """Make room: a stale container of ours goes, one that is not ours is refused by name."""
        return Command(
            sh(
                "if l=$({} container inspect --format "
                '\'{{index .Config.Labels "orch.cluster"}}/{{index .Config.Labels "orch.deployment"}}\''
                " {} 2>/dev/null); then\n"
                ' if [ "$l" = {} ]; then {} rm -f {} >/dev/null\n'
                " else echo {} >&2; exit 4; fi\nfi",
                self._do,
                rank.name,
                f"{rank.cluster}/{rank.deployment}",
                self._do,
                rank.name,
                f"a container named {rank.name} exists that orch did not start for"
                f" {rank.cluster}/{rank.deployment}: it is left alone; remove or rename it",
            ),
            timeout=60,
        )

    def _known(self, name: str, then: Sh) -> Sh:
        """`then` for a container of ours; one that is gone is fine; one that is not ours is refused."""
        return sh(
            "if l=$({} container inspect --format '{{index .Config.Labels \"orch.cluster\"}}'"
            ' {} 2>/dev/null); then\n if [ -n "$l" ]; then {}\n'
            " else echo {} >&2; exit 4; fi\nfi",
            self._do,
            name,
            Raw(then),
            f"{name} is not a container of orch: left alone",
        )


def _pairs(flat: Sequence[Word]) -> list[list[Word]]:
    """Options with their values, one a line."""
    lines: list[list[Word]] = []
    for word in flat:
        option = isinstance(word, str) and word.startswith("-")
        if option or not lines or len(lines[-1]) > 1:
            lines.append([word])
        else:
            lines[-1].append(word)
    return lines
