"""What keys a file may have where, read from the models: for did-you-mean, `--set`, `x-`."""

from __future__ import annotations

import types
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

Model = type[BaseModel]


def leaves(annotation: Any) -> tuple[Any, ...]:
    """The members of a union, without `Annotated` and None."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return leaves(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        return tuple(leaf for member in get_args(annotation) for leaf in leaves(member))
    return () if annotation is type(None) else (annotation,)


@cache
def fields(model: Model) -> Mapping[str, Any]:
    """The keys of a model as the YAML spells them, with their annotations."""
    return {field.alias or name: field.annotation for name, field in model.model_fields.items()}


def model_for(annotation: Any, data: Mapping[str, Any]) -> Model | None:
    """The model of a union that this mapping is most likely meant to be."""
    models = [leaf for leaf in leaves(annotation) if is_model(leaf)]
    return max(models, key=lambda model: len(fields(model).keys() & data.keys()), default=None)


def is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def value_type(annotation: Any) -> Any:
    """What a mapping of names holds; None where the annotation is no such mapping."""
    for leaf in leaves(annotation):
        if get_origin(leaf) is Mapping:
            return get_args(leaf)[1]
    return None


def item_type(annotation: Any) -> Any:
    """What a list holds."""
    for leaf in leaves(annotation):
        if get_origin(leaf) is tuple:
            return get_args(leaf)[0]
    return Any


def known_keys(annotation: Any, data: Mapping[str, Any]) -> tuple[str, ...]:
    """The keys that a mapping may have here; none where any key goes."""
    model = model_for(annotation, data)
    return tuple(fields(model)) if model else ()


def choices(annotation: Any) -> tuple[Any, ...]:
    """The words that a value may be, where it is one of a few."""
    return tuple(
        word
        for leaf in leaves(annotation)
        if get_origin(leaf) is Literal
        for word in get_args(leaf)
    )


def strip(annotation: Any, data: Any, *, nulls: bool = False) -> Any:
    """Data as the models take it: where one stands, no `x-` keys, and no empty ones."""
    if isinstance(data, dict):
        model = model_for(annotation, data)
        if model is not None:
            known = fields(model)
            return {
                key: strip(known.get(key, Any), value, nulls=nulls)
                for key, value in data.items()
                if not key.startswith("x-") and (nulls or value is not None)
            }
        inner = value_type(annotation)
        if inner is not None:
            return {
                key: strip(inner, _nothing_said(inner, value), nulls=nulls)
                for key, value in data.items()
                if nulls or value is not None or _takes_null(inner)
            }
    if isinstance(data, list):
        return [strip(item_type(annotation), item, nulls=nulls) for item in data]
    return data


def _nothing_said(inner: Any, value: Any) -> Any:
    """`spark-1:` with nothing behind it is a host with all defaults."""
    return {} if value is None and _may_be_empty(inner) else value


def _may_be_empty(inner: Any) -> bool:
    return any(getattr(leaf, "may_be_empty", False) for leaf in leaves(inner))


def _takes_null(inner: Any) -> bool:
    """Whether a null is a value here; elsewhere it takes away what the file builds on."""
    allowed = inner is Any or type(None) in get_args(inner)
    return allowed or _may_be_empty(inner)
