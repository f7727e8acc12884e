"""A docker compose file: each service that is a model server becomes a profile and a deployment."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Any

from orchestrator.knowledge.servers import engine_of_image, serves
from orchestrator.take.box import Box, make, wanted
from orchestrator.take.model import Document, Source, Taken, listed, mapping, text
from orchestrator.take.names import name_for
from orchestrator.take.secrets import secret_name
from orchestrator.take.shell import ASSIGNMENT, expand

SAID = frozenset(
    (
        "image",
        "command",
        "entrypoint",
        "environment",
        "volumes",
        "ports",
        "deploy",
        "shm_size",
        "tmpfs",
        "gpus",
        "mem_limit",
        "memswap_limit",
        "cpus",
        "build",
        "container_name",
        "ipc",
        "network_mode",
        "runtime",
    )
)
WHY = {
    "env_file": "its variables are not read: put them into `env:`, or `secrets: {NAME: {file: …}}`",
    "restart": "orch restarts a gang: `supervision:`",
    "healthcheck": "orch has its own",
    "depends_on": "`after:` names deployments; other services stay with compose",
    "networks": "orch uses the host's network",
    "privileged": "orch gives a rank the devices that it needs",
    "logging": "orch keeps three files of 50 MB",
    "profiles": "`enabled: false` keeps a deployment for later",
    "secrets": "`secrets: {NAME: {file: …}}` gives a variable, not a file",
}
FREE = "there is no key for it"


class Compose:
    """See model.Format."""

    name = "compose"
    what = "a docker compose file"

    def fits(self, source: Source) -> bool:
        services = mapping(source.data).get("services")
        return isinstance(services, Mapping) and bool(services)

    def take(self, source: Source) -> Taken:
        taken = Taken(self.name)
        whole = mapping(source.data)
        services = {name: mapping(one) for name, one in mapping(whole.get("services")).items()}
        chosen = {name: one for name, one in services.items() if _serves(one)} or (
            services if len(services) == 1 else {}
        )
        for name, one in services.items():
            if name not in chosen:
                taken.leave(
                    f"services.{name}", one.get("image"), "no model server: it stays with compose"
                )
        for name, one in chosen.items():
            _service(source, whole, name, one, taken)
        for key in whole:
            if key not in (
                "services",
                "version",
                "name",
                "volumes",
                "networks",
            ) and not key.startswith("x-"):
                taken.leave(key, "", FREE)
        return taken


def _serves(service: Mapping[str, Any]) -> bool:
    image = text(service.get("image"))
    words = [*_words(service.get("entrypoint")), *_words(service.get("command"))]
    return bool(serves(words, image)) or engine_of_image(image) is not None


def _words(value: Any) -> list[str]:
    """A command is a list, or a text that compose splits like a shell; unlike one it runs no shell."""
    if isinstance(value, (list, tuple)):
        return [text(one) for one in value]
    try:
        return shlex.split(text(value))
    except ValueError:
        return text(value).split()


def _service(
    source: Source, whole: Mapping[str, Any], name: str, one: Mapping[str, Any], taken: Taken
) -> None:
    where = f"services.{name}"
    box = Box(where, image=_given(text(one.get("image")), where, taken))
    entry, command = _words(one.get("entrypoint")), _words(one.get("command"))
    box.own_entrypoint = not entry
    box.words = [_given(word, where, taken) for word in (*entry, *command)]
    _environment(box, one.get("environment"), taken)
    box.mounts = [
        made
        for made in (_mount(source, whole, it, where, taken) for it in listed(one.get("volumes")))
        if made
    ]
    box.tmpfs = {
        part.partition(":")[0]: part.partition(":")[2]
        for part in map(text, listed(one.get("tmpfs")))
        if part
    }
    box.gpus = _gpus(one, where, taken)
    box.published = _ports(one, where, taken)
    _limits(box, one, taken)
    _build(box, source, one, taken)
    _modes(one, where, taken)
    made = make(box, taken)
    title = name_for(name, taken.profiles)
    taken.profiles[title] = {"version": 1, **made.profile}
    taken.deployments[title] = wanted(title, made)
    if one.get("container_name"):
        taken.takeover.append(text(one["container_name"]))
    for key, value in one.items():
        if key not in SAID and not key.startswith("x-") and value not in (None, False, "", [], {}):
            taken.leave(f"{where}.{key}", "" if key == "environment" else value, WHY.get(key, FREE))


def _given(value: str, where: str, taken: Taken) -> str:
    """`${NAME:-default}` of compose's own environment: the default, or the name that is open."""
    made, unknown = expand(value, {}) if "$" in value else (value, [])
    for name in unknown:
        taken.leave(where, f"${name}", "comes from compose's environment: write its value")
    return made


