"""Targets at rest: solvers of them, problems for them, IPOPT level by level as reference."""

from dataclasses import replace
from functools import cache
from math import log
from typing import Any

import casadi as ca
import numpy as np

from controller.data import Array
from controller.optimisation.problem import OcpProblem
from controller.optimisation.setup import moved_tags
from controller.optimisation.steady import SteadyTargets
from controller.optimisation.steady_goals import movable
from controller.steady_config import SteadyConfig
from controller.twin.core import PARAMETERS
from plant_models.variables import Structure
from tests.controller.ocp_kit import FEED, SHORT, factory_of, problem, twin_of

__all__ = ["EXACT", "SPREAD", "covariance", "lexicographic", "order", "targets_of", "values"]

# Standard deviations of a settled estimate.
SPREAD = {
    "specific_volume": 0.004,
    "pressure_scale": 0.02,
    "strength": 0.02,
    "feed_span": 0.0016,
    "potency_span": 0.0018,
    "compliance": 0.05,
    "discharge": 0.05,
    "thickness_offset": 3e-6,
}
EXACT = SteadyConfig(indifference_scales=0.0)


@cache
def targets_of(
    config: SteadyConfig | None = None, structure: Structure = Structure.CASCADE
) -> SteadyTargets:
    """A solver of targets on the reference line."""
    tuning = SHORT if config is None else SHORT.model_copy(update={"steady": config})
    zones = factory_of(SHORT, structure).zones
    return SteadyTargets(twin_of(structure), zones, moved_tags(structure), tuning)


def covariance(scale: float = 1.0) -> Array:
    """Of the parameters but the last, uncorrelated."""
    sd = np.array([SPREAD.get(name, 0.0) for name in PARAMETERS[:-1]])
    return np.diag((scale * sd) ** 2)


def order(
    *,
    potency: float = 1.0,
    weight: float = 200e-6,
    strength: float = 2.25e6,
    throughput: float = FEED,
    structure: Structure = Structure.CASCADE,
    fixed: dict[int, float] | None = None,
    **zones: tuple[float, float],
) -> OcpProblem:
    """The line at rest at its recipe, with other set points, fixed moves, other zones."""
    p = problem(None, SHORT, structure)
    wanted = np.array([potency, log(weight), log(strength), throughput, 0.5])
    lo, hi, previous = p.lo.copy(), p.hi.copy(), p.previous.copy()
    for i, value in (fixed or {}).items():
        lo[i] = hi[i] = previous[i] = value
    bands = tuple(
        replace(z, lo=zones[z.output][0], hi=zones[z.output][1]) if z.output in zones else z
        for z in p.zones
    )
    return replace(p, references=wanted, lo=lo, hi=hi, previous=previous, zones=bands)


def values(solver: SteadyTargets, p: OcpProblem, u: Array) -> tuple[Array, float]:
    """Rows of the model and the value [currency/h] at moves ``u``, everything known exactly."""
    model = solver.model
    at = model(u, p.p, model.settled(p.known[:, -1]), model.spread(0.0, 0.0, 0.0))
    return at.y, 3600.0 * at.value


def lexicographic(solver: SteadyTargets, p: OcpProblem, starts: list[Array]) -> tuple[Array, Array]:
    """IPOPT on one level after the other: excess of each goal [scales], and the moves.

    The best of several ``starts`` counts at each level. After the last level the value, or the
    distance to the set points in use, decides, as configured.
    """
    model, goals = solver.model, solver.goals
    at = [model.rows.index(r) for r in goals.rows]
    low, high, scale = goals.bands(p, np.zeros(len(at)))
    lo, hi = movable(p, solver.config.steady)
    unit = 60.0 * p.rate
    z = ca.MX.sym("z", p.lo.size)
    known = model.settled(p.known[:, -1])
    rows, value = model.function(z * unit, p.p, known, model.spread(0.0, 0.0, 0.0))
    y = ca.vertcat(*(rows[i] for i in at)) / scale
    slack, best = np.zeros(len(at)), starts[0] / unit
    economic = solver.config.steady.economic
    last = -value if economic else ca.sumsqr(z - p.previous / unit)
    for level in [*np.unique(goals.level), None]:
        mine = goals.level == level if level is not None else np.zeros(len(at), dtype=bool)
        above = goals.level < level if level is not None else ~mine
        count = int(mine.sum())
        e = ca.MX.sym("e", count)
        picked = [int(i) for i in np.flatnonzero(mine)]
        kept = [int(i) for i in np.flatnonzero(above)]
        g = [y[i] for i in kept]
        g += [y[i] - e[k] for k, i in enumerate(picked)] + [
            y[i] + e[k] for k, i in enumerate(picked)
        ]
        loose = slack[kept] + 1e-4
        far = np.full(count, np.inf)
        upper = np.concatenate(((high / scale)[kept] + loose, (high / scale)[picked], far))
        lower = np.concatenate(((low / scale)[kept] - loose, -far, (low / scale)[picked]))
        nlp = {"x": ca.vertcat(z, e), "f": ca.sumsqr(e) if count else last, "g": ca.vertcat(*g)}
        solve = ca.nlpsol("level", "ipopt", nlp, _QUIET)
        found: list[tuple[float, Any]] = []
        for start in [best * unit, *starts]:
            excess = np.zeros(count)
            r = solve(
                x0=np.concatenate((start / unit, excess)),
                lbx=np.concatenate((lo / unit, excess)),
                ubx=np.concatenate((hi / unit, far)),
                lbg=lower,
                ubg=upper,
            )
            if solve.stats()["success"]:
                found.append((float(r["f"]), np.asarray(r["x"]).ravel()))
        assert found, f"IPOPT found nothing at level {level}"
        x = min(found, key=lambda pair: pair[0])[1]
        best, slack[picked] = x[: z.numel()], x[z.numel() :]
    at_best = np.asarray(model.function(best * unit, p.p, known, model.spread(0.0, 0.0, 0.0))[0])
    reached = at_best.ravel()[at] / scale
    return np.maximum(np.maximum(reached - high / scale, low / scale - reached), 0.0), best * unit


_QUIET = {
    "print_time": False,
    "ipopt.print_level": 0,
    "ipopt.sb": "yes",
    "ipopt.tol": 1e-8,
    "ipopt.acceptable_tol": 1e-6,
    "ipopt.max_iter": 400,
}
