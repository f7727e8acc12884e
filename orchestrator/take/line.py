"""The words that start a server, as the keys of a profile and a deployment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from orchestrator.flags import flags
from orchestrator.knowledge.servers import Known, table
from orchestrator.ranks.arguments import name_of
from orchestrator.take.arguments import Words, grouped, is_flag, merged, spread, switch
from orchestrator.take.model import Document, Taken
from orchestrator.take.secrets import secret_flag, secret_value

SIZES = {"tensor": "tensor", "pipeline": "pipeline", "data": "data"}
PLAIN_SIZES = frozenset(
    ("tensor-parallel-size", "tp", "pipeline-parallel-size", "pp", "data-parallel-size", "dp")
)
OWN_SIZES = {  # engines without a table of their own in flags/
    "tp": "parallel.tensor",
    "tp-size": "parallel.tensor",
    "tensor-parallel-size": "parallel.tensor",
    "pp": "parallel.pipeline",
    "pp-size": "parallel.pipeline",
    "dp": "parallel.data",
    "dp-size": "parallel.data",
    "model-path": "model",
    "model": "model",
    "host": "endpoint.bind",
    "port": "port",
    "served-model-name": "served_name",
    "nnodes": "hosts",
    "node-rank": "hosts",
    "dist-init-addr": "hosts",
    "api-key": "api_key",
}
EVERYWHERE = frozenset(("0.0.0.0", "::", "*"))  # noqa: S104  (what people write)


@dataclass
class Served:
    """What one command line says."""

    engine: str
    worker: bool = False
    model: str = ""
    served_name: str = ""
    executor: str = ""
    port: int | None = None
    bind: str = ""
    nodes: int = 1
    rank: int = 0
    headless: bool = False
    api_key: bool = False
    parallel: dict[str, int] = field(default_factory=dict)
    args: Document = field(default_factory=dict)
    commands: dict[str, str] = field(default_factory=dict)
    rpc: tuple[str, ...] = ()

    @property
    def world(self) -> int:
        """GPUs of all hosts together."""
        made = 1
        for size in self.parallel.values():
            made *= size
        return made


def read(known: Known, taken: Taken, where: str) -> Served:
    """A server's words; what has no place is left in `taken`."""
    found = Served(known.engine, worker=known.worker)
    _program(found, known, taken, where)
    words = list(known.rest)
    if known.engine in ("vllm", "trtllm") and words and not is_flag(words[0]):
        found.model = words.pop(0)
    together = grouped(words)
    _model_behind(found, together)
    _stray(found, together.stray, taken, where)
    _many(known.engine, together.flags, taken, where)
    for key, value, lost in merged(known.engine, together.flags):
        if lost:
            taken.leave(where, f"--{key.lstrip('-')}", "stands twice; the last one is taken")
        _flag(found, key, value, taken, where)
    return found


def _many(engine: str, pairs: list[tuple[str, list[str]]], taken: Taken, where: str) -> None:
    """Where a flag takes one word, a second one behind it belongs to nothing."""
    if spread(engine):
        return
    for flag, values in pairs:
        for extra in values[1:]:
            taken.leave(where, f"{flag} … {extra}", "a word that belongs to no flag")
        del values[1:]


def _program(found: Served, known: Known, taken: Taken, where: str) -> None:
    """How the program is called, where not by its usual name."""
    if known.module:
        taken.leave(
            where, " ".join(known.program), f"orch starts {known.engine} by its own program"
        )
        return
    name = known.program[0]
    usual = {"llamacpp": "server"}.get(known.engine, known.engine)
    key = "rpc-server" if known.worker else usual
    plain = "llama-server" if key == "server" else key
    if name != plain:
        found.commands[key] = name


def _model_behind(found: Served, together: Words) -> None:
    """`vllm serve --trust-remote-code MODEL`: the word behind a flag that takes none."""
    named = {name_of(flag) for flag, _ in together.flags}
    if found.engine not in ("vllm", "trtllm") or found.model or "model" in named:
        return
    for flag, values in together.flags:
        if len(values) == 1 and switch(found.engine, name_of(flag)):
            found.model = values.pop()
            return


def _stray(found: Served, stray: Sequence[str], taken: Taken, where: str) -> None:
    """The model may stand last; other words belong to nothing."""
    words = list(stray)
    if found.engine in ("vllm", "trtllm") and not found.model and len(words) == 1:
        found.model = words.pop()
    for word in words:
        taken.leave(where, word, "a word that belongs to no flag")


