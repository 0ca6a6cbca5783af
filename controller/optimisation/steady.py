"""Where the line is to settle: set points that can be met at rest, in order of priority.

(G1)-(G3) of `controller.optimisation.priorities` on the twin at rest (`steady_model`), linearised
anew at each of a few steps. Ranges of the moves are never relaxed; then come the goals by
`Priority`, of which the lowest gives way first. Zones and specifications keep off their limits by
``back_off_deviations`` of what the estimate leaves open. What is still free is settled by the value
of `SteadyConfig` where ``economic`` is on, and else by staying near the set points in use.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp

import numpy as np

from controller.config import OptimisationConfig
from controller.data import Array, Relaxation, SteadyReport
from controller.optimisation.priorities import Goals, Step, prioritised_step
from controller.optimisation.problem import TRACKED, OcpProblem, Zone
from controller.optimisation.steady_goals import NAMES, SteadyGoals, movable, natural
from controller.optimisation.steady_model import AtRest, SteadyModel
from controller.twin.core import ControlTwin

__all__ = ["SteadyTarget", "SteadyTargets"]

_ITERATIONS = 25  # at first
_PER_CYCLE = 3  # from the cycle before: what is left of a large change, the next cycle finishes
_SETTLED = 1e-5  # step at which the iteration has ended [units]
_UNIT = 60.0  # of the moves: rate steps
_RELAXED = 1e-3  # excess from which on a goal counts as relaxed [its scale]
_FLAT = 1e-6  # least curvature of the economics, relative to the value
_SPREAD = ("log_weight", "log_strength", "potency")


@dataclass(frozen=True, slots=True, kw_only=True)
class SteadyTarget:
    """Outcome of one calculation; the next one starts from it.

    ``references`` (tracked,) are what the plan is to follow; ``moves`` (nu,) and ``report`` where
    that leads; ``levels`` those that gave way. Without a ``report`` there was no result, and the
    references are the operator's.
    """

    references: Array
    moves: Array
    levels: tuple[int, ...]
    report: SteadyReport | None
    steps: int


@dataclass(slots=True)
class _Place:
    """Where the iteration is: moves, evaluation, spreads, last step."""

    u: Array
    at: AtRest
    sd: Array  # (rows,) of the model
    bands: tuple[Array, Array, Array]
    step: Step


class SteadyTargets:
    """Targets of one line, structure and tuning; ``tags`` are those of the moves.

    ``model`` is the line at rest, ``goals`` what is wanted of it.
    """

    def __init__(
        self,
        twin: ControlTwin,
        zones: tuple[Zone, ...],
        tags: tuple[str, ...],
        config: OptimisationConfig,
    ) -> None:
        self._tags, self.config = tags, config
        zoned = [z.output for z in zones if z.output != "level"]
        outputs = tuple(dict.fromkeys((*zoned, *TRACKED)))
        self.model = SteadyModel(twin, outputs, config.steady)
        screws = [r for r in self.model.rows if r.startswith("screw")]
        self.goals = SteadyGoals(twin.resolved.product, screws, zoned, config)
        self._at = [self.model.rows.index(r) for r in self.goals.rows]
        self._tracked = [self.model.rows.index(r) for r in TRACKED]

    def solve(
        self, problem: OcpProblem, covariance: Array | None, last: SteadyTarget | None
    ) -> SteadyTarget:
        """Target for ``problem``: for its parameters, set points, ranges and zones.

        Parameters
        ----------
        problem
            Of this cycle; its references are the operator's set points.
        covariance
            ``(k, k)`` of the estimate's first ``k`` parameters; None: taken as exact.
        last
            Of the cycle before.
        """
        given = (problem.p, problem.references, problem.previous, problem.known[:, -1])
        finite = all(bool(np.all(np.isfinite(part))) for part in given)
        if not finite or not np.any(problem.hi > problem.lo):  # or there is nothing to decide
            return _nothing(problem, 0)
        start, steps = problem.previous, _ITERATIONS
        levels: tuple[int, ...] = ()
        if last is not None and last.report is not None:
            start, levels, steps = last.moves, last.levels, _PER_CYCLE
        place, steps = self._settle(problem, covariance, start, levels, steps)
        if place is None:
            return _nothing(problem, steps)
        return self._target(problem, place, last, steps)

    def _settle(
        self,
        problem: OcpProblem,
        covariance: Array | None,
        start: Array,
        levels: tuple[int, ...],
        steps: int,
    ) -> tuple[_Place | None, int]:
        """Up to ``steps`` from moves ``start``; None where the numbers break down; steps taken."""
        lo, hi = movable(problem, self.config.steady)
        u, unit = np.clip(start, lo, hi), _UNIT * problem.rate
        known = self.model.settled(problem.known[:, -1])
        spread, weight = self.model.spread(0.0, 0.0, 0.0), np.zeros(len(self.model.rows))
        radius, before, last, place = 1.0, np.inf, np.zeros(u.size), None
        at, count = self.model(u, problem.p, known, spread), 0
        while _finite(at):
            if place is not None:
                place.u, place.at = u, at
            if count == steps or before < _SETTLED:
                return place, count
            count += 1
            sd = self._deviations(at, covariance)
            spread = self.model.spread(*(float(sd[self.model.rows.index(r)]) for r in _SPREAD))
            bands = self.goals.bands(problem, sd[self._at])
            if self.config.steady.economic:
                h = self.model.curvature(u, problem.p, known, spread, weight)
                hessian, gradient = _worth(at, h, unit)
            else:
                hessian, gradient = np.eye(u.size), (u - problem.previous) / unit
            step = prioritised_step(
                self._linearised(at, bands, unit),
                np.maximum((lo - u) / unit, -radius),
                np.minimum((hi - u) / unit, radius),
                hessian,
                gradient,
                levels,
            )
            if not step.ok:
                return place, count
            place = _Place(u, at, sd, bands, step)
            levels = tuple(sorted(step.blocked))
            weight[self._at] = step.multipliers / bands[2] * max(abs(at.value), 1e-9)
            u = np.clip(u + unit * step.s, lo, hi)
            size = float(np.max(np.abs(step.s)))
            if size > 0.5 * before and step.s @ last < 0.0:  # back and forth
                radius = 0.5 * size
            before, last = size, step.s
            at = self.model(u, problem.p, known, spread)
        return None, count

    def _deviations(self, at: AtRest, covariance: Array | None) -> Array:
        """Standard deviations of the model's rows at constant moves."""
        if covariance is None:
            return np.zeros(at.y.size)
        jp = at.jp[:, : covariance.shape[0]]
        variance = np.einsum("ij,jk,ik->i", jp, covariance, jp)
        return np.sqrt(np.where(np.isfinite(variance), np.maximum(variance, 0.0), 0.0))

    def _linearised(self, at: AtRest, bands: tuple[Array, Array, Array], unit: Array) -> Goals:
        """The goals around one point, in scales, by steps in units."""
        low, high, scale = bands
        y = at.y[self._at]
        rows = at.ju[self._at] * unit / scale[:, None]
        lo, hi = (low - y) / scale, (high - y) / scale
        return Goals(rows, lo, hi, self.goals.level, self.goals.tolerance)

    def _target(
        self, problem: OcpProblem, place: _Place, last: SteadyTarget | None, steps: int
    ) -> SteadyTarget:
        relaxed = self._relaxed(place)
        reached = place.at.y[self._tracked]
        level = float(place.sd[self._tracked[-1]])
        reached[-1] = self.goals.chute_level(problem, level)
        economic = self.config.steady.economic
        free = {"chute_level", *(r.variable for r in relaxed)}
        replaced = np.array([economic or NAMES[row] in free for row in TRACKED])
        references = np.where(replaced, reached, problem.references)
        if economic:
            share = 1.0 - exp(-problem.grid.step / self.config.steady.filter_s)
            origin = problem.references if last is None else last.references
            references = origin + share * (references - origin)
        points = zip(TRACKED, reached, strict=True)
        report = SteadyReport(
            moves=dict(zip(self._tags, (float(v) for v in place.u), strict=True)),
            set_points={NAMES[row]: natural(row, float(y)) for row, y in points},
            relaxed=relaxed,
            value_per_h=3600.0 * place.at.value,
            work=place.at.work,
        )
        return SteadyTarget(
            references=references,
            moves=place.u,
            levels=tuple(sorted(place.step.blocked)),
            report=report,
            steps=steps,
        )

    def _relaxed(self, place: _Place) -> tuple[Relaxation, ...]:
        low, high, scale = place.bands
        y, found = place.at.y[self._at], []
        gave_way = np.isin(self.goals.level, list(place.step.blocked))
        for i in np.flatnonzero(gave_way & (np.maximum(y - high, low - y) > _RELAXED * scale)):
            row = self.goals.rows[i]
            limit = high[i] if y[i] > high[i] else low[i]
            found.append(
                Relaxation(
                    variable=NAMES.get(row, row),
                    wanted=natural(row, float(limit)),
                    reached=natural(row, float(y[i])),
                    because=self._because(place, int(self.goals.level[i])),
                )
            )
        return tuple(found)

    def _because(self, place: _Place, level: int) -> tuple[str, ...]:
        """What stood in the way of a level."""
        bounds, rows = place.step.blocked[level]
        low, high, _ = place.bands
        sides = [
            f"{tag} at its {_SIDES[side]} limit"
            for tag, side in zip(self._tags, bounds, strict=True)
            if side
        ]
        for i in np.flatnonzero(rows):
            name = NAMES.get(self.goals.rows[i], self.goals.rows[i])
            fixed = low[i] == high[i]
            sides.append(f"{name} kept" if fixed else f"{name} at its {_SIDES[rows[i]]} limit")
        return tuple(sides)


_SIDES = {1: "upper", -1: "lower"}


def _nothing(problem: OcpProblem, steps: int) -> SteadyTarget:
    """No result: the operator's set points."""
    return SteadyTarget(
        references=problem.references.copy(),
        moves=problem.previous.copy(),
        levels=(),
        report=None,
        steps=steps,
    )


def _finite(at: AtRest) -> bool:
    parts = (at.y, at.ju, at.jp, at.gu, at.value)
    return all(bool(np.all(np.isfinite(part))) for part in parts)


def _worth(at: AtRest, h: Array, unit: Array) -> tuple[Array, Array]:
    """Convex quadratic model of what is lost by a step, relative to the value here."""
    size = max(abs(at.value), 1e-9)
    values, vectors = np.linalg.eigh(h * np.outer(unit, unit) / size)
    convex = vectors @ np.diag(np.maximum(values, _FLAT)) @ vectors.T
    return convex, -at.gu * unit / size
