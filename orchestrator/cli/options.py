"""Options that every verb shares, and the `Site` they describe: the cluster's files and its hosts."""

from __future__ import annotations

import functools
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli import complete
from orchestrator.cli.paths import GivenPath

if TYPE_CHECKING:
    from orchestrator.framing import Held
    from orchestrator.hosts.pool import Pool
    from orchestrator.hosts.secrets import Secrets
    from orchestrator.redact import Redactor
    from orchestrator.spec.models import Cluster
    from orchestrator.spec.resolve import Purpose


json_option = click.option("--json", "as_json", is_flag=True, help="JSON on stdout (docs/json.md).")
accept_option = click.option(
    "--accept-new-host-keys",
    "accept_new_host_keys",
    is_flag=True,
    help="Trust the key of a host not seen before.",
)
set_option = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="PATH=VALUE",
    help="Override a value of the files for this call, e.g. vl.parallel.pipeline=2.",
)
traceback_option = click.option("-v", "--verbose", is_flag=True, help="Tracebacks on errors.")


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
        inventory: Path | None = None,
    ) -> None:
        self.path = path
        self._inventory = inventory
        self.json = json
        self.verbose = verbose
        self._overrides = overrides
        self._hosts = hosts
        self._accept = accept_new_host_keys
        self._purpose: Purpose = purpose

    @cached_property
    def cluster(self) -> Cluster:
        from orchestrator.spec.resolve import load_cluster, load_inventory

        if self._inventory is not None:
            return load_inventory(self._inventory, self._overrides)
        return load_cluster(self.path, self._overrides, purpose=self._purpose)

    @cached_property
    def only(self) -> frozenset[str] | None:
        """The hosts that `--hosts` names (groups too), or None for all."""
        if self._hosts is None:
            return None
        from orchestrator.errors import FilesWrong
        from orchestrator.plan.build import named_hosts

        names = tuple(name.strip() for name in self._hosts.split(",") if name.strip())
        if not names:
            raise FilesWrong("--hosts names no host", hint="leave it out for all of them")
        return frozenset(named_hosts(self.cluster, names))

    @cached_property
    def redactor(self) -> Redactor:
        from orchestrator.redact import Redactor

        return Redactor()

    def redact(self, text: str) -> str:
        return self.redactor.scrub(text)

    @cached_property
    def secrets(self) -> Secrets:
        from orchestrator.hosts.secrets import Secrets, secret_refs

        refs = secret_refs(self.cluster.hosts, self.cluster)
        return Secrets(refs, self.redactor, self.cluster.root)

    @cached_property
    def hosts(self) -> Pool:
        from orchestrator.hosts.pool import Pool

        return Pool(self.cluster.hosts, self.secrets, accept_new_host_keys=self._accept)

    @property
    def held(self) -> dict[str, Held]:
        return self.hosts.held

    @property
    def words(self) -> list[str]:
        """The files, overrides and hosts as they are typed again."""
        file = [] if self.path == Path("cluster.yaml") else [str(self.path)]
        sets = [word for one in self._overrides for word in ("--set", one)]
        return [*file, *sets, *(() if self._hosts is None else ("--hosts", self._hosts))]

    def also(self, *overrides: str) -> Site:
        """The same files with more overrides, which win over those that are there."""
        return Site(
            self.path,
            (*self._overrides, *overrides),
            self._hosts,
            json=self.json,
            verbose=self.verbose,
            accept_new_host_keys=self._accept,
            purpose=self._purpose,
            inventory=self._inventory,
        )

    def close(self) -> None:
        if "hosts" in self.__dict__:
            self.hosts.close()


def cluster_options(
    command: Callable[..., Any] | None = None,
    *,
    purpose: Purpose = "check",
    first: complete.Offer | None = None,
) -> Callable[..., Any]:
    """Adds the shared options to a click command and hands it a `Site` as its first argument.

    `first`: what a shell offers for the cluster file, where not files.
    """
    if command is None:
        return functools.partial(cluster_options, purpose=purpose, first=first)
    files = click.argument(
        "cluster_file", default="cluster.yaml", type=GivenPath(), shell_complete=first
    )
    return files(_shared(_with_site(command, purpose)))


def host_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The same for verbs whose arguments are hosts or a command: the files are options then."""
    cluster = click.option(
        "-f",
        "--file",
        "cluster_file",
        type=GivenPath(),
        help="Another cluster.yaml.",
    )
    inventory = click.option(
        "-i", "--inventory", type=GivenPath(), help="An inventory without a cluster."
    )
    return cluster(inventory(_shared(_with_site(command, "look"))))


def _with_site(command: Callable[..., Any], purpose: Purpose) -> Callable[..., Any]:
    @functools.wraps(command)
    def wrapped(
        *args: Any,
        cluster_file: Path | None,
        overrides: tuple[str, ...],
        hosts: str | None,
        as_json: bool,
        verbose: bool,
        accept_new_host_keys: bool,
        inventory: Path | None = None,
        **more: Any,
    ) -> Any:
        if cluster_file is None:
            cluster_file = Path("cluster.yaml")
            if inventory is None and not cluster_file.exists() and Path("inventory.yaml").exists():
                inventory = Path("inventory.yaml")
        site = Site(
            cluster_file,
            overrides,
            hosts,
            json=as_json,
            verbose=verbose,
            accept_new_host_keys=accept_new_host_keys,
            purpose=purpose,
            inventory=inventory,
        )
        try:
            return command(site, *args, **more)
        finally:
            site.close()

    return wrapped


def _shared(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        accept_option,
        click.option("-v", "--verbose", is_flag=True, help="Say more; tracebacks on errors."),
        json_option,
        click.option("--hosts", metavar="A,B", shell_complete=complete.listed,
                     help="Only these hosts (names or groups)."),
        set_option,
    ):  # fmt: skip
        command = option(command)
    return command
