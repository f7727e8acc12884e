"""A cluster as a rehearsal: the same hosts, order, ports and gates, with tiny models on CPUs. Values in, values out.

What can't be rehearsed is part of the answer: one sentence each, by the name that the user gave it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

from orchestrator.lab.like import Model
from orchestrator.lab.recipe import recipe
from orchestrator.spec.models import Cluster, Deployment, Parallel

VLLM, LLAMA = "vllm", "llamacpp"
NAMES = {VLLM: "vLLM", LLAMA: "llama.cpp"}
RPC_PORT = 50052  # and upwards: two gangs of llama.cpp may have a host in common
SUFFIX = "-rehearsal"
MODEL = "a tiny random Llama, whatever its architecture and size"

# keys of a profile that are the real machine's or the real model's
PROFILE_KEYS = (
    "image", "build", "entrypoint", "args", "env", "env_by_host", "secrets", "api_key", "mounts",
    "tmpfs", "packages", "patches", "venv", "cuda_home", "caches", "shm", "limits", "commands",
    "ray", "debug",
)  # fmt: skip


@dataclass(frozen=True)
class Rehearsal:
    """The files of the rehearsal, what its hosts must be able to serve with, and what it leaves out."""

    cluster: Mapping[str, Any]
    profiles: Mapping[str, Mapping[str, Any]]
    engines: tuple[str, ...]
    lacks: tuple[str, ...]


@dataclass(frozen=True)
class Form:
    """How one deployment is rehearsed."""

    engine: str
    why: str = ""  # it is another engine than the user's

    @property
    def name(self) -> str:
        return NAMES[self.engine]


def rehearsal(cluster: Cluster, *, light: bool = False) -> Rehearsal:
    """The cluster with each model and engine replaced by what a lab's hosts can run."""
    served = {name: one for name, one in cluster.deployments.items() if one.profile.model}
    forms = _forms(served, light=light)
    ports = {one.port for one in served.values()}
    entries, profiles, lacks = {}, {}, list(_cluster_lacks(cluster, served))
    for number, (name, one) in enumerate(served.items()):
        rpc = next(port for port in range(RPC_PORT + number, 65536) if port not in ports)
        ports.add(rpc)
        entries[name] = _entry(one, forms[name], served)
        profiles[f"rehearsed-{name}"] = _profile(one, forms[name], rpc)
        lacks += _deployment_lacks(one, forms[name])
    file: dict[str, Any] = {
        "version": 1,
        "name": f"{cluster.name[: 63 - len(SUFFIX)]}{SUFFIX}",
        "inventory": "inventory.yaml",
        "deployments": entries,
    }
    hooks = {
        when: {stage: list(names) for stage, names in said.items()}
        for when, said in (("before", cluster.hooks.before), ("after", cluster.hooks.after))
        if said
    }
    if hooks:
        file["hooks"] = hooks
    engines = tuple(one for one in (VLLM, LLAMA) if one in {form.engine for form in forms.values()})
    return Rehearsal(file, profiles, engines or (LLAMA,), tuple(lacks))


def _forms(served: Mapping[str, Deployment], *, light: bool) -> dict[str, Form]:
    """vLLM as itself while this machine can hold its ranks; all else as llama.cpp."""
    most = recipe().rehearse.vllm_ranks
    ranks = sum(len(one.hosts) for one in served.values() if one.profile.engine_key == VLLM)
    why = "--light" if light else f"{ranks} ranks of vLLM, {most} at most" if ranks > most else ""
    return {name: _form(one, why) for name, one in served.items()}


def _form(one: Deployment, light: str) -> Form:
    engine = one.profile.engine_key
    if engine == LLAMA:
        return Form(LLAMA)
    if engine != VLLM:
        return Form(LLAMA, f"{one.profile.engine} has no form for CPUs here")
    if light:
        return Form(LLAMA, light)
    if one.profile.task == "embed":
        return Form(LLAMA, "the tiny model gives vectors by llama.cpp")
    if one.share_gpu or one.beside is not None:
        return Form(LLAMA, "it shares a GPU, and there is none")
    if _sizes(one) is None:
        return Form(LLAMA, "the tiny model can't be split so")
    return Form(VLLM)


def _sizes(one: Deployment) -> Parallel | None:
    """The parallel sizes with one rank a host; None where the tiny model can't be split so."""
    hosts, tiny = len(one.hosts), recipe().rehearse
    asked = one.parallel
    if asked.world == hosts:
        found = asked
    elif asked.pipeline == hosts:
        found = Parallel(pipeline=hosts)
    elif asked.data == hosts:
        found = Parallel(data=hosts)
    else:
        found = Parallel(tensor=hosts)
    fits = tiny.heads % found.tensor == 0 and found.pipeline <= tiny.layers
    return found if fits else None


