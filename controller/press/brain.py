"""The press monitor as a control algorithm: estimates and forecasts, plans and moves nothing.

It needs of the line only what a press reports of itself: tablet rate, main force, fill depth,
thickness. While the press stands nothing is learnt and nothing forecast; the estimate is kept with
growing variance, and a restart goes on from it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from controller.brain import Forced, Step
from controller.data import (
    Array,
    Estimate,
    Forecast,
    Interval,
    Mode,
    ReachedBy,
    Targets,
    Validated,
)
from controller.press import smoothers
from controller.press.reply import Reply, ReplyState
from controller.press.sensor import PressSample, PressSensor, SensorState
from controller.press.settings import PressMonitorConfig
from controller.press.smoothers import Smoothed
from plant_models.press_cell import tablet_weight

__all__ = ["FORCE", "PressBrain", "PressState"]

RATE = "Line/Press/TabletRate/PV"
FORCE = "Line/Press/MainForce/PV"
FILL = "Line/Press/FillDepth/FBK"
BAND = "Line/Press/Thickness/FBK"

_KN = 1e3
_INNOVATION_LIMIT = 2.5
_TAKEN = Forced(estimator_steps=0, optimiser_steps=0, reached_by=ReachedBy.NONE)


@dataclass(frozen=True, slots=True, kw_only=True)
class PressState:
    """Memory of the monitor. ``started`` is when the press last started [s], NaN while it stands.

    ``band``, ``rate`` are the last known thickness [m] and tablet rate [1/s]; ``innovation`` the
    mean square of the soft sensor's recent normalised residuals.
    """

    reply: ReplyState
    sensor: SensorState | None = None
    smoothed: Smoothed | None = None
    time: float = np.nan
    started: float = np.nan
    stopped: float = np.nan
    band: float = np.nan
    rate: float = np.nan
    innovation: float = 1.0


class PressBrain:
    """Soft sensor and forecast of one press (`controller.brain.Brain`); one thread only."""

    name = "press"
    manipulated: tuple[str, ...] = ()

    def __init__(self, config: PressMonitorConfig, period_s: float) -> None:
        self._c, self._period = config, period_s
        self._cell = config.cell.cell()
        self._sensor = PressSensor(self._cell, config.sensor)
        self._reply = Reply(config.forecast, period_s)
        self._smoothing = np.array(config.forecast.smoothing)
        self._times = period_s * np.arange(1.0, config.forecast.steps + 1.0)

    def initial(self) -> PressState:
        """Nothing seen."""
        return PressState(reply=self._reply.start())

    def prepare(self, state: PressState) -> None:
        """Nothing to work ahead."""

    def step(
        self,
        state: PressState,
        validated: Validated,
        mode: Mode,
        targets: Targets,
        deadline_s: float,
        forced: Forced | None = None,
    ) -> Step:
        """One sample: learn from it, estimate, forecast."""
        rate = _use(validated, RATE)
        if not np.isfinite(rate):
            return _step(replace(state, time=validated.time), None, None)
        if rate <= 0.0:
            after = self._stand(state, validated.time)
            return _step(after, self._estimate(after, validated.time, "press stands"), None)
        after = self._run(state, validated, rate)
        if after.sensor is None or after.smoothed is None:
            return _step(after, None, None)
        estimate = self._estimate(after, validated.time, "")
        young = validated.time - after.started < self._c.forecast.young_s
        x = smoothers.features(after.smoothed)
        levels = (after.smoothed.mean, after.smoothed.recent, after.sensor.force / _KN)
        issued = self._reply.forecast(after.reply, validated.time, x, levels, young)
        forecast = Forecast(
            times=self._times,
            series={"main_force": (issued.by[-2] * _KN, issued.mixed * _KN, issued.half * _KN)},
        )
        after = replace(after, reply=self._reply.issue(after.reply, issued))
        return _step(after, estimate, forecast)

    def _stand(self, state: PressState, time: float) -> PressState:
        """The press stands: no sample, more doubt."""
        sensor = state.sensor
        if sensor is not None and np.isfinite(state.started):
            sensor = self._sensor.stand(sensor, self._c.sensor.restart_walk**2)
        stopped = time if np.isfinite(state.started) else state.stopped
        return replace(
            state, sensor=sensor, smoothed=None, time=time, started=np.nan, stopped=stopped
        )

    def _run(self, state: PressState, validated: Validated, rate: float) -> PressState:
        """The press runs: one more sample."""
        time = validated.time
        force, fill = _use(validated, FORCE), _use(validated, FILL)
        band = _use(validated, BAND)
        band = band if np.isfinite(band) else state.band
        if not np.isfinite(band) or (state.sensor is None and not np.isfinite(force)):
            return replace(state, time=time, band=band, rate=rate)
        gap = not time - state.time < 1.5 * self._period
        fresh = gap or not np.isfinite(state.started)
        walk = self._c.sensor.restart_walk if fresh else 1.0
        sensor = self._sensor.step(state.sensor, PressSample(force, fill, band, rate, walk))
        smoothed = self._smooth(None if fresh else state.smoothed, force, fill, band)
        reply = state.reply
        if smoothed is not None:
            x = smoothers.features(smoothed)
            reply = self._reply.learn(reply, time, force / _KN, x)
        innovation = state.innovation
        if np.isfinite(sensor.residual):
            innovation += 0.02 * (min(sensor.residual**2, 9.0) - innovation)
        return PressState(
            reply=reply,
            sensor=sensor,
            smoothed=smoothed,
            time=time,
            started=time if fresh else state.started,
            stopped=state.stopped,
            band=band,
            rate=rate,
            innovation=innovation,
        )

    def _smooth(
        self, old: Smoothed | None, force: float, fill: float, band: float
    ) -> Smoothed | None:
        """Filters one sample on; none until force and fill depth are known after a start."""
        signals = np.array([force / _KN, fill * self._slopes[0], band * self._slopes[1]])
        if old is None:
            if not np.all(np.isfinite(signals)):
                return None
            return smoothers.start(signals, self._smoothing.size)
        weighted = self._c.forecast.weighted_mean
        return smoothers.advance(old, signals, weighted, self._smoothing)

    @property
    def _slopes(self) -> Array:
        """Slopes of the force by fill depth and thickness [kN/m] for the size of the signals."""
        return np.array([4.0e3, -9.0e3])

    def _estimate(self, state: PressState, time: float, note: str) -> Estimate | None:
        sensor = state.sensor
        if sensor is None:
            return None
        volume, fill = float(sensor.z[-1, 0]), float(sensor.z[-1, 1]) * 1e-3
        unit = np.array([1.0, 1e-3])
        cov = sensor.cov * unit[:, None] * unit[None, :]
        weight = float(tablet_weight(self._cell, fill, volume))
        slope = np.array([-weight, weight / (fill + self._cell.lower_cup)])
        weight_sd = float(np.sqrt(slope @ cov @ slope))
        return Estimate(
            time=time,
            names=("log_volume", "fill_depth"),
            mean=np.array([volume, fill]),
            covariance=cov,
            quality={
                "main_force": Interval(sensor.force, 1.96 * sensor.force_sd),
                "tablet_weight": Interval(weight, 1.96 * weight_sd),
            },
            converged=state.innovation < _INNOVATION_LIMIT,
            normalised_innovation=state.innovation,
            note=note,
        )


def _use(validated: Validated, tag: str) -> float:
    """Value of a measurement in SI, NaN unless validation would use it."""
    m = validated.measurements.get(tag)
    return m.value if m is not None and m.weight > 0.0 else float("nan")


def _step(state: PressState, estimate: Estimate | None, forecast: Forecast | None) -> Step:
    return Step(state=state, estimate=estimate, forecast=forecast, plan=None, taken=_TAKEN)
