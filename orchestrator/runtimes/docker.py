"""Docker: a rank as `docker create` and `docker start`, its end, its logs, its supervision.

Nothing but text is made here. The environment travels on stdin (a 0600 pipe, never a file, never argv).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from orchestrator.contracts import Mount, Query, Rank
from orchestrator.errors import FilesWrong
from orchestrator.facts import ReadContainers
from orchestrator.flags import flags
from orchestrator.ranks.entrypoint import FOLDER, READY
from orchestrator.ranks.files import Word, on_host, rank_folder, words
from orchestrator.ranks.spec import canonical, digest
from orchestrator.script import Command, Raw, Script, Sh, all_of, quote, secret_mark, seq, sh

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
LOG_OPTIONS = ("max-size=50m", "max-file=3")
ENV_LINE_MAX = 60_000  # docker reads env files with a 64 KiB line buffer
CREATE_TIMEOUT = 120.0
START_TIMEOUT = 120.0


def host_file(rank: Rank, path: str) -> str:
    return f"{rank_folder(rank.state, rank.name)}/{PurePosixPath(path).name}"


def labels(rank: Rank) -> dict[str, str]:
    return {
        "orch.cluster": rank.cluster,
        "orch.deployment": rank.deployment,
        "orch.rank": str(rank.index),
        "orch.role": rank.role,
        "orch.host": rank.host,
        "orch.hash": digest(rank),
        "orch.spec": canonical(rank),
    }


def _mount(mount: Mount) -> Iterator[Word]:
    if mount.tmpfs:
        yield "--tmpfs"
        yield mount.target + (f":{mount.options}" if mount.options else "")
        return
    yield "-v"
    tail = f":{mount.target}" + (":ro" if mount.read_only else "")
    source = on_host(mount.source)
    yield Raw(sh("{}{}", source, tail)) if isinstance(source, Raw) else f"{source}{tail}"


def mount_words(mounts: Iterable[Mount]) -> list[Word]:
    """Mounts as docker's words."""
    return [word for mount in mounts for word in _mount(mount)]


def gpu_words(rank: Rank) -> Iterator[Word]:
    """What a container of the rank sees of GPUs."""
    if rank.gpus is not None:
        yield from ("--gpus", "all" if rank.gpus == "all" else f'"device={",".join(rank.gpus)}"')


def _resources(rank: Rank) -> Iterator[Word]:
    yield from gpu_words(rank)
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
    figures = flags("docker")["health"]
    yield from ("--health-cmd", rank.health, "--health-interval", f"{figures['interval_s']}s")
    yield from ("--health-timeout", f"{figures['timeout_s']}s")
    yield from ("--health-retries", figures["retries"])
    yield from ("--health-start-period", f"{rank.health_start_s}s")


def _mounts(rank: Rank) -> Iterator[Word]:
    for mount in rank.mounts:
        yield from _mount(mount)
    for path in sorted(rank.files):
        yield from _mount(Mount(host_file(rank, path), path, read_only=True))


def options(rank: Rank, *, label: bool = True) -> list[Word]:
    """The words between `docker create` and the image, without the environment."""
    parts: list[Word] = ["--name", rank.name]
    if label:
        parts += [w for key, value in labels(rank).items() for w in ("--label", f"{key}={value}")]
    parts += ["--network", "host"]
    parts += ["--ipc", "host"] if rank.shm_bytes is None else ["--shm-size", rank.shm_bytes]
    parts += [*_resources(rank), *_mounts(rank), *_health(rank)]
    parts += ["--restart", "no", "--log-driver", "json-file"]
    parts += [w for option in LOG_OPTIONS for w in ("--log-opt", option)]
    if rank.entrypoint is not None:
        parts += ["--entrypoint", rank.entrypoint]
    return parts


def secret_values(rank: Rank) -> dict[str, str]:
    """Variable → mark. `NAME` is the secret of that name, `NAME=other` another one's (api_key)."""
    pairs = (one.partition("=") for one in sorted(rank.secrets))
    return {name: secret_mark(f"{rank.deployment}/{key or name}") for name, _, key in pairs}


def environment(rank: Rank) -> tuple[dict[str, str], dict[str, str]]:
    """What an env-file can hold (secrets as marks), and what it can't: line breaks, very long values."""
    held: dict[str, str] = {}
    loose: dict[str, str] = {}
    for name, value in sorted(rank.env.items()):
        if not NAME.match(name) or "\0" in value:
            raise FilesWrong(f"{rank.deployment}: {name!r} can't be an environment variable")
        odd = "\n" in value or "\r" in value or len(value.encode()) > ENV_LINE_MAX
        (loose if odd else held)[name] = value
    held.update(secret_values(rank))
    return held, loose


def _create(rank: Rank) -> Command:
    """`docker create`, its environment on stdin; a secret with a line break would be a second variable."""
    held, loose = environment(rank)
    given = [w for name in loose for w in ("-e", name)]
    line = words(["docker", "create", "--env-file", "/dev/stdin", *given, *options(rank)])
    line = Sh(f"{line} {words([rank.image, *rank.argv])}")
    for name, value in loose.items():
        line = Sh(f"{name}={quote(value)} {line}")
    text = sh(
        'e=$(cat; echo .) && e=${e%.} && n=$(printf %s "$e" | wc -l) || exit 1\n'
        '[ "$n" -eq {} ] || { echo "a secret holds a line break; docker takes one line" >&2; exit 2; }\n'
        'printf %s "$e" | {}',
        len(held),
        Raw(line),
    )
    stdin = "".join(f"{name}={value}\n" for name, value in held.items()).encode()
    return Command(text, stdin=stdin, timeout=CREATE_TIMEOUT)


