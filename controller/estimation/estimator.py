"""The estimator of the line: feeder filters, the moving window, quality with intervals.

Samples are added while the press runs; while it stands, nothing in the line moves and neither does
the window. A new lot marker turns the effects of the lot before into the new normal and opens the
lot's own three effects; the disturbances are allowed to walk faster while its powder arrives.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from controller.config import EstimationConfig
from controller.data import Array, Estimate, Validated
from controller.estimation.arrival import advance, predict
from controller.estimation.feeders import FeederEstimate, FeederFilter
from controller.estimation.mhe import Arrival, MheProblem, MheSolution, solve
from controller.estimation.quality_now import quality_now, tuning
from controller.estimation.readings import MAIN, POTENCY, measured, place_sample, reading, unseen
from controller.estimation.window import MEASURED, Window
from controller.twin.compiled import Rollout, build_rollout
from controller.twin.condense import Condenser, Pattern
from controller.twin.core import INPUTS, PARAMETERS, ControlTwin
from plant_models.line import ResolvedLine, blender_parameters, recipe_fractions
from plant_models.signals import MV, LineState
from plant_models.variables import Structure

__all__ = ["THICKNESS", "EstimatorState", "LineEstimator"]

THICKNESS = INPUTS.index("thickness")

_RUNS_ABOVE = 10.0 / 60.0  # turret speed [rev/s] above which tablets are made
_RECENT = 12
_CATCH_UP = 24  # lost cycles that are made up for, at most


@dataclass(frozen=True, slots=True, kw_only=True)
class EstimatorState:
    """Everything that the next cycle needs; picklable.

    ``time`` and ``inputs`` (the twin's) are those of the last cycle; ``lot_share`` is the newest
    lot's share in the feed (0 before the first marker, 1 after), ``began`` when the press first
    ran. ``innovations`` are the last mean squares of the normalised surprises, ``misfit`` their
    slow mean by column.
    """

    feeders: tuple[FeederEstimate, ...]
    window: Window
    arrival: Arrival | None
    solution: MheSolution | None
    time: float
    inputs: Array
    lot: str
    lot_share: float
    lot_time: float
    began: float
    innovations: tuple[float, ...]
    misfit: Array


class LineEstimator:
    """Estimator of one line; built once, holds no state of its own but the compiled roll-outs."""

    def __init__(
        self,
        resolved: ResolvedLine,
        structure: Structure,
        config: EstimationConfig,
        period: float,
        cache: Path | None,
    ) -> None:
        self.resolved, self.config, self.period = resolved, config, period
        self.twin = ControlTwin(resolved, structure, step=period)
        stage = self.twin.stage_function()
        names = self.twin.state_names
        free = [i for i, n in enumerate(names) if i < 2 or ".api" in n]
        self.problem = MheProblem(
            twin=self.twin,
            rollout=build_rollout(stage, config.window_samples, cache),
            condenser=Condenser(Pattern.by_parameters(self.twin), cache),
            tuning=tuning(config, resolved),
            free=np.array(free, dtype=int),
            cascade=structure is Structure.CASCADE,
            blocks=config.noise_blocks,
        )
        self.one_stage: Rollout = build_rollout(stage, 1, cache)
        self.feeders = tuple(FeederFilter(f, period) for f in resolved.line.feeders)
        self._api = resolved.feeder_index("api")
        self._filler = resolved.feeder_index("filler")
        self._lubricants = [i for i, f in enumerate(resolved.line.feeders) if f.role == "lubricant"]
        self._delay = round(resolved.line.instruments.potency_delay_s / period)

    def initial(self) -> EstimatorState:
        """Before the first cycle."""
        return EstimatorState(
            feeders=tuple(f.initial() for f in self.feeders),
            window=Window.empty(),
            arrival=None,
            solution=None,
            time=0.0,
            inputs=np.zeros(len(INPUTS)),
            lot="",
            lot_share=0.0,
            lot_time=-1e9,
            began=0.0,
            innovations=(),
            misfit=np.ones(len(MEASURED)),
        )

    def update(self, state: EstimatorState, seen: Validated, steps: int) -> EstimatorState:
        """One cycle on; ``steps`` Gauss-Newton steps.

        Cycles that were lost on the way, of which nothing is known, are gone through without
        measurements first: the powder moved on in them.
        """
        lost = round((seen.time - state.time) / self.period) - 1 if state.time > 0.0 else 0
        for k in range(min(lost, _CATCH_UP), 0, -1):
            state = self._cycle(state, unseen(seen, seen.time - k * self.period), 1)
        return replace(self._cycle(state, seen, steps), time=seen.time)

    def _cycle(self, state: EstimatorState, seen: Validated, steps: int) -> EstimatorState:
        state = self._update_feeders(state, seen)
        state = self._update_lot(state, seen)
        turret = reading(seen, f"{MV.TURRET_SPEED}/FBK")
        if turret is None:
            return state
        if turret < _RUNS_ABOVE:
            return self._stand(state)
        if reading(seen, MAIN) is None and not self._presses_unseen(state, seen):
            return state
        inputs = self._inputs(state, seen, turret)
        values, weights = measured(seen, inputs, self.problem.cascade)
        if state.arrival is None:
            first = self.first_arrival(inputs, values, weights)
            state = replace(state, arrival=first, began=seen.time)
        solved = self._solve(self._append(state, seen, inputs, values, weights), steps)
        if solved is not None:
            return solved
        # The sample is left out: what the window knew still holds.
        s = state.solution
        return replace(state, solution=None if s is None else replace(s, finite=False))

    def estimate(self, state: EstimatorState, time: float) -> Estimate | None:
        """What the state says about the line and the tablets being made; None before it began."""
        if state.solution is None:
            return None
        s = state.solution
        quality = quality_now(
            self.problem, self.one_stage, self.config, s, state.inputs, state.misfit
        )
        recent = state.innovations[-_RECENT:]
        surprise = float(np.mean(recent)) if recent else np.inf
        enough = state.window.size >= self.config.least_samples and len(recent) == _RECENT
        names = [self.twin.state_names[i] for i in self.problem.free] + list(PARAMETERS[:-1])
        return Estimate(
            time=time,
            names=tuple(names),
            mean=np.concatenate((s.x[self.problem.free, -1], s.p[:-1, -1])),
            covariance=s.cov,
            quality=quality,
            converged=bool(enough and s.finite and surprise < self.config.innovation_limit),
            normalised_innovation=surprise if np.isfinite(surprise) else -1.0,
            tested=enough or not s.finite,
            note="" if s.finite else "the window's arithmetic broke down; the last estimate holds",
        )

    # one cycle, step by step

    def _update_feeders(self, state: EstimatorState, seen: Validated) -> EstimatorState:
        feeders = []
        for i, (f, e) in enumerate(zip(self.feeders, state.feeders, strict=True), start=1):
            weight = reading(seen, f"Line/Feeder{i}/Weight/PV")
            speed = reading(seen, f"Line/Feeder{i}/ScrewSpeed/PV")
            feeders.append(
                f.update(e, weight, e.speed if speed is None else speed, seen.refills[i - 1])
            )
        return replace(state, feeders=tuple(feeders))

    def _update_lot(self, state: EstimatorState, seen: Validated) -> EstimatorState:
        lot = seen.lots[self._filler]
        if not state.lot or not lot or lot == state.lot:
            return replace(state, lot=lot or state.lot)
        state = replace(state, lot=lot, lot_time=seen.time)
        if state.solution is None or state.arrival is None:
            return state
        return replace(self._new_normal(state), lot_share=1.0)

    def _new_normal(self, state: EstimatorState) -> EstimatorState:
        """The lot so far becomes the basis; the next lot's effects are unknown again."""
        arrival, s = state.arrival, state.solution
        if arrival is None or s is None:
            return state
        lots = [i for i, n in enumerate(self.twin.state_names) if ".lot" in n]
        nf, count = self.problem.free.size, len(PARAMETERS) - 1
        fold = np.eye(nf + count)
        x, p, ps = arrival.x.copy(), arrival.p.copy(), s.p.copy()
        x0, xs, inputs = s.x0.copy(), s.x.copy(), state.window.inputs.copy()
        x[lots], x0[lots], xs[lots] = 0.0, 0.0, 0.0
        inputs[INPUTS.index("lot")] = 0.0
        prior = []
        for base, effect, sd in zip(
            ("specific_volume", "pressure_scale", "strength"),
            ("lot_volume", "lot_scale", "lot_strength"),
            self.config.lot_sd,
            strict=True,
        ):
            b, e = PARAMETERS.index(base), PARAMETERS.index(effect)
            share = state.lot_share
            p[b] += share * p[e]
            ps[b] += share * ps[e]
            p[e], ps[e] = 0.0, 0.0
            fold[nf + b, nf + e] = share
            fold[nf + e, nf + e] = 0.0
            prior.append((nf + e, sd**2))
        cov = fold @ arrival.cov @ fold.T
        for i, variance in prior:
            cov[i, i] = variance
        return replace(
            state,
            arrival=Arrival(x, p, cov),
            solution=replace(s, x0=x0, x=xs, p=ps),
            window=replace(state.window, inputs=inputs),
        )

    def _presses_unseen(self, state: EstimatorState, seen: Validated) -> bool:
        """Whether powder moves on though no force is read: the loop is taken to hold its own."""
        return state.arrival is not None and seen.line_state is LineState.RUNNING

    def _stand(self, state: EstimatorState) -> EstimatorState:
        return replace(state, innovations=())

    def _inputs(self, state: EstimatorState, seen: Validated, turret: float) -> Array:
        flows = [e.flow for e in state.feeders]
        total = sum(flows)
        api = flows[self._api] / total if total > 1e-5 else 0.1
        lubricant = sum(flows[i] for i in self._lubricants)
        blender = reading(seen, f"{MV.BLENDER_SPEED}/FBK")
        if self.problem.cascade:
            set_point = seen.actual[MV.MAIN_FORCE]
            force = reading(seen, MAIN) or set_point
            off = force / set_point - 1.0
            share = 1.0 if abs(off) > 0.12 else self.config.force_share
            press = set_point * (1.0 + share * off)
        else:
            press = reading(seen, f"{MV.FILL_DEPTH}/FBK") or seen.actual[MV.FILL_DEPTH]
        return np.array(
            [
                max(total, 1e-6),
                api,
                state.lot_share,
                blender if blender else seen.actual[MV.BLENDER_SPEED],
                press,
                self.through_play(state, seen.actual[MV.THICKNESS]),
                turret,
                lubricant / total if total > 1e-5 else 0.0,
            ]
        )

    def through_play(self, state: EstimatorState, setting: float) -> float:
        """Thickness [m] at the machine: the play operator at the drive's nominal gap.

        What the gap really is, and where in it the machine stood at first, is left to the estimated
        offset.
        """
        if state.arrival is None:
            return setting
        half = 0.5e-6 * self.config.play_um
        return min(max(float(state.inputs[THICKNESS]), setting - half), setting + half)

    def first_arrival(self, inputs: Array, values: Array, weights: Array) -> Arrival:
        """What is known before the first sample: a steady line, and how far it may be from that."""
        blender = blender_parameters(self.resolved)
        api = self.resolved.product.api_percent / 100.0
        x = self.twin.steady(max(float(inputs[0]), 1e-3), api, 0.0, blender.speed_0)
        level = MEASURED.index("level")
        if weights[level] > 0.0:
            x[1] = max(values[level], 0.05) * self.resolved.line.chute.capacity_kg
        c = self.config
        state_sd = [0.05, 0.02] + [0.03 * api] * (self.problem.free.size - 2)
        parameter_sd = [getattr(c.prior_sd, name, 0.0) for name in PARAMETERS[:-1]]
        sd = np.array(state_sd + parameter_sd)
        cov = np.diag(sd**2)
        at = [len(state_sd) + PARAMETERS.index(n) for n in ("feed_span", "potency_span")]
        cov[np.ix_(at, at)] = self._span_covariance()
        return Arrival(x, np.zeros(len(PARAMETERS)), cov)

    def _span_covariance(self) -> Array:
        """Of the errors of total feed and API fraction, from independent load-cell spans.

        The filler's cell makes most of both, with opposite signs: what the press's mass balance
        tells about the total feed it tells about the API fraction too.
        """
        shares = np.array(recipe_fractions(self.resolved))
        api = np.eye(shares.size)[self._api]
        rows = np.vstack((shares, api - shares))
        return np.asarray(self.config.prior_sd.load_cell_span**2 * rows @ rows.T)

    def _append(
        self,
        state: EstimatorState,
        seen: Validated,
        inputs: Array,
        values: Array,
        weights: Array,
    ) -> EstimatorState:
        innovations, misfit = state.innovations, state.misfit
        if state.solution is not None:
            s = state.solution
            expected, variance = predict(
                self.problem, self.one_stage, s.x[:, -1], s.p[:, -1], s.cov, inputs
            )
            spread = variance + self.problem.tuning.sigma**2
            used = weights > 0.0
            if np.any(used):
                ratio = np.minimum((values - expected) ** 2 / spread, 9.0)
                innovations = (*innovations, float(np.mean(ratio[used])))[-_RECENT:]
                misfit = np.where(used, 0.98 * misfit + 0.02 * ratio, misfit)
        age = seen.time - state.lot_time
        c = self.config
        boost = c.lot_boost if c.lot_arrives_s <= age <= c.lot_settled_s else 1.0
        moved = 0.0
        if state.window.size:
            shift = abs(inputs[THICKNESS] - state.inputs[THICKNESS])
            moved = c.play_share * min(shift, c.play_um * 1e-6)
        window = state.window.append(seen.time, inputs, values, weights, boost, moved)
        nir = seen.measurements.get(POTENCY)
        spectrum = reading(seen, POTENCY)
        if nir is not None and spectrum is not None and window.size > self._delay:
            window = window.place(window.size - 1 - self._delay, "potency", spectrum, nir.weight)
        for sample in seen.samples:
            window = place_sample(
                window,
                sample,
                self.resolved.product.diameter_mm * 1e-3,
                self.period,
                (sample.taken - state.began) / c.strength_settles_s,
            )
        return replace(
            state,
            window=window,
            inputs=inputs,
            innovations=innovations,
            misfit=misfit,
        )

    def _solve(self, state: EstimatorState, steps: int) -> EstimatorState | None:
        """The window estimated, moved on if it is full; None if the arithmetic broke down."""
        window, arrival, last = state.window, state.arrival, state.solution
        if arrival is None:
            return None
        if last is None:
            p = np.repeat(arrival.p[:, None], window.size, axis=1)
            x0 = arrival.x
        else:
            x0, p = last.x0, np.column_stack((last.p, last.p[:, -1]))
            if window.size > self.config.window_samples:
                extended = replace(last, p=p)
                arrival = advance(self.problem, self.one_stage, arrival, window, extended)
                x0, p, window = last.x[:, 0].copy(), p[:, 1:], window.drop_first()
        solution = solve(self.problem, window, arrival, x0, p, steps)
        if not solution.finite:
            return None
        return replace(state, window=window, arrival=arrival, solution=solution)