def _environment(box: Box, given: Any, taken: Taken) -> None:
    pairs: dict[str, str | None] = {}
    if isinstance(given, Mapping):
        pairs = {str(name): None if value is None else text(value) for name, value in given.items()}
    for one in map(text, given if isinstance(given, list) else ()):
        match = ASSIGNMENT.fullmatch(one)
        pairs[match[1] if match else one] = match[2] if match else None
    for name, value in pairs.items():
        if value is None:
            box.asked.append(name)
            continue
        made, unknown = expand(value, {}) if "$" in value else (value, [])
        if unknown and (unknown == [name] or secret_name(name)):
            box.asked.append(name)
        else:
            for other in unknown:
                taken.leave(
                    f"{box.where}.environment.{name}",
                    f"${other}",
                    "comes from compose's environment",
                )
            box.env[name] = made


def _mount(
    source: Source, whole: Mapping[str, Any], volume: Any, where: str, taken: Taken
) -> Document | None:
    """A volume in its short or its long form."""
    if isinstance(volume, Mapping):
        kind = text(volume.get("type"))
        come, to = text(volume.get("source")), text(volume.get("target"))
        read_only = volume.get("read_only") is True
        if kind not in ("bind", "volume") or not come:
            taken.leave(f"{where}.volumes", volume, FREE)
            return None
    else:
        parts = _given(text(volume), where, taken).split(":")
        if len(parts) not in (2, 3):
            taken.leave(
                f"{where}.volumes", volume, "a volume without a name is gone with its container"
            )
            return None
        come, to = parts[0], parts[1]
        read_only = len(parts) == 3 and "ro" in parts[2].split(",")
    come = _given(come, where, taken)
    if not to.startswith("/") or ":" in come + to:
        taken.leave(f"{where}.volumes", volume, "no path in the container")
        return None
    made: Document = {"from": _from(source, whole, come, where, taken), "to": to}
    return made | ({"read_only": True} if read_only else {})


def _from(source: Source, whole: Mapping[str, Any], come: str, where: str, taken: Taken) -> str:
    """A path on the hosts, or a volume by the name that docker knows it by."""
    for home in ("$HOME", "${HOME}"):
        if come == home or come.startswith(f"{home}/"):
            return "~" + come[len(home) :]
    if come.startswith(("/", "~")):
        return come
    if come.startswith("."):
        path = f"{source.folder.rstrip('/')}/{come}".replace("/./", "/").rstrip("/.") or "/"
        taken.leave(
            f"{where}.volumes", come, f"relative to the compose file: must be {path} on the hosts"
        )
        return path
    volume = mapping(mapping(whole.get("volumes")).get(come))
    own = text(volume.get("name")) or (come if volume.get("external") else "")
    project = text(whole.get("name")) or source.folder.rstrip("/").rsplit("/", 1)[-1].lower()
    return own or f"{project}_{come}"


def _gpus(one: Mapping[str, Any], where: str, taken: Taken) -> Any:
    """`gpus: all`, or what `deploy:` reserves."""
    if one.get("gpus") == "all":
        return "all"
    reserved = mapping(mapping(mapping(one.get("deploy")).get("resources")).get("reservations"))
    for device in map(mapping, [*listed(reserved.get("devices")), *_listed_gpus(one)]):
        ids = [text(part) for part in listed(device.get("device_ids"))]
        count = device.get("count")
        if ids and all(part.isdecimal() and len(part) < 4 for part in ids):
            return [int(part) for part in ids]
        if ids:
            taken.leave(
                f"{where}.deploy", ", ".join(ids), "set `gpus:` of the deployment to indices"
            )
        elif isinstance(count, int) and not isinstance(count, bool) and 0 < count < 1024:
            return count
        else:
            return "all"
    return None


