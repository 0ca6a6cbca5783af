"""From validated readings to states and disturbances: the linear controller's Kalman filter.

The readings and their places are those of `controller.estimation`: hoppers have filters of their
own (so that a refill is a known disturbance), the same columns are measured, a spectrum belongs two
samples back and an at-line sample where it was taken. A lot marker lets the powder's disturbances
move fast while the new lot passes the press. The thickness drive is taken through its nominal play.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import exp, sqrt

import numpy as np

from controller.baselines.kalman import Belief, FilterNoise, KalmanFilter, KalmanState
from controller.baselines.lmpc_model import DISTURBANCES, LinearTwin
from controller.config import ControllerConfig
from controller.data import CV, Array, Estimate, Interval, Validated
from controller.estimation.feeders import FeederEstimate, FeederFilter
from controller.estimation.quality_now import tuning
from controller.estimation.readings import MAIN, POTENCY, measured, place_sample, reading, unseen
from controller.estimation.window import MEASURED, STRENGTH_EXPONENT
from controller.twin.core import INPUTS, OUTPUTS
from plant_models.line import ResolvedLine, recipe_fractions
from plant_models.signals import MV, LineState

__all__ = ["LinearObserver", "ObserverState"]

_RUNS_ABOVE = 10.0 / 60.0  # turret speed [rev/s] above which tablets are made
_CATCH_UP = 24  # lost cycles that are made up for, at most
_RECENT = 12
_THICKNESS = INPUTS.index("thickness")
_LOT_CHANGES = ("specific_volume", "pressure_scale", "strength")


@dataclass(frozen=True, slots=True, kw_only=True)
class ObserverState:
    """Everything that the next cycle needs; picklable.

    ``time`` and ``inputs`` (the twin's) are those of the last cycle, ``began`` [s] when the press
    first ran; ``surprises`` the last mean squares of the filter's normalised innovations.
    """

    feeders: tuple[FeederEstimate, ...]
    kalman: KalmanState | None
    time: float
    inputs: Array
    lot: str
    lot_time: float
    began: float
    surprises: tuple[float, ...]


class LinearObserver:
    """Observer of one line in CASCADE; holds no state of its own."""

    def __init__(self, model: LinearTwin, line: ResolvedLine, config: ControllerConfig) -> None:
        self.model, self._line = model, line
        self._config, self._levels = config.lmpc, config.estimation
        self._period = float(config.period_s)
        self._delay = round(line.line.instruments.potency_delay_s / self._period)
        self.filter = KalmanFilter(
            model, self._noise(), True, self._delay, self._config.history_samples
        )
        self.feeders = tuple(FeederFilter(x, self._period) for x in line.line.feeders)
        self._api = line.feeder_index("api")
        self._filler = line.feeder_index("filler")
        self._lubricants = [i for i, x in enumerate(line.line.feeders) if x.role == "lubricant"]

    def initial(self) -> ObserverState:
        """State before the first cycle."""
        return ObserverState(
            feeders=tuple(f.initial() for f in self.feeders),
            kalman=None,
            time=0.0,
            inputs=self.model.v0,
            lot="",
            lot_time=-1e9,
            began=0.0,
            surprises=(),
        )

    def update(self, state: ObserverState, seen: Validated) -> ObserverState:
        """One cycle on; lost cycles are gone through without measurements first."""
        lost = round((seen.time - state.time) / self._period) - 1 if state.time > 0.0 else 0
        for k in range(min(lost, _CATCH_UP), 0, -1):
            state = self._cycle(state, unseen(seen, seen.time - k * self._period))
        return replace(self._cycle(state, seen), time=seen.time)

    def estimate(self, state: ObserverState, time: float) -> Estimate | None:
        """States, disturbances and the tablets being made now; None before the press ran."""
        if state.kalman is None:
            return None
        now, e = state.kalman.now, self._levels
        y = dict(zip(OUTPUTS, self.model.outputs(now.mean, state.inputs), strict=True))
        h = self.model.h
        variance = np.maximum(np.einsum("ij,jk,ik->i", h, now.cov, h), 0.0)
        sd = dict(zip(OUTPUTS, np.sqrt(variance), strict=True))
        weight, strength = exp(y["log_weight"]), exp(y["log_strength"])
        weight_sd = sqrt(sd["log_weight"] ** 2 + e.jitter**2)
        strength_sd = sqrt(sd["log_strength"] ** 2 + (STRENGTH_EXPONENT * e.jitter) ** 2)
        flow_sd = sqrt(weight_sd**2 + e.count_jitter**2)
        quality = {
            CV.POTENCY: (y["potency"], sd["potency"]),
            CV.TABLET_WEIGHT: (weight, weight * weight_sd),
            CV.TENSILE_STRENGTH: (strength, strength * strength_sd),
            CV.THROUGHPUT: (y["throughput"], y["throughput"] * flow_sd),
            "chute_level": (y["level"], sd["level"]),
            "tablet_thickness": (y["thickness"], sd["thickness"]),
        }
        names = (*self.model.names, *DISTURBANCES)
        # what is only turned and thinned on the way follows from the flows: nothing to estimate
        shown = np.array([i for i, n in enumerate(names) if ".extent" not in n and ".lub" not in n])
        surprise = float(np.mean(state.surprises)) if state.surprises else -1.0
        least = min(e.least_samples, self._config.history_samples)
        return Estimate(
            time=time,
            names=tuple(names[i] for i in shown),
            mean=(np.append(self.model.x0, np.zeros(len(DISTURBANCES))) + now.mean)[shown],
            covariance=now.cov[np.ix_(shown, shown)],
            quality={str(k): Interval(m, 1.96 * s) for k, (m, s) in quality.items()},
            converged=state.kalman.window.size >= least,
            normalised_innovation=surprise,
        )

    def _noise(self) -> FilterNoise:
        size, nx = self.model.size, self.model.nx
        walk, lot = np.zeros(size), np.zeros(size)
        for walking, sd in self._config.walk:
            walk[nx + DISTURBANCES.index(walking)] = sd**2
        api = self._line.product.api_percent / 100.0
        for i, name in enumerate(self.model.names):
            if ".api" in name:
                walk[i] = (self._config.composition_sd_percent / 100.0 * api) ** 2
        walk[self.model.content] = (self._levels.inflow_sd_g * 1e-3) ** 2
        passing = (self._levels.lot_settled_s - self._levels.lot_arrives_s) / self._period
        for changed, sd in zip(_LOT_CHANGES, self._config.lot_sd, strict=True):
            lot[nx + DISTURBANCES.index(changed)] = sd**2 / max(passing, 1.0)
        return FilterNoise(
            sigma=tuning(self._levels, self._line).sigma,
            walk=walk,
            lot=lot,
            play=nx + DISTURBANCES.index("thickness_offset"),
            gate=self._config.gate_sd,
        )

    def _cycle(self, state: ObserverState, seen: Validated) -> ObserverState:
        state = self._update_feeders(state, seen)
        lot = seen.lots[self._filler]
        if state.lot and lot and lot != state.lot:
            state = replace(state, lot_time=seen.time)
        state = replace(state, lot=lot or state.lot)
        turret = reading(seen, f"{MV.TURRET_SPEED}/FBK")
        if turret is None:
            return state
        if turret < _RUNS_ABOVE:
            return replace(state, surprises=())
        unread = reading(seen, MAIN) is None
        if unread and (state.kalman is None or seen.line_state is not LineState.RUNNING):
            return state
        inputs = self._inputs(state, seen, turret)
        values, weights = measured(seen, inputs, True)
        kalman = state.kalman
        if kalman is None:
            kalman = self.filter.begin(self._prior(values, weights))
            state = replace(state, began=seen.time, inputs=inputs)
        return self._filtered(state, kalman, seen, inputs, values, weights)

    def _filtered(
        self,
        state: ObserverState,
        kalman: KalmanState,
        seen: Validated,
        inputs: Array,
        values: Array,
        weights: Array,
    ) -> ObserverState:
        e = self._levels
        passing = e.lot_arrives_s <= seen.time - state.lot_time <= e.lot_settled_s
        shift = abs(inputs[_THICKNESS] - state.inputs[_THICKNESS])
        moved = e.play_share * min(shift, e.play_um * 1e-6)
        window = kalman.window.append(
            seen.time, inputs, values, weights, 1.0 if passing else 0.0, moved
        )
        oldest = window.size - 1
        nir, spectrum = seen.measurements.get(POTENCY), reading(seen, POTENCY)
        if nir is not None and spectrum is not None and window.size > self._delay:
            oldest -= self._delay
            window = window.place(oldest, "potency", spectrum, nir.weight)
        for sample in seen.samples:
            index = window.index_at(sample.taken, self._period)
            if index is not None:
                oldest = min(oldest, index)
            window = place_sample(
                window,
                sample,
                self._line.product.diameter_mm * 1e-3,
                self._period,
                (sample.taken - state.began) / e.strength_settles_s,
            )
        after = self.filter.advance(kalman, window, oldest)
        if not (np.all(np.isfinite(after.now.mean)) and np.all(np.isfinite(after.now.cov))):
            return replace(state, kalman=None, surprises=())
        seen_now = after.surprise[after.surprise != 0.0]
        surprises = state.surprises
        if seen_now.size:
            surprises = (*surprises, float(np.mean(np.minimum(seen_now**2, 9.0))))[-_RECENT:]
        return replace(state, kalman=after, inputs=inputs, surprises=surprises)

    def _update_feeders(self, state: ObserverState, seen: Validated) -> ObserverState:
        feeders = []
        for i, (f, e) in enumerate(zip(self.feeders, state.feeders, strict=True), start=1):
            weight = reading(seen, f"Line/Feeder{i}/Weight/PV")
            speed = reading(seen, f"Line/Feeder{i}/ScrewSpeed/PV")
            feeders.append(
                f.update(e, weight, e.speed if speed is None else speed, seen.refills[i - 1])
            )
        return replace(state, feeders=tuple(feeders))

    def _inputs(self, state: ObserverState, seen: Validated, turret: float) -> Array:
        flows = [e.flow for e in state.feeders]
        total = max(sum(flows), 1e-6)
        blender = reading(seen, f"{MV.BLENDER_SPEED}/FBK")
        set_point = seen.actual[MV.MAIN_FORCE]
        off = (reading(seen, MAIN) or set_point) / set_point - 1.0
        share = 1.0 if abs(off) > 0.12 else self._levels.force_share
        setting, half = seen.actual[MV.THICKNESS], 0.5e-6 * self._levels.play_um
        stands = setting if state.kalman is None else float(state.inputs[_THICKNESS])
        named = {
            "feed": total,
            "api": flows[self._api] / total if total > 1e-5 else 0.1,
            "lot": 0.0,
            "blender_speed": blender or seen.actual[MV.BLENDER_SPEED],
            "press": set_point * (1.0 + share * off),
            "thickness": min(max(stands, setting - half), setting + half),
            "turret_speed": turret,
            "lubricant": sum(flows[i] for i in self._lubricants) / total,
        }
        return np.array([named[name] for name in INPUTS])

    def _prior(self, values: Array, weights: Array) -> Belief:
        m, e = self.model, self._levels
        mean, sd = np.zeros(m.size), np.zeros(m.size)
        api = self._line.product.api_percent / 100.0
        for i, name in enumerate(self.model.names):
            sd[i] = 0.03 * api if ".api" in name else 0.0
        sd[self.model.names.index("blender.hold_up")], sd[m.content] = 0.05, 0.02
        for i, name in enumerate(DISTURBANCES):
            sd[m.nx + i] = getattr(e.prior_sd, name, 0.0)
        level = MEASURED.index("level")
        if weights[level] > 0.0:
            content = max(values[level], 0.05) * self._line.line.chute.capacity_kg
            mean[m.content] = content - m.x0[m.content]
        cov = np.diag(sd**2)
        # errors of total feed and API fraction, from independent load cells
        shares = np.array(recipe_fractions(self._line))
        rows = np.vstack((shares, np.eye(shares.size)[self._api] - shares))
        at = [m.nx + DISTURBANCES.index(n) for n in ("feed_span", "potency_span")]
        cov[np.ix_(at, at)] = e.prior_sd.load_cell_span**2 * rows @ rows.T
        return Belief(mean, cov)
