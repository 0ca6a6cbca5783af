"""An advice, what operators say to it, and what is remembered of both."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum

from controller.advice_config import AdviceConfig
from controller.data import Targets, Validated
from controller.supervision.advice_words import Effect, name_of, number
from plant_models.signals import SignalTable

__all__ = [
    "AcceptedAdvice",
    "Advice",
    "AdviceAction",
    "AdviceRequest",
    "AdviceState",
    "Quiet",
    "overtaken_by",
]

_SAME_TARGET = 1e-9  # relative


class AdviceAction(StrEnum):
    """What an operator may do with an advice."""

    ACCEPT = "accept"
    REJECT = "reject"
    HOLD = "hold"
    RELEASE = "release"


@dataclass(frozen=True, slots=True, kw_only=True)
class AdviceRequest:
    """An operator's word on an advice; user and role come from the authenticated session."""

    id: int
    action: AdviceAction
    user: str
    role: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """One advised move: set ``mv`` from ``now`` to ``value`` (plant unit).

    ``leads_to`` is where the plan has the MV later. ``computed_from`` are the targets (SI) and
    ``now`` the set point in use that it was computed from. ``made`` and ``expires`` are plant time
    [s, UTC]; it lapses at ``lapses`` unless the plan confirms it or somebody holds it: ``held_by``
    until ``held_until``, which asking again does not move beyond ``hold_ends``. ``note`` says what
    has changed since, ``overtaken`` why it may not be accepted any more.
    """

    id: int
    mv: str
    value: float
    unit: str
    now: float
    leads_to: float
    reason: str
    effect: str
    effects: tuple[Effect, ...]
    limits: tuple[str, ...]
    computed_from: Mapping[str, float]
    made: float
    lapses: float
    expires: float
    held_by: str = ""
    held_until: float = 0.0
    hold_ends: float | None = None
    note: str = ""
    overtaken: str = ""

    @property
    def text(self) -> str:
        """The move in one line."""
        return (
            f"{name_of(self.mv)} from {self.now:.5g} to {self.value:.5g} {self.unit} "
            f"(on the way to {self.leads_to:.5g})"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Quiet:
    """An MV for which nothing is advised for a while: accepted or rejected, until when, by whom."""

    until: float
    action: AdviceAction
    value: float
    leads_to: float
    up: bool
    user: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AdviceState:
    """The advice in force, and what is remembered of the operator's answers, by MV tag."""

    next_id: int = 1
    current: tuple[Advice, ...] = ()
    quiet: Mapping[str, Quiet] = field(default_factory=dict)

    def as_json(self) -> str:
        """The advice in force, for machines."""
        return json.dumps([_plain(a) for a in self.current])

    def find(self, number: int) -> Advice | None:
        """The advice with an id, if it is still there."""
        return next((a for a in self.current if a.id == number), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptedAdvice:
    """An advice that an operator has accepted at ``time`` [s, UTC].

    ``carry_out``: the controller is to call the PLC's ``OperatorSet`` with it, in the operator's
    name; else the operator enters it.
    """

    advice: Advice
    user: str
    role: str
    reason: str
    time: float
    carry_out: bool


def _plain(advice: Advice) -> dict[str, object]:
    values = {f.name: getattr(advice, f.name) for f in fields(advice)}
    effects = [{f.name: getattr(e, f.name) for f in fields(e)} for e in advice.effects]
    return {
        **values,
        "computed_from": dict(advice.computed_from),
        "effects": effects,
        "text": advice.text,
    }


def overtaken_by(
    advice: Advice,
    validated: Validated,
    targets: Targets,
    period_s: float,
    table: SignalTable,
    config: AdviceConfig,
) -> str:
    """What has changed since the advice was made so that it must not be followed, or nothing."""
    spec, signal = table.mv(advice.mv), table[f"{advice.mv}/ACT"]
    now = signal.from_si(validated.actual[advice.mv])
    if not validated.available.get(advice.mv, False):
        return f"{name_of(advice.mv)} is not available"
    if not abs(now - advice.now) <= config.set_point_steps * spec.rate * period_s:
        return (
            f"{name_of(advice.mv)} is {number(now, spec.unit)}; the advice was computed from "
            f"{number(advice.now, spec.unit)}"
        )
    for variable in advice.computed_from.keys() | targets.set_points.keys():
        then, wanted = advice.computed_from.get(variable), targets.set_points.get(variable)
        if then is None or wanted is None or abs(wanted - then) > _SAME_TARGET * abs(then):
            return f"the target of {name_of(variable)} has changed"
    return ""
