"""Readiness: in ADVISORY the controller judges itself before control is offered to it.

A forecast is kept until its time has come and then compared with the estimate of that time; the
tablets at the tester judge it a second time, when their result arrives. What the operator has moved
in between takes away the forecasts of what it acts on, a new lot all those made before it: nobody
could have known. The plan's forecast cost of tracking, and what forecasts are found to miss, stand
against the cost that came to pass with the operator's settings. All is summed in blocks of a
minute, of which the last hour's are kept: memory is bounded.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import replace
from math import isfinite, sqrt

import numpy as np

from controller.data import (
    CV,
    Array,
    Estimate,
    Forecast,
    LabSample,
    Mode,
    Plan,
    ReachedBy,
    Targets,
    Validated,
)
from controller.readiness_config import ReadinessConfig
from controller.supervision.advice_words import ACTS_ON
from controller.supervision.permissives import Name, Permissive
from controller.supervision.readiness_data import (
    CVS,
    Pending,
    ReadinessLine,
    ReadinessReport,
    ReadinessState,
    at,
    of_cv,
    times_at,
)
from controller.supervision.readiness_report import report
from plant_models.signals import LineState, SignalTable

__all__ = ["ReadinessLine", "ReadinessReport", "ReadinessState", "observe", "report"]

_BLOCK_S = 60.0
_SAME_S = 1e-6
_WEIGHT = CVS.index(CV.TABLET_WEIGHT.value)
_SOLVED = frozenset({ReachedBy.FAST, ReachedBy.REFERENCE, ReachedBy.BASELINE})
# Not to be fulfilled by a controller that only advises.
_EXEMPT = frozenset({Name.PLC_MODE, Name.OPERATOR, "readiness evaluated"})


def observe(
    state: ReadinessState,
    *,
    plan: Plan | None,
    forecast: Forecast | None,
    estimate: Estimate | None,
    validated: Validated | None,
    targets: Targets,
    permissives: Iterable[Permissive],
    mode: Mode,
    time: float,
    period_s: float,
    table: SignalTable,
    config: ReadinessConfig,
    solve_ms: float | None = None,
) -> ReadinessState:
    """One cycle on; only cycles in ADVISORY with the line running count.

    Parameters
    ----------
    state
        After the cycle before.
    plan, forecast, estimate, validated, targets
        Of this cycle.
    permissives
        Of this cycle.
    mode
        Of this cycle.
    time
        Plant time [s, UTC].
    period_s
        Control period.
    table
        Signal list: rates of the MVs.
    config
        Settings.
    solve_ms
        Wall time of the last solution, where it is an input of the cycle and thus on record.
    """
    running = validated is not None and validated.line_state is LineState.RUNNING
    if mode is not Mode.ADVISORY or validated is None or not running:
        return state if not state.pending else replace(state, pending=())
    row = np.zeros_like(state.open)
    _health(row, plan, estimate, permissives, solve_ms)
    pending = state.pending
    due = _made_at(pending, time - config.look_ahead_s, period_s)
    if due is not None and estimate is not None:
        touched = _touched(due.set_points, validated.actual, table, period_s, config)
        if due.lots == validated.lots:
            _judge(row, due, estimate, touched, config)
        if due.wanted == targets.set_points:
            _costs(row, due, estimate, config)
    for sample in validated.samples:
        _judge_sample(row, pending, sample, table, period_s, config)
    if forecast is not None and forecast.times[-1] >= config.look_ahead_s - _SAME_S:
        pending = (*pending, _pending(forecast, validated, plan, targets, time, config))
    first = bisect_left(
        pending, time - config.look_ahead_s - config.sample_delay_max_s, key=_time_of
    )
    if any(p.time > time for p in pending[-2:]):  # plant time went back
        pending, first = tuple(p for p in pending if p.time <= time), 0
    return _summed(
        replace(state, pending=pending[first:], wanted=targets.set_points), row, time, config
    )


def _time_of(pending: Pending) -> float:
    return pending.time


def _made_at(pending: tuple[Pending, ...], time: float, period_s: float) -> Pending | None:
    """The forecast made at a time, to half a period."""
    i = bisect_left(pending, time - 0.5 * period_s, key=_time_of)
    if i < len(pending) and pending[i].time <= time + 0.5 * period_s:
        return pending[i]
    return None


def _pending(
    forecast: Forecast,
    validated: Validated,
    plan: Plan | None,
    targets: Targets,
    time: float,
    config: ReadinessConfig,
) -> Pending:
    k = int(np.searchsorted(forecast.times, config.look_ahead_s - _SAME_S))
    series: list[tuple[float, float, float] | None] = []
    for cv in CVS:
        rows = forecast.series.get(cv)
        series.append(
            None if rows is None else (float(rows[0][k]), float(rows[1][k]), float(rows[2][k]))
        )
    tags = plan.moves if plan is not None else ()
    return Pending(
        time=time,
        series=tuple(series),
        set_points={t: validated.actual[t] for t in tags if t not in forecast.loops},
        wanted=targets.set_points,
        lots=validated.lots,
    )


def _touched(
    then: Mapping[str, float],
    now: Mapping[str, float],
    table: SignalTable,
    period_s: float,
    config: ReadinessConfig,
) -> frozenset[str]:
    """Variables on which MVs act that have moved."""
    touched: set[str] = set()
    for tag, before in then.items():
        step = table[f"{tag}/ACT"].to_si(table.mv(tag).rate * period_s)
        if abs(now.get(tag, before) - before) > config.moved_steps * step:
            touched.update(ACTS_ON.get(tag, CVS))
    return frozenset(touched)


def _health(
    row: Array,
    plan: Plan | None,
    estimate: Estimate | None,
    permissives: Iterable[Permissive],
    solve_ms: float | None,
) -> None:
    row[at("cycles")] = 1.0
    if plan is not None and plan.reached_by in _SOLVED:
        row[at("solved")] = 1.0
        row[at("fast")] = plan.reached_by is ReachedBy.FAST
    if estimate is not None:
        row[at("estimates")] = 1.0
        row[at("converged")] = estimate.converged
    row[at("held")] = all(p.good for p in permissives if p.name not in _EXEMPT)
    if solve_ms is not None and isfinite(solve_ms):
        row[times_at(solve_ms)] = 1.0


def _judge(
    row: Array,
    due: Pending,
    estimate: Estimate,
    touched: frozenset[str],
    config: ReadinessConfig,
) -> None:
    """A forecast against what is estimated now, in tolerances."""
    for cv, forecast in zip(CVS, due.series, strict=True):
        tolerance, now = _tolerance(cv, due, config), estimate.quality.get(cv)
        if forecast is None or tolerance is None or now is None or cv in touched:
            continue
        free, _, half = forecast
        error = (now.mean - free) / tolerance
        if not isfinite(error):
            continue
        banded = isfinite(half)
        held = banded and abs(now.mean - free) <= half
        k = of_cv(cv)
        row[k : k + 5] = (1.0, error, error * error, float(banded), float(held))


def _tolerance(cv: str, due: Pending, config: ReadinessConfig) -> float | None:
    wanted, share = due.wanted.get(cv), config.tolerances.share(cv)
    return None if wanted is None or share is None else share * abs(wanted)


def _costs(row: Array, due: Pending, estimate: Estimate, config: ReadinessConfig) -> None:
    """Mean square deviation from the targets: what the plan was to reach, and what there is."""
    planned, real, count = 0.0, 0.0, 0
    for cv, forecast in zip(CVS, due.series, strict=True):
        tolerance, now = _tolerance(cv, due, config), estimate.quality.get(cv)
        if forecast is None or tolerance is None or now is None:
            continue
        planned += ((forecast[1] - due.wanted[cv]) / tolerance) ** 2
        real += ((now.mean - due.wanted[cv]) / tolerance) ** 2
        count += 1
    if count and isfinite(planned + real):
        row[at("costs")] += 1.0
        row[at("planned cost")] += planned / count
        row[at("cost")] += real / count


def _judge_sample(
    row: Array,
    pending: tuple[Pending, ...],
    sample: LabSample,
    table: SignalTable,
    period_s: float,
    config: ReadinessConfig,
) -> None:
    """A sample's mean weight against the forecast that was made for the time it was taken."""
    made = _made_at(pending, sample.taken - config.look_ahead_s, period_s)
    then = _made_at(pending, sample.taken, period_s)
    forecast = None if made is None else made.series[_WEIGHT]
    if made is None or then is None or forecast is None or len(sample.weights) < 2:
        return
    if made.lots != then.lots:
        return
    tolerance = _tolerance(CV.TABLET_WEIGHT.value, made, config)
    touched = _touched(made.set_points, then.set_points, table, period_s, config)
    if tolerance is None or CV.TABLET_WEIGHT.value in touched:
        return
    mean, sd = float(np.mean(sample.weights)), float(np.std(sample.weights, ddof=1))
    off = mean - forecast[0]
    half = sqrt(forecast[2] ** 2 + 1.96**2 * sd**2 / len(sample.weights))
    row[at("samples")] += 1.0
    row[at("sample square")] += (off / tolerance) ** 2
    row[at("sample covered")] += abs(off) <= half


def _summed(
    state: ReadinessState, row: Array, time: float, config: ReadinessConfig
) -> ReadinessState:
    """Add a cycle to the open block; close it after a minute, and forget the oldest."""
    opened = time if state.opened is None or time < state.opened else state.opened
    total = state.open + row
    if time - opened < _BLOCK_S:
        return replace(state, open=total, opened=opened)
    kept = [
        (since, block)
        for since, block in zip((*state.since, opened), (*state.blocks, total), strict=True)
        if time - config.window_s <= since <= time
    ]
    blocks = tuple(block for _, block in kept)
    return replace(
        state,
        blocks=blocks,
        since=tuple(since for since, _ in kept),
        total=np.sum(blocks, axis=0) if blocks else np.zeros_like(row),
        open=np.zeros_like(row),
        opened=None,
    )
