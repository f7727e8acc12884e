"""What makes a class a question to a host: see contracts.Query."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True)
def question(cls: type[T]) -> type[T]:
    """A frozen dataclass with a hash of its own, worked out once.

    That of a plain one tells its fields alone. Most questions have none: they would all get in each other's way
    wherever a host's answers are looked up. They are also asked for over and over: there is one of each.
    """
    made: Any = dataclass(frozen=True)(cls)
    fields_hash = made.__hash__

    def own_hash(self: Any) -> int:
        try:
            return self._hash  # type: ignore[no-any-return]
        except AttributeError:
            found = hash((made.__qualname__, fields_hash(self)))
            object.__setattr__(self, "_hash", found)
            return found

    made.__hash__ = own_hash
    if not fields(made):
        only = object.__new__(made)
        made.__new__ = lambda kind: only if kind is made else object.__new__(kind)
    return made  # type: ignore[no-any-return]
