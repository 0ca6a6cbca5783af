"""The reference problem of the estimators' speed benchmark: one line, one window, its readings.

The twin as a plant, with the walks and the noise that the estimator is tuned to, gross errors in
2 % of the readings and in two scripted ones, and a new lot of filler whose powder reaches the dies
during the loop. Its marker is known to every estimator, as on the line, what it changes is not.
Readings come as on the line: spectra two cycles late, at-line samples every 5 min, two minutes
late. The window is full when the loop begins.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from controller.data import Array
from controller.estimation.estimator import LineEstimator
from controller.estimation.mhe import Arrival, MheProblem, solve
from controller.estimation.window import MEASURED, Window, selection
from controller.twin.core import INPUTS, OUTPUTS, PARAMETERS
from tools.benchmarks.nmpc_problem import Case

__all__ = ["FILL_STEPS", "FIRST", "QUALITY", "STEPS", "EstimationCase", "Record", "quality"]

STEPS, FIRST = 200, 30
FILL_STEPS = 8  # Gauss-Newton steps on the first window, which nobody waits for
_LOT_AT = -10  # step of the loop at which the marker comes; the powder comes as it does
_LOT = {"lot_volume": 0.062, "lot_scale": 0.182}  # as in the shift's script
_AFTER_GROSS = 6  # steps
_GROSS_SHARE = 0.02
# How far a gross error is off, about: what makes it gross is the instrument, not the noise.
_GROSS = {"level": 0.20, "pre_to_main": 0.08, "press": 0.06, "potency": 0.12}
_SCRIPTED = ((4, "potency", 1.0), (8, "pre_to_main", -1.0))
_LAB = ("lab_weight", "lab_strength", "lab_thickness")
_LAB_EVERY, _LAB_LATE, _NIR_LATE = 60, 24, 2

# Quality attribute -> output of the twin, whether that is a logarithm, factor to the unit shown.
QUALITY: dict[str, tuple[str, bool, float]] = {
    "tablet_weight_mg": ("log_weight", True, 1e6),
    "tensile_strength_mpa": ("log_strength", True, 1e-6),
    "potency_percent": ("potency", False, 100.0),
}


@dataclass(frozen=True)
class Record:
    """What happened, a column per sample: inputs, readings and the truth behind them.

    ``late`` (m, n) says after how many samples a reading is known, ``boost`` (n,) where a lot on
    its way lets disturbances walk faster. ``after_gross`` and ``after_lot`` (n,) say which
    estimates have to do with a gross error just before, and with the new lot's powder.
    """

    inputs: Array
    values: Array
    weights: Array
    late: Array
    boost: Array
    after_gross: NDArray[np.bool_]
    after_lot: NDArray[np.bool_]
    x: Array
    p: Array
    y: Array

    def window(self, last: int, size: int) -> Window:
        """The ``size`` samples up to ``last``, with what is known by then."""
        at = slice(last - size + 1, last + 1)
        age = np.arange(size - 1, -1, -1)
        weights = np.where(self.late[:, at] <= age, self.weights[:, at], 0.0)
        return Window(
            times=5.0 * np.arange(last - size + 1, last + 1, dtype=np.float64),
            inputs=self.inputs[:, at],
            values=np.where(weights > 0.0, self.values[:, at], 0.0),
            weights=weights,
            boost=self.boost[at],
            moved=np.zeros(size),
        )


@dataclass(frozen=True)
class EstimationCase:
    """The configured estimator; ``samples`` replaces the length of its window.

    ``cache`` is the folder for compiled models, ``None`` compiles nothing.
    """

    cache: Path | None
    samples: int | None = None

    @cached_property
    def line(self) -> Case:
        """Line, controller and twin."""
        return Case()

    @cached_property
    def estimator(self) -> LineEstimator:
        """The estimator with its compiled roll-outs."""
        case = self.line
        return LineEstimator(
            case.resolved,
            case.twin.structure,
            case.config.estimation.model_copy(update={"window_samples": self.window}),
            case.step,
            self.cache,
        )

    @property
    def window(self) -> int:
        """Samples in the window."""
        return self.samples or self.line.config.estimation.window_samples

    @property
    def problem(self) -> MheProblem:
        """What stays the same from cycle to cycle."""
        return self.estimator.problem

    @cached_property
    def prior(self) -> Arrival:
        """What is known before the first sample: the configured prior, and that of a lot."""
        none = np.zeros(len(MEASURED))
        first = self.estimator.first_arrival(self._inputs(), none, none)
        cov = first.cov.copy()
        effects = ("lot_volume", "lot_scale", "lot_strength")
        for name, sd in zip(effects, self.line.config.estimation.lot_sd, strict=True):
            at = self.problem.free.size + PARAMETERS.index(name)
            cov[at, at] = sd**2
        return replace(first, cov=cov)

    def covariance(self, seed: int) -> Array:
        """What is not known at the end of the window before the loop, of one seed's readings."""
        window, prior = self.record(seed).window(self.window - 1, self.window), self.prior
        guess = np.repeat(prior.p[:, None], window.size, axis=1)
        return solve(self.problem, window, prior, prior.x, guess, FILL_STEPS).cov

    def _inputs(self) -> Array:
        """The twin's inputs (nv,) at the recipe."""
        case = self.line
        known = list(case.known(0, 1)[:, 0])
        inputs = case.twin.stage_inputs(list(case.nominal), known)
        return np.array([float(v) for v in inputs])

    def record(self, seed: int, steps: int = STEPS) -> Record:
        """Readings of the window before the loop and of ``steps`` steps, drawn from ``seed``."""
        rng, t = np.random.default_rng(seed), self.problem.tuning
        before, full = self.window, self.window + max(steps, STEPS)
        count, m = len(PARAMETERS) - 1, len(MEASURED)
        x, p = self._start(rng)
        inputs = np.repeat(self._inputs()[:, None], full, axis=1)
        inputs[INPUTS.index("feed")] *= 1.0 + 0.01 * rng.standard_normal(full)
        inputs[INPUTS.index("press")] *= 1.0 + 0.003 * rng.standard_normal(full)
        age = self.line.step * (np.arange(full) - (before + _LOT_AT))  # of the lot [s]
        inputs[INPUTS.index("lot")] = (age >= 0.0).astype(float)
        gross = self._gross(rng, before, full)
        walks, inflow = rng.standard_normal((count, full)), rng.standard_normal(full)
        noise = t.sigma[:, None] * rng.standard_normal((m, full))
        xs, ps, ys = [], [], []
        for k in range(full):
            p[:count] += t.walk[:count] * walks[:, k] * (k > 0)
            p[-1] = t.inflow / self.line.step * inflow[k]
            out = self.estimator.one_stage(x, p[:, None], inputs[:, k : k + 1])
            x = out.x[:, 0].copy()
            xs.append(x)
            ps.append(p.copy())
            ys.append(out.y[:, 0].copy())
        late, weights = np.zeros((m, full)), np.ones((m, full))
        lab = [MEASURED.index(name) for name in _LAB]
        late[MEASURED.index("potency")], late[lab] = _NIR_LATE, _LAB_LATE
        weights[lab] = (np.arange(full) % _LAB_EVERY == _LAB_EVERY - 1).astype(float)
        y, c = np.array(ys).T, self.line.config.estimation
        known_wrong = np.zeros(full, dtype=bool)  # when a gross error becomes known
        for row, k in zip(*np.nonzero(gross), strict=True):
            first = min(k + int(late[row, k]), full)
            known_wrong[first : first + _AFTER_GROSS] = True
        on_its_way = (age >= c.lot_arrives_s) & (age <= c.lot_settled_s)
        return Record(
            inputs=inputs,
            values=selection(self.problem.cascade) @ y + noise + gross,
            weights=weights,
            late=late,
            boost=np.where(on_its_way, c.lot_boost, 1.0),
            after_gross=known_wrong,
            after_lot=age >= c.lot_arrives_s,
            x=np.array(xs).T,
            p=np.array(ps).T,
            y=y,
        )

    def _start(self, rng: np.random.Generator) -> tuple[Array, Array]:
        """True state and parameters before the first sample, drawn from the prior."""
        x, p, free = self.prior.x.copy(), self.prior.p.copy(), self.problem.free
        root = np.linalg.cholesky(self.prior.cov + 1e-30 * np.eye(len(self.prior.cov)))
        error = root @ rng.standard_normal(len(root))
        x[free] += error[: free.size]
        p[: len(PARAMETERS) - 1] += error[free.size :]
        for name, effect in _LOT.items():
            p[PARAMETERS.index(name)] = effect
        return x, p

    def _gross(self, rng: np.random.Generator, before: int, full: int) -> Array:
        out = np.zeros((len(MEASURED), full))
        for name, size in _GROSS.items():
            hit = rng.random(full) < _GROSS_SHARE
            off = size * rng.uniform(0.7, 1.3, full) * rng.choice([-1.0, 1.0], full)
            out[MEASURED.index(name)] = np.where(hit, off, 0.0)
        for step, name, sign in _SCRIPTED:
            out[MEASURED.index(name), before + step] = sign * _GROSS[name]
        return out


def quality(y: Array) -> dict[str, Array]:
    """Quality attributes from outputs (ny, ...) of the twin, in the units that are shown."""
    found = {}
    for name, (output, logarithm, factor) in QUALITY.items():
        row = y[OUTPUTS.index(output)]
        found[name] = factor * (np.exp(row) if logarithm else row)
    return found
