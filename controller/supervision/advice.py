"""Advice: in ADVISORY the plan's moves are told to the operator, who decides.

Pure functions on `AdviceState`. `advise` ends a cycle: it keeps an advice while the plan confirms
it, replaces it when the plan has changed its mind, and lets it lapse when nothing confirms it.
`handle_advice_requests` begins one: what the operator accepts, rejects or holds. An advice is
*overtaken* when a target or the set point that it was computed from has changed since, or when the
plan has turned round; overtaken or expired, it is not accepted any more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import isfinite

import numpy as np

from controller.advice_config import AdviceConfig
from controller.data import Estimate, Forecast, Mode, Plan, ReachedBy, Targets, Validated
from controller.supervision.advice_data import (
    AcceptedAdvice,
    Advice,
    AdviceAction,
    AdviceRequest,
    AdviceState,
    Quiet,
    overtaken_by,
)
from controller.supervision.advice_requests import give_back, handle_advice_requests
from controller.supervision.advice_words import limits_in_use, number, why
from controller.supervision.bumpless import limited_move
from controller.supervision.gate_limits import mv_tags, tight_bounds
from plant_models.signals import LineState, SignalTable, Snapshot

__all__ = [
    "AcceptedAdvice",
    "Advice",
    "AdviceAction",
    "AdviceRequest",
    "AdviceState",
    "advise",
    "give_back",
    "handle_advice_requests",
    "order_reason",
    "overtaken_by",
]

_NO_LIMITS: Mapping[str, tuple[float, float]] = {}
_CONFIRMS = frozenset({ReachedBy.FAST, ReachedBy.REFERENCE, ReachedBy.BASELINE})


@dataclass(frozen=True, slots=True)
class _Move:
    """What the plan would do with an MV now, in its plant unit; ``step`` is its largest move."""

    mv: str
    unit: str
    now: float
    value: float
    leads_to: float
    step: float

    @property
    def up(self) -> bool:
        return self.value >= self.now

    @property
    def size(self) -> float:
        """Size of the move [steps]."""
        return abs(self.value - self.now) / self.step


def order_reason(accepted: AcceptedAdvice) -> str:
    """The reason under which the PLC is asked to carry out an advice."""
    return f"advice {accepted.advice.id}: {accepted.reason}"


def advise(
    state: AdviceState,
    *,
    plan: Plan | None,
    forecast: Forecast | None,
    estimate: Estimate | None,
    validated: Validated | None,
    snapshot: Snapshot,
    targets: Targets,
    mode: Mode,
    period_s: float,
    table: SignalTable,
    config: AdviceConfig,
    limits: Mapping[str, tuple[float, float]] = _NO_LIMITS,
) -> AdviceState:
    """The advice after this cycle.

    Parameters
    ----------
    state
        After the operators' requests of this cycle.
    plan, forecast, estimate, validated, snapshot
        Of this cycle; without a plan that a solver has made nothing is confirmed.
    targets
        Set points of the CVs [SI].
    mode
        Outside ADVISORY, and while the line does not run, there is no advice.
    period_s
        Control period.
    table
        Signal list: units, ranges, rates.
    config
        Settings.
    limits
        Ranges (lo, hi) of operator and product by MV tag, SI; moves are limited as by the gate.
    """
    time = snapshot.time
    if mode is not Mode.ADVISORY:
        return state if not state.current else replace(state, current=())
    longest = max(config.reject_s, config.accepted_s)  # else plant time has gone back
    quiet = {mv: q for mv, q in state.quiet.items() if time < q.until <= time + longest}
    alive = tuple(a for a in state.current if a.made <= time < a.expires)
    if validated is None:
        return replace(state, current=alive, quiet=quiet)
    if validated.line_state is not LineState.RUNNING:
        return replace(state, current=(), quiet=quiet)
    moves: dict[str, _Move] = {}
    if plan is not None and plan.reached_by in _CONFIRMS:
        moves = _moves(plan, validated, snapshot, limits, table, period_s, config)
    expires = time + config.expiry_cycles * period_s
    current = []
    for old in alive:
        overtaken = overtaken_by(old, validated, targets, period_s, table, config)
        after = _after(old, moves.get(old.mv), overtaken, time, expires, config)
        if after is not None:
            current.append(after)
    told = {a.mv for a in current}
    new = [
        m
        for m in moves.values()
        if m.mv not in told and m.size >= config.dead_band_steps and not _silent(quiet, m, config)
    ]
    if plan is not None and new:
        active = limits_in_use(plan, validated, table)
        for i, move in enumerate(new, start=state.next_id):
            reason, effects = why(move.mv, plan, forecast, estimate, targets, config)
            current.append(
                Advice(
                    id=i,
                    mv=move.mv,
                    value=move.value,
                    unit=move.unit,
                    now=move.now,
                    leads_to=move.leads_to,
                    reason=reason,
                    effect=effects[0].text if effects else "",
                    effects=effects,
                    limits=active,
                    computed_from=dict(targets.set_points),
                    made=time,
                    lapses=expires,
                    expires=expires,
                )
            )
    return AdviceState(next_id=state.next_id + len(new), current=tuple(current), quiet=quiet)


def _moves(
    plan: Plan,
    validated: Validated,
    snapshot: Snapshot,
    limits: Mapping[str, tuple[float, float]],
    table: SignalTable,
    period_s: float,
    config: AdviceConfig,
) -> dict[str, _Move]:
    """What the plan does with each MV that may be moved, limited as the gate would."""
    later = int(np.searchsorted(plan.times, config.effect_s))
    found = {}
    for tag, values in plan.moves.items():
        spec, signal = table.mv(tag), table[f"{tag}/ACT"]
        now, planned = signal.from_si(validated.actual[tag]), signal.from_si(float(values[0]))
        leads_to = signal.from_si(float(values[min(later, len(values) - 1)]))
        if not validated.available.get(tag, False) or not isfinite(now + planned + leads_to):
            continue
        bounds = tight_bounds(mv_tags(spec, period_s), snapshot, limits.get(tag))
        if isinstance(bounds, str):
            continue
        found[tag] = _Move(
            mv=tag,
            unit=spec.unit,
            now=now,
            value=limited_move(planned, now, bounds, 1.0).value,
            leads_to=min(max(leads_to, bounds.lo), bounds.hi),
            step=spec.rate * period_s,
        )
    return found


def _after(
    advice: Advice,
    move: _Move | None,
    overtaken: str,
    time: float,
    expires: float,
    config: AdviceConfig,
) -> Advice | None:
    """An advice after a cycle: confirmed, left to lapse, or gone (None)."""
    held = advice.held_by != "" and time < advice.held_until
    if not held and advice.held_by:
        advice = replace(advice, held_by="")
    if overtaken or advice.overtaken:
        return replace(advice, overtaken=advice.overtaken or overtaken) if held else None
    if move is None or move.size < 0.5 * config.dead_band_steps:
        return advice
    if move.up != (advice.value >= advice.now):
        if move.size < config.dead_band_steps:
            return advice
        return replace(advice, overtaken="the plan has turned round") if held else None
    if abs(move.value - advice.value) <= config.change_steps * move.step:
        return replace(advice, lapses=expires, expires=max(expires, advice.expires), note="")
    if not held:
        return None
    return replace(advice, note=f"the plan now says {number(move.value, move.unit)}")


def _silent(quiet: Mapping[str, Quiet], move: _Move, config: AdviceConfig) -> bool:
    """Whether the operator's last word on an MV still stands."""
    last = quiet.get(move.mv)
    if last is None:
        return False
    if last.action is AdviceAction.ACCEPT:  # until it is entered
        return abs(move.now - last.value) > config.set_point_steps * move.step
    other = abs(move.leads_to - last.leads_to) > config.reject_change_steps * move.step
    return move.up == last.up and not other