def _owned(engine: str, name: str) -> str | None:
    try:
        found = flags(engine)["owned"].get(name)
    except (FileNotFoundError, KeyError):
        return OWN_SIZES.get(name)
    return None if found is None else str(found)


def _flag(found: Served, key: str, value: Any, taken: Taken, where: str) -> None:
    name = name_of(key)
    if found.worker:
        return _worker_flag(found, key, name, value, taken, where)
    place = _owned(found.engine, name)
    if place is not None:
        return _place(found, place, name, value, taken, where)
    if secret_flag(name) or any(map(secret_value, value if isinstance(value, list) else [value])):
        return taken.leave(where, f"--{name}", "a secret is never written; give it by `secrets:`")
    if key.startswith("no-") and value is True and found.engine == "vllm":
        found.args[key[3:]] = False
    else:
        found.args[key] = value
    return None


def _worker_flag(found: Served, key: str, name: str, value: Any, taken: Taken, where: str) -> None:
    """An RPC server's address is its host's; its port is a key; the rest goes into its command."""
    if name in ("H", "host"):
        return
    if name in ("p", "port") and isinstance(value, int):
        found.port = value
        return
    words = [f"-{key}" if len(key) == 1 else key if key.startswith("-") else f"--{key}"]
    words += [] if value is True else [str(value)]
    if any(not word or set(word) & set(" \t\n'\"") for word in words):
        taken.leave(where, " ".join(words), "a word of a program in `commands:` has no blanks")
        return
    found.commands["rpc-server"] = " ".join(
        [found.commands.get("rpc-server", "rpc-server"), *words]
    )


def _place(found: Served, place: str, name: str, value: Any, taken: Taken, where: str) -> None:
    """A flag that is a key of the files."""
    section, _, part = place.partition(".")
    if place == "model":
        found.model = str(value)
    elif place == "served_name":
        names = value if isinstance(value, list) else [value]
        found.served_name = str(names[0])
        for other in names[1:]:
            taken.leave(where, f"--{name} {other}", "a model has one name here")
    elif section == "parallel":
        _size(found, part, name, value, taken, where)
    elif place == "executor":
        found.executor = str(value)
    elif place == "port":
        _port(found, name, value, taken, where)
    elif place == "endpoint.bind":
        found.bind = "" if value in EVERYWHERE else str(value)
    elif place == "api_key":
        found.api_key = True
    else:
        _gang(found, name, value, taken, where)


def _size(found: Served, part: str, name: str, value: Any, taken: Taken, where: str) -> None:
    plain = name in PLAIN_SIZES or name.endswith("p-size")
    if plain and isinstance(value, int) and 1 <= value <= 4096:
        found.parallel[SIZES[part]] = value
    elif plain:
        taken.leave(
            where, f"--{name} {value}", f"a number is needed: set `parallel: {{{part}: …}}`"
        )
    else:
        taken.leave(where, f"--{name}", "orch sets it from `parallel:` and the hosts")


def _port(found: Served, name: str, value: Any, taken: Taken, where: str) -> None:
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 65535:
        found.port = value
    else:
        taken.leave(where, f"--{name} {value}", "no port: set `port:` of the deployment")


def _gang(found: Served, name: str, value: Any, taken: Taken, where: str) -> None:
    """Which rank this is, and where the others are: orch says it to each host itself."""
    if name == "nnodes" and isinstance(value, int) and 1 <= value <= 4096:
        found.nodes = value
    elif name == "node-rank" and isinstance(value, int):
        found.rank = value
    elif name == "headless":
        found.headless = True
    elif name == "rpc":
        found.rpc = tuple(one for one in str(value).split(",") if one)
        found.nodes = len(found.rpc) + 1
    else:
        taken.leave(where, f"--{name}", "orch gives each host its own")


def profile(found: Served, image: str) -> Document:
    """What of it is the profile's."""
    made: Document = {"engine": found.engine}
    executor = found.executor
    if executor == "mp" and found.nodes > 1:
        executor = "native"
    if executor in ("ray", "native", "mp"):
        made["executor"] = executor
    if found.model:
        made["model"] = found.model
    if found.served_name:
        made["served_name"] = found.served_name
    if image:
        made["image"] = image
    if found.args:
        made["args"] = dict(found.args)
    if found.commands:
        made["commands"] = dict(found.commands)
    if found.api_key:
        made["api_key"] = {"env": table()["servers"][found.engine].get("key", "API_KEY")}
    return made
