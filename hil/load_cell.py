"""Load cell of a loss-in-weight feeder and the flow that its controller makes of it.

(I1)  F = -slope of the weight over the feeder's window, by least squares

While the refill valve is open the weight is Bad; the flow is frozen, and Uncertain, until the PLC
releases it after settling. Telegram spikes show in the weight but not in the flow, which the
feeder's own electronics make of filtered raw counts (assumed).

References
----------
(I1) and windows: feeder makers' manuals (survey 1.1, read), sizes assumed.
"""

from __future__ import annotations

from math import exp
from typing import Any

import numpy as np

from hil.config import InstrumentTruth
from hil.noise import Noise, Occurrences
from hil.readings import FeederReadings, Reading
from hil.truth_data import FeederOut
from plant_models.config import FeederConfig, InstrumentConfig
from plant_models.signals import BAD, UNCERTAIN

__all__ = ["LoadCell"]

_SPIKE = 0.005  # of capacity, SD (assumed)


class LoadCell:
    """Weight, flow, level and screw speed of one feeder."""

    def __init__(
        self,
        feeder: FeederConfig,
        data_sheet: InstrumentConfig,
        truth: InstrumentTruth,
        span: float,
        noise: Noise,
    ) -> None:
        self._noise, self._span = noise, span
        self._capacity = feeder.hopper_kg
        self._sigma = feeder.weight_noise_g * 1e-3
        self._speed_noise = data_sheet.speed_noise_percent / 100.0
        self._size = truth.weight_disturbance_percent / 100.0 * feeder.hopper_kg
        self._decay = exp(-1.0 / truth.weight_disturbance_s)
        self._source = f"instrument/{feeder.name}"
        self._bumps = Occurrences(noise, f"{self._source}/bump", truth.weight_disturbances_per_h)
        self._spikes = Occurrences(noise, f"{self._source}/spike", truth.weight_spikes_per_h)
        centred = np.arange(feeder.flow_window_s) - 0.5 * (feeder.flow_window_s - 1)
        self._weights = -centred / float(centred @ centred)
        self._history: list[float] = []
        self._offset = 0.0
        self._flow = 0.0

    def measure(self, feeder: FeederOut, refill: bool, hold: bool, second: int) -> FeederReadings:
        """What the feeder reports after plant second ``second``."""
        bump = self._bumps.size(second)
        self._offset = self._offset * self._decay + (0.0 if bump is None else bump * self._size)
        noise = float(self._noise.normal(f"{self._source}/weight", second)[0]) * self._sigma
        weight = feeder.content * self._span + self._offset + noise
        flow_status = self._update_flow(weight, refill, hold)
        spike = self._spikes.size(second)
        shown = weight + (0.0 if spike is None else spike * _SPIKE * self._capacity)
        status = BAD if refill else 0
        turned = 1.0 + self._speed_noise * float(
            self._noise.normal(f"{self._source}/speed", second)[0]
        )
        return FeederReadings(
            weight=Reading(shown, status, second),
            flow=Reading(self._flow, flow_status, second),
            screw_speed=Reading(feeder.speed * turned, 0, second),
            level=Reading(shown / self._capacity, status, second),
            lot=feeder.lot,
        )

    def _update_flow(self, weight: float, refill: bool, hold: bool) -> int:
        """Take a weight into the window; status of the flow."""
        if refill:
            self._history.clear()
            return UNCERTAIN
        window = self._weights.size
        self._history.append(weight)
        del self._history[:-window]
        if hold or len(self._history) < window:
            return UNCERTAIN
        self._flow = float(self._weights @ np.array(self._history))  # (I1)
        return 0

    def state(self) -> dict[str, Any]:
        """JSON-able state."""
        return {"history": list(self._history), "offset": self._offset, "flow": self._flow}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned."""
        self._history = list(state["history"])
        self._offset, self._flow = state["offset"], state["flow"]
