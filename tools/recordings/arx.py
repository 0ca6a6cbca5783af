"""The best linear ARX for the 60 s forecast that the earlier batches can tell.

(X1)  direct: F(k + 60 s) - base(k) = w . x(k)
(X2)  iterated: F(k + 1) - base(k) = v . x(k), applied six times (60 s) with base, means and the
      newest inputs held; that is linear in x(k) too, so it becomes a w of (X1)
(X3)  w = (X'X / n + ridge I)^-1 X'y / n,   columns in standard deviations
(X4)  error of a candidate on a fold: sum of squares over that of the weighted mean
(X5)  chosen: the fewest effective degrees of freedom, tr((X'X / n + ridge I)^-1 X'X / n), among
      the candidates whose mean error is within one standard error of the smallest

Folds are the earlier batches, each left out in turn, or blocks in time where there is one batch
only. The chosen candidate is then fitted on all of them. (X5) is the one-standard-error rule [1]:
what makes the least of its data carries over best to batches whose loops and speeds differ. Blocks
of a single batch cannot show what a change of batch does, so that only increments within the
range seen are tried there; the others were found to miss by up to twenty times as much.

References
----------
[1] L. Breiman, J. Friedman, R. Olshen, C. Stone, *Classification and Regression Trees*, 3.4.3.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from plant_models.recording import Recording
from tools.recordings.arx_regressors import INPUTS, MEANS, Form, Regressors, regressors
from tools.recordings.origins import Origins, Rows

__all__ = ["Candidate", "Study", "Trial", "folds", "least_errors", "study"]

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

ORDERS = (1, 2, 3, 4, 6, 8, 10, 12, 15, 18)
RIDGES = (1e-3, 1e-2, 0.1, 0.3, 1.0, 3.0, 10.0)
RIDGES_ITERATED = (1e-3, 0.1)
BLOCKS = 6  # folds in time of a single batch
FEWEST = 20  # scored origins of a fold


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A linear forecast: regressors, how they are used, and the ridge."""

    form: Form
    direct: bool
    order: int
    inputs: tuple[str, ...]
    means: tuple[str, ...]
    ridge: float

    def __str__(self) -> str:
        series = ", ".join(("force", *(name.replace("_", " ") for name in self.inputs)))
        means = f", means {'/'.join(self.means)}" if self.means else ""
        way = "direct" if self.direct else "iterated"
        return f"{way}, {self.form}, {self.order} lags of {series}{means}, ridge {self.ridge:g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A candidate with its weights from all earlier batches and its errors (X4) per fold."""

    candidate: Candidate
    weights: Array
    errors: Array

    @property
    def error(self) -> float:
        """Mean of the errors over the folds."""
        return float(np.mean(self.errors))

    @property
    def standard_error(self) -> float:
        """Standard error of that mean."""
        return float(np.std(self.errors, ddof=1) / np.sqrt(self.errors.size))


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """Every candidate tried, and the one chosen by (X5)."""

    designs: dict[Form, Regressors]
    trials: tuple[Trial, ...]
    chosen: Trial
    freedom: float
    size: int

    def forecast(self, trial: Trial) -> Array:
        """Force 60 s ahead at every running origin (n,) [N], NaN elsewhere."""
        design, c = self.designs[trial.candidate.form], trial.candidate
        ahead = np.full(self.size, np.nan)
        columns = design.columns(c.order, c.inputs, c.means)
        ahead[design.rows] = design.base + design.x[:, columns] @ trial.weights
        return ahead

    def hindsight(self, rows: Flags) -> Trial:
        """The trial that is best on ``rows``: no opponent, it is chosen by what it is scored on."""
        sums = {f: _Sums.of(d, np.where(rows[d.rows], 0, -1), 1) for f, d in self.designs.items()}

        def misfit(trial: Trial) -> float:
            c, total = trial.candidate, sums[trial.candidate.form]
            columns = self.designs[c.form].columns(c.order, c.inputs, c.means)
            return float(total.misfit(columns, trial.weights[None])[0])

        return min(self.trials, key=misfit)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sums:
    """Sums over the origins of each fold (K, ...): X'X, X'y, y'y, and for the step ahead."""

    count: Array
    xx: Array
    xy: Array
    yy: Array
    step_xx: Array
    step_xy: Array

    @classmethod
    def of(cls, design: Regressors, fold: Rows, number: int) -> _Sums:
        """Sums of a design; ``fold`` (m,) is -1 where an origin belongs to none."""
        xx, xy, yy, step_xx, step_xy, count = [], [], [], [], [], []
        for i in range(number):
            x, y, step = (a[fold == i] for a in (design.x, design.target, design.step))
            xx.append(x.T @ x)
            xy.append(x.T @ y)
            yy.append(y @ y)
            there = np.isfinite(step)
            step_xx.append(xx[-1] - x[~there].T @ x[~there])
            step_xy.append(x[there].T @ step[there])
            count.append(x.shape[0])
        arrays = (count, xx, xy, yy, step_xx, step_xy)
        names = ("count", "xx", "xy", "yy", "step_xx", "step_xy")
        return cls(**{n: np.array(a, dtype=np.float64) for n, a in zip(names, arrays, strict=True)})

    def normal(self, columns: Rows, *, direct: bool) -> tuple[Array, Array]:
        """X'X / n and X'y / n without each fold, (K + 1, q, q) and (K + 1, q); last: of all."""
        xx, xy = (self.xx, self.xy) if direct else (self.step_xx, self.step_xy)
        xx, xy = xx[np.ix_(np.arange(self.yy.size), columns, columns)], xy[:, columns]
        left = np.append(self.count.sum() - self.count, self.count.sum())
        total_xx, total_xy = xx.sum(axis=0), xy.sum(axis=0)
        without_xx = np.concatenate([total_xx - xx, total_xx[None]])
        without_xy = np.concatenate([total_xy - xy, total_xy[None]])
        return without_xx / left[:, None, None], without_xy / left[:, None]

    def misfit(self, columns: Rows, weights: Array) -> Array:
        """Sum of squares on each fold (K,) with that fold's own weights (K, q)."""
        xx = self.xx[np.ix_(np.arange(self.yy.size), columns, columns)]
        cross = np.einsum("kq,kq->k", weights, self.xy[:, columns])
        square = np.einsum("kp,kpq,kq->k", weights, xx, weights)
        return np.asarray(self.yy - 2.0 * cross + square)


