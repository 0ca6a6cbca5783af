"""Permissives of CLOSED_LOOP: one table of what each means, and their state with since when.

A permissive is evaluated from data only. Safety permissives act at once, others after they have
been lost for a number of cycles (debounce). One that is not built is absent, never green.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from controller.config import SupervisionConfig

__all__ = [
    "NEEDED_TO_CLOSE",
    "NEEDED_TO_RESUME",
    "SAFETY",
    "SHEDS_SUSPENDED",
    "SHEDS_WRITING",
    "TABLE",
    "Finding",
    "Loss",
    "Name",
    "Permissive",
    "Row",
    "Shown",
    "debounce_of",
    "first_lost",
    "missing",
    "update",
]

Shown = float | str | None


class Name(StrEnum):
    """The permissives that exist."""

    HEARTBEAT = "plant heartbeat"
    PLC_MODE = "PLC mode and lease"
    LINE_STATE = "line running"
    PERMIT = "no interlock"
    MEASUREMENTS = "enough measurements"
    INSTRUMENTS = "instruments within their allowances"
    SET_POINTS = "critical set points available"
    SERVICES = "critical variables in service"
    ESTIMATOR = "estimator converged"
    SOLVER = "solver healthy"
    AGREEMENT = "recipe, model and units agree"
    PRODUCT = "product set bound"
    COMMANDS = "commands accepted"
    READINESS = "readiness evaluated"
    OPERATOR = "operator's role and reason"


class Loss(StrEnum):
    """What the loss of a permissive does."""

    AT_ONCE = "sheds at once"
    DEBOUNCED = "sheds after its debounce"
    SUSPENDS = "suspends"
    WAITS = "is waited for"
    NOTHING = "is only shown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One permissive: what its loss does, and what the operator is told.

    ``writing`` holds in CLOSED_LOOP while the line runs, ``suspended`` while it does not or is only
    just back. ``granted`` is one that the plant gives when it is asked for control; all others are
    needed before it is asked. ``to_resume``: needed to go on after a suspension. ``debounce`` is
    the field of `DebounceConfig`. ``means`` says what is watched, ``remedy`` what to do about it.
    """

    name: Name
    means: str
    remedy: str
    value: str
    writing: Loss
    suspended: Loss
    safety: bool = False
    granted: bool = False
    to_resume: bool = True
    debounce: str = ""


TABLE: tuple[Row, ...] = (
    Row(
        name=Name.HEARTBEAT,
        means="the plant answers, and its heartbeat advanced since the last cycle",
        remedy="check the PLC and the network",
        value="age of the heartbeat [s]",
        writing=Loss.AT_ONCE,
        suspended=Loss.AT_ONCE,
        safety=True,
    ),
    Row(
        name=Name.PLC_MODE,
        means="the PLC is in the mode asked for and its lease is this controller's",
        remedy="see why the PLC left it (SHED_CAUSE); then ADVISORY and CLOSED_LOOP again",
        value="mode of the PLC",
        writing=Loss.AT_ONCE,
        suspended=Loss.WAITS,
        safety=True,
        granted=True,
    ),
    Row(
        name=Name.LINE_STATE,
        means="the line runs; outside of running the PLC's sequence owns all set points",
        remedy="nothing: control resumes by itself when the line is back in time",
        value="state of the line",
        writing=Loss.SUSPENDS,
        suspended=Loss.WAITS,
    ),
    Row(
        name=Name.PERMIT,
        means="no interlock of the PLC is active",
        remedy="clear the cause of the interlock at the PLC",
        value="permit of the PLC",
        writing=Loss.AT_ONCE,
        suspended=Loss.AT_ONCE,
        safety=True,
    ),
    Row(
        name=Name.MEASUREMENTS,
        means="every required measurement gave a usable value within its grace",
        remedy="see to the instruments that are named",
        value="required measurements missing",
        writing=Loss.DEBOUNCED,
        suspended=Loss.WAITS,
        debounce="measurements_cycles",
    ),
    Row(
        name=Name.INSTRUMENTS,
        means="no instrument is lost for longer than the twin may stand in for it",
        remedy="repair the instrument that is named; it comes back after its check",
        value="instruments lost",
        writing=Loss.DEBOUNCED,
        suspended=Loss.WAITS,
        debounce="instruments_cycles",
    ),
    Row(
        name=Name.SET_POINTS,
        means="the PLC lets the controller move every critical set point",
        remedy="give back at the PLC the set points that are named",
        value="critical set points not available",
        writing=Loss.DEBOUNCED,
        suspended=Loss.WAITS,
        debounce="set_points_cycles",
    ),
    Row(
        name=Name.SERVICES,
        means="critical variables are in service, and no fewer than the minimum",
        remedy="take the variable that is named back into service",
        value="variables in service",
        writing=Loss.DEBOUNCED,
        suspended=Loss.WAITS,
        debounce="services_cycles",
    ),
    Row(
        name=Name.ESTIMATOR,
        means="the innovation test was passed in enough cycles in a row",
        remedy="wait; if it stays, look for an instrument that contradicts the others",
        value="cycles passed",
        writing=Loss.DEBOUNCED,
        suspended=Loss.WAITS,
        debounce="estimator_cycles",
    ),
    Row(
        name=Name.SOLVER,
        means="the solver made the plan in enough cycles in a row",
        remedy="wait; if it stays, call the engineer",
        value="cycles solved",
        writing=Loss.DEBOUNCED,
        suspended=Loss.WAITS,
        debounce="solver_cycles",
    ),
    Row(
        name=Name.AGREEMENT,
        means="recipe, signal list, engineering units and ranges are the same on both sides",
        remedy="load the same recipe and signal list in the PLC and in the controller",
        value="recipe in the PLC",
        writing=Loss.AT_ONCE,
        suspended=Loss.AT_ONCE,
        safety=True,
    ),
    Row(
        name=Name.PRODUCT,
        means="the product set that is bound to the run is the one that the PLC has loaded",
        remedy="load the product set in the PLC, or bind the PLC's set here, in MONITORING",
        value="product set in the PLC",
        writing=Loss.AT_ONCE,
        suspended=Loss.AT_ONCE,
        safety=True,
    ),
    Row(
        name=Name.COMMANDS,
        means="the last command was written, not refused, and reads back as it was written",
        remedy="see the reason; if it comes back, call the engineer",
        value="frames refused",
        writing=Loss.DEBOUNCED,
        suspended=Loss.WAITS,
        debounce="commands_cycles",
    ),
    Row(
        name=Name.READINESS,
        means="the controller judged itself in ADVISORY and may be offered",
        remedy="stay in ADVISORY until the readiness report is complete",
        value="lines of the report met",
        writing=Loss.NOTHING,
        suspended=Loss.NOTHING,
        to_resume=False,
    ),
    Row(
        name=Name.OPERATOR,
        means="an operator with the role for it has asked for the loop and said why",
        remedy="ask for CLOSED_LOOP with a reason, as an operator",
        value="who",
        writing=Loss.AT_ONCE,
        suspended=Loss.AT_ONCE,
    ),
)

