"""A container as somebody starts it, whoever wrote it down, as a profile and a deployment."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from orchestrator.knowledge.servers import (
    Known,
    basename,
    engine_of_image,
    entrypoint,
    known,
    ray_start,
    table,
)
from orchestrator.take.line import Served, profile, read
from orchestrator.take.model import Document, Taken, Wanted, mapping
from orchestrator.take.secrets import secret_name, secret_value
from orchestrator.take.shell import Commands, NotPlain, assigned, commands, expand

# What leaves nothing behind for the server.
HARMLESS = frozenset(
    ("done", "fi", "esac", "}", ")", "exit", "set", "echo", "true", ":", "sleep", "wait")
)
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
VISIBLE = frozenset(("CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES"))


@dataclass
class Box:
    """What was found of one container."""

    where: str  # "services.vllm", "container vllm-head"
    image: str = ""
    words: list[str] = field(default_factory=list)  # all: the entrypoint's and the command's
    own_entrypoint: bool = True  # whether the image's own one stands before `words` unseen
    env: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)  # variables that are passed through
    mounts: list[Document] = field(default_factory=list)
    tmpfs: dict[str, str] = field(default_factory=dict)
    gpus: Any = None  # None: not said; "all", a count, a list of indices
    shm: Any = None
    limits: Document = field(default_factory=dict)
    published: dict[int, int] = field(default_factory=dict)  # port in the container → on the host
    build: Document | None = None
    ray: bool = False  # it is a node of Ray's, and the server is started in it


@dataclass
class Made:
    """A container in orch's words. `served` is None where no server was found in it."""

    served: Served | None
    profile: Document
    entry: Document
    worker: bool = False


def make(box: Box, taken: Taken) -> Made:
    """All of it; what has no place is left in `taken`."""
    ran = _commands(box, taken)
    for name, value in ran.env.items():
        box.env[name] = value
    found, before = _server(box, ran, taken)
    served = read(found, taken, f"{box.where}: command") if found is not None else None
    box.ray = box.ray or any(ray_start(line) for line in ran.lines)
    packages = _others(box, ran, found, taken)
    made = profile(served, box.image) if served else _unknown(box, taken)
    if box.build is not None:
        made.pop("image", None)
        made["build"] = box.build
    if before and served is not None:
        made["entrypoint"] = before
    if box.ray and served is not None and not served.worker:
        made["executor"] = "ray"
    _environment(box, made, taken)
    if packages:
        made["packages"] = packages
    kept: Document = {"mounts": box.mounts, "tmpfs": box.tmpfs, "shm": box.shm}
    made |= {key: value for key, value in kept.items() if value}
    worker = box.ray if served is None else served.worker or served.headless
    return Made(served, made, _entry(box, served, taken), worker)


def _commands(box: Box, taken: Taken) -> Commands:
    try:
        ran = commands(box.words)
    except NotPlain as why:
        taken.leave(f"{box.where}: command", " ".join(box.words), f"no plain shell text ({why})")
        return Commands()
    known_env = {name: one for name, one in {**box.env, **ran.env}.items() if not secret_name(name)}
    for line in ran.lines:
        for at, word in enumerate(line):
            line[at], unknown = expand(word, known_env) if "$" in word else (word, [])
            for name in unknown:
                taken.leave(
                    f"{box.where}: command", f"${name}", "a shell's variable: write its value"
                )
            if "$(" in line[at] or "`" in line[at]:
                taken.leave(
                    f"{box.where}: command", line[at], "a shell's own result: write the value"
                )
    return ran


def _server(box: Box, ran: Commands, taken: Taken) -> tuple[Known | None, str]:
    """The command that is the server, and a program that stands before it."""
    for line in ran.lines:
        for at in range(min(len(line), 8)):
            found = known(line[at:])
            if found is None:
                continue
            before = assigned(line[:at])[1]
            if len(before) > 1:
                taken.leave(
                    f"{box.where}: command", " ".join(before[1:]), "stands before the server"
                )
            return found, before[0] if before else ""
    own = entrypoint(box.image) if box.own_entrypoint else None
    first = ran.lines[0] if ran.lines else []
    if own is not None and not ray_start(first):
        engine, program = own
        if not first or first[0].startswith("-") or (engine == "vllm" and len(ran.lines) == 1):
            return known([*program, *first]), ""
    return _by_image(box, first)


def _by_image(box: Box, first: Sequence[str]) -> tuple[Known | None, str]:
    """Flags alone, and an image whose name tells the engine."""
    engine = engine_of_image(box.image)
    if engine is None or not first or not first[0].startswith("-"):
        return None, ""
    one = table()["servers"][engine]
    return known([one["programs"][0], *one.get("verbs", ())[:1], *first]), ""


