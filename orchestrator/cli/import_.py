"""`orch import`: recipes, compose files, inventories and containers that run, as files of orch."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.options import accept_option, json_option, traceback_option
from orchestrator.cli.paths import GivenPath
from orchestrator.cli.terminal import waiting
from orchestrator.errors import FilesWrong

if TYPE_CHECKING:
    from orchestrator.spec.models import Finding
    from orchestrator.take.files import Files, Wish
    from orchestrator.take.model import Taken

MAX_BYTES = 1 << 20
VERSION = 1  # of the JSON form, docs/json.md


@dataclass(frozen=True)
class Asked:
    """What the command line says."""

    words: tuple[str, ...]
    from_hosts: tuple[str, ...]
    folder: Path
    inventory: Path | None
    format: str | None
    hosts: tuple[str, ...]
    name: str
    kind: str | None
    show: bool
    force: bool
    json: bool
    accept: bool

    @property
    def inventory_path(self) -> Path:
        return self.inventory or self.folder / "inventory.yaml"


@click.command("import")
@click.argument("words", nargs=-1, metavar="FILE…|CONTAINER…")
@click.option(
    "--from-host",
    "from_hosts",
    multiple=True,
    metavar="HOST",
    help="Read the named containers of this host; may stand more than once.",
)
@click.option(
    "-o",
    "--output",
    "folder",
    type=GivenPath(file_okay=False),
    default=Path(),
    show_default="here",
    help="The folder to write to.",
)
@click.option(
    "-i",
    "--inventory",
    type=GivenPath(dir_okay=False),
    help="The inventory whose hosts are used; inventory.yaml of that folder if not said.",
)
@click.option("--format", "form", metavar="NAME", help="What FILE is, where that is not clear.")
@click.option(
    "--hosts",
    metavar="A,B",
    help="The hosts to put it on, the head first; of an inventory: those to take.",
)
@click.option("--name", default="imported", show_default=True, help="The cluster's name.")
@click.option("--kind", help="The kind of all hosts of an inventory that is taken, like dgx-spark.")
@click.option("--print", "show", is_flag=True, help="Print the files, write nothing.")
@click.option("--force", is_flag=True, help="Write over files that are there; a copy is kept.")
@accept_option
@traceback_option
@json_option
def import_(
    words: tuple[str, ...],
    from_hosts: tuple[str, ...],
    folder: Path,
    inventory: Path | None,
    form: str | None,
    hosts: str | None,
    name: str,
    kind: str | None,
    show: bool,
    force: bool,
    accept_new_host_keys: bool,
    verbose: bool,
    as_json: bool,
) -> None:
    """Take what people have: write a profile, a deployment or an inventory from it.

    A FILE is a recipe of sparkrun or spark-vllm-docker, a docker compose file, an Ansible inventory, an ssh_config,
    or what `docker inspect` says; - reads stdin. With --from-host, CONTAINERs that run there are read; the cluster
    file that is written takes them over by name. What can't be translated is named. Exit 2 if the result does not
    pass `orch check`.
    """  # fmt: skip
    chosen = tuple(one.strip() for one in (hosts or "").split(",") if one.strip())
    asked = Asked(
        words,
        from_hosts,
        folder,
        inventory,
        form,
        chosen,
        name,
        kind,
        show,
        force,
        as_json,
        accept_new_host_keys,
    )
    sys.exit(_import(asked))


def _import(asked: Asked) -> int:
    from orchestrator.take.files import files_of

    if not asked.words and not asked.from_hosts:
        raise FilesWrong(
            "nothing to import",
            hint="orch import FILE…, or orch import --from-host HOST CONTAINER…",
        )
    with waiting("reading containers") if asked.from_hosts else nullcontext():
        taken = _running(asked) if asked.from_hosts else _read(asked)
    if asked.hosts:
        _only(taken, asked.hosts)
    wish = _wish(asked, taken)
    made = files_of(taken, wish)
    kept: dict[str, str] = {}
    written = _to_write(asked, made)
    if not asked.show:
        kept = _write(asked, {path: made.texts[path] for path in written})
    findings = _checked(asked, made, wish)
    if asked.json:
        click.echo(
            json.dumps(
                _document(asked, made, written, kept, findings), indent=2, ensure_ascii=False
            )
        )
    else:
        _tell(asked, made, written, kept, findings)
    wrong = any(one.severity == "error" for one in findings)
    return 2 if wrong else 0


# --- reading ----------------------------------------------------------------------------------------


def _read(asked: Asked) -> dict[str, Taken]:
    from orchestrator.take.sources import source_of, take

    found = {}
    for word in asked.words:
        text, folder = _text(word)
        found[word] = take(source_of("stdin" if word == "-" else word, text, folder), asked.format)
    return found


def _text(word: str) -> tuple[str, str]:
    """A file's text, and the folder that its relative paths start at."""
    if word == "-":
        return sys.stdin.read(MAX_BYTES), str(Path.cwd())
    path = Path(word)
    try:
        path = path.expanduser()
        if not path.is_file():
            raise FilesWrong(
                f"{word} is not a file" if path.exists() else f"there is no file {word}"
            )
        if path.stat().st_size > MAX_BYTES:
            raise FilesWrong(f"{word} is larger than 1 MiB: no file that can be taken")
        return path.read_text(encoding="utf-8-sig"), str(path.parent.absolute())
    except (OSError, ValueError, RuntimeError) as error:
        if isinstance(error, FilesWrong):
            raise
        raise FilesWrong(f"{word} can't be read: {error}") from error


