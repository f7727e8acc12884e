"""What a word that nobody knows may have meant: for keys, names, flags and verbs alike."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

SHOWN = 16


def close(word: str, known: Iterable[str]) -> str | None:
    """The known word that was most likely meant."""
    by_lower = {name.lower().replace("_", "-"): name for name in known}
    found = difflib.get_close_matches(word.lower().replace("_", "-"), by_lower, n=1, cutoff=0.6)
    return by_lower[found[0]] if found else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A suggestion for an unknown word: the close one, or what there is; "" if there is nothing."""
    names = list(known)
    match = close(word, names)
    if match is not None:
        return f"did you mean {match!r}?"
    if not names:
        return ""
    return f"there are: {', '.join(names[:SHOWN])}" + (", …" if len(names) > SHOWN else "")
