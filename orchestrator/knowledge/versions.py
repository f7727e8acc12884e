"""Flags and variables that the profile's version of its engine does not have, with what took their place. Pure.

A version that is not known, or not in the tables, is told nothing that may be false: only of names that no known
version has.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from orchestrator.flags import flags
from orchestrator.flags.versions import Known, Names, Span, Version, known, version, words
from orchestrator.meant import close
from orchestrator.ranks.arguments import name_of
from orchestrator.spec.models import Cluster, Deployment, Finding


def check(cluster: Cluster, told: frozenset[str] = frozenset()) -> Iterator[Finding]:
    """told: paths of which a rule of pairs.yaml has spoken already, with its own reason."""
    for one in cluster.deployments.values():
        table = known(one.profile.engine_key)
        if table is None:
            continue
        for finding in _Case(one, table).findings():
            if finding.path not in told:
                yield finding


@dataclass(frozen=True)
class _Case:
    """A deployment and the table of its engine."""

    deployment: Deployment
    table: Known
    version: Version | None = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "version", version(self.deployment.profile))

    def findings(self) -> Iterator[Finding]:
        profile = self.deployment.profile
        own = flags(profile.engine_key)
        for key in profile.args:
            name = bare(key, own.get("always", []))
            if name and name not in own["owned"]:
                said = self._said(f"--{name}", name, self.table.flags)
                yield from self._finding(f"args.{name_of(key)}", said, "flags", name)
        variables = {*profile.env, *(n for env in profile.env_by_host.values() for n in env)}
        for name in sorted(variables):
            if name.startswith(own.get("variables", "\0")):
                said = self._said(name, name, self.table.variables)
                yield from self._finding(f"env.{name}", said, "variables", name)

    def _said(self, shown: str, name: str, names: Names) -> str:
        """What is wrong with a name for this version; "" if nothing is known to be."""
        spans, engine = names.get(name, ()), self.deployment.profile.engine
        first, last = self.table.versions[0], self.table.versions[-1]
        if not spans:
            if self._short_for_one(name, names):
                return ""
            return f"no {engine} from {words(first)} to {words(last)} has {shown}"
        if self.version is None or any(self.version in span for span in spans):
            return ""
        return self._not_in(self.version, shown, spans)

    def _not_in(self, version: Version, shown: str, spans: tuple[Span, ...]) -> str:
        engine = self.deployment.profile.engine
        later = [span.since for span in spans if span.since > version]
        if later:
            return f"{engine} {words(version)} has no {shown}: it came with {words(min(later))}"
        gone = max(span.removed or () for span in spans)
        return f"{engine} {words(version)} has no {shown}: it is gone since {words(gone)}"

    def _short_for_one(self, name: str, names: Names) -> bool:
        """argparse takes the beginning of a flag for the whole where it is the only one."""
        at = self.version
        longer = [
            other
            for other, spans in names.items()
            if other.startswith(name) and (at is None or any(at in span for span in spans))
        ]
        return bool(longer) and len(name) > 1 and (at is None or len(longer) == 1)

    def _finding(self, place: str, said: str, kind: str, name: str) -> Iterator[Finding]:
        if not said:
            return
        one = self.deployment
        by_hand = flags(one.profile.engine_key).get("replaced", {}).get(kind, {})
        replaced = {**self.table.replaced, **by_hand}
        names = self.table.flags if kind == "flags" else self.table.variables
        last = self.version or self.table.versions[-1]
        there = [other for other, spans in names.items() if any(last in span for span in spans)]
        near = close(name, there) if name not in names else None
        instead = replaced.get(name) or (f"did you mean {near}?" if near else f"take {name} out")
        yield Finding(
            severity="warning",
            path=f"deployments.{one.origin or one.name}.{place}",
            message=said,
            suggestion=instead,
        )


def bare(key: str, always: list[str]) -> str:
    """The flag that a key of `args:` stands for; "" where it is one of every version (`-O3`)."""
    name = name_of(key).split(".")[0]
    if any(re.fullmatch(rf"{re.escape(one)}\d*", name) for one in always):
        return ""
    return name.removeprefix("no-") if name.startswith("no-") else name
