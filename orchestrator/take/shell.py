"""A shell's text as commands, as far as it is plain: words, `;`, `&&`, line ends. Nothing is run."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from orchestrator.knowledge.servers import basename, table

ENDS = frozenset((";", "&&", "||", "|", "&", "\n", ";;"))
ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)", re.DOTALL)
VARIABLE = re.compile(
    r"\$\$|\$(?:(?P<name>[A-Za-z_][A-Za-z0-9_]*)|\{(?P<braced>[A-Za-z_][A-Za-z0-9_]*)(?P<tail>[^}]*)\})"
)
COMMENT = re.compile(r"^\s*#.*$", re.MULTILINE)
CONTINUED = re.compile(r"\\[ \t]*\r?\n")
WRAPPED = 4  # shells in shells


class NotPlain(ValueError):
    """The text has quotes that do not close, or is nested too deep."""


@dataclass
class Commands:
    """What a container runs: commands in their order, and variables that were set on the way."""

    lines: list[list[str]] = field(default_factory=list)
    env: dict[str, str] = field(default_factory=dict)
    ends: list[str] = field(default_factory=list)  # what stood behind each line


def split(text: str) -> Commands:
    """The commands of a shell's text."""
    text = CONTINUED.sub(" ", COMMENT.sub("", text))
    lexer = shlex.shlex(text, posix=True, punctuation_chars=";&|\n")
    lexer.whitespace = " \t\r"
    lexer.whitespace_split = True
    lexer.commenters = ""
    try:
        tokens = list(lexer)
    except ValueError as error:
        raise NotPlain(str(error)) from error
    found = Commands()
    line: list[str] = []
    commented = False
    for token in [*tokens, "\n"]:
        end = bool(token) and set(token) <= set(";&|\n")
        if end:
            commented = False
            if line:
                found.lines.append(line)
                found.ends.append(token.strip() or "\n")
            line = []
        elif commented or token.startswith("#"):
            commented = True
        else:
            line.append(token)
    return found


def commands(words: Sequence[str], depth: int = 0) -> Commands:
    """What these words run: themselves, or what the shell that they call is told."""
    if depth > WRAPPED:
        raise NotPlain("shells in shells")
    text = _shell_text(words)
    if text is None:
        env, rest = assigned(words)
        return Commands([rest] if rest else [], env, [""] if rest else [])
    found = split(text)
    made = Commands()
    for line, end in zip(found.lines, found.ends, strict=True):
        env, rest = _exported(line)
        for name, value in env.items():
            made.env[name] = expand(value, made.env)[0]
        if rest:
            inner = commands(rest, depth + 1)
            made.lines += inner.lines
            made.env |= inner.env
            made.ends += [*inner.ends[:-1], end][: len(inner.lines)]
    return made


def _shell_text(words: Sequence[str]) -> str | None:
    """`bash -lc TEXT`: the text; `bash -c -i TEXT` too."""
    if not words or basename(words[0]) not in table()["shells"]:
        return None
    told = False
    for word in words[1:]:
        if not word.startswith("-"):
            return word if told else None
        told = told or (not word.startswith("--") and "c" in word)
    return None


def _exported(line: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """`export A=b C=d` and `A=b` set variables for what follows."""
    if line[0] == "export":
        pairs = [ASSIGNMENT.fullmatch(word) for word in line[1:]]
        return {one[1]: one[2] for one in pairs if one}, []
    env, rest = assigned(line)
    return env, rest


def assigned(words: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Variables that stand before a command, and what else may: `exec env A=b nohup vllm …`."""
    env: dict[str, str] = {}
    before = table()["before"]
    at = 0
    while at < len(words):
        pair = ASSIGNMENT.fullmatch(words[at])
        if pair:
            env[pair[1]] = pair[2]
        elif words[at] not in before:
            break
        at += 1
    return env, list(words[at:])


def expand(text: str, env: Mapping[str, str]) -> tuple[str, list[str]]:
    """Variables that are known, and defaults of those that are not; names that stay open."""
    unknown: list[str] = []

    def value(match: re.Match[str]) -> str:
        name = match["name"] or match["braced"]
        if name is None:
            return "$"
        tail = match["tail"] or ""
        if env.get(name) or (name in env and not tail.startswith(":")):
            return env[name]
        if tail.startswith((":-", "-")):
            return tail.lstrip(":")[1:]
        unknown.append(name)
        return match[0]

    return VARIABLE.sub(value, text), unknown
