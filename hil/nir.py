"""NIR probe in the feed frame: biased, noisy, late, sometimes wrong altogether.

(I2)  y(t) = c(t - d) / c_label + bias + drift t + ramps + noise

The true delay differs from the nominal one by the plant's mismatch; the instrument does not know,
so its time stamp is publication less the nominal delay. Sizes assumed by the project's owner;
slow bias as the main failure after Alam & Liu 2021, Int J Pharm 601:120521 (abstract read).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hil.config import InstrumentTruth, NirDrift, Scheduled
from hil.mismatch import Mismatch
from hil.noise import Noise
from hil.readings import Reading
from hil.truth_data import PowderOut
from plant_models.line import ResolvedLine
from plant_models.quality import potency
from plant_models.signals import BAD

__all__ = ["Nir"]


class Nir:
    """Potency of the powder in the feed frame, share of label."""

    def __init__(
        self,
        line: ResolvedLine,
        truth: InstrumentTruth,
        mismatch: Mismatch,
        noise: Noise,
        events: Sequence[Scheduled] = (),
    ) -> None:
        sheet = line.line.instruments
        self._noise = noise
        self._period, self._nominal_delay = sheet.potency_period_s, sheet.potency_delay_s
        self._delay = max(0.0, sheet.potency_delay_s + mismatch.nir_delay)
        self._sigma = sheet.potency_noise_percent / 100.0
        self._bias, self._drift = mismatch.nir_bias, mismatch.nir_drift
        self._outliers = truth.nir_outlier_percent / 100.0
        self._outlier_size = truth.nir_outlier_size_percent / 100.0
        self._ramps = tuple(
            (item.second, item.duration, item.event.bias_percent / 100.0)
            for item in events
            if isinstance(item.event, NirDrift)
        )
        self._api = line.feeder_index("api")
        self._label = line.product.api_percent / 100.0
        self._queue: list[tuple[float, float]] = []  # publication, value
        self._shown = Reading(0.0, BAD, 0.0)

    def bias(self, second: int) -> float:
        """All systematic error at a plant second, share of label."""
        ramps = sum(
            size * min(1.0, max(0.0, (second - start) / duration))
            for start, duration, size in self._ramps
        )
        return self._bias + self._drift * second + ramps

    def measure(self, powder: PowderOut, second: int) -> Reading:
        """Newest published value after plant second ``second``; Bad before the first."""
        if second % self._period == 0 and powder.frame_mass > 0.0:
            self._queue.append((second + self._delay, self._sample(powder, second)))
        while self._queue and self._queue[0][0] <= second:
            value = self._queue.pop(0)[1]
            self._shown = Reading(value, 0, second - self._nominal_delay)
        return self._shown

    def _sample(self, powder: PowderOut, second: int) -> float:
        error = self._sigma * float(self._noise.normal("nir/noise", second)[0])
        if float(self._noise.uniform("nir/outlier", second)[0]) < self._outliers:
            error += self._outlier_size * float(self._noise.student("nir/size", second, 3.0)[0])
        true = float(potency(powder.fractions[self._api], self._label))
        return true + self.bias(second) + error  # (I2)

    def state(self) -> dict[str, Any]:
        """JSON-able state."""
        shown = self._shown
        return {
            "queue": [list(item) for item in self._queue],
            "shown": [shown.value, shown.status, shown.second],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned."""
        self._queue = [(when, value) for when, value in state["queue"]]
        self._shown = Reading(*state["shown"])
