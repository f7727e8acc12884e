"""One setting in the words of several builds: the form that the program's own `--help` knows is taken.

Where nobody has read it yet, arguments stay as they were written.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.facts.help import Options
from orchestrator.flags import flags
from orchestrator.ranks.arguments import name_of

Args = Mapping[str, Any]


def fitting(engine: str, args: Args, options: Options | None) -> Args:
    """The arguments as this program takes them, by `forms:` of the engine's table."""
    table = flags(engine).get("forms")
    if options is None or table is None:
        return args
    names = {key: table["aliases"].get(name_of(key), name_of(key)) for key in args}
    found = args
    for group in table["same"]:
        found = _same(group, found, names, options)
    return _fit(table, _valued(table, found, names, options), names, options)


def _same(group: list[Args], args: Args, names: Mapping[str, str], options: Options) -> Args:
    """The first form of the group that is known, in the place of the one that was written."""
    by_name = {names.get(key, key): (key, value) for key, value in args.items()}
    known = [form for form in group if all(name in options for name in form)]
    for form in group:
        said = all(name in by_name and by_name[name][1] == form[name] for name in form)
        if said and known and known[0] is not form:
            gone = {by_name[name][0] for name in form}
            kept = {key: value for key, value in args.items() if key not in gone}
            return {**kept, **known[0]}
    return args


def _valued(table: Args, args: Args, names: Mapping[str, str], options: Options) -> Args:
    """A switch that became a choice of words: `true` is "on" where a value is wanted, and the other way round."""
    found: dict[str, Any] = {}
    for key, value in args.items():
        name = names.get(key, key)
        if name not in table["valued"] or name not in options:
            found[key] = value
        elif options[name]:
            found[key] = ("on" if value else "off") if isinstance(value, bool) else value
        elif value is True or value == "on":
            found[key] = True  # and what is off, or left to the program, is not said
    return found


def _fit(table: Args, args: Args, names: Mapping[str, str], options: Options) -> Args:
    """Fitting gives up as soon as a size is said by hand: it is turned off then, not left to fail."""
    by_hand, said = table["fit"], {names.get(key, key): value for key, value in args.items()}
    sized = any(
        name in said and (values is True or said[name] in values)
        for name, values in by_hand["off_with"].items()
    )
    if not sized or by_hand["flag"] in said or by_hand["flag"] not in options:
        return args
    return {**args, by_hand["flag"]: "off"}
