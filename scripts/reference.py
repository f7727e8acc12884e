"""Makes the reference pages of docs/ from what they describe: schemas, click's help, the table of failures.

python scripts/reference.py            # write docs/files.md, docs/cli.md, docs/troubleshooting.md
python scripts/reference.py --check    # exit 1 if one of them is not as it would be written
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import click
import yaml

from orchestrator.cli import root as orch
from orchestrator.errors import FilesWrong, Interrupted, Locked, OrchError, Refused, Unreachable
from orchestrator.spec.schema import MODELS, schema

DOCS = Path(__file__).resolve().parents[1] / "docs"
MADE = "<!-- Made by scripts/reference.py: change what it describes, then run it. -->"
EXAMPLES = {  # a commented file with all keys, where there is one
    "cluster": "../examples/reference/cluster.yaml",
    "inventory": "../examples/reference/inventory.yaml",
    "kind": "../examples/reference/kinds/my-box.yaml",
    "playbook": "../examples/own-playbook/playbooks/morning.yaml",
    "profile": "../examples/reference/profiles/everything.yaml",
}
EXIT_CODES = (
    (0, "done; with `orch up`, every deployment answered", None),
    (OrchError.exit_code, "something failed", OrchError),
    (FilesWrong.exit_code, "files or usage are wrong; no host was touched", FilesWrong),
    (Unreachable.exit_code, "a host could not be reached", Unreachable),
    (Refused.exit_code, "refused by a gate", Refused),
    (Locked.exit_code, "another run holds the lease on a host", Locked),
    (Interrupted.exit_code, "interrupted", Interrupted),
)


# --- files.md ---------------------------------------------------------------------------------------


def files_page() -> str:
    lines = [
        "# Files",
        MADE,
        "",
        "What you write, key by key. Each file starts with `version: 1`; unknown keys are errors, except those",
        "that start with `x-`, which are free for anchors. Sizes are bytes or a number with `KiB`, `MiB`, `GiB`;",
        "durations are seconds or a number with `s`, `m`, `h`. Editors complete and check the files with the schemas",
        "under `docs/schema/`, which `orch schema` prints too.",
        "",
    ]
    for name in MODELS:
        lines += [f"## {name}", "", f"With comments: [{EXAMPLES[name]}]({EXAMPLES[name]})", ""]
        lines += _schema_tables(name)
    return "\n".join(lines)


def _schema_tables(name: str) -> Iterator[str]:
    found = schema(name)
    yield from _table(found, found)
    for title, part in found.get("$defs", {}).items():
        if "properties" in part:
            yield f"### {name}: {title.removesuffix('Entry')}"
            yield ""
            yield from _table(part, found)


def _table(part: Mapping[str, Any], whole: Mapping[str, Any]) -> Iterator[str]:
    required = set(part.get("required", ()))
    yield "| key | takes | if not said | |"
    yield "| --- | --- | --- | --- |"
    for key, value in part["properties"].items():
        default = "required" if key in required else _default(value)
        yield f"| `{key}` | {_cell(_type(value))} | {_cell(default)} | {_cell(value['description'])} |"
    yield ""


def _default(value: Mapping[str, Any]) -> str:
    default = value.get("default")
    if default in (None, "", [], {}):
        return ""
    if isinstance(default, dict):
        return ""  # a part with defaults of its own
    return f"`{json.dumps(default, ensure_ascii=False)}`"


def _type(value: Mapping[str, Any]) -> str:
    """A JSON Schema type in a few words."""
    if "$ref" in value:
        return str(value["$ref"].rpartition("/")[2]).removesuffix("Entry")
    for union in ("anyOf", "oneOf"):
        if union in value:
            kinds = (_type(one) for one in value[union] if one.get("type") != "null")
            return " or ".join(dict.fromkeys(kinds))
    if "const" in value:
        return f"`{json.dumps(value['const'])}`"
    if "enum" in value:
        return " or ".join(f"`{json.dumps(one)}`" for one in value["enum"])
    return _plain(value)


def _plain(value: Mapping[str, Any]) -> str:
    kind = value.get("type")
    if kind == "array":
        inner = value.get("items")
        return f"list of {_type(inner)}" if isinstance(inner, dict) else "list"
    if kind == "object":
        inner = value.get("additionalProperties")
        if inner is None and value.get("patternProperties"):
            inner = next(iter(value["patternProperties"].values()))
        return f"name → {_type(inner)}" if isinstance(inner, dict) and inner else "mapping"
    words = {"string": "text", "integer": "number", "number": "number", "boolean": "true or false"}
    return words.get(str(kind), "anything")


def _cell(text: str) -> str:
    return re.sub(r"\s+", " ", text.replace("|", "\\|")).strip()


# --- cli.md -----------------------------------------------------------------------------------------


def cli_page() -> str:
    lines = [
        "# Commands",
        MADE,
        "",
        "`orch VERB --help` says the same. A file that is not named is `cluster.yaml` here.",
        "",
        "## Exit codes",
        "",
        "| code | meaning |",
        "| --- | --- |",
        *(f"| {code} | {meaning} |" for code, meaning, _ in EXIT_CODES),
        "",
    ]
    for name, command in _commands(orch, "orch"):
        lines += [f"## {name}", "", "```text", _help(name, command), "```", ""]
    return "\n".join(lines)


def _commands(group: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    yield name, group
    if isinstance(group, click.Group):
        context = click.Context(group)
        for one in group.list_commands(context):
            command = group.get_command(context, one)
            if command is not None:
                yield from _commands(command, f"{name} {one}")


def _help(name: str, command: click.Command) -> str:
    context = click.Context(
        command, info_name=name, terminal_width=100, max_content_width=100,
        help_option_names=["-h", "--help"],
    )  # fmt: skip
    return command.get_help(context)


# --- troubleshooting.md -------------------------------------------------------------------------------


def troubleshooting_page() -> str:
    text = files("orchestrator.knowledge").joinpath("failures.yaml").read_text(encoding="utf-8")
    lines = [
        "# Troubleshooting",
        MADE,
        "",
        "When a run fails, `orch` keeps the last lines of every rank's log and looks for these in them. The same table",
        "for people: look for the words of your error.",
        "",
        "First of all: `orch runs show last` (what failed, and why), `orch status` (what runs now, and what else",
        "does), `orch logs --since 10m` (all ranks in one stream), `orch plan -v` (what is not as it should be).",
        "",
        "| the log says | which means | what to do |",
        "| --- | --- | --- |",
    ]
    for one in yaml.safe_load(text)["failures"]:
        said, cause, remedy = one["says"], one["cause"], one["remedy"]
        cells = (f"`{_cell(said)}`", _cell(_blanks(cause)), _cell(_blanks(remedy)))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", *_links(), ""])


def _links() -> list[str]:
    """What knowledge/rdma.yaml says, for people."""
    text = files("orchestrator.knowledge").joinpath("rdma.yaml").read_text(encoding="utf-8")
    known = yaml.safe_load(text)
    return [
        "## Links",
        "",
        "What can keep a link between two hosts from being measured:",
        "",
        "| called | which means | what to do |",
        "| --- | --- | --- |",
        *(_link_line(one["kind"], one) for one in known["failures"]),
        "",
        "What makes a link slow, or lies behind one of those:",
        "",
        "| called | which means | what to do |",
        "| --- | --- | --- |",
        *(_link_line(one["name"], one) for one in known["causes"]),
    ]


def _link_line(name: str, one: Mapping[str, Any]) -> str:
    return f"| `{name}` | {_cell(_blanks(one['cause']))} | {_cell(_blanks(one['remedy']))} |"


def _blanks(text: str) -> str:
    """Places that are filled with what was found."""
    return re.sub(r"(?<!\{)\{\w+\}", "…", text).replace("{{", "{").replace("}}", "}")


# --- all ------------------------------------------------------------------------------------------------

PAGES = {
    "files.md": files_page,
    "cli.md": cli_page,
    "troubleshooting.md": troubleshooting_page,
}


@click.command()
@click.option("--check", is_flag=True, help="Write nothing; exit 1 if a page is not current.")
def main(check: bool) -> None:
    """Write the reference pages."""
    stale = []
    for name, page in PAGES.items():
        path, text = DOCS / name, page()
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(name)
        if not check:
            path.write_text(text, encoding="utf-8")
            click.echo(str(path))
    if check and stale:
        click.echo(f"not current: {', '.join(stale)}; run scripts/reference.py", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
