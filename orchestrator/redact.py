"""Takes secret values out of text before anyone sees it: errors, events, logs, evidence."""

from __future__ import annotations

import base64
import json
import threading
from urllib.parse import quote as url_quote

from orchestrator.script import quote

MASK = "[REDACTED]"
SHORTEST = 4  # a shorter value would mask half of every text, and protects nothing


class Redactor:
    """Knows the values that were used so far, in the forms in which they can turn up."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._forms: tuple[str, ...] = ()

    def add(self, value: str) -> None:
        """Mask this value from now on, also as base64, JSON, URL and shell word."""
        lines = {line.strip() for line in value.splitlines()}
        forms = {form for part in {value, value.strip()} | lines for form in _forms(part)}
        with self._lock:
            kept = {form for form in forms | set(self._forms) if len(form) >= SHORTEST}
            self._forms = tuple(sorted(kept, key=len, reverse=True))

    def scrub(self, text: str) -> str:
        """The text with every known value replaced."""
        for form in self._forms:
            if form in text:
                text = text.replace(form, MASK)
        return text


def _forms(value: str) -> set[str]:
    if len(value) < SHORTEST:
        return set()
    data = value.encode()
    return {
        value,
        base64.b64encode(data).decode(),
        json.dumps(value)[1:-1],
        json.dumps(value, ensure_ascii=False)[1:-1],
        quote(value),
        url_quote(value, safe=""),
    }
