"""How likely a press cell makes a recording's moves: residuals, their spread, optimum, profiles.

(E1)  v = ln[(h_f + h_l) A rho_b] - ln W(F, h_b, q)    ln of the powder's bulk volume [-]
(E2)  e = g (v_2 - v_1)      set by hand, loop waits: ln force that fill and band do not explain
(E3)  e = v_2 - v_1 - d_p    loop answers: ln fill that force, band and speed do not explain;
      d_p = (p / h_f) tanh(d / p_0)   the last p of its motion did not reach the cam
(E4)  s2 = known + S2(kind)  known: reading of the force; in (E3) random walk of the powder in the
                             batch, and s_F / g: how the mean force strays from the loop's aim
(E5)  sum over moves of (n + 1) ln(1 + (e / s)^2 / n) / c + sum of squares of the prior

``W`` weight at a force, ``g = dlnF/dlnW``, ``d`` the move of the fill depth that the weight needs,
``p`` lost motion [m]: a loop that dithers within its play must first use it up. (E2) and (E3)
differ in what is cause and what is effect; ``s_F / g`` in (E4) treats the error of the force level,
a regressor in (E3). Student's t in (E5), n = 4, lets a coarse move count less; ``c >= 1`` is how
much more the batches disagree than independent moves would. Spreads S are the likeliest given the
residuals and a broad prior.

References
----------
(E1-E4) worked out. (E5) Lange, Little & Taylor 1989, J Am Stat Assoc 84:881-896, robust modelling
with the t distribution (memory); c after Chandler & Bate 2007, Biometrika 94:167-183 (memory).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares, minimize_scalar

from plant_models.press_cell import PressCell, force_sensitivity, tablet_weight, weight_at_force
from tools.commissioning.press_events import Kind, Quiet, Steps
from tools.commissioning.press_priors import Prior

__all__ = ["Posterior", "Profile", "bulk_volumes", "posterior_of", "residuals"]

Array = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

_FREEDOM = 4.0  # of Student's t
_PLAYS_OVER = 20e-6  # p_0: a move this small need not use up the play [m]
_FULL_WINDOW = 36  # rows that `Quiet` speaks of
_FARTHEST = 4.0  # coordinates lie within +- this
_SPREADS = np.array([0.04, 0.015, 0.003])  # usual S by kind, ln force, ln force, ln fill (assumed)
_SPREADS_SD = 0.7  # of ln S
_FEW_BATCHES = 4  # fewer cannot tell whether they agree
_STIFF = 30.0  # of a held quantity, per profile step


def bulk_volumes(cell: PressCell, steps: Steps) -> Array:
    """(E1) before and after every move (n, 2)."""
    filled = tablet_weight(cell, steps.fill)
    return np.asarray(
        np.log(filled) - np.log(weight_at_force(cell, steps.force, steps.band, steps.rate))
    )


def residuals(cell: PressCell, steps: Steps, play: float) -> tuple[Array, Array]:
    """(E2, E3) of every move for a lost motion ``play`` [m], and its ``g`` halfway."""
    gain = np.mean(force_sensitivity(cell, steps.force, steps.band, steps.rate), axis=1)
    needed = np.log(weight_at_force(cell, steps.force, steps.band, steps.rate))
    moved = np.diff(np.log(tablet_weight(cell, steps.fill)) - needed, axis=1)[:, 0]
    depth = np.mean(steps.fill, axis=1) + cell.lower_cup
    lost = play / depth * np.tanh(np.diff(needed, axis=1)[:, 0] * depth / _PLAYS_OVER)
    return np.where(steps.kind == Kind.ANSWER, moved - lost, gain * moved), gain


def posterior_of(prior: Prior, steps: Steps, quiet: Quiet, nominal: Array) -> Posterior:
    """Prior and moves with every parameter free."""
    force = np.mean(steps.force, axis=1)
    per_row = np.sum(1.0 / steps.rows, axis=1)
    answer = steps.kind == Kind.ANSWER
    walk = np.array([quiet.walk_of(batch) ** 2 for batch in steps.batch])
    reading = (quiet.row_force / force) ** 2 * per_row
    return Posterior(
        prior=prior,
        steps=steps,
        fixed=np.where(answer, walk, reading),
        level=np.where(answer, quiet.force / force * np.sqrt(per_row * _FULL_WINDOW / 2.0), 0.0),
        free=np.ones(nominal.size, dtype=bool),
        nominal=nominal,
        spread=_SPREADS,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A quantity's 95 % interval: ``values`` against ``rise`` of (E5) above its least."""

    estimate: float
    lo: float
    hi: float
    values: Array
    rise: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Posterior:
    """Prior and moves, with what is held: ``spread`` is S by kind, ``disagree`` c of (E5).

    ``fixed`` and ``level`` (n,) make the known variance ``fixed + (level / g)^2`` of (E4);
    coordinates that are not ``free`` stay at ``nominal``.
    """

    prior: Prior
    steps: Steps
    fixed: Array
    level: Array
    free: BoolArray
    nominal: Array
    spread: Array
    disagree: float = 1.0
    threshold: float = 3.84

    def full(self, x: Array) -> Array:
        """All coordinates from the free ones."""
        u = self.nominal.copy()
        u[self.free] = x
        return u

    def scaled(self, u: Array) -> Array:
        """Residuals over their standard deviation (E4)."""
        error, gain = residuals(self.prior.cell(u), self.steps, self.prior.play(u))
        return error / np.sqrt(self._known(gain) + self.spread[self.steps.kind] ** 2)

    def _known(self, gain: Array) -> Array:
        return np.asarray(self.fixed + (self.level / gain) ** 2)

    def terms(self, u: Array) -> Array:
        """Terms of (E5) that the moves give, without c."""
        z = self.scaled(u) ** 2
        return np.asarray((_FREEDOM + 1.0) * np.log1p(z / _FREEDOM))

    def unlikelihood(self, u: Array) -> float:
        """-2 ln likelihood of the moves, to compare laws: lower is better."""
        _, gain = residuals(self.prior.cell(u), self.steps, self.prior.play(u))
        variance = self._known(gain) + self.spread[self.steps.kind] ** 2
        return float(np.sum(self.terms(u) + np.log(variance)))

    def misfit(self, u: Array) -> float:
        """(E5)."""
        penalties = self.prior.penalties(u)
        return float(np.sum(self.terms(u)) / self.disagree + penalties @ penalties)

    def solve(
        self, start: Array, extra: Callable[[Array], float] | None = None
    ) -> tuple[Array, float]:
        """Coordinates of the least (E5), and that; ``extra`` is one more residual, squared."""
        size = self.steps.size

        def vector(x: Array) -> Array:
            u = self.full(x)
            more = [] if extra is None else [extra(u)]
            return np.concatenate([self.scaled(u), self.prior.penalties(u), more])

        def loss(z: Array) -> Array:
            rho = np.array([z, np.ones_like(z), np.zeros_like(z)])
            within = 1.0 + z[:size] / _FREEDOM
            slope = (_FREEDOM + 1.0) / _FREEDOM / self.disagree
            rho[0, :size] = (_FREEDOM + 1.0) * np.log(within) / self.disagree
            rho[1, :size] = slope / within
            rho[2, :size] = -slope / _FREEDOM / within**2
            return rho

        if not self.free.any():
            return self.nominal, self.misfit(self.nominal)
        found = least_squares(
            vector,
            np.clip(start[self.free], -0.99 * _FARTHEST, 0.99 * _FARTHEST),
            bounds=(-_FARTHEST, _FARTHEST),
            loss=loss,
            xtol=1e-7,
            ftol=1e-9,
            gtol=1e-7,
            max_nfev=200,
        )
        u = self.full(found.x)
        return u, self.misfit(u)

    def settle(self, start: Array, rounds: int = 6) -> tuple[Posterior, Array]:
        """With the likeliest spreads: optimum and spreads in turn."""
        posterior, u = self, start
        for _ in range(rounds):
            posterior = replace(posterior, spread=posterior.likeliest_spread(u))
            u, _ = posterior.solve(u)
        return posterior, u

    def likeliest_spread(self, u: Array) -> Array:
        """S by kind for the residuals at ``u``."""
        error, gain = residuals(self.prior.cell(u), self.steps, self.prior.play(u))
        known = self._known(gain)
        kinds = [self.steps.kind == kind for kind in Kind]
        return np.array(
            [_spread(error[of], known[of], float(_SPREADS[i])) for i, of in enumerate(kinds)]
        )

    def jacobian(self, u: Array, of: Callable[[Array], Array]) -> Array:
        """Derivatives by all coordinates, central differences."""
        columns = []
        for i in range(u.size):
            step = np.zeros(u.size)
            step[i] = 1e-4
            columns.append((of(u + step) - of(u - step)) / 2e-4)
        return np.stack(columns, axis=-1)

    def information(self, u: Array) -> tuple[Array, Array]:
        """Fisher information of the moves and of the prior, by coordinates (prior sd = 1)."""
        slopes = self.jacobian(u, self.scaled)
        weight = (_FREEDOM + 1.0) / (_FREEDOM + 3.0) / self.disagree
        prior = self.jacobian(u, self.prior.penalties)
        return weight * slopes.T @ slopes, prior.T @ prior

    def batches_disagree(self, u: Array) -> float:
        """``c`` of (E5): variance of the batches' scores over that of independent moves'."""
        names = np.array(self.steps.batch)
        batches = list(dict.fromkeys(self.steps.batch))
        if len(batches) < _FEW_BATCHES:
            return 1.0
        scores = self.jacobian(u, self.terms) / 2.0
        summed = np.array([scores[names == name].sum(axis=0) for name in batches])
        between = summed.T @ summed * len(batches) / (len(batches) - 1)
        data, prior = replace(self, disagree=1.0).information(u)
        gain = np.linalg.inv(data + prior)
        expected = max(float(np.trace(gain @ data)), 1e-9)
        return max(1.0, float(np.trace(gain @ between)) / expected)

    def profile(self, u: Array, of: Callable[[Array], float], points: int = 10) -> Profile:
        """Least (E5) with a quantity held, outwards to the 95 % interval's ends on both sides."""
        best, least = of(u), self.misfit(u)
        covariance = self.covariance(u)
        slope = self.jacobian(u, lambda v: np.atleast_1d(of(v)))[0]
        sd = max(float(np.sqrt(slope @ covariance @ slope)), 1e-12)
        ahead = covariance @ slope / sd  # coordinates per standard deviation of the quantity
        sides = [
            self._side(u, of, least, sign * 0.5 * np.sqrt(self.threshold / 3.84), sd, ahead, points)
            for sign in (-1.0, 1.0)
        ]
        values = np.array([*[v for v, _ in reversed(sides[0])], best, *[v for v, _ in sides[1]]])
        rise = np.array([*[r for _, r in reversed(sides[0])], 0.0, *[r for _, r in sides[1]]])
        ends = [_end(best, side, self.threshold) for side in sides]
        return Profile(estimate=best, lo=ends[0], hi=ends[1], values=values, rise=rise)

    def covariance(self, u: Array) -> Array:
        """Of the coordinates near ``u``; 0 for those that are held."""
        data, prior = self.information(u)
        free = np.ix_(self.free, self.free)
        full = np.zeros_like(data)
        full[free] = np.linalg.inv((data + prior)[free])
        return full

    def _side(
        self,
        u: Array,
        of: Callable[[Array], float],
        least: float,
        step: float,
        sd: float,
        ahead: Array,
        points: int,
    ) -> list[tuple[float, float]]:
        """Values and rises from the optimum on, ``step`` standard deviations apart."""
        found: list[tuple[float, float]] = []
        best, at = of(u), u
        for i in range(1, points + 1):
            value = best + i * step * sd

            def away(v: Array, value: float = value) -> float:
                return _STIFF * (of(v) - value) / (0.5 * sd)

            at, _ = self.solve(at + step * ahead, away)
            found.append((of(at), max(self.misfit(at) - least, 0.0)))
            if found[-1][1] > self.threshold or abs(found[-1][0] - value) > 0.2 * sd:
                break
        return found


