"""`orch lab`: rehearsal hosts on this machine, and faults to rehearse with."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.options import json_option
from orchestrator.cli.paths import GivenPath
from orchestrator.cli.terminal import columns, waiting, wrapped
from orchestrator.errors import FilesWrong

if TYPE_CHECKING:
    from orchestrator.lab.home import Home
    from orchestrator.lab.layout import Segment, Topology
    from orchestrator.lab.progress import Progress
    from orchestrator.lab.records import Record
    from orchestrator.lab.up import Making, Wish

name_option = click.option("--name", default="lab", show_default=True, help="Which lab.",
                           callback=lambda *given: _checked(given[2]))  # fmt: skip
engines_option = click.option(
    "--engines", default="vllm,llamacpp", show_default=True, callback=lambda *given: _engines(given[2]),
    help="What the hosts shall serve with; llamacpp alone is ready in a minute.",
)  # fmt: skip

release_option = click.option(
    "--release", default="", metavar="CODENAME",
    help="Debian or Ubuntu release of the hosts, as trixie.  [default: this machine's own]",
)  # fmt: skip


def named(command: Callable[..., None]) -> Callable[..., None]:
    """Which lab, as an argument too: for verbs that have no other."""

    @click.argument("lab", metavar="[NAME]", required=False)
    @click.option("--name", help="Which lab.  [default: lab]")
    @functools.wraps(command)
    def with_name(lab: str | None, name: str | None, **more: Any) -> None:
        said = {one for one in (lab, name) if one is not None} or {"lab"}
        if len(said) > 1:
            raise FilesWrong(f"which lab: {lab} or {name}?", hint="say it once")
        command(name=_checked(said.pop()), **more)

    return with_name


@click.group()
def lab() -> None:
    """Rehearsal hosts on this machine: real sshd, systemd, netplan and docker, with no GPU."""


def _engines(text: str) -> tuple[str, ...]:
    from orchestrator.lab.recipe import ENGINES

    asked = [name.strip().replace(".", "") for name in text.split(",")]
    unknown = [name for name in asked if name not in ENGINES]
    if unknown:
        raise FilesWrong(
            f"--engines: a lab has no {', '.join(unknown)}", hint=f"it has {', '.join(ENGINES)}"
        )
    return tuple(name for name in ENGINES if name in asked)


def _checked(name: str) -> str:
    from orchestrator.lab.layout import check_name

    return check_name(name)


def _home() -> Home:
    from orchestrator.lab.home import Home

    return Home()


def _progress() -> Progress:
    from orchestrator.cli.lab_progress import shown_progress  # rich takes a while to load

    return shown_progress()


@lab.command()
@click.option(
    "--vm", is_flag=True, help="What `up --vm` needs: QEMU, an image, two booted machines."
)
@engines_option
@release_option
def setup(vm: bool, engines: tuple[str, ...], release: str) -> None:
    """Make what labs need, once.

    That is a docker engine, an image of hosts, vLLM's build for CPUs, llama.cpp, a tiny model.
    """
    home = _home()
    if vm:
        _of_one_release(release)
        from orchestrator.lab.vm.up import set_up_vms

        click.echo(f"ready in {set_up_vms(home, _progress(), count=2).image.folder}")
        return
    from orchestrator.lab.setup import set_up

    pieces = set_up(home, _progress(), engines, release)
    click.echo(f"ready in {home.path}: {pieces.image}")


@lab.command()
@click.option("--hosts", "count", type=click.IntRange(1), help="How many.  [default: 2]")
@click.option(
    "--topology",
    type=click.Choice(["pair", "ring", "switch"]),
    help="How they are cabled.  [default: pair; ring of three and more]",
)
@click.option("--vm", is_flag=True,
              help="Virtual machines instead of containers: kernels of their own, and Soft-RoCE.")  # fmt: skip
@named
@click.option("--dir", "folder", type=GivenPath(file_okay=False),
              help="Where inventory.yaml and the key go.  [default: ./.orch/lab/NAME]")  # fmt: skip
@click.option("--like", type=GivenPath(exists=True, dir_okay=False),
              help="Build the hosts, ports and links of this inventory.")  # fmt: skip
@engines_option
@release_option
@json_option
def up(
    count: int | None,
    topology: Topology | None,
    vm: bool,
    name: str,
    folder: Path | None,
    like: Path | None,
    engines: tuple[str, ...],
    release: str,
    as_json: bool,
) -> None:
    """Start a lab and write its inventory."""
    from orchestrator.lab.like import read
    from orchestrator.lab.up import Wish, bring_up

    model = read(like) if like is not None else None
    if model is not None and (count or topology):
        raise FilesWrong(
            "--like says how many hosts and how they are cabled: no --hosts, no --topology"
        )
    if vm:
        _of_one_release(release)
    hosts, segments = _shape(count, topology) if model is None else (model.hosts, model.segments)
    wish = Wish(name, hosts, segments, folder or Path(".orch/lab") / name, model, engines, release)
    record = bring_up(_home(), wish, _progress(), _vms() if vm else None)
    _show(record, wish, as_json)


def _of_one_release(asked: str) -> None:
    from orchestrator.lab.recipe import recipe

    if asked not in ("", recipe().vm.release):
        raise FilesWrong(f"--release {asked}: virtual machines are of {recipe().vm.release}")


def _vms() -> Making:
    from orchestrator.lab.vm.up import VMS

    return VMS


def _shape(
    count: int | None, topology: Topology | None
) -> tuple[tuple[str, ...], tuple[Segment, ...]]:
    from orchestrator.lab.layout import cabling

    number = count or 2
    hosts = tuple(f"spark-{index}" for index in range(1, number + 1))
    if number == 1 and topology is None:
        return hosts, ()
    usual: Topology = "pair" if number == 2 else "ring"
    return hosts, cabling(hosts, topology or usual)


def _show(record: Record, wish: Wish, as_json: bool) -> None:
    from orchestrator.lab.like import not_rehearsed
    from orchestrator.lab.recipe import recipe

    inventory = record.folder / "inventory.yaml"
    hosts = {host.name: host.address for host in record.layout.hosts}
    ports = {host.name: host.port for host in record.layout.hosts}
    lacks = recipe().vm.not_rehearsed if record.made_of == "vm" else recipe().not_rehearsed
    missing = [*lacks, *(not_rehearsed(wish.like) if wish.like else [])]
    if as_json:
        shown = {"version": 1, "name": wish.name, "inventory": str(inventory), "hosts": hosts, "ports": ports,
                 "not_rehearsed": missing}  # fmt: skip
        click.echo(json.dumps(shown, indent=2))
        return
    for host, address in hosts.items():
        click.echo(f"{host}  {address}" + (f" port {ports[host]}" if ports[host] != 22 else ""))
    click.echo(f"inventory: {inventory}")
    first = record.layout.hosts[0]
    port = f" -p {first.port}" if first.port != 22 else ""
    files = record.folder
    click.echo(
        f"try: ssh -i {files}/id_ed25519 -o UserKnownHostsFile={files}/known_hosts{port} orch@{first.address}"
    )
    profile = "lab-llama" if "llamacpp" in wish.engines else "lab-vllm"
    then = f"a cluster.yaml with `inventory: {inventory}` and `profile: {profile}`, and orch up"
    if record.made_of == "vm":  # they have no container engine
        then = f"orch verify-rdma -i {inventory}"
    click.echo(wrapped(f"next: {then}", columns(), 6))
    tell_not_rehearsed(missing)


def tell_not_rehearsed(lacks: Iterable[str]) -> None:
    """Nobody shall take a rehearsal for more than it is."""
    click.secho("\nnot rehearsed", bold=True)
    for sentence in lacks:
        click.echo(wrapped(f"  · {sentence}", columns(), 4))


@lab.command()
@named
def down(name: str) -> None:
    """Remove a lab; what was made once stays for the next."""
    from orchestrator.lab.down import take_down

    take_down(_home(), name, _progress())
    click.echo(f"lab {name} is gone")


@lab.command("ls")
@json_option
def list_(as_json: bool) -> None:
    """List the labs on this machine."""
    from orchestrator.lab.labs import list_labs

    labs = list_labs(_home())
    if as_json:
        click.echo(json.dumps({"version": 1, "labs": [vars(each) for each in labs]}, indent=2))
        return
    for each in labs:
        click.echo(f"{each.name}  {each.folder}")
        for host, state in each.hosts.items():
            broken = each.faults.get(host, [])
            click.echo(f"  {host}  {state}" + (f"  broken: {', '.join(broken)}" if broken else ""))
    if not labs:
        click.echo("no labs")


@lab.command("break")
@click.argument("host")
@click.argument("what")
@name_option
def break_(host: str, what: str, name: str) -> None:
    """Break a host. Virtual machines have no docker-down, disk-full and container-killed.

    \b
    power-off               the plug is pulled
    reboot                  power is lost for a moment
    sshd-frozen             sshd accepts connections and never answers
    docker-down             the docker engine is stopped
    cable:PORT              a cable is pulled, both halves
    slow-link[:PORT[:RATE]] 100mbit if not said
    disk-full[:FOLDER]      /models if not said
    container-killed:NAME   the container's first process is killed
    """
    from orchestrator.lab.faults import break_ as break_host

    with waiting(f"{host}: {what}"):
        told = break_host(_home(), name, host, what)
    click.echo(told)


@lab.command()
@click.argument("host")
@click.argument("what", required=False)
@name_option
def heal(host: str, what: str | None, name: str) -> None:
    """Heal one fault of a host, or all of them."""
    from orchestrator.lab.faults import heal as heal_host

    with waiting(f"{host} is healed"):
        told = list(heal_host(_home(), name, host, what))
    for line in told:
        click.echo(line)