def _listed_gpus(one: Mapping[str, Any]) -> list[Any]:
    return one["gpus"] if isinstance(one.get("gpus"), list) else []


def _ports(one: Mapping[str, Any], where: str, taken: Taken) -> dict[int, int]:
    """Published ports; on the host's network there are none."""
    found: dict[int, int] = {}
    if one.get("network_mode") == "host":
        return found
    for it in listed(one.get("ports")):
        if isinstance(it, Mapping):
            pair = [text(it.get("published")), text(it.get("target"))]
        else:
            pair = _given(text(it), where, taken).partition("/")[0].split(":")[-2:]
        if len(pair) == 2 and all(part.isdecimal() and 0 < int(part) < 65536 for part in pair):
            found[int(pair[1])] = int(pair[0])
        else:
            taken.leave(f"{where}.ports", it, "no port of the host: set `port:` of the deployment")
    return found


def _limits(box: Box, one: Mapping[str, Any], taken: Taken) -> None:
    limits = mapping(mapping(mapping(one.get("deploy")).get("resources")).get("limits"))
    for key, value in (
        ("memory", one.get("mem_limit") or limits.get("memory")),
        ("memory_swap", one.get("memswap_limit")),
        ("cpus", one.get("cpus") or limits.get("cpus")),
    ):
        if value is None or isinstance(value, bool):
            continue
        made = _size(value) if key != "cpus" else _number(value)
        if made is None:
            taken.leave(f"{box.where}.{key}", value, "no size that orch reads")
        else:
            box.limits[key] = made
    if one.get("shm_size") is not None:
        box.shm = _size(one["shm_size"])
        if box.shm is None:
            taken.leave(f"{box.where}.shm_size", one["shm_size"], "no size that orch reads")


def _size(value: Any) -> Any:
    """As orch writes it: `16gb` of compose is `16g`, for docker counts in 1024s."""
    from orchestrator.spec.units import parse_size

    told = text(value).strip().lower()
    form = value if isinstance(value, int) else re.sub(r"([kmgt])b$", r"\1", told)
    try:
        parse_size(form)
    except (ValueError, TypeError):
        return None
    return form


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (ValueError, TypeError):
        return None
    return number if 0 < number < 100_000 else None


def _modes(one: Mapping[str, Any], where: str, taken: Taken) -> None:
    """What of `deploy:` and of the container's modes is not what orch does anyway."""
    deploy = mapping(one.get("deploy"))
    resources = mapping(deploy.get("resources"))
    others = {f"deploy.{key}": it for key, it in deploy.items() if key != "resources"}
    for part, known in (("limits", ("memory", "cpus")), ("reservations", ("devices",))):
        for key, it in mapping(resources.get(part)).items():
            if key not in known:
                others[f"deploy.resources.{part}.{key}"] = it
    for key, usual in (
        ("network_mode", ("host", "bridge")),
        ("ipc", ("host", "private")),
        ("runtime", ("nvidia", "runc")),
    ):
        if text(one.get(key)) not in ("", *usual):
            others[key] = one[key]
    for key, it in others.items():
        taken.leave(f"{where}.{key}", it, FREE)


def _build(box: Box, source: Source, one: Mapping[str, Any], taken: Taken) -> None:
    given = one.get("build")
    if given is None:
        return
    build = mapping(given) if isinstance(given, Mapping) else {"context": text(given)}
    context = text(build.get("context")) or "."
    where = context if context.startswith("/") else f"{source.folder.rstrip('/')}/{context}"
    box.build = {
        "dockerfile": f"{where}/{text(build.get('dockerfile')) or 'Dockerfile'}",
        "context": where,
    }
    for key in build:
        if key not in ("context", "dockerfile"):
            taken.leave(f"{box.where}.build.{key}", build[key], FREE)


FORMAT = Compose()