def _others(box: Box, ran: Commands, found: Known | None, taken: Taken) -> list[str]:
    """What else is run: packages are a key, the rest is said."""
    packages: list[str] = []
    for line in ran.lines:
        if found is not None and _is(line, found):
            continue
        wanted = _packages(line)
        if wanted is not None:
            packages += wanted
        elif ray_start(line):
            taken.leave(f"{box.where}: command", " ".join(line), "orch starts Ray itself")
        elif line[0] not in HARMLESS and (found is not None or box.ray):
            why = "runs beside the server: orch does not run it"
            taken.leave(f"{box.where}: command", " ".join(line), why)
    return packages


def _is(line: Sequence[str], found: Known) -> bool:
    """Whether this is the server's own line."""
    if any(
        one is not None and one.rest == found.rest
        for one in (known(line[at:]) for at in range(len(line)))
    ):
        return True
    return tuple(line) == found.rest


def _packages(line: Sequence[str]) -> list[str] | None:
    """`pip install A B`, with no option that changes where they come from."""
    words = [
        word for word in line if word not in ("uv", "-m", "--no-cache-dir", "-q", "-U", "--system")
    ]
    if words and basename(words[0]).startswith("python"):
        words = words[1:]
    if len(words) < 3 or not basename(words[0]).startswith("pip") or words[1] != "install":
        return None
    return None if any(word.startswith("-") for word in words[2:]) else words[2:]


def _unknown(box: Box, taken: Taken) -> Document:
    """No server that orch knows: what was said is kept, and the check will say what is missing."""
    made: Document = {"image": box.image} if box.image else {}
    engine = engine_of_image(box.image)
    if not box.ray:
        told = " ".join(box.words)
        taken.leave(
            f"{box.where}: command",
            told,
            "no model server that orch knows: set `engine:` and `model:`",
        )
    if engine is not None:
        made["engine"] = engine
    return made


def _environment(box: Box, made: Document, taken: Taken) -> None:
    """Variables; secrets as references; what belongs to one host is orch's to say."""
    env: Document = {}
    secrets: Document = {}
    own = {mapping(made.get("api_key")).get("env")}
    for name, value in box.env.items():
        at = f"{box.where}: environment.{name}"
        if name in table()["derived"]:
            taken.leave(at, value, "orch derives it for each host from the inventory's links")
        elif name in VISIBLE:
            _visible(box, name, value, taken)
        elif not VARIABLE.fullmatch(name) or "\0" in value:
            taken.leave(at, "", "no variable that a container can have")
        elif name == table()["servers"].get(str(made.get("engine")), {}).get("key"):
            made["api_key"] = {"env": name}
            own.add(name)
            taken.secrets.add(value)
        elif secret_name(name) or secret_value(value):
            secrets[name] = {"env": name}
            taken.secrets.add(value)
        else:
            env[name] = value
    secrets |= {
        name: {"env": name} for name in box.asked if name not in own and VARIABLE.fullmatch(name)
    }
    made |= {key: them for key, them in (("env", env), ("secrets", secrets)) if them}


def _visible(box: Box, name: str, value: str, taken: Taken) -> None:
    """Which GPUs it sees, where a variable says so."""
    parts = [part.strip() for part in value.split(",") if part.strip()]
    if value in ("all", "void", ""):
        return
    if all(part.isdecimal() and int(part) < 1024 for part in parts) and len(parts) < 64:
        box.gpus = box.gpus if isinstance(box.gpus, list) else [int(part) for part in parts]
    else:
        taken.leave(
            f"{box.where}: environment.{name}", value, "set `gpus:` of the deployment to indices"
        )


def _entry(box: Box, served: Served | None, taken: Taken) -> Document:
    """What of it is the deployment's."""
    entry: Document = {}
    if served is not None and served.parallel:
        sizes = {name: size for name, size in served.parallel.items() if size > 1}
        entry |= {"parallel": sizes} if sizes else {}
    if served is not None and not served.worker:
        port = _port(box, served)
        entry |= {"port": port} if port else {}
        if served.bind:
            entry["endpoint"] = {"bind": served.bind}
    if isinstance(box.gpus, (list, int)) and not isinstance(box.gpus, bool):
        entry["gpus"] = box.gpus
    if box.limits:
        entry["limits"] = box.limits
    return entry


def _port(box: Box, served: Served) -> int | None:
    """Where it is reached today: the published port, else the server's own."""
    inside = served.port or {"llamacpp": 8080, "sglang": 30000}.get(served.engine, 8000)
    if box.published:
        only = next(iter(box.published.values())) if len(box.published) == 1 else None
        return box.published.get(inside, only)
    return inside


def wanted(name: str, made: Made, hosts: Sequence[str] = ()) -> Wanted:
    """The deployment of a container that serves."""
    nodes = made.served.nodes if made.served is not None else 1
    whole = made.served is not None and made.served.engine != "llamacpp"
    return Wanted(name, dict(made.entry), tuple(hosts), max(nodes, len(hosts) or 1), whole)
