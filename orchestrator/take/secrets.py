"""What must never be written: names and values that are secrets, by how they look."""

from __future__ import annotations

import json
import re

NAMES = frozenset(
    ("TOKEN", "SECRET", "PASSWORD", "PASSWD", "PASS", "APIKEY", "CREDENTIAL", "CREDENTIALS", "PAT")
)
FLAGS = re.compile(
    r"(^|[-.])(api-?key|access-key|secret|password|passwd|hf-token|auth-token|token)$"
)
# Forms that hubs and clouds give out, a JSON web token, a URL with a password.
VALUE = re.compile(
    r"\b(hf_[A-Za-z0-9]{16,}|sk-[A-Za-z0-9_-]{16,}|nvapi-[A-Za-z0-9_-]{16,}|gh[pousr]_[A-Za-z0-9]{16,}"
    r"|github_pat_[A-Za-z0-9_]{16,}|glpat-[A-Za-z0-9_-]{12,}|xox[abpr]-[A-Za-z0-9-]{10,}|AKIA[A-Z0-9]{12,}"
    r"|eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{6,})|://[^/\s:@]+:[^/\s@]+@"
)
# In a command's text: what stands behind `--api-key`, `HF_TOKEN=`, `Authorization: Bearer`.
BEHIND = re.compile(
    r"(?i)((?:--?[\w.-]*(?:api-?key|token|password|passwd|secret)|[A-Z0-9_]*(?:TOKEN|SECRET|PASSWORD|_KEY)|bearer)"
    r"(?:[=:]\s*|\s+))(?!\$)[^\s'\"]+"
)
MASK = "[secret]"
LONGEST = 80
UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]+")


def secret_name(name: str) -> bool:
    """Whether a variable of this name holds a secret."""
    parts = [part for part in re.split(r"[^A-Z0-9]+", name.upper()) if part]
    return bool(NAMES & set(parts)) or parts[-1:] == ["KEY"]


def secret_flag(name: str) -> bool:
    """Whether a flag of this name (no dashes before, none of `_`) takes a secret."""
    return FLAGS.search(name.lower()) is not None


def secret_value(value: object) -> bool:
    """Whether a value is one, whatever it is called."""
    return isinstance(value, str) and VALUE.search(value) is not None


def shown(value: object) -> str:
    """A value in one line of a message or a comment, with secrets masked."""
    if value is None or value == "":
        return ""
    try:
        told = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        told = type(value).__name__
    told = UNPRINTABLE.sub(" ", BEHIND.sub(rf"\1{MASK}", VALUE.sub(MASK, told))).strip()
    return told if len(told) <= LONGEST else told[: LONGEST - 1] + "…"