def _running(asked: Asked) -> dict[str, Taken]:
    from orchestrator.cli.import_hosts import taken_from_hosts

    return taken_from_hosts(
        asked.from_hosts, asked.words, asked.inventory_path, accept=asked.accept
    )


def _only(taken: Mapping[str, Taken], hosts: Sequence[str]) -> None:
    """Of inventories, these hosts alone."""
    for one in taken.values():
        if one.hosts and any(name in one.hosts for name in hosts):
            gone = [name for name in one.hosts if name not in hosts]
            one.hosts = {name: it for name, it in one.hosts.items() if name in hosts}
            one.groups = {
                name: kept
                for name, members in one.groups.items()
                if (kept := [member for member in members if member in hosts])
            }
            one.left = [it for it in one.left if not any(f" {name}" in it.where for name in gone)]
            if gone:
                one.leave("hosts", ", ".join(gone), "not in --hosts")


def _wish(asked: Asked, taken: Mapping[str, Taken]) -> Wish:
    """Where it can go: the inventory that is there."""
    from orchestrator.spec.resolve import load_inventory
    from orchestrator.take.files import Place, Wish
    from orchestrator.take.names import name_for

    path = asked.inventory_path
    wish = Wish(cluster=name_for(asked.name), hosts=asked.hosts, kind=asked.kind)
    if any(one.hosts for one in taken.values()):
        return wish
    if asked.inventory is not None:
        wish.inventory = str(asked.inventory.absolute())
    if path.exists():
        hosts = load_inventory(path).hosts
        wish.places = tuple(Place(name, host.gpu_count) for name, host in hosts.items())
    return wish


# --- writing ----------------------------------------------------------------------------------------


def _to_write(asked: Asked, made: Files) -> list[str]:
    """All, less a cluster file that is there: what to add to it is told. Others are never written over."""
    paths = list(made.texts)
    if asked.show or asked.force:
        return paths
    there = [path for path in paths if (asked.folder / path).exists() and path != "cluster.yaml"]
    if there:
        raise FilesWrong(
            f"{', '.join(str(asked.folder / path) for path in there)}: there already, and not written over",
            hint="--force writes it anew and keeps a copy; --print only shows; -o FOLDER writes elsewhere",
        )
    return [path for path in paths if not (asked.folder / path).exists()]


