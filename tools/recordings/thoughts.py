"""What a press monitor thought at each row of a recording, as arrays; two of them compared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Self

import numpy as np
from numpy.typing import NDArray

from controller.data import CycleRecord

__all__ = ["FORECAST", "TOLERANCE", "LinkComparison", "Thoughts", "compare"]

Array = NDArray[np.float64]

FORECAST = "main_force"
TOLERANCE = 1e-9  # relative
COMPARED = ("free", "mean", "half", "volume", "fill", "force", "weight")


@dataclass(frozen=True, slots=True, kw_only=True)
class Thoughts:
    """What the controller thought at each of n rows, SI; NaN where it thought nothing.

    ``time`` (n,) [s, UTC]; ``free``, ``mean``, ``half`` (n, h) [N]: response to settings held,
    forecast and its 95 % half-width, ``times`` (h,) [s] ahead; ``volume`` and ``weight`` (n, 2):
    ln of the specific bulk volume [-] and tablet weight [kg] with their half-widths; ``force``
    (n, 2) the soft sensor's [N]; ``fill`` (n,) the effective fill depth [m]; ``innovation`` (n,)
    mean square of the normalised residuals.
    """

    time: Array
    times: Array
    free: Array
    mean: Array
    half: Array
    volume: Array
    fill: Array
    force: Array
    weight: Array
    innovation: Array

    @classmethod
    def empty(cls, time: Array, times: Array) -> Self:
        """Nothing thought yet."""
        n, h = time.size, times.size
        width = {"free": h, "mean": h, "half": h, "volume": 2, "force": 2, "weight": 2}
        blank = {name: np.full((n, size), np.nan) for name, size in width.items()}
        single = {name: np.full(n, np.nan) for name in ("fill", "innovation")}
        return cls(time=time, times=times, **blank, **single)

    def take(self, row: int, record: CycleRecord) -> None:
        """Keep what a cycle thought, as row ``row``."""
        if record.forecast is not None:
            self.free[row], self.mean[row], self.half[row] = record.forecast.series[FORECAST]
        estimate = record.estimate
        if estimate is None:
            return
        volume, fill = estimate.mean
        self.volume[row] = volume, 1.96 * np.sqrt(estimate.covariance[0, 0])
        self.fill[row] = fill
        for name, kept in (("main_force", self.force), ("tablet_weight", self.weight)):
            interval = estimate.quality[name]
            kept[row] = interval.mean, interval.half_width
        self.innovation[row] = estimate.normalised_innovation

    @classmethod
    def of(cls, records: Iterable[CycleRecord], time: Array, times: Array) -> Self:
        """From records of cycles: of each row the first that read it; others are left out."""
        made = cls.empty(time, times)
        row_of = {float(at): row for row, at in enumerate(time)}
        for record in records:
            row = row_of.pop(record.time, None)
            if row is not None and record.validated is not None:
                made.take(row, record)
        return made

    def last(self, rows: int) -> Thoughts:
        """At the last ``rows``."""
        first = self.time.size - rows
        kept = {f.name: getattr(self, f.name)[first:] for f in fields(self) if f.name != "times"}
        return Thoughts(times=self.times, **kept)


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkComparison:
    """Forecasts over the link beside those in process.

    ``rows`` were played, ``forecasts`` of them have one on both sides, ``numbers`` were compared
    (forecasts and estimates, mean and width), ``unmatched`` exist on one side only. Differences:
    the largest of any forecast [N], and of any number relative to its size.
    """

    rows: int
    forecasts: int
    numbers: int
    unmatched: int
    largest_N: float
    largest_relative: float

    @property
    def agrees(self) -> bool:
        """Whether both sides thought the same."""
        return self.unmatched == 0 and self.largest_relative <= TOLERANCE

    def as_json(self) -> Mapping[str, float | int | bool]:
        """Plain data."""
        return {
            "rows": self.rows,
            "forecasts_compared": self.forecasts,
            "numbers_compared": self.numbers,
            "unmatched": self.unmatched,
            "largest_difference_N": self.largest_N,
            "largest_relative_difference": self.largest_relative,
            "agrees": self.agrees,
        }


def compare(in_process: Thoughts, online: Thoughts) -> LinkComparison:
    """Compare what was thought at the same rows."""
    numbers = unmatched = 0
    relative = newtons = 0.0
    for name in COMPARED:
        ours, theirs = getattr(in_process, name), getattr(online, name)
        both = np.isfinite(ours) & np.isfinite(theirs)
        unmatched += int(np.sum(np.isfinite(ours) != np.isfinite(theirs)))
        numbers += int(both.sum())
        apart = np.abs(ours[both] - theirs[both])
        size = np.maximum(np.abs(ours[both]), np.finfo(float).tiny)
        relative = max(relative, float(np.max(apart / size, initial=0.0)))
        if name in ("free", "mean", "half"):
            newtons = max(newtons, float(apart.max(initial=0.0)))
    known = np.isfinite(in_process.mean[:, -1]) & np.isfinite(online.mean[:, -1])
    return LinkComparison(
        rows=in_process.time.size,
        forecasts=int(known.sum()),
        numbers=numbers,
        unmatched=unmatched,
        largest_N=newtons,
        largest_relative=relative,
    )
