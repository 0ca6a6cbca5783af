"""A line with an estimate of it, and what it does when all that is not known is drawn."""

from dataclasses import replace
from math import exp, sqrt

import numpy as np

from controller.data import Array
from controller.estimation.estimator import EstimatorState, LineEstimator
from controller.estimation.mhe import MheSolution
from controller.optimisation.feed_doubt import FeedDoubt
from controller.optimisation.outlook import SPREAD_OF
from controller.optimisation.problem import OcpProblem
from controller.twin.core import OUTPUTS
from tests.controller.kit import LINE
from tests.controller.ocp_kit import MIDDLE, problem
from tests.controller.twin_data import PERIOD, estimator
from tests.controller.uncertain import covariance, factor

SHARES = np.array([0.10, 0.89, 0.01])
LOOPS = LINE.line.regulatory
LEVEL = OUTPUTS.index("level")


def state_of(cov: Array, *, full: bool = True, lot_share: float = 0.0) -> EstimatorState:
    """An estimate with covariance ``cov``; ``full`` hoppers need no refill in the next minutes."""
    e = estimator()
    state = e.initial()
    feeders = []
    for f, c in zip(state.feeders, LINE.line.feeders, strict=True):
        share = (c.refill_to_percent if full else c.refill_from_percent) / 100.0
        feeders.append(replace(f, content=share * c.hopper_kg, p_ss=0.005**2))
    nothing = np.zeros((1, 1))
    solution = MheSolution(nothing, nothing, nothing, cov, nothing, nothing, steps=1, finite=True)
    return replace(state, solution=solution, feeders=tuple(feeders), lot_share=lot_share)


def calm(stages_of: object = MIDDLE) -> OcpProblem:
    """The reference line at rest at its recipe."""
    return problem(None, config=stages_of)  # type: ignore[arg-type]


def scatter_of(y: Array) -> dict[str, float]:
    """Standard deviations of a cycle's tablets around what can be known, by output."""
    c = estimator().config
    left = LOOPS.force_loop_deadband_mm * 1e-3 / exp(float(y[OUTPUTS.index("log_fill_depth")]))
    weight = sqrt(c.jitter**2 + left**2 / 3.0)
    flow = float(y[OUTPUTS.index("throughput")]) * sqrt(weight**2 + c.count_jitter**2)
    return {"log_weight": weight, "throughput": flow, "thickness": 1e-6 * c.play_um / sqrt(12.0)}


def simulate(
    p: OcpProblem,
    rng: np.random.Generator,
    *,
    seed: int | None,
    follows: bool = False,
    feed: Array | None = None,
) -> Array:
    """``(ny, N)`` outputs of the twin with estimate, walks, inflow and feeder noise drawn.

    ``seed`` is that of the estimate's covariance (None: the estimate is exact and nothing walks);
    ``follows``: the PLC's level loop moves the turret; ``feed`` (3, N) more in the feeders' flows.
    """
    e: LineEstimator = estimator()
    t, n = e.problem.tuning, p.grid.stages
    x, par, scale = p.x0.copy(), p.p.copy(), 0.0 if seed is None else 1.0
    if seed is not None:
        f = factor(seed)
        drawn = rng.standard_normal(f.x.shape[1])
        x, par = np.maximum(x + f.x @ drawn, 1e-6), par + f.p @ drawn
    noise = FeedDoubt(LINE.line.feeders, PERIOD).noise
    out = np.empty((len(OUTPUTS), n))
    first, level, integral = None, 0.0, 0.0
    for j in range(n):
        off = noise * rng.standard_normal(3) if seed is not None else np.zeros(3)
        flows = p.previous[0] * SHARES * (1.0 + off + (0.0 if feed is None else feed[:, j]))
        par[:-1] += scale * t.walk[:-1] * rng.standard_normal(par.size - 1)
        par[-1] = scale * t.inflow / PERIOD * rng.standard_normal()
        turret = float(p.previous[4])
        if follows:
            if first is None:
                first = level = _level(e, x, par, p)
            turret *= 1.0 + LOOPS.level_gain * (level - first + integral / LOOPS.level_integral_s)
            integral += PERIOD * (level - LINE.line.chute.nominal_level_percent / 100.0)
        made = e.one_stage(x, par[:, None], _inputs(p, flows, turret, j)[:, None])
        x, out[:, j] = made.x[:, 0].copy(), made.y[:, 0]
        level = float(out[LEVEL, j])
    return out


def _inputs(p: OcpProblem, flows: Array, turret: float, j: int) -> Array:
    total = flows.sum()
    press, thickness = p.previous[2:4]
    lot, blender = p.known[-2:, j]
    return np.array(
        [total, flows[0] / total, lot, blender, press, thickness, turret, flows[2] / total]
    )


def _level(e: LineEstimator, x: Array, par: Array, p: OcpProblem) -> float:
    v = _inputs(p, p.previous[0] * SHARES, float(p.previous[4]), 0)
    return float(e.twin.outputs(x.tolist(), par.tolist(), v.tolist())["level"])


def spread_of(draws: list[Array]) -> dict[str, Array]:
    """Standard deviations ``(N,)`` of many simulations, by output."""
    found = np.std(np.array(draws), axis=0)
    return {name: found[OUTPUTS.index(name)] for name in SPREAD_OF}


__all__ = ["calm", "covariance", "scatter_of", "simulate", "spread_of", "state_of"]
