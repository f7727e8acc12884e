"""Data flows one way (design §4): what is pure imports nothing that reaches out, and shell is made in one place."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "orchestrator"
PURE = (
    "spec",
    "facts",
    "network",
    "steps",
    "engines",
    "runtimes",
    "ranks",
    "plan",
    "rdma",
    "knowledge",
    "flags",
    "take",
    "export",
)
OUTSIDE = frozenset(
    (
        "paramiko",
        "fabric",
        "invoke",
        "socket",
        "subprocess",
        "httpx",
        "sqlite3",
        "requests",
        "urllib.request",
    )
)
UPSTAIRS = ("orchestrator.hosts", "orchestrator.run", "orchestrator.cli", "orchestrator.lab")
SHELL_MAKERS = frozenset(("sh", "Sh", "user_shell"))


def modules(*folders: str) -> list[Path]:
    return sorted(path for one in folders for path in (PACKAGE / one).rglob("*.py"))


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


@pytest.mark.parametrize("path", modules(*PURE), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_pure_parts_reach_nowhere(path: Path) -> None:
    names = set(imported(path))
    assert not {name for name in names if any(within(name, one) for one in OUTSIDE)}
    assert not {name for name in names if any(within(name, one) for one in UPSTAIRS)}


def test_only_hosts_and_lab_open_connections() -> None:
    """Fabric and paramiko are hosts' alone; lab/ speaks to the local docker by subprocess."""
    for path in modules("cli", "run"):
        names = set(imported(path))
        assert not {name for name in names if within(name, "paramiko") or within(name, "fabric")}, (
            path
        )


def test_shell_templates_are_literals() -> None:
    """Every value is quoted by construction: no f-string and no variable is ever a template of `sh`."""
    loose = []
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.name == "script.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
                continue
            if node.func.id == "sh" and not (
                node.args
                and isinstance(node.args[0], ast.Constant)
                and isinstance(node.args[0].value, str)
            ):
                loose.append(f"{path.relative_to(PACKAGE)}:{node.lineno}")
    assert loose == []


def test_user_shell_is_for_users_alone() -> None:
    users = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if "orchestrator.script.user_shell" in set(imported(path))
    }
    assert users <= {"steps/shell.py", "cli/hosts.py"}
