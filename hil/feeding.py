"""Loss-in-weight feeders of the truth: `plant_models.feeder` with what disturbs it.

The relative feed factor is the product of a constant error of this plant, the lot in use, a slow
drift, screw wear, the surplus after a refill, density dips at the screw (bridging) and
heavy-tailed ARMA(2,1) noise. Head pressure is the fill dependence of the feed factor itself (F2).

References
----------
Noise structure: Johnson et al. 2022 (see `hil.noise`). Surplus after refill: (F5), reached in
proportion to the portion refilled (assumed). Wear, drift and dips: assumed by the project's owner.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Any

from hil.config import FeedingTruth
from hil.lots import Lots
from hil.mismatch import Mismatch
from hil.noise import Arma, Correlated, Noise, Occurrences
from hil.truth_data import Drives, FeederOut
from plant_models.config import FeederConfig
from plant_models.feeder import FeederParameters, feeder_rates, refill_overfeed
from plant_models.line import ResolvedLine, feeder_parameters

__all__ = ["Feeding"]

_STANDSTILL = 1e-4  # screw speed [rev/s] below which a stopped screw stands
_STEPS = 4  # per plant second; the screw's time constant is 1.5 s


@dataclass(slots=True)
class _State:
    """What one feeder remembers: contents [kg], speed [rev/s], times [s], surplus [-]."""

    content: float
    speed: float = 0.0
    running: float = 0.0
    portion: float = 0.0
    surplus: float = 0.0
    since_refill: float = inf
    dip_left: float = 0.0


class _Feeder:
    """One feeder."""

    def __init__(
        self, config: FeederConfig, truth: FeedingTruth, error: float, noise: Noise
    ) -> None:
        self._parameters: FeederParameters = feeder_parameters(config)
        self._truth, self._error = truth, error
        span = (config.refill_to_percent - config.refill_from_percent) / 100.0
        self._nominal_portion = span * config.hopper_kg
        self._refill_rate = self._nominal_portion / config.refill_time_s
        self._rsd = config.flow_noise_percent / 100.0
        source = f"feeder/{config.name}"
        self._flow_noise = Arma(
            noise, f"{source}/flow", truth.arma_phi, truth.arma_theta, truth.student_nu
        )
        self._drift = Correlated(noise, f"{source}/drift", truth.drift_time_s)
        self._dips = Occurrences(noise, f"{source}/dip", truth.dips_per_h)
        self._state = _State(config.hopper_kg * config.hopper_start_percent / 100.0)

    def step(
        self, second: int, speed_set: float, refill: bool, lots: Lots, index: int
    ) -> FeederOut:
        """One plant second at a screw set point [rev/s]."""
        s, p = self._state, self._parameters
        lot_factor = lots.feed_factor(index, second)
        deviation = lot_factor * self._deviation(second, refill)
        rate = self._refill_rate if refill else 0.0
        dt = 1.0 / _STEPS
        fed = refilled = turned = 0.0
        for _ in range(_STEPS):
            inflow = min(rate, (p.capacity - s.content) / dt)
            d_content, d_speed = feeder_rates(p, s.content, s.speed, speed_set, 0.0, deviation)
            out = min(-float(d_content) * dt, s.content)
            s.content += inflow * dt - out
            turned += s.speed * dt
            s.speed += float(d_speed) * dt
            fed += out
            refilled += inflow * dt
        if speed_set <= 0.0 and s.speed < _STANDSTILL:
            s.speed = 0.0
        if turned > 0.0:
            s.running += 1.0
        s.portion += refilled
        return FeederOut(
            content=s.content,
            fed=fed,
            refilled=refilled,
            speed=turned,
            lot=lots.name(index, second),
        )

    def _deviation(self, second: int, refill: bool) -> float:
        s, t = self._state, self._truth
        drift = self._drift.step(second) * t.drift_percent / 100.0
        noise = self._flow_noise.step(second) * self._rsd
        wear = t.wear_percent_per_h / 100.0 * s.running / 3600.0
        if self._dips.size(second) is not None:
            s.dip_left = t.dip_duration_s
        dip = t.dip_percent / 100.0 if s.dip_left > 0.0 else 0.0
        s.dip_left = max(0.0, s.dip_left - 1.0)
        factor = self._error * (1.0 + drift) * (1.0 - wear) * (1.0 - dip) * (1.0 + noise)
        return max(0.0, factor * self._surplus(refill))

    def _surplus(self, refill: bool) -> float:
        """Relative feed factor by refill: rises with the portion, decays afterwards (F5)."""
        s, p = self._state, self._parameters
        if refill:
            if s.since_refill > 0.0:  # a new refill starts; what is left of the last one stays
                s.surplus = float(refill_overfeed(self._peak(), s.since_refill)) - 1.0
                s.portion, s.since_refill = 0.0, 0.0
            share = min(1.0, s.portion / self._nominal_portion)
            return 1.0 + s.surplus + (max(p.overfeed, s.surplus) - s.surplus) * share
        if s.since_refill == 0.0:  # the valve has just closed
            share = min(1.0, s.portion / self._nominal_portion)
            s.surplus += (max(p.overfeed, s.surplus) - s.surplus) * share
        s.since_refill += 1.0
        return float(refill_overfeed(self._peak(), s.since_refill))

    def _peak(self) -> FeederParameters:
        return replace(self._parameters, overfeed=self._state.surplus)

    def state(self) -> dict[str, Any]:
        """JSON-able state."""
        s = self._state
        return {
            "content": s.content,
            "speed": s.speed,
            "running": s.running,
            "portion": s.portion,
            "surplus": s.surplus,
            "since_refill": None if s.since_refill == inf else s.since_refill,
            "dip_left": s.dip_left,
            "flow_noise": self._flow_noise.state(),
            "drift": self._drift.state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned."""
        own = {k: v for k, v in state.items() if k not in ("flow_noise", "drift")}
        if own["since_refill"] is None:
            own["since_refill"] = inf
        self._state = _State(**own)
        self._flow_noise.restore(state["flow_noise"])
        self._drift.restore(state["drift"])


class Feeding:
    """All feeders of the line."""

    def __init__(
        self,
        line: ResolvedLine,
        truth: FeedingTruth,
        mismatch: Mismatch,
        noise: Noise,
        lots: Lots,
    ) -> None:
        self._lots = lots
        self._feeders = tuple(
            _Feeder(config, truth, error, noise)
            for config, error in zip(line.line.feeders, mismatch.feed_factor, strict=True)
        )

    def step(self, drives: Drives, second: int) -> tuple[FeederOut, ...]:
        """One plant second of all feeders."""
        return tuple(
            feeder.step(second, drives.screw_speed[i], drives.refill[i], self._lots, i)
            for i, feeder in enumerate(self._feeders)
        )

    def state(self) -> list[dict[str, Any]]:
        """State of each feeder."""
        return [feeder.state() for feeder in self._feeders]

    def restore(self, state: Sequence[dict[str, Any]]) -> None:
        """Go on from what `state` returned."""
        for feeder, saved in zip(self._feeders, state, strict=True):
            feeder.restore(saved)
