"""At-line tester: tablets drawn from those of one second, results after the tester's delay."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import Any

import numpy as np

from hil.config import InstrumentTruth, LabMissing, Scheduled
from hil.noise import Noise
from hil.readings import LabReading
from hil.truth_data import Tablets
from plant_models.line import ResolvedLine
from plant_models.quality import breaking_force

__all__ = ["Lab"]

_CANDIDATES = 256  # tablets of one second that can be drawn from


class Lab:
    """Takes a sample every period, loses some, publishes the others after the delay."""

    def __init__(
        self,
        line: ResolvedLine,
        truth: InstrumentTruth,
        noise: Noise,
        events: Sequence[Scheduled] = (),
    ) -> None:
        self._sheet, self._noise = line.line.instruments, noise
        self._diameter = line.product.diameter_mm * 1e-3
        self._missing = truth.lab_missing_percent / 100.0
        period = self._sheet.lab_period_s
        self._lost = {
            ceil(item.second / period) * period
            for item in events
            if isinstance(item.event, LabMissing)
        }
        self._number = 0
        self._queue: list[LabReading] = []
        self._newest: LabReading | None = None

    def measure(self, tablets: Tablets, second: int) -> LabReading | None:
        """Newest published sample after plant second ``second``; ``None`` before the first."""
        due = second > 0 and second % self._sheet.lab_period_s == 0
        if due and tablets.count >= self._sheet.lab_tablets:
            self._number += 1
            lost = float(self._noise.uniform("lab/missing", second)[0]) < self._missing
            if not lost and second not in self._lost:
                self._queue.append(self._sample(tablets, second))
        while self._queue and self._queue[0].published <= second:
            self._newest = self._queue.pop(0)
        return self._newest

    def _sample(self, tablets: Tablets, second: int) -> LabReading:
        sheet, size = self._sheet, self._sheet.lab_tablets
        order = np.argsort(self._noise.uniform("lab/draw", second, _CANDIDATES)[: tablets.count])
        drawn = order[:size]
        errors = self._noise.normal("lab/tester", second, 3 * size).reshape(3, size)
        weight = tablets.weight[drawn] + errors[0] * sheet.lab_weight_noise_mg * 1e-6
        thickness = tablets.thickness[drawn] + errors[1] * sheet.lab_thickness_noise_um * 1e-6
        force = breaking_force(
            tablets.strength[drawn], self._diameter, tablets.thickness[drawn]
        ) + (errors[2] * sheet.lab_force_noise_n)
        return LabReading(
            number=self._number,
            taken=second,
            published=second + sheet.lab_delay_s,
            weight=tuple(weight.tolist()),
            thickness=tuple(thickness.tolist()),
            force=tuple(np.asarray(force).tolist()),
        )

    def succeed(self, before: Lab) -> None:
        """Number the samples on from those of ``before``."""
        self._number = before._number

    def state(self) -> dict[str, Any]:
        """JSON-able state."""
        return {
            "number": self._number,
            "queue": [_dump(sample) for sample in self._queue],
            "newest": None if self._newest is None else _dump(self._newest),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned."""
        self._number = state["number"]
        self._queue = [_load(sample) for sample in state["queue"]]
        self._newest = None if state["newest"] is None else _load(state["newest"])


def _dump(sample: LabReading) -> list[Any]:
    return [
        sample.number,
        sample.taken,
        sample.published,
        list(sample.weight),
        list(sample.thickness),
        list(sample.force),
    ]


def _load(state: list[Any]) -> LabReading:
    number, taken, published, weight, thickness, force = state
    return LabReading(
        number=number,
        taken=taken,
        published=published,
        weight=tuple(weight),
        thickness=tuple(thickness),
        force=tuple(force),
    )
