"""All that a forecast of the main force is compared with, built from the earlier batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plant_models.recording import Recording
from tools.recordings.arx import least_errors, study
from tools.recordings.opponents import (
    first_value_mean,
    fit_constant,
    persistence,
    rmse,
    weighted_mean,
)
from tools.recordings.origins import Origins, find_origins

__all__ = [
    "ARX",
    "EWMA",
    "FIRST_VALUE",
    "PERSISTENCE",
    "Opponents",
    "build_opponents",
]

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

PERSISTENCE, EWMA, FIRST_VALUE, ARX = "persistence", "ewma", "ewma_first_value", "arx"


@dataclass(frozen=True, slots=True, kw_only=True)
class Opponents:
    """Forecasts [N] at every row (n,) by name, and how they came about.

    ``alpha`` and ``alpha_first`` are the constants of the two means. ``arx_error`` is the chosen
    candidate's cross-validated sum of squares over the weighted mean's, with its standard error.
    ``arx_hindsight`` and ``arx_bound`` [N] are RMSE on the scored origins of the later batches of
    the candidate that is best there, and of the largest ARX fitted there: information, no rivals.
    """

    origins: Origins
    later: Flags
    forecasts: Mapping[str, Array]
    alpha: float
    alpha_first: float
    arx_text: str
    arx_error: tuple[float, float]
    arx_freedom: float
    arx_hindsight: float
    arx_hindsight_text: str
    arx_bound: float


def build_opponents(recording: Recording, fitted: Sequence[str]) -> Opponents:
    """Opponents of a recording, all their constants from the batches ``fitted``."""
    origins = find_origins(recording)
    earlier = np.isin(np.asarray(recording.batch), list(fitted))
    force, scored = origins.force, origins.scored & ~earlier
    alpha = fit_constant(weighted_mean, origins, earlier)
    alpha_first = fit_constant(first_value_mean, origins, earlier)
    nothing = np.full(recording.size, np.nan)
    tried = study(recording, origins, alpha, fitted)
    hindsight = tried.hindsight(scored) if tried and scored.any() else None
    truth = origins.truth()
    return Opponents(
        origins=origins,
        later=~earlier,
        forecasts={
            PERSISTENCE: persistence(origins),
            EWMA: weighted_mean(force, origins, alpha),
            FIRST_VALUE: first_value_mean(force, origins, alpha_first),
            ARX: tried.forecast(tried.chosen) if tried else nothing,
        },
        alpha=alpha,
        alpha_first=alpha_first,
        arx_text=str(tried.chosen.candidate) if tried else "",
        arx_error=(tried.chosen.error, tried.chosen.standard_error) if tried else (np.nan, np.nan),
        arx_freedom=tried.freedom if tried else np.nan,
        arx_hindsight=(
            rmse((truth - tried.forecast(hindsight))[scored]) if tried and hindsight else np.nan
        ),
        arx_hindsight_text=str(hindsight.candidate) if hindsight else "",
        arx_bound=(
            rmse(least_errors(recording, origins, alpha, scored)) if scored.any() else np.nan
        ),
    )