def folds(recording: Recording, origins: Origins, fitted: Sequence[str]) -> Rows:
    """Fold of every scored origin of the fitted batches (n,), -1 elsewhere.

    A batch each, but for batches with next to no origin; blocks in time if that leaves one.
    """
    fold = np.full(recording.size, -1, dtype=np.intp)
    names = np.asarray(recording.batch)
    parts = [np.flatnonzero(origins.scored & (names == name)) for name in fitted]
    parts = [part for part in parts if part.size >= FEWEST]
    if len(parts) == 1 and parts[0].size >= FEWEST * BLOCKS:
        parts = np.array_split(parts[0], BLOCKS)
    for i, part in enumerate(parts):
        fold[part] = i
    return fold


def study(
    recording: Recording, origins: Origins, alpha: float, fitted: Sequence[str]
) -> Study | None:
    """Try all candidates on the fitted batches; ``None`` if these are too little for two folds."""
    fold = folds(recording, origins, fitted)
    number = int(fold.max(initial=-1)) + 1
    if number < 2:
        return None
    several = len({recording.batch[k] for k in np.flatnonzero(fold >= 0)}) > 1
    forms = tuple(Form) if several else (Form.LIMITED,)
    designs = {f: regressors(recording, origins, alpha, fold >= 0, f) for f in forms}
    sums = {f: _Sums.of(d, fold[d.rows], number) for f, d in designs.items()}
    reference = np.maximum(sums[Form.LIMITED].yy, np.finfo(float).tiny)
    present = tuple(name for name in INPUTS if name in recording.channels)
    trials = tuple(
        trial
        for form in forms
        for trial in _trials(designs[form], sums[form], reference, present, origins.steps)
    )
    best = min(trials, key=lambda t: t.error)
    near = [t for t in trials if t.error <= best.error + best.standard_error]
    freedom = [_freedom(designs, sums, t.candidate) for t in near]
    least = int(np.argmin(freedom))  # (X5)
    return Study(
        designs=designs,
        trials=trials,
        chosen=near[least],
        freedom=freedom[least],
        size=recording.size,
    )


def least_errors(recording: Recording, origins: Origins, alpha: float, rows: Flags) -> Array:
    """Errors [N] of the largest ARX on the very origins ``rows`` that it is fitted to.

    What no ARX with these regressors can beat; no opponent.
    """
    design = regressors(recording, origins, alpha, rows, Form.INCREMENTS)
    used = rows[design.rows]
    x, y = design.x[used], design.target[used]
    return np.asarray(y - x @ np.linalg.lstsq(x, y, rcond=1e-9)[0])


def _trials(
    design: Regressors, sums: _Sums, reference: Array, present: tuple[str, ...], steps: int
) -> Iterator[Trial]:
    inputs = [present[:i] for i in range(len(present) + 1)]
    own = [(), ("own",)] if design.form is Form.LEVELS else [(), ("slow",), tuple(MEANS)]
    for order, names, means, direct in product(ORDERS, inputs, own, (True, False)):
        columns = design.columns(order, names, means)
        xx, xy = sums.normal(columns, direct=direct)
        for ridge in RIDGES if direct else RIDGES_ITERATED:
            left = xx + ridge * np.eye(columns.size)
            solved = np.linalg.solve(left, xy[:, :, None])[:, :, 0]  # (X3)
            weights = np.asarray(solved, dtype=np.float64)
            if not direct:
                weights = _iterate(weights, design.scale[columns], order, 1 + len(names), steps)
            errors = sums.misfit(columns, weights[:-1]) / reference  # (X4)
            candidate = Candidate(
                form=design.form,
                direct=direct,
                order=order,
                inputs=names,
                means=means,
                ridge=ridge,
            )
            yield Trial(candidate=candidate, weights=weights[-1], errors=errors)


def _iterate(weights: Array, scale: Array, order: int, series: int, steps: int) -> Array:
    """Weights (K, q) of one row ahead become those of ``steps`` rows ahead (X2).

    ``now[:, i]`` is regressor i, as it will be, in terms of x(k): every series moves on by one lag,
    the force to what was just forecast and the inputs to what they are.
    """
    number, q = weights.shape
    per_unit = weights / scale
    now = np.broadcast_to(np.eye(q), (number, q, q)).copy()
    ahead = per_unit
    for _ in range(steps):
        ahead = np.einsum("ki,kiq->kq", per_unit, now)
        for first in range(0, series * order, order):
            now[:, first + 1 : first + order] = now[:, first : first + order - 1].copy()
        now[:, 0] = ahead
    return np.asarray(ahead * scale)


def _freedom(
    designs: dict[Form, Regressors], sums: dict[Form, _Sums], candidate: Candidate
) -> float:
    """Effective degrees of freedom of a candidate fitted on all folds."""
    c = candidate
    columns = designs[c.form].columns(c.order, c.inputs, c.means)
    xx = sums[c.form].normal(columns, direct=c.direct)[0][-1]
    return float(np.trace(np.linalg.solve(xx + c.ridge * np.eye(columns.size), xx)))