def _free(rank: Rank) -> Command:
    """Make room: a stale container of ours goes, one that is not ours is refused by name."""
    return Command(
        sh(
            "if l=$(docker container inspect --format "
            '\'{{index .Config.Labels "orch.cluster"}}/{{index .Config.Labels "orch.deployment"}}\''
            " {} 2>/dev/null); then\n"
            ' if [ "$l" = {} ]; then docker rm -f {} >/dev/null\n'
            " else echo {} >&2; exit 4; fi\nfi",
            rank.name,
            f"{rank.cluster}/{rank.deployment}",
            rank.name,
            f"a container named {rank.name} exists that orch did not start for"
            f" {rank.cluster}/{rank.deployment}: it is left alone; remove or rename it",
        ),
        timeout=60,
    )


def _sources(rank: Rank) -> dict[str, Command]:
    """Docker makes a missing mount source a root-owned folder: caches are made as us, the rest refused.

    Folders of the host are looked at as root where we may be: others' may be hidden from us.
    """
    paths = [one for one in rank.mounts if not one.tmpfs and "/" in one.source]
    homes = [one for one in paths if one.source.startswith("~")]
    caches = [one for one in homes if one.source.startswith("~/.cache/")]
    made = [sh("mkdir -p {}", on_host(one.source)) for one in caches]
    ours = [*made, *(_there(one) for one in homes)]
    others = [_there(one) for one in paths if not one.source.startswith("~")]
    found = {}
    if ours:
        found["mounts of ours"] = Command(seq(ours))
    if others:
        found["mounts"] = Command(seq(others), sudo=not rank.state.startswith("~"))
    return found


def _there(mount: Mount) -> Sh:
    return sh(
        "test -e {} || { echo {} >&2; exit 1; }",
        on_host(mount.source),
        f"{mount.source}: missing on this host, to be mounted at {mount.target}",
    )


def _file(rank: Rank, path: str) -> Command:
    """A new inode each time, so that a container that still has the old one keeps what it started with."""
    target = host_file(rank, path)
    new = on_host(f"{target}.new")
    text = sh(
        "umask 022 && mkdir -p {} && cat > {} && chmod 0755 {} && mv {} {}",
        *(on_host(rank_folder(rank.state, rank.name)), new, new, new, on_host(target)),
    )
    return Command(text, stdin=rank.files[path].encode(), sudo=not rank.state.startswith("~"))


def _known(name: str, then: Sh) -> Sh:
    """`then` for a container of ours; one that is gone is fine; one that is not ours is refused."""
    return sh(
        "if l=$(docker container inspect --format '{{index .Config.Labels \"orch.cluster\"}}'"
        ' {} 2>/dev/null); then\n if [ -n "$l" ]; then {}\n'
        " else echo {} >&2; exit 4; fi\nfi",
        name,
        Raw(then),
        f"{name} is not a container of orch: left alone",
    )


@dataclass(frozen=True)
class Docker:
    """See contracts.Runtime."""

    name: str = "docker"

    def start(self, rank: Rank) -> Script:
        commands = {"free": _free(rank), **_sources(rank)}
        commands |= {f"file {path}": _file(rank, path) for path in sorted(rank.files)}
        commands["create"] = _create(rank)
        commands["start"] = Command(sh("docker start {}", rank.name), timeout=START_TIMEOUT)
        return Script(commands, mutates=True, stop_on_error=True)

    def stop(self, name: str, grace: float) -> Script:
        seconds = max(1, round(grace))
        stop = all_of(
            sh("docker stop -t {} {} >/dev/null", seconds, name),
            sh("docker rm -f {} >/dev/null", name),
        )
        return Script(
            {"stop": Command(_known(name, stop), timeout=seconds + 60)},
            mutates=True,
            stop_on_error=True,
        )

    def logs(self, name: str, lines: int) -> Script:
        text = sh("docker logs --timestamps --tail {} {} 2>&1", lines, name)
        return Script({"logs": Command(text, keep=1_048_576)})

    def supervise(self, name: str, restart: str) -> Script:
        """The mark first: a restarted entrypoint must find it."""
        make = sh("mkdir -p {} && : > {}", FOLDER, READY)
        mark = sh("docker exec -u 0 {} sh -c {}", name, make)
        update = sh("docker update --restart {} {} >/dev/null", restart, name)
        return Script(
            {"mark": Command(mark), "update": Command(update)}, mutates=True, stop_on_error=True
        )

    def ours(self, cluster: str | None) -> Query[Sequence[Any]]:
        return ReadContainers(self.name, cluster)

    def describe(self, rank: Rank) -> str:
        """The `docker run` that a person would type; secrets by name only."""
        held, loose = environment(rank)
        given: list[Word] = []
        hidden = secret_values(rank)
        for name, value in {**held, **loose}.items():
            given += ["-e", name if name in hidden else f"{name}={value}"]
        flat = [*options(rank, label=False), *given]
        lines = ["docker run -d"] + [str(words(one)) for one in _pairs(flat)]
        lines.append(str(words([rank.image])))
        lines += [str(words(one)) for one in _pairs(list(rank.argv))]
        return " \\\n  ".join(lines)


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


RUNTIME = Docker()
