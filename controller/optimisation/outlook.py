"""How far a forecast may be off: what is not known now, and what the line will do until then.

(F1)  z_{j+1} = M z_j + B d_j + w_j,   o_j = C z_j           z: free states, parameters, replies
(F2)  R_0 = C,   R_{j+1} = R_j M                             outputs by what was ``z`` j stages ago
(F3)  v_j = diag(R_j P R_j') + sum_{i<j} diag(R_i Q R_i') + sum_s (sum_{i<j} R_i B s_{j-1-i})^2

``P`` is the estimate's covariance, ``Q`` that of one stage: walks of the disturbances, powder that
comes unexplained, noise of the feeders. ``s`` are the courses of refills (`feed_doubt`). The twin
is linearised where the line stands, once for the whole horizon; only a lot's effects count with the
share of that lot that will be in the dies. Outputs get the press's own scatter on top.

``M`` closes the loops that act. Under the PLC alone the turret follows the level:

(F4)  n = n_0 (1 + g (l - l_0 + integral of (l - l*) / T))   also in the forecast without moves

In closed loop the plan replies to what comes: weight, strength and throughput stay off by the error
of the estimate, because moves reach them at once; the API fraction of the feed is restored in
`_TRIM_S`; where a frozen API feeder gives too much, the total feed dilutes it and the level rises;
force and thickness move as far as the powder is learnt to be another one. These replies are what
shifts of the stand-in show, not a model of the optimiser.

References
----------
A. H. Jazwinski, Stochastic Processes and Filtering Theory, 1970, ch. 7 (propagation of a
covariance, from memory).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp, sqrt

import numpy as np

from controller.data import Array
from controller.estimation.estimator import EstimatorState, LineEstimator
from controller.estimation.feeders import FeederEstimate
from controller.estimation.quality_now import inflation
from controller.estimation.window import STRENGTH_EXPONENT
from controller.optimisation.feed_doubt import FeedDoubt
from controller.optimisation.problem import OcpProblem
from controller.twin.core import INPUTS, MOVES, OUTPUTS, PARAMETERS

__all__ = ["SPREAD_OF", "Outlook"]

SPREAD_OF = (
    "potency",
    "log_weight",
    "log_strength",
    "throughput",
    "level",
    "thickness",
    "log_main_force",
)
"""Outputs of the twin that have a spread, in order."""

_AT = {name: i for i, name in enumerate(SPREAD_OF)}
_ROWS = [OUTPUTS.index(name) for name in SPREAD_OF]
_HELD = [_AT[n] for n in ("log_weight", "log_strength", "throughput")]  # moves reach them at once
_SOLVED = [_AT[n] for n in ("log_weight", "log_strength")]  # by these moves:
_PRESSED = [INPUTS.index(n) for n in ("press", "thickness")]
_MOVED = [_AT[n] for n in ("thickness", "log_main_force")]
_OF_LOT = [i for n, i in _AT.items() if n != "potency"]
_LOTS = {"lot_volume": "specific_volume", "lot_scale": "pressure_scale", "lot_strength": "strength"}
_EFFECTS = [PARAMETERS.index(n) for n in _LOTS]
_BASES = [PARAMETERS.index(n) for n in _LOTS.values()]
_COUNT = len(PARAMETERS) - 1
_CONSTANT = np.setdiff1d(np.arange(_COUNT), _EFFECTS)
_FEED, _API, _TURRET = (INPUTS.index(n) for n in ("feed", "api", "turret_speed"))

_STRIDE_S = 30.0  # between the times at which a spread is worked out; straight in between
_TRIM_S = 30.0
_LEVEL_REPLY = 0.2  # relative move of the total feed per deviation of the level
_LEARNT_S = 3000.0
_FORCE_BY_WEIGHT = 4.4  # d ln F / d ln W at the setting


@dataclass(frozen=True, slots=True)
class _Linear:
    """(F1) of one cycle: ``m``, ``c``; ``feed`` (n, feeders) is ``B``, ``dilution`` (n,).

    ``flows`` (feeders,) [kg/s] now; ``inflow`` (n,) of powder that comes unexplained;

    ``press`` (rows, 2) outputs by press set point and thickness; ``y`` the outputs now.
    """

    m: Array
    c: Array
    flows: Array
    feed: Array
    dilution: Array
    press: Array
    inflow: Array
    y: Mapping[str, float]


class Outlook:
    """Spread of forecasts of one line; its roll-out's buffers are the estimator's."""

    def __init__(self, estimator: LineEstimator) -> None:
        self._estimator, self._twin = estimator, estimator.twin
        line = estimator.resolved.line
        self._api = estimator.resolved.feeder_index("api")
        self._filler = estimator.resolved.feeder_index("filler")
        self._lubricant = [i for i, f in enumerate(line.feeders) if f.role == "lubricant"]
        self._share = np.array([(f.share_percent or 0.0) / 100.0 for f in line.feeders])
        self._label = estimator.resolved.product.api_percent / 100.0
        self._free = estimator.problem.free
        names = [self._twin.state_names[i] for i in self._free]
        self._at_api = [i for i, n in enumerate(names) if ".api" in n]
        self._lot = [i for i, n in enumerate(self._twin.state_names) if ".lot" in n]
        self._all = np.ones(len(self._lot))
        self._size = self._free.size + _COUNT + 3
        tuning = estimator.problem.tuning
        self._walk = tuning.walk[:_COUNT]
        self._inflow = tuning.inflow / self._twin.step
        self._doubt = FeedDoubt(line.feeders, estimator.period)
        loops = line.regulatory
        self.turret_follows = loops.line_rate_master == "feeders"
        self._gain, self._integral_s = loops.level_gain, loops.level_integral_s
        self._level = line.chute.nominal_level_percent / 100.0
        self._deadband = loops.force_loop_deadband_mm * 1e-3 if estimator.problem.cascade else 0.0
        self._stride = max(1, round(_STRIDE_S / self._twin.step))

    def followed(
        self, problem: OcpProblem, level: Array, level_now: float, flow: float
    ) -> tuple[Array, Array]:
        """(F4): what the PLC's level loop changes in a forecast that holds the turret.

        Parameters
        ----------
        problem
            What was forecast.
        level
            ``(N,)`` forecast with the turret held.
        level_now
            Level now.
        flow
            Powder that the press takes now [kg/s].

        Returns
        -------
        ``(N,)`` change of the level, and relative change of turret speed, thus of throughput.
        """
        dt, turret, wanted = problem.grid.step, MOVES.index("turret_speed"), self._level
        gain, integral_gain = self._gain, self._gain / self._integral_s
        per_stage = dt * flow * level_now / max(float(problem.x0[1]), 1e-6)
        setting = float(problem.previous[turret])
        least, most = problem.lo[turret] / setting - 1.0, problem.hi[turret] / setting - 1.0
        least, most = min(float(least), 0.0), max(float(most), 0.0)
        fallen, integral, here = 0.0, 0.0, level_now
        changes, speeds = [], []
        for held in level.tolist():
            speed = min(max(gain * (here - level_now) + integral_gain * integral, least), most)
            integral += dt * (here - wanted)
            fallen -= per_stage * speed
            here = held + fallen
            changes.append(fallen)
            speeds.append(speed)
        return np.array(changes), np.array(speeds)

    def deviations(
        self, problem: OcpProblem, state: EstimatorState, *, steered: bool, follows: bool
    ) -> dict[str, Array] | None:
        """``(N,)`` standard deviations by output of the twin; None if they are not finite.

        Parameters
        ----------
        problem, state
            What was forecast, and the estimate behind it.
        steered
            Whether the plan is carried out and made anew in every cycle.
        follows
            Whether the PLC's level loop moves the turret (F4).
        """
        solution = state.solution
        if solution is None or not np.all(np.isfinite(solution.cov)):
            return None
        linear = self._linear(problem, steered, follows)
        count = -(-problem.grid.stages // self._stride)
        cov = inflation(state.misfit) * solution.cov
        variance = self._variance(problem, state, linear, cov, count, steered)
        if not np.all(np.isfinite(variance)):
            return None
        variance += self._scatter(linear.y)[None, :]
        sd = np.sqrt(np.maximum(variance, 0.0)).T
        coarse = self._stride * np.arange(count + 1.0)
        at = np.arange(1.0, problem.grid.stages + 1.0)
        return {name: np.interp(at, coarse, row) for name, row in zip(SPREAD_OF, sd, strict=True)}

    def _variance(
        self,
        problem: OcpProblem,
        state: EstimatorState,
        linear: _Linear,
        cov: Array,
        count: int,
        steered: bool,
    ) -> Array:
        """``(count + 1, rows)`` variances (F3), every so many stages from now on."""
        nf, stride = self._free.size, self._stride
        known = nf + _COUNT
        r = np.empty((count + 1, *linear.c.shape))
        r[0], step = linear.c, np.linalg.matrix_power(linear.m, stride)
        for j in range(count):
            r[j + 1] = r[j] @ step  # (F2)
        lot = self._lot_share(r, problem, state)
        # the loop's integral is such that the turret runs as it does at the level that there is
        level = self._integral_s * linear.c[_AT["level"], :known]
        by_estimate = r[:, :, :known] - r[:, :, known : known + 1] * level
        for effect, base in zip(_EFFECTS, _BASES, strict=True):
            by_estimate[:, _OF_LOT, nf + effect] = lot[:, None] * linear.c[_OF_LOT, nf + base]
        now = _quadratic(by_estimate, cov)
        flat = r.reshape(-1, self._size)
        by_feed = (flat @ linear.feed).reshape(count + 1, len(_ROWS), -1)
        squares = (flat**2) @ np.concatenate((np.zeros(nf), self._walk**2, np.zeros(3)))
        squares += (by_feed.reshape(flat.shape[0], -1) ** 2) @ self._doubt.noise**2
        squares += (flat @ linear.inflow * self._inflow) ** 2
        came = squares.reshape(count + 1, -1)
        variance: Array = now
        variance[1:] += 0.5 * stride * np.cumsum(came[1:] + came[:-1], axis=0)
        diluted = r[:, _AT["level"]] @ linear.dilution if steered else None
        variance += self._refills(problem, state.feeders, linear.flows, by_feed, diluted)
        if steered:
            held = _quadratic(linear.c[None, :, :known], cov)[0]
            variance[:, _HELD], variance[:, _MOVED] = held[_HELD], held[_MOVED]
            variance[:, _MOVED] += self._learnt(linear, cov[nf:, nf:], lot)
        return variance

    def _linear(self, problem: OcpProblem, steered: bool, follows: bool) -> _Linear:
        """(F1) where the line stands."""
        flows = self._flows(problem)
        total = float(flows.sum())
        share = flows / total
        lot, blender = problem.known[-2:, 0]
        rest = [lot, blender, *problem.previous[2:], share[self._lubricant].sum()]
        v = np.array([total, share[self._api], *rest])
        out = self._estimator.one_stage(problem.x0, problem.p[:, None], v[:, None])
        free, nf, end = self._free, self._free.size, self._free.size + _COUNT
        bv, hx, hv = out.bv[free, :, 0], out.hx[_ROWS][:, free, 0], out.hv[_ROWS][:, :, 0]
        m, c = np.eye(self._size), np.zeros((len(_ROWS), self._size))
        m[:nf, :nf], m[:nf, nf:end] = out.a[:, :, 0][np.ix_(free, free)], out.bp[free, :_COUNT, 0]
        c[:, :nf], c[:, nf:end] = hx, out.hp[_ROWS][:, :_COUNT, 0]
        level = c[_AT["level"], :end].copy()
        off = share[self._api] * (np.eye(flows.size)[self._api] - share)  # of the API fraction
        feed, dilution = np.zeros((self._size, flows.size)), np.zeros(self._size)
        feed[:nf] = np.outer(bv[:, _FEED], flows) + np.outer(bv[:, _API], off)
        if follows:
            reply = np.append(level, 1.0 / self._integral_s) * self._gain  # (F4)
            m[:nf, : end + 1] += np.outer(bv[:, _TURRET] * v[_TURRET], reply)
            m[end, :end] += self._twin.step * level
            m[end + 1, : end + 1], m[end + 1, end + 1] = reply, 0.0
            c[:, end + 1] = hv[:, _TURRET] * v[_TURRET]
            c[_AT["level"], end + 1] = 0.0
        if steered:
            pace = min(self._twin.step / _TRIM_S, 1.0)
            m[:nf, end + 2] = bv[:, _API]
            m[end + 2, end + 2] = 1.0 - pace
            feed[end + 2] = -pace * off
            m[:nf, :nf] -= np.outer(bv[:, _FEED] * total * _LEVEL_REPLY, level[:nf])
            dilution[:nf] = bv[:, _FEED] * total
        inflow = np.append(out.bp[free, -1, 0], np.zeros(self._size - nf))
        y = dict(zip(OUTPUTS, out.y[:, 0].tolist(), strict=True))
        return _Linear(m, c, flows, feed, dilution, hv[:, _PRESSED], inflow, y)

    def _flows(self, problem: OcpProblem) -> Array:
        """Flow of each feeder now [kg/s]: its set point, or what it is frozen at."""
        total, ratio = problem.previous[:2]
        share = self._share.copy()
        share[self._api], share[self._lubricant] = ratio, problem.known[-3, 0]
        share[self._filler] += 1.0 - share.sum()
        frozen, flow = problem.known[0:-3:3, 0] > 0.5, problem.known[1:-3:3, 0]
        return np.asarray(np.maximum(np.where(frozen, flow, total * share), 1e-9))

    def _lot_share(self, r: Array, problem: OcpProblem, state: EstimatorState) -> Array:
        """Share of the newest lot in the dies at each time: it travels as the API does."""
        way = self._label * r[:, _AT["potency"], self._at_api]
        lot: Array = way @ problem.x0[self._lot] + (1.0 - way @ self._all) * state.lot_share
        return lot

    def _refills(
        self,
        problem: OcpProblem,
        feeders: Sequence[FeederEstimate],
        flows: Array,
        by_feed: Array,
        diluted: Array | None,
    ) -> Array:
        """Variances that refills bring, the last term of (F3)."""
        stride, dt = self._stride, problem.grid.step
        count = by_feed.shape[0] - 1
        times = dt * stride * (np.arange(count) + 0.5)
        frozen_s = dt * np.count_nonzero(problem.known[0:-3:3] > 0.5, axis=1)
        courses = self._doubt.refills(feeders, flows, frozen_s, times)
        before = np.arange(count)[:, None] - np.arange(count)[None, :]
        shifted = np.where(before >= 0, courses[:, :, before], 0.0)  # (2, feeders, now, ago)
        middle = 0.5 * stride * (by_feed[1:] + by_feed[:-1])
        responses = shifted @ middle.transpose(2, 0, 1)
        if diluted is not None:
            by_level = 0.5 * stride * (diluted[1:] + diluted[:-1])
            responses[1, self._api, :, _AT["level"]] = shifted[1, self._api] @ by_level
        found: Array = np.zeros(by_feed.shape[:2])
        found[1:] = np.sum(responses**2, axis=(0, 1))
        return found

    def _learnt(self, linear: _Linear, cov: Array, lot: Array) -> Array:
        """Variances of thickness and force by moves that keep weight and strength (CASCADE)."""
        nf = self._free.size
        count = lot.size
        by_p = np.repeat(linear.c[None, _SOLVED, nf : nf + _COUNT], count, axis=0)
        by_p[:, :, _EFFECTS] = lot[:, None, None] * linear.c[_SOLVED, nf:][:, _BASES]
        (a, b), (c, d) = linear.press[_SOLVED].tolist()
        determinant = a * d - b * c
        if determinant == 0.0:
            return np.full((count, len(_MOVED)), np.nan)
        inverse = np.array([[d, -b], [-c, a]]) / determinant
        moved = (linear.press[_MOVED] @ inverse) @ by_p
        ahead = self._twin.step * self._stride * np.arange(count)
        moved[:, :, _CONSTANT] *= np.sqrt(1.0 - np.exp(-ahead / _LEARNT_S))[:, None, None]
        walked = self._stride * np.arange(count)[:, None] * np.sum((moved * self._walk) ** 2, 2)
        return np.asarray(_quadratic(moved, cov) + walked)

    def _scatter(self, y: Mapping[str, float]) -> Array:
        """``(rows,)`` variances of a cycle's tablets around what can be known of them.

        The force loop leaves a deviation inside its dead band alone, as likely anywhere in it; the
        machine stands anywhere in the play of its thickness drive.
        """
        c = self._estimator.config
        left = self._deadband / exp(y["log_fill_depth"])
        weight = sqrt(c.jitter**2 + left**2 / 3.0)
        flow = y["throughput"] * sqrt(weight**2 + c.count_jitter**2)
        scatter = {
            "log_weight": weight,
            "log_strength": STRENGTH_EXPONENT * weight,
            "throughput": flow,
            "thickness": 1e-6 * c.play_um / sqrt(12.0),
            "log_main_force": _FORCE_BY_WEIGHT * weight,
        }
        return np.array([scatter.get(name, 0.0) ** 2 for name in SPREAD_OF])


def _quadratic(rows: Array, cov: Array) -> Array:
    """``(times, outputs)`` variances ``row cov row'`` of ``rows`` (times, outputs, m)."""
    flat = rows.reshape(-1, cov.shape[0])
    return np.asarray(np.einsum("ij,ij->i", flat @ cov, flat).reshape(rows.shape[:2]))
