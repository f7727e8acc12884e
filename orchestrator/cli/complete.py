"""What a shell offers at TAB: names from the files that are here; nothing where they can't be read."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from orchestrator.errors import OrchError

if TYPE_CHECKING:
    from orchestrator.spec.models import Cluster

Offer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def offered(known: Callable[[click.Context], Iterable[str]]) -> Offer:
    """Those of `known` that begin as what is typed."""

    def offer(ctx: click.Context, param: click.Parameter, typed: str) -> list[CompletionItem]:
        try:
            return [CompletionItem(name) for name in known(ctx) if name.startswith(typed)]
        except OrchError:
            return []

    return offer


def _cluster(ctx: click.Context) -> Cluster:
    from orchestrator.spec.resolve import load_cluster, load_inventory

    path = ctx.params.get("cluster_file") or Path("cluster.yaml")
    if not path.exists():  # `orch logs vl`: the word is none
        path = Path("cluster.yaml")
    inventory = ctx.params.get("inventory")
    if inventory is None and not path.exists():
        inventory = Path("inventory.yaml")
    return load_inventory(inventory) if inventory else load_cluster(path, purpose="look")


def _deployments(ctx: click.Context) -> Iterable[str]:
    return _cluster(ctx).deployments


def _hosts(ctx: click.Context) -> Iterable[str]:
    cluster = _cluster(ctx)
    return [*cluster.hosts, *cluster.groups]


def _profiles(ctx: click.Context) -> Iterable[str]:
    from orchestrator.spec.catalogue import names

    return names(Path())


def _playbooks(ctx: click.Context) -> Iterable[str]:
    from orchestrator.data import listing

    return [name.removesuffix(".yaml") for name in listing("playbooks", Path(), ".yaml")]


def listed(ctx: click.Context, param: click.Parameter, typed: str) -> list[CompletionItem]:
    """Hosts and groups behind the last comma of `--hosts`."""
    before, comma, last = typed.rpartition(",")
    return [CompletionItem(before + comma + one.value) for one in hosts(ctx, param, last)]


def file_or_deployment(
    ctx: click.Context, param: click.Parameter, typed: str
) -> list[CompletionItem]:
    """`orch logs`: its first word may be either."""
    return deployments(ctx, param, typed) or [CompletionItem(typed, type="file")]


deployments = offered(_deployments)
hosts = offered(_hosts)
profiles = offered(_profiles)
playbooks = offered(_playbooks)