def _end(best: float, side: list[tuple[float, float]], threshold: float) -> float:
    """Where the root of the rise reaches that of the threshold; beyond the last point, a line."""
    values = np.array([best, *[v for v, _ in side]])
    roots = np.sqrt([0.0, *[r for _, r in side]])
    wanted = float(np.sqrt(threshold))
    above = np.flatnonzero(roots >= wanted)
    i = int(above[0]) if above.size else len(values) - 1
    rise = roots[i] - roots[i - 1]
    share = (wanted - roots[i - 1]) / rise if rise > 1e-9 else 1.0
    return float(values[i - 1] + min(share, 3.0) * (values[i] - values[i - 1]))


def _spread(error: Array, known: Array, usual: float) -> float:
    """Likeliest S of (E4) under Student's t."""

    def unlikely(log_spread: float) -> float:
        variance = known + np.exp(2.0 * log_spread)
        terms = (_FREEDOM + 1.0) * np.log1p(error**2 / variance / _FREEDOM) + np.log(variance)
        return float(np.sum(terms) + ((log_spread - np.log(usual)) / _SPREADS_SD) ** 2)

    far = 4.0 * _SPREADS_SD
    found = minimize_scalar(
        unlikely, bounds=(np.log(usual) - far, np.log(usual) + far), method="bounded"
    )
    return float(np.exp(found.x))