def _write(asked: Asked, texts: Mapping[str, str]) -> dict[str, str]:
    from orchestrator.cli.init import put

    kept = {}
    for path, text in texts.items():
        old = put(asked.folder / path, text)
        if old is not None:
            kept[path] = str(old)
    return kept


def _checked(asked: Asked, made: Files, wish: Wish) -> tuple[Finding, ...]:
    """What `orch check` says of the result, which is looked at in a folder of its own."""
    from orchestrator.spec.models import Finding

    if not wish.places and made.deployments:
        hint = "`orch init HOST…` writes one; so does `orch import` from an Ansible inventory or an ssh_config"
        return (Finding(message=f"there is no inventory {asked.inventory_path}", suggestion=hint),)
    with tempfile.TemporaryDirectory(prefix="orch-import-") as place:
        folder = Path(place)
        for path, text in made.texts.items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            if path == "cluster.yaml" and "inventory.yaml" not in made.texts:
                text = text.replace(
                    f"inventory: {wish.inventory}\n",
                    f"inventory: {json.dumps(str(asked.inventory_path.absolute()))}\n",
                )
            target.write_text(text, encoding="utf-8")
        found = _findings(folder, made)
        return tuple(
            one.model_copy(update={"file": one.file.replace(f"{place}/", "")}) for one in found
        )


def _findings(folder: Path, made: Files) -> tuple[Any, ...]:
    from orchestrator.cli.files import read_files
    from orchestrator.spec.resolve import load_inventory

    if made.deployments:
        return read_files(folder / "cluster.yaml", ())[1]
    try:
        load_inventory(folder / "inventory.yaml")
    except FilesWrong as wrong:
        return wrong.findings
    return ()


# --- telling ----------------------------------------------------------------------------------------


def _tell(
    asked: Asked,
    made: Files,
    written: Sequence[str],
    kept: Mapping[str, str],
    findings: Sequence[Finding],
) -> None:
    from orchestrator.cli.files import finding_line

    if asked.show:
        for path, text in made.texts.items():
            click.secho(f"# --- {path}", fg="cyan")
            click.echo(text)
    elif made.deployments and "cluster.yaml" not in written:
        click.secho(
            f"# {asked.folder / 'cluster.yaml'} is there already: add this to it", fg="cyan"
        )
        click.echo(_addition(made))
    for source, left in made.left.items():
        click.echo(f"{click.style('not translated', fg='yellow')} of {source}:", err=True)
        for one in left:
            click.echo(f"  {one}", err=True)
    for text in made.missing:
        click.echo(f"{click.style('missing', fg='yellow')}: {text}", err=True)
    for finding in findings:
        click.echo(finding_line(finding), err=True)
    for path, old in kept.items():
        click.echo(f"the old {path} is {old}", err=True)
    for path in () if asked.show else written:
        click.echo(f"{click.style('written', fg='green')}: {asked.folder / path}", err=True)


def _addition(made: Files) -> str:
    """The part of the cluster file from its deployments on."""
    lines = made.texts["cluster.yaml"].splitlines()
    return "\n".join(lines[lines.index("deployments:") :])


def _document(
    asked: Asked,
    made: Files,
    written: Sequence[str],
    kept: Mapping[str, str],
    findings: Sequence[Finding],
) -> dict[str, Any]:
    """What `--json` prints; docs/json.md describes it."""
    return {
        "version": VERSION,
        "ok": not any(one.severity == "error" for one in findings),
        "files": made.texts,
        "written": [] if asked.show else [str(asked.folder / path) for path in written],
        "kept": dict(kept),
        "left": [
            {"source": source, **asdict(one)} for source, left in made.left.items() for one in left
        ],
        "missing": made.missing,
        "findings": [one.model_dump() for one in findings],
    }
