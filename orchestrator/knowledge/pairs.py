"""Settings that do not go together: the rules of pairs.yaml against a deployment. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from orchestrator.flags.versions import number, version
from orchestrator.ranks.arguments import name_of, word
from orchestrator.spec.gpus import used
from orchestrator.spec.models import Cluster, Deployment, Finding

Number = int | float


@dataclass(frozen=True)
class Case:
    """A deployment as the rules see it."""

    cluster: Cluster
    deployment: Deployment
    args: Mapping[str, Any]

    @property
    def gpu_names(self) -> Iterator[str]:
        """Names of the GPUs that it uses, where the inventory says them."""
        for name in self.deployment.hosts:
            host = self.cluster.hosts[name]
            mine = used(host, self.deployment)
            for gpu in host.gpus or ():
                if gpu.name and (mine is None or gpu.index in mine):
                    yield gpu.name

    def said(self, name: str) -> bool:
        return self.args.get(name) not in (None, False)


def _engine(case: Case, wanted: str) -> bool:
    return case.deployment.profile.engine_key == wanted


def _model(case: Case, wanted: str) -> bool:
    return re.search(wanted, case.deployment.profile.model) is not None


def _weights(case: Case, wanted: str) -> bool:
    text = f"{case.deployment.profile.model} {case.args.get('quantization', '')}"
    return re.search(wanted, text) is not None


def _gpu(case: Case, wanted: str) -> bool:
    return any(re.search(wanted, name) for name in case.gpu_names)


def _hosts(case: Case, wanted: str) -> bool:
    return (len(case.deployment.hosts) > 1) == (wanted == "several")


def _unified(case: Case, wanted: bool) -> bool:
    hosts = (case.cluster.hosts[name] for name in case.deployment.hosts)
    return any(host.kind.unified_memory for host in hosts) == wanted


def _like(values: Mapping[str, Any], wanted: Mapping[str, str]) -> bool:
    return all(
        values.get(name) is not None and re.search(text, word(values[name]))
        for name, text in wanted.items()
    )


def _args(case: Case, wanted: Mapping[str, str]) -> bool:
    return _like(case.args, wanted)


def _not(case: Case, wanted: Mapping[str, str]) -> bool:
    return all(case.said(name) for name in wanted) and not _args(case, wanted)


def _env(case: Case, wanted: Mapping[str, str]) -> bool:
    return _like(case.deployment.profile.env, wanted)


def _compared(holds: Callable[[Number, Number], bool]) -> Callable[[Case, Any], bool]:
    def condition(case: Case, wanted: Mapping[str, Number]) -> bool:
        return all(
            type(case.args.get(name)) in (int, float) and holds(case.args[name], limit)
            for name, limit in wanted.items()
        )

    return condition


def _absent(case: Case, wanted: list[str]) -> bool:
    return not any(case.said(name) for name in wanted)


def _absent_env(case: Case, wanted: list[str]) -> bool:
    return all(case.deployment.profile.env.get(name) is None for name in wanted)


def _version(case: Case, wanted: Mapping[str, Any] | str) -> bool:
    """The engine's, as far as the profile or its image tells it."""
    known = version(case.deployment.profile)
    if isinstance(wanted, str):
        return known is None
    if known is None:
        return bool(wanted.get("unknown"))
    low, high = wanted.get("from"), wanted.get("below")
    return (low is None or known >= number(low)) and (high is None or known < number(high))


CONDITIONS: Mapping[str, Callable[[Case, Any], bool]] = {
    "engine": _engine,
    "model": _model,
    "weights": _weights,
    "gpu": _gpu,
    "hosts": _hosts,
    "unified": _unified,
    "args": _args,
    "not": _not,
    "env": _env,
    "over": _compared(lambda value, limit: value > limit),
    "at_least": _compared(lambda value, limit: value >= limit),
    "under": _compared(lambda value, limit: value < limit),
    "absent": _absent,
    "absent_env": _absent_env,
    "version": _version,
}
ABOUT = ("args", "not", "over", "at_least", "under")  # conditions that name the flag


@cache
def pairs() -> tuple[Mapping[str, Any], ...]:
    """The rules, in the order of the file."""
    text = files("orchestrator.knowledge").joinpath("pairs.yaml").read_text(encoding="utf-8")
    return tuple(yaml.safe_load(text)["pairs"])


def check(cluster: Cluster) -> Iterator[Finding]:
    """A finding for each rule that a deployment breaks, with its reason and its source."""
    for one in cluster.deployments.values():
        args = {name_of(key): value for key, value in one.profile.args.items()}
        case = Case(cluster, one, args)
        for rule in pairs():
            conditions = ((CONDITIONS[key], rule[key]) for key in rule if key in CONDITIONS)
            if all(holds(case, wanted) for holds, wanted in conditions):
                yield _finding(one, rule)


def _finding(one: Deployment, rule: Mapping[str, Any]) -> Finding:
    flag = next((name for key in ABOUT for name in rule.get(key, {})), None)
    variable = next(iter(rule.get("env", {})), None)
    path = f"args.{flag}" if flag else f"env.{variable}" if variable else "profile"
    return Finding(
        severity=rule["severity"],
        path=f"deployments.{one.origin or one.name}.{path}",
        message=f"{rule['says']} [{rule['source']}]",
        suggestion=rule["instead"],
    )
