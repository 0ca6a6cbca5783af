"""Permissives of CLOSED_LOOP: named, with state, text and since when.

A permissive is evaluated from data only. Safety permissives act at once, others after they have
been lost for a number of cycles (debounce). One that is not built is absent, never green.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

__all__ = ["SAFETY", "Finding", "Name", "Permissive", "first_lost", "missing", "update"]


class Name(StrEnum):
    """The permissives that exist."""

    HEARTBEAT = "plant heartbeat"
    PLC_MODE = "PLC mode and lease"
    LINE_STATE = "line running"
    PERMIT = "no interlock"
    MEASUREMENTS = "enough measurements"
    SET_POINTS = "critical set points available"
    ESTIMATOR = "estimator converged"
    SOLVER = "solver healthy"
    AGREEMENT = "recipe, model and units agree"
    COMMANDS = "commands accepted"
    OPERATOR = "operator's role and reason"


SAFETY = frozenset({Name.HEARTBEAT, Name.PLC_MODE, Name.PERMIT, Name.AGREEMENT})
"""Lost: shed within one cycle. The line state is safety too, but suspends instead."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Evaluation of one permissive in one cycle."""

    name: Name
    good: bool
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Permissive:
    """State of a permissive: since when [s, UTC], and for how many cycles it has been lost."""

    name: Name
    good: bool
    text: str
    since: float
    lost_cycles: int

    @property
    def safety(self) -> bool:
        """Whether its loss sheds without debounce."""
        return self.name in SAFETY


def update(
    before: Mapping[Name, Permissive], findings: Iterable[Finding], time: float
) -> dict[Name, Permissive]:
    """Carry ``since`` and the count of lost cycles on to the new findings."""
    after: dict[Name, Permissive] = {}
    for f in findings:
        old = before.get(f.name)
        lost = 0 if f.good else (1 if old is None or old.good else old.lost_cycles + 1)
        if old is not None and old.good == f.good:
            after[f.name] = replace(old, text=f.text, lost_cycles=lost)
        else:
            after[f.name] = Permissive(
                name=f.name, good=f.good, text=f.text, since=time, lost_cycles=lost
            )
    return after


def missing(
    permissives: Mapping[Name, Permissive], *, ignore: frozenset[Name] = frozenset()
) -> tuple[Permissive, ...]:
    """Permissives that are not good, without those to ``ignore``."""
    return tuple(p for p in permissives.values() if not p.good and p.name not in ignore)


def first_lost(
    permissives: Mapping[Name, Permissive],
    debounce: Mapping[Name, int],
    *,
    ignore: frozenset[Name] = frozenset(),
) -> Permissive | None:
    """The permissive whose loss sheds now, if any: safety ones at once, others after debounce.

    A name that ``debounce`` does not know sheds at once.
    """
    for p in missing(permissives, ignore=ignore):
        if p.safety or p.lost_cycles >= debounce.get(p.name, 0):
            return p
    return None
