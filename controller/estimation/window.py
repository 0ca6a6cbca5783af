"""The estimator's window: what was put in and what was seen, one sample per cycle.

A column of `MEASURED` is a scalar that the twin predicts as a linear combination of its outputs;
missing is NaN with weight 0. Delayed values are placed where they belong: a spectrum two samples
back, an at-line sample at the time it was taken.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from controller.data import Array
from controller.twin.core import INPUTS, OUTPUTS

__all__ = ["MEASURED", "PRE_TO_MAIN", "STRENGTH_EXPONENT", "Window", "selection"]

# Slope of ln F_pre against ln F_main when only the weight varies, and of ln strength against
# ln weight at fixed fill, at the reference point (worked out from the press equations).
PRE_TO_MAIN = 0.76
STRENGTH_EXPONENT = 4.74

MEASURED = (
    "level",
    "pre_to_main",  # ln F_pre - 0.76 ln F_main: the common scatter of the weight cancels
    "press",  # ln fill depth in CASCADE, ln main force in REMOTE
    "potency",  # NIR
    "lab_weight",  # ln of the mean weight
    "lab_strength",  # ln of strength, referred to the weight of the same tablets
    "lab_thickness",
)


def selection(cascade: bool) -> Array:
    """``(measured, outputs)`` matrix that picks measured columns from the twin's outputs."""
    at = {name: i for i, name in enumerate(OUTPUTS)}
    c = np.zeros((len(MEASURED), len(OUTPUTS)))
    rows = {name: c[i] for i, name in enumerate(MEASURED)}
    rows["level"][at["level"]] = 1.0
    rows["pre_to_main"][at["log_pre_force"]] = 1.0
    rows["pre_to_main"][at["log_main_force"]] = -PRE_TO_MAIN
    rows["press"][at["log_fill_depth" if cascade else "log_main_force"]] = 1.0
    rows["potency"][at["potency_measured"]] = 1.0
    rows["lab_weight"][at["log_weight"]] = 1.0
    rows["lab_strength"][at["log_strength"]] = 1.0
    rows["lab_strength"][at["log_weight"]] = -STRENGTH_EXPONENT
    rows["lab_thickness"][at["thickness"]] = 1.0
    return c


@dataclass(frozen=True, slots=True)
class Window:
    """Samples, oldest first.

    ``times`` (n,) [s], end of each stage; ``inputs`` (nv, n) held during it; ``values`` and
    ``weights`` (m, n): measurements and the share of their information to be used; ``boost`` (n,)
    factor on the disturbances' variances there (a lot on its way); ``moved`` (n,) [m] how far the
    thickness drive's play may have shifted there.
    """

    times: Array
    inputs: Array
    values: Array
    weights: Array
    boost: Array
    moved: Array

    @classmethod
    def empty(cls) -> Window:
        """A window without samples."""
        m = len(MEASURED)
        none = np.zeros(0)
        return cls(none, np.zeros((len(INPUTS), 0)), np.zeros((m, 0)), np.zeros((m, 0)), none, none)

    @property
    def size(self) -> int:
        """Number of samples."""
        return int(self.times.size)

    def append(
        self,
        time: float,
        inputs: Array,
        values: Array,
        weights: Array,
        boost: float,
        moved: float,
    ) -> Window:
        """The window with one more sample at its end."""
        return Window(
            np.append(self.times, time),
            np.column_stack((self.inputs, inputs)),
            np.column_stack((self.values, np.where(weights > 0.0, values, 0.0))),
            np.column_stack((self.weights, weights)),
            np.append(self.boost, boost),
            np.append(self.moved, moved),
        )

    def drop_first(self) -> Window:
        """The window without its oldest sample."""
        return Window(
            self.times[1:],
            self.inputs[:, 1:],
            self.values[:, 1:],
            self.weights[:, 1:],
            self.boost[1:],
            self.moved[1:],
        )

    def place(self, index: int, column: str, value: float, weight: float) -> Window:
        """The window with one late value put where it belongs."""
        row = MEASURED.index(column)
        values, weights = self.values.copy(), self.weights.copy()
        values[row, index] = value
        weights[row, index] = weight
        return replace(self, values=values, weights=weights)

    def index_at(self, time: float, slack: float) -> int | None:
        """Index of the sample whose stage ends next after ``time``; None if it is not inside."""
        if self.size == 0 or time < self.times[0] - slack:
            return None
        index = int(np.searchsorted(self.times, time - 1e-6))
        return index if index < self.size else None
