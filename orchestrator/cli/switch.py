"""`orch switch DEPLOYMENT PROFILE`: another profile in one command, and back to the old one if it does not answer.

What the files say stays the truth until the new profile has answered: a run that is killed is finished by the
same command, or undone by `orch up`.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import click

from orchestrator.cli import complete
from orchestrator.cli.options import Site, cluster_options
from orchestrator.errors import FilesWrong

if TYPE_CHECKING:
    from orchestrator.spec.models import Cluster


@click.command()
@click.argument("deployment", shell_complete=complete.deployments)
@click.argument("profile", shell_complete=complete.profiles)
@cluster_options(purpose="up")
@click.option("--dry-run", is_flag=True, help="Stop after the plan.")
@click.option("--no-write", is_flag=True,
              help="Leave the cluster file as it is; the next `orch up` goes back to what it says.")  # fmt: skip
@click.option("--fetch", is_flag=True,
              help="Let the engine fetch a model that is not on the hosts, while nothing answers.")  # fmt: skip
@click.option("--accept-degraded", is_flag=True,
              help="Start although a link carries less than it should; the journal says so.")  # fmt: skip
@click.option("--playbook", default="up", help="Another playbook than `up` (name or file).")
def switch(
    site: Site,
    deployment: str,
    profile: str,
    dry_run: bool,
    no_write: bool,
    fetch: bool,
    accept_degraded: bool,
    playbook: str,
) -> None:
    """Change a deployment to another profile; back to the old one if that does not answer.

    Files, weights and image are looked at before the old one is stopped. Other deployments are left alone. When the
    new profile has answered, `profile:` of the deployment is changed in the cluster file; comments stay.
    """
    from orchestrator.cli.profile_line import profile_line
    from orchestrator.cli.switched import Switch, switched

    line = profile_line(site.path, deployment, profile)
    new = site.also(f"deployments.{deployment}.profile={json.dumps(profile)}")
    try:
        names = _names(new.cluster, deployment)
        _whole(new, names)
        if not no_write and line.old != line.new:
            line.check()
        wish = Switch(
            old=_old(site),
            new=new,
            names=names,
            line=line,
            write=not no_write,
            fetch=fetch,
            playbook=playbook,
            options={"bandwidth": {"accept": accept_degraded}},
        )
        sys.exit(switched(wish, dry_run=dry_run))
    finally:
        new.close()


def _names(cluster: Cluster, deployment: str) -> frozenset[str]:
    """The deployment, or its replicas: they change together."""
    names = frozenset(one.name for one in cluster.deployments.values() if one.origin == deployment)
    if not names:
        raise FilesWrong(
            f"{deployment} is not enabled: there is nothing to switch",
            hint=f"set deployments.{deployment}.enabled to true, then: orch up",
        )
    return names


def _whole(site: Site, names: frozenset[str]) -> None:
    """A gang changes on all of its hosts or not at all."""
    hosts = {host for name in names for host in site.cluster.deployments[name].hosts}
    outside = sorted(hosts - site.only) if site.only is not None else []
    if outside:
        raise FilesWrong(
            f"it also runs on {', '.join(outside)}: a gang is changed whole",
            hint=f"--hosts {','.join(sorted(hosts | (site.only or frozenset())))}",
        )


def _old(site: Site) -> Cluster | None:
    """What to go back to; nothing where the files as they stand are wrong."""
    try:
        return site.cluster
    except FilesWrong:
        return None
