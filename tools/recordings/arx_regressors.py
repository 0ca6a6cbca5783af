"""Regressors of linear forecasts of the main force: lags and means of the force and the inputs.

Increments: every number is taken relative to the weighted mean of its own series with one constant,
m(k), and so is the force to be forecast. A level that differs from batch to batch drops out, and
without any coefficient the forecast is the weighted mean.
Levels: every number as it is, less its mean over the fitted origins, which is the intercept.

Columns are in standard deviations of the fitted origins. Lags reach back to the start of the
stretch; one before it, and a missing number, counts as the weighted mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from plant_models.recording import Recording
from tools.recordings.opponents import weighted_mean
from tools.recordings.origins import Origins, Rows

__all__ = [
    "FORCE",
    "INPUTS",
    "MEANS",
    "ORDER",
    "Form",
    "Regressors",
    "regressors",
]

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

FORCE = "main_force"
INPUTS = ("fill_depth", "thickness", "tablet_rate")
ORDER = 18  # most lags
MEANS: dict[str, float] = {"slow": 0.01, "middle": 0.05, "fast": 0.3}
LIMIT = 3.0  # standard deviations; further out nothing was learned


class Form(StrEnum):
    """What the regressors are relative to, and whether they end where the fitted data end."""

    INCREMENTS = "increments"
    LIMITED = "increments within 3 SD"
    LEVELS = "levels"


@dataclass(frozen=True, slots=True, kw_only=True)
class Regressors:
    """Columns ``x`` (m, p) for the origins ``rows`` (m,), found by name in ``place``.

    Names are (series, lag) and (series, name of a mean); ``scale`` (p,) is a column's unit in that
    of its series. ``base`` (m,) [N] is what a forecast
    without coefficients says; ``target`` and ``step`` (m,) [N] are the forces 60 s and one row
    later less ``base``, NaN where there is none.
    """

    form: Form
    rows: Rows
    place: dict[tuple[str, int | str], int]
    x: Array
    scale: Array
    base: Array
    target: Array
    step: Array

    def columns(self, order: int, inputs: tuple[str, ...], means: tuple[str, ...]) -> Rows:
        """Positions of the lags of the force, then of each input, then of the means."""
        names: list[tuple[str, int | str]] = []
        for series in (FORCE, *inputs):
            names += [(series, lag) for lag in range(order)]
        for series in (FORCE, *inputs):
            names += [(series, mean) for mean in means]
        return np.array([self.place[name] for name in names], dtype=np.intp)


def regressors(
    recording: Recording, origins: Origins, alpha: float, fitted: Flags, form: Form
) -> Regressors:
    """All columns of a form for all running origins; scaled by the scored origins of ``fitted``."""
    rows = np.flatnonzero(origins.all)
    learned = (origins.scored & fitted)[rows]
    series = {FORCE: origins.force}
    series |= {name: recording.channels[name] for name in INPUTS if name in recording.channels}
    columns: dict[tuple[str, int | str], Array] = {}
    for name, values in series.items():
        middle = np.nan_to_num(weighted_mean(values, origins, alpha)[rows])
        lags = [_lag(values, origins, rows, middle, lag) for lag in range(ORDER)]
        zero = middle if form is not Form.LEVELS else np.zeros(rows.size)
        columns |= {(name, lag): column - zero for lag, column in enumerate(lags)}
        if form is Form.LEVELS:
            columns[name, "own"] = middle
            continue
        for mean, constant in MEANS.items():
            other = weighted_mean(values, origins, constant)[rows]
            columns[name, mean] = np.where(np.isfinite(other), other, middle) - middle

    truth = origins.truth()[rows]
    if form is Form.LEVELS:
        base = np.full(rows.size, float(np.mean(truth[learned])) if learned.any() else 0.0)
    else:
        base = weighted_mean(origins.force, origins, alpha)[rows]
    after = np.minimum(rows + 1, recording.size - 1)
    together = origins.start[after] == origins.start[rows]
    step = np.where(together & (after > rows), origins.force[after], np.nan) - base
    x, scale = _scaled(np.column_stack(list(columns.values())), learned, form)
    return Regressors(
        form=form,
        rows=rows,
        place={name: i for i, name in enumerate(columns)},
        x=x,
        scale=scale,
        base=base,
        target=truth - base,
        step=step,
    )


def _lag(values: Array, origins: Origins, rows: Rows, middle: Array, lag: int) -> Array:
    there = rows - lag >= origins.start[rows]
    past = values[np.maximum(rows - lag, 0)]
    return np.where(there & np.isfinite(past), past, middle)


def _scaled(x: Array, learned: Flags, form: Form) -> tuple[Array, Array]:
    """Columns in standard deviations of the learned rows, and these; one that stood still is 0."""
    if not learned.any():
        return np.zeros_like(x), np.ones(x.shape[1])
    if form is Form.LEVELS:
        x = x - x[learned].mean(axis=0)
    spread = x[learned].std(axis=0)
    moved = spread > 1e-9 * np.abs(x[learned]).max(axis=0, initial=0.0)
    scale = np.where(moved, spread, 1.0)
    x = np.where(moved, x / scale, 0.0)
    return (np.clip(x, -LIMIT, LIMIT) if form is Form.LIMITED else x), scale
