"""Breaks a lab host the way hosts break, and heals it; both look whether it took effect.

What is broken is in the lab's record: a cable that was pulled stays pulled when its host reboots.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.errors import FilesWrong, Refused
from orchestrator.lab import records
from orchestrator.lab.container_faults import CONTAINERS
from orchestrator.lab.fault import Fault, Sort, Target
from orchestrator.lab.home import Home
from orchestrator.lab.labs import engine_of
from orchestrator.lab.vm.faults import VMS

SORTS: Mapping[records.MadeOf, Sort[Any]] = {"container": CONTAINERS, "vm": VMS}


def _fault(record: records.Record, what: str) -> Fault[Any]:
    name, known = what.partition(":")[0], SORTS[record.made_of].faults
    if name not in known:
        raise FilesWrong(
            f"a lab of {record.made_of}s has no fault {name}", hint=f"there are: {', '.join(known)}"
        )
    return known[name]


def _target(home: Home, lab: str, host: str, what: str) -> Target:
    record = records.load(home, lab)
    if record is None:
        engine_of(home, lab)  # says it if there is no such lab at all
        raise Refused(f"lab {lab} has no record here", hint=f"orch lab down --name {lab}")
    chosen = record.layout.host(host)
    target: Target = SORTS[record.made_of].aim(home, record, chosen, what.partition(":")[2])
    return target


def _aimed(home: Home, lab: str, host: str, what: str) -> tuple[Target, Fault[Any]]:
    target = _target(home, lab, host, what)
    return target, _fault(target.record, what)


def break_(home: Home, lab: str, host: str, what: str) -> str:
    """Break something, see that it is broken, remember it; return what was seen."""
    with home.lock(f"lab-{lab}"):
        target, fault = _aimed(home, lab, host, what)
        if not target.runs():
            raise Refused(f"{host} is off", hint=f"orch lab heal {host} power-off --name {lab}")
        seen = fault.breaks(target)
        if what in ("power-off", "reboot"):
            _after_power_loss(target)
        if fault.heals is not None:
            _remember(home, target, [*_broken(target), what])
        else:
            _remember(home, target, _broken(target))
    return f"{host}: {seen}"


def heal(home: Home, lab: str, host: str, what: str | None) -> list[str]:
    """Heal one fault, or all of a host; return what was seen."""
    with home.lock(f"lab-{lab}"):
        target = _target(home, lab, host, what or "")
        found = [what] if what is not None else [*reversed(_broken(target))]
        if what is None and not target.runs():
            found = ["power-off", *(each for each in found if each != "power-off")]
        said = [_heal_one(home, lab, host, each) for each in found]
    return said or [f"{host}: nothing is broken"]


def _heal_one(home: Home, lab: str, host: str, what: str) -> str:
    target, fault = _aimed(home, lab, host, what)
    if fault.heals is None:
        return f"{host}: {what} is over as soon as it has happened"
    if what != "power-off" and not target.runs():
        raise Refused(f"{host} is off", hint=f"orch lab heal {host} power-off --name {lab}")
    seen = fault.heals(target)
    _remember(home, target, [each for each in _broken(target) if each != what])
    if what == "power-off":
        _break_again(target)
    return f"{host}: {seen}"


def _broken(target: Target) -> list[str]:
    return target.record.faults.get(target.host.name, [])


def _remember(home: Home, target: Target, faults: list[str]) -> None:
    target.record.faults[target.host.name] = list(dict.fromkeys(faults))
    records.save(home, target.record)


def _after_power_loss(target: Target) -> None:
    """What was only a state of processes is gone; what lasts is done again once the host is up."""
    kept = [what for what in _broken(target) if _fault(target.record, what).lasts]
    target.record.faults[target.host.name] = kept
    if target.runs():
        _break_again(target)


def _break_again(target: Target) -> None:
    """Break again what is recorded as broken: docker plugs new cables in when a host starts."""
    for name, faults in target.record.faults.items():
        for what in faults:
            if _fault(target.record, what).lasts:
                host, argument = target.record.layout.host(name), what.partition(":")[2]
                again = target.at(host, argument)
                if again.runs():
                    _fault(target.record, what).breaks(again)
