"""Options that every verb shares, and the `Site` they describe: the cluster's files and its hosts."""

from __future__ import annotations

import functools
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from orchestrator.framing import Held
    from orchestrator.hosts.pool import Pool
    from orchestrator.redact import Redactor
    from orchestrator.spec.models import Cluster
    from orchestrator.spec.resolve import Purpose


class Site:
    """What a verb works on; files are read and connections opened when they are first asked for."""

    def __init__(
        self,
        path: Path,
        overrides: tuple[str, ...],
        hosts: str | None,
        *,
        json: bool,
        verbose: bool,
        accept_new_host_keys: bool,
        purpose: Purpose,
    ) -> None:
        self.path = path
        self.json = json
        self.verbose = verbose
        self._overrides = overrides
        self._hosts = hosts
        self._accept = accept_new_host_keys
        self._purpose: Purpose = purpose

    @cached_property
    def cluster(self) -> Cluster:
        from orchestrator.spec.resolve import load_cluster

        return load_cluster(self.path, self._overrides, purpose=self._purpose)

    @cached_property
    def only(self) -> frozenset[str] | None:
        """The hosts that `--hosts` names (groups too), or None for all."""
        if self._hosts is None:
            return None
        from orchestrator.plan.build import named_hosts

        names = tuple(name.strip() for name in self._hosts.split(",") if name.strip())
        return frozenset(named_hosts(self.cluster, names))

    @cached_property
    def redactor(self) -> Redactor:
        from orchestrator.redact import Redactor

        return Redactor()

    def redact(self, text: str) -> str:
        return self.redactor.scrub(text)

    @cached_property
    def hosts(self) -> Pool:
        from orchestrator.hosts.pool import Pool
        from orchestrator.hosts.secrets import Secrets, secret_refs

        refs = secret_refs(self.cluster.hosts, self.cluster)
        secrets = Secrets(refs, self.redactor, self.cluster.root)
        return Pool(self.cluster.hosts, secrets, accept_new_host_keys=self._accept)

    @property
    def held(self) -> dict[str, Held]:
        return self.hosts.held

    def close(self) -> None:
        if "hosts" in self.__dict__:
            self.hosts.close()


def cluster_options(
    command: Callable[..., Any] | None = None, *, purpose: Purpose = "check"
) -> Callable[..., Any]:
    """Adds the shared options to a click command and hands it a `Site` as its first argument."""
    if command is None:
        return functools.partial(cluster_options, purpose=purpose)
    inner = command

    @click.argument("cluster_file", default="cluster.yaml", type=click.Path(path_type=Path))
    @click.option("--set", "overrides", multiple=True, metavar="PATH=VALUE",
                  help="Override a value of the files for this call, e.g. vl.parallel.pipeline=2.")  # fmt: skip
    @click.option("--hosts", metavar="A,B", help="Only these hosts (names or groups).")
    @click.option("--json", "as_json", is_flag=True, help="JSON on stdout (docs/json.md).")
    @click.option("-v", "--verbose", is_flag=True, help="Say more; tracebacks on errors.")
    @click.option(
        "--accept-new-host-keys", is_flag=True, help="Trust the key of a host not seen before."
    )
    @functools.wraps(inner)
    def wrapped(
        *args: Any,
        cluster_file: Path,
        overrides: tuple[str, ...],
        hosts: str | None,
        as_json: bool,
        verbose: bool,
        accept_new_host_keys: bool,
        **more: Any,
    ) -> Any:
        site = Site(
            cluster_file,
            overrides,
            hosts,
            json=as_json,
            verbose=verbose,
            accept_new_host_keys=accept_new_host_keys,
            purpose=purpose,
        )
        try:
            return inner(site, *args, **more)
        finally:
            site.close()

    return wrapped