def _entry(one: Deployment, form: Form, served: Mapping[str, Deployment]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "profile": f"rehearsed-{one.name}",
        "hosts": list(one.hosts),
        "rails": one.rails,
        "port": one.port,
        "after": [name for name in one.after if name in served],
        "gate": {**one.gate.model_dump(exclude_none=True), "rdma": "off"},
        "share_gpu": one.share_gpu or one.beside is not None,
        "gpus": _gpus(one),
    }
    sizes = _sizes(one)
    if form.engine == VLLM and sizes is not None:
        found["parallel"] = sizes.model_dump()
        if form.engine == one.profile.engine_key:
            found["supervision"] = one.supervision
    elif len(one.hosts) > 1:
        found["supervision"] = "none"  # a gang over RPC can't take one rank back by itself
    return found


def _gpus(one: Deployment) -> list[int] | int | str:
    """One of those that it has: a rank a host."""
    if isinstance(one.gpus, tuple):
        return list(one.gpus[:1])
    return min(one.gpus, 1) if isinstance(one.gpus, int) else 1


def _profile(one: Deployment, form: Form, rpc_port: int) -> dict[str, Any]:
    profile = one.profile
    found: dict[str, Any] = {
        "version": 1,
        "served_name": profile.served_name or profile.model,
        **_warmup(one),
    }
    if form.engine == VLLM:
        native = profile.executor == "native" and len(one.hosts) > 1
        found["extends"] = "lab-vllm-native" if native else "lab-vllm"
        if len(one.hosts) == 1:
            found["executor"] = "mp"
        return found
    found |= {"extends": "lab-llama", "rpc_port": rpc_port}
    if profile.task == "embed":
        found |= {"task": "embed", "args": {"pooling": "mean"}}
    return found


def _warmup(one: Deployment) -> dict[str, Any]:
    warmup, most = one.profile.warmup, recipe().rehearse.prompt_tokens
    if warmup is None or not warmup.prompts:
        return {}
    short = list(dict.fromkeys(min(size, most) for size in warmup.prompts))
    return {"warmup": {"prompts": short}}


# --- what it leaves out ----------------------------------------------------------------------------


def _cluster_lacks(cluster: Cluster, served: Mapping[str, Deployment]) -> Iterator[str]:
    for name in cluster.deployments:
        if name not in served:
            yield f"{name}: left out, for it serves no model: its image is not here"
    for key in ("takeover", "notify", "tunnels"):
        if getattr(cluster, key):
            yield f"{key} of your cluster file: nothing of it is done"
    gated = [one.name for one in served.values() if one.gate.rdma != "off"]
    if gated:
        yield f"RDMA verbs and the gate on them: {_told(gated)}"
    limited = [
        one.name for one in served.values() if one.memory_bytes or _said(one.limits.model_dump())
    ]
    if limited:
        yield f"memory sizes and limits: {_told(limited)}"


def _deployment_lacks(one: Deployment, form: Form) -> Iterator[str]:
    profile = one.profile
    yield f"{one.name}: the model {profile.model}: {MODEL}"
    if form.why:
        yield f"{one.name}: {profile.engine} itself, llama.cpp stands in for it: {form.why}"
    keys = [key for key in PROFILE_KEYS if getattr(profile, key)]
    if keys:
        yield f"{one.name}: {', '.join(keys)} of profile {profile.name}"
    sizes = _sizes(one)
    if form.engine == LLAMA and one.parallel.world > 1:
        yield f"{one.name}: parallel sizes: layers are spread over its hosts"
    elif sizes is not None and sizes != one.parallel:
        yield f"{one.name}: its {one.parallel.world} GPUs: one rank a host"
    if one.endpoint.advertise or one.endpoint.bind:
        yield f"{one.name}: its endpoint's address: that of the rehearsal's host"
    if form.engine == LLAMA and len(one.hosts) > 1 and one.supervision != "none":
        yield f"{one.name}: supervision: {one.supervision}"
    warmup = profile.warmup.prompts if profile.warmup else ()
    if any(size > recipe().rehearse.prompt_tokens for size in warmup):
        yield f"{one.name}: long prompts of its warm-up"


def _said(values: Mapping[str, Any]) -> bool:
    return any(value is not None for value in values.values())


def _told(names: Iterable[str]) -> str:
    return ", ".join(names)


# --- hosts ------------------------------------------------------------------------------------------


def lab_hosts(model: Model, cluster: Cluster) -> tuple[Model, tuple[str, ...]]:
    """The inventory to build the lab like: ranks run in docker there, whatever they run in at home."""
    raw, lacks = deepcopy(model.raw), []
    for host in cluster.hosts.values():
        if host.runtime == "docker":
            continue
        raw["hosts"][host.name] = {**(raw["hosts"][host.name] or {}), "runtime": "docker"}
        lacks.append(f"{host.name}: runtime {host.runtime}: docker")
    return replace(model, raw=raw), tuple(lacks)