_SHEDS = frozenset({Loss.AT_ONCE, Loss.DEBOUNCED})

SAFETY = frozenset(r.name for r in TABLE if r.safety)
"""Lost: shed within one cycle. The line state is safety too, but suspends instead."""

NEEDED_TO_CLOSE = frozenset(r.name for r in TABLE if not r.granted)
NEEDED_TO_RESUME = frozenset(r.name for r in TABLE if r.to_resume and not r.granted)
SHEDS_WRITING = frozenset(r.name for r in TABLE if r.writing in _SHEDS)
SHEDS_SUSPENDED = frozenset(r.name for r in TABLE if r.suspended in _SHEDS)

_ROWS: Mapping[Name, Row] = {r.name: r for r in TABLE}


@dataclass(frozen=True, slots=True)
class Finding:
    """Evaluation of one permissive in one cycle; ``value`` is what its row says."""

    name: Name
    good: bool
    text: str
    value: Shown = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Permissive:
    """State of a permissive: since when [s, UTC], and for how many cycles it has been lost.

    Lost for ``debounce_cycles`` it sheds; 0 sheds at once, or never if the loss is only shown.
    """

    name: Name
    good: bool
    text: str
    since: float
    lost_cycles: int
    value: Shown = None
    debounce_cycles: int = 0

    @property
    def safety(self) -> bool:
        """Whether its loss sheds without debounce."""
        return self.name in SAFETY

    @property
    def remedy(self) -> str:
        """What the operator can do about its loss."""
        return _ROWS[self.name].remedy


def debounce_of(config: SupervisionConfig) -> dict[Name, int]:
    """Debounce per permissive that has one [cycles]."""
    return {r.name: getattr(config.debounce, r.debounce) for r in TABLE if r.debounce}


def update(
    before: Mapping[Name, Permissive],
    findings: Iterable[Finding],
    time: float,
    debounce: Mapping[Name, int] | None = None,
) -> dict[Name, Permissive]:
    """Carry ``since`` and the count of lost cycles on to the new findings."""
    debounce = {} if debounce is None else debounce
    after: dict[Name, Permissive] = {}
    for f in findings:
        old = before.get(f.name)
        lost = 0 if f.good else (1 if old is None or old.good else old.lost_cycles + 1)
        if old is not None and old.good == f.good:
            unchanged = (old.text, old.value, old.lost_cycles) == (f.text, f.value, lost)
            after[f.name] = (
                old if unchanged else replace(old, text=f.text, value=f.value, lost_cycles=lost)
            )
        else:
            after[f.name] = Permissive(
                name=f.name,
                good=f.good,
                text=f.text,
                value=f.value,
                since=time,
                lost_cycles=lost,
                debounce_cycles=debounce.get(f.name, 0),
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
