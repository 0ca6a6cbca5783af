"""Everything that the report of a recorded press shows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from controller.config import ControllerConfig
from plant_models.recording import Recording
from tools.commissioning.press_result import PressFit
from tools.recordings.reader import LoadedRecording
from tools.recordings.scoring import RecordingScore
from tools.recordings.sensor_tuning import SensorTuning
from tools.recordings.thoughts import LinkComparison, Thoughts

__all__ = ["PowderOfBatch", "RecordedDemo"]

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class PowderOfBatch:
    """Soft-sensed powder of a batch while the press ran, SI: medians, spread, 95 % half-widths."""

    batch: str
    density: float
    density_spread: float
    density_half: float
    weight: float
    weight_half: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedDemo:
    """A recording, what was fitted to its earlier batches and thought at the rows of the others.

    ``thoughts`` are those at the rows of ``scored``. ``comparison`` is that of the rows played over
    the link, of which ``link_note`` says what is unusual or went wrong. ``wall_s`` is wall time by
    part, ``hashes`` those of software, models and configuration.
    """

    loaded: LoadedRecording
    scored: Recording
    fit: PressFit
    tuning: SensorTuning
    config: ControllerConfig
    thoughts: Thoughts
    score: RecordingScore
    comparison: LinkComparison | None
    link_note: str
    minutes: float
    wall_s: Mapping[str, float]
    hashes: Mapping[str, str]

    def density(self) -> tuple[Array, Array]:
        """Bulk density [kg/m3] at every scored row and its 95 % half-width."""
        volume, half = self.thoughts.volume.T
        density = self.config.press.cell.bulk_density_kg_m3 * np.exp(-volume)
        return density, density * half

    def powder(self) -> Iterator[PowderOfBatch]:
        """Powder of every scored batch in which the press ran."""
        density, half = self.density()
        running = self.scored.running() & np.isfinite(density)
        for batch in self.scored.batches():
            rows = self.scored.rows_of(batch)
            rows = rows[running[rows]]
            if rows.size:
                low, middle, high = np.quantile(density[rows], (0.025, 0.5, 0.975))
                yield PowderOfBatch(
                    batch=batch,
                    density=float(middle),
                    density_spread=float(high - low),
                    density_half=float(np.median(half[rows])),
                    weight=float(np.median(self.thoughts.weight[rows, 0])),
                    weight_half=float(np.median(self.thoughts.weight[rows, 1])),
                )

    def link_text(self) -> str:
        """What came out over OPC UA, in a sentence."""
        c = self.comparison
        if c is None:
            return f"Over OPC UA: {self.link_note}"
        note = f" ({self.link_note})" if self.link_note else ""
        same = "the same as in process" if c.agrees else "NOT the same as in process"
        return (
            f"Over OPC UA: {c.rows} rows played{note}, {c.forecasts} forecasts {same}: "
            f"{c.numbers} numbers compared, largest difference {c.largest_N:.3g} N, relative "
            f"{c.largest_relative:.3g}, {c.unmatched} on one side only"
        )
