"""Finds engines and runtimes by walking their package, and imports one only when it is asked for."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable
from functools import cached_property
from typing import Generic, TypeVar, cast

from orchestrator.errors import FilesWrong
from orchestrator.meant import did_you_mean

T = TypeVar("T")


class Registry(Generic[T]):
    """Modules of a package by name. A module that has not the attribute is an error, not a helper."""

    def __init__(self, package: str, path: Iterable[str], attribute: str, what: str) -> None:
        self._package = package
        self._path = list(path)
        self._attribute = attribute
        self._what = what

    def names(self) -> tuple[str, ...]:
        """File names, without importing any."""
        return self._names

    @cached_property
    def _names(self) -> tuple[str, ...]:
        return tuple(sorted(one.name for one in pkgutil.iter_modules(self._path)))

    def get(self, name: str) -> T:
        module = name.replace(".", "").replace("-", "_").lower()  # llama.cpp → llamacpp
        if module not in self.names():
            raise FilesWrong(
                f"unknown {self._what} {name!r}", hint=did_you_mean(module, self.names())
            )
        found = importlib.import_module(f"{self._package}.{module}")
        return cast("T", getattr(found, self._attribute))
