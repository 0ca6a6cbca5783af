"""One small Kalman filter per feeder: content and feed-factor deviation from weight and speed.

(E1)  W+ = W - n ff(W) e^s o dt + refill           content [kg]
(E2)  s+ = s + w                                   ln of the feed-factor deviation, random walk
(E3)  y  = W + v                                   load cell, absent during a refill
(E4)  n  = c + (n_0 - c) (tau / dt) (1 - a)        mean speed of a cycle in which the screw starts
      c  = (n_1 - a n_0) / (1 - a),  a = exp(-dt / tau)            or stops, from n_0 to n_1

``o`` is the overfeed after a refill (F5 of `plant_models.feeder`). The flow handed on is the fall
of the *filtered* content over the cycle: its errors telescope, so that no powder is lost or made
up; where the load cell cannot see (refill), it is the model's flow. While the screw stands the feed
factor does not walk. Weights that are doubted and then believed again and again say that it is the
feed factor which is wrong: it is learnt anew.

References
----------
R. E. Kalman 1960, J Basic Eng 82:35-45 (from memory, textbook form).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import exp, sqrt

from plant_models.config import FeederConfig
from plant_models.feeder import FeederParameters, feed_factor, refill_overfeed
from plant_models.line import feeder_parameters
from plant_models.signals import RefillPhase

__all__ = ["FeederEstimate", "FeederFilter", "FeederForecast"]

_GATE = 5.0  # standard deviations beyond which a weight is not believed at once
_PATIENCE = 2  # cycles in a row after which it is believed, as powder that did or did not flow
_LEARN_ANEW = 2  # such weights, none undoubted between them, after which the feed factor is wrong
_DEVIATION_SD = 0.1  # of a feed factor about which nothing is known
_STARTS = 0.2  # change of speed over the higher one: the screw starts or stops
_START_SD = 0.3  # of the mean speed of that cycle, over the change: within it, when is unknown


@dataclass(frozen=True, slots=True, kw_only=True)
class FeederEstimate:
    """State of one filter and the flow of the last cycle.

    ``content`` [kg], ``deviation`` ln [-], covariance ``p_ww`` [kg2], ``p_ws`` [kg], ``p_ss`` [-];
    ``flow`` [kg/s] with standard deviation ``flow_sd``; ``filling`` [s] how long the refill has
    been going on (0 outside one), ``since_refill`` [s] since the last one ended, ``doubts`` cycles
    in a row in which the weight was not believed.
    """

    content: float
    deviation: float
    p_ww: float
    p_ws: float
    p_ss: float
    flow: float
    flow_sd: float
    speed: float
    phase: RefillPhase
    filling: float
    since_refill: float
    doubts: int
    started: bool
    believed: int = 0

    @property
    def frozen(self) -> bool:
        """Whether the rate is frozen: the screw runs volumetrically."""
        return self.phase in (RefillPhase.ACTIVE, RefillPhase.SETTLING)


@dataclass(frozen=True, slots=True)
class FeederForecast:
    """Expected flow relative to its set point, and absolute while frozen.

    ``frozen`` stages come first: there the flow is ``flow`` [kg/s] whatever the set point; after
    them it is the set point times ``1 + deviation``.
    """

    frozen: tuple[bool, ...]
    flow: tuple[float, ...]
    deviation: tuple[float, ...]


class FeederFilter:
    """Filter of one configured feeder; holds no state of its own."""

    def __init__(self, config: FeederConfig, period: float) -> None:
        self._config = config
        self._p: FeederParameters = feeder_parameters(config)
        self._period = period
        self._weight_var = (config.weight_noise_g * 1e-3) ** 2
        # Flow noise over one cycle: correlated over about 3 s, so the mean keeps most of it.
        self._flow_rsd = config.flow_noise_percent / 100.0 * sqrt(3.0 / period)
        self._walk_var = (0.002 * sqrt(period / 5.0)) ** 2

    def initial(self) -> FeederEstimate:
        """Before the first measurement."""
        content = self._config.hopper_kg * self._config.hopper_start_percent / 100.0
        return FeederEstimate(
            content=content,
            deviation=0.0,
            p_ww=1.0,
            p_ws=0.0,
            p_ss=_DEVIATION_SD**2,
            flow=0.0,
            flow_sd=0.0,
            speed=0.0,
            phase=RefillPhase.NONE,
            filling=0.0,
            since_refill=1e9,
            doubts=0,
            started=False,
        )

    def update(
        self, e: FeederEstimate, weight: float | None, speed: float, phase: RefillPhase
    ) -> FeederEstimate:
        """One cycle on; ``weight`` [kg] is None if the cell cannot be used, ``speed`` [rev/s]."""
        dt = self._period
        began = phase is RefillPhase.ACTIVE and e.phase is not RefillPhase.ACTIVE
        ended = e.phase is RefillPhase.ACTIVE and phase is not RefillPhase.ACTIVE
        filling = e.filling + dt if phase is RefillPhase.ACTIVE else 0.0
        since = dt if ended else e.since_refill + dt
        turned = self._mean_speed(e, speed)
        model_flow = self._flow(e.content, turned, e.deviation, filling, since)
        refill = 0.0
        if phase is RefillPhase.ACTIVE:
            c = self._config
            refill = (c.refill_to_percent - c.refill_from_percent) / 100.0 * c.hopper_kg
            refill /= c.refill_time_s
        content = min(max(e.content + (refill - model_flow) * dt, 0.0), self._p.capacity * 1.2)
        slope = -model_flow * dt
        p_ww = e.p_ww + 2.0 * slope * e.p_ws + slope**2 * e.p_ss
        p_ww += (self._flow_rsd * model_flow * dt) ** 2 + 1e-14
        p_ws = e.p_ws + slope * e.p_ss
        if turned != speed:
            per_speed = float(feed_factor(self._p, e.content))
            p_ww += (_START_SD * (speed - e.speed) * per_speed * dt) ** 2
        p_ss = e.p_ss + (self._walk_var if turned > 0.0 else 0.0)
        if began or ended:
            p_ss += (0.4 * self._p.overfeed) ** 2
        if phase is RefillPhase.ACTIVE:
            p_ww += (0.1 * refill * dt) ** 2
        predicted = replace(
            e,
            content=content,
            p_ww=p_ww,
            p_ws=p_ws,
            p_ss=p_ss,
            flow=model_flow,
            flow_sd=model_flow * sqrt(max(e.p_ss, 0.0) + self._flow_rsd**2),
            speed=speed,
            phase=phase,
            filling=filling,
            since_refill=since,
            started=True,
        )
        if weight is None or phase is RefillPhase.ACTIVE:
            return predicted
        if ended or not e.started:
            return replace(predicted, content=weight, p_ww=self._weight_var, p_ws=0.0, doubts=0)
        return self._correct(e, predicted, weight)

    def _correct(self, before: FeederEstimate, e: FeederEstimate, weight: float) -> FeederEstimate:
        surprise = weight - e.content
        variance = e.p_ww + self._weight_var
        doubtful = abs(surprise) > _GATE * sqrt(variance)
        if doubtful and e.doubts + 1 < _PATIENCE:
            return replace(e, doubts=e.doubts + 1)
        if doubtful and abs(surprise) > (e.doubts + 1) * e.flow * self._period:
            # more than would be missing had nothing flowed: the cell's zero, not powder
            return replace(e, content=weight, p_ww=self._weight_var, p_ws=0.0, doubts=0)
        if doubtful:
            return self._believe(before, e, weight)
        gain_w, gain_s = e.p_ww / variance, e.p_ws / variance
        content = e.content + gain_w * surprise
        return replace(
            e,
            content=content,
            deviation=min(max(e.deviation + gain_s * surprise, -0.5), 0.5),
            p_ww=(1.0 - gain_w) * e.p_ww,
            p_ws=(1.0 - gain_w) * e.p_ws,
            p_ss=max(e.p_ss - gain_s * e.p_ws, 1e-10),
            flow=max((before.content - content) / self._period, 0.0),
            flow_sd=sqrt(2.0 * self._weight_var) / self._period,
            doubts=0,
            believed=0,
        )

    def _believe(self, before: FeederEstimate, e: FeederEstimate, weight: float) -> FeederEstimate:
        """The weight as it is: powder that did or did not flow."""
        believed = e.believed + 1
        return replace(
            e,
            content=weight,
            p_ww=self._weight_var,
            p_ws=0.0,
            p_ss=max(e.p_ss, _DEVIATION_SD**2) if believed >= _LEARN_ANEW else e.p_ss,
            flow=max((before.content - weight) / self._period, 0.0),
            flow_sd=sqrt(2.0 * self._weight_var) / self._period,
            doubts=0,
            believed=believed,
        )

    def _mean_speed(self, before: FeederEstimate, speed: float) -> float:
        """Mean over the cycle [rev/s] of a screw that starts or stops (E4); else its speed now."""
        change = abs(speed - before.speed)
        if not before.started or change <= _STARTS * max(speed, before.speed):
            return speed
        tau, dt = self._p.tau_screw, self._period
        left = exp(-dt / tau)
        goal = (speed - left * before.speed) / (1.0 - left)
        return max(goal + (before.speed - goal) * tau / dt * (1.0 - left), 0.0)  # (E4)

    def _flow(
        self, content: float, speed: float, deviation: float, filling: float, since: float
    ) -> float:
        """Model flow [kg/s]; the surplus grows with the portion and decays after it."""
        if filling > 0.0:
            overfeed = 1.0 + self._p.overfeed * min(filling / self._config.refill_time_s, 1.0)
        else:
            overfeed = float(refill_overfeed(self._p, since))
        return float(feed_factor(self._p, content)) * speed * exp(deviation) * overfeed

    def smooth_flow(self, e: FeederEstimate) -> float:
        """The model's flow now [kg/s]: less noisy than the flow of the last cycle."""
        return self._flow(e.content, e.speed, e.deviation, e.filling, e.since_refill)

    def forecast(self, e: FeederEstimate, rate: float, stages: int) -> FeederForecast:
        """Flow over the coming ``stages`` cycles at a rate set point of ``rate`` [kg/s]."""
        dt, c = self._period, self._config
        filling_left = max(c.refill_time_s - e.filling, dt) if e.filling > 0.0 else 0.0
        left = 0.0
        if e.frozen:
            settled = 0.0 if e.filling > 0.0 else e.since_refill
            left = max(filling_left + c.settling_time_s - settled, dt)
        portion = (c.refill_to_percent - c.refill_from_percent) / 100.0 * c.hopper_kg
        flow, content = self.smooth_flow(e), e.content
        frozen, flows = [], []
        for j in range(stages):
            held = j * dt < left
            frozen.append(held)
            flows.append(flow)
            if held:
                ahead = (j + 1) * dt
                pouring = ahead < filling_left
                content += (portion / c.refill_time_s if pouring else 0.0) * dt - flow * dt
                flow = self._flow(
                    max(content, 0.0),
                    e.speed,
                    e.deviation,
                    e.filling + ahead if pouring else 0.0,
                    ahead - filling_left if filling_left else e.since_refill + ahead,
                )
        count = sum(frozen)
        last = flows[count - 1] if count else flows[0]
        excess = last / rate - 1.0 if rate > 0.0 else 0.0
        excess = min(max(excess, -0.2), 0.2)
        decay = exp(-dt / (1.5 * c.flow_window_s))
        deviation = [excess * decay ** max(j - count, 0) for j in range(stages)]
        return FeederForecast(tuple(frozen), tuple(flows), tuple(deviation))
