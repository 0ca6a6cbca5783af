"""From validated measurements to the columns of the estimator's window."""

from __future__ import annotations

from dataclasses import replace
from math import isfinite, log
from typing import TypeGuard

import numpy as np

from controller.data import Array, LabSample, Measurement, Validated
from controller.estimation.window import MEASURED, PRE_TO_MAIN, STRENGTH_EXPONENT, Window
from plant_models.quality import tensile_strength_from_breaking_force
from plant_models.signals import MV

__all__ = ["LEVEL", "MAIN", "POTENCY", "PRE", "measured", "place_sample", "reading", "unseen"]

LEVEL = "Line/Chute/Level/PV"
POTENCY = "Line/FeedFrame/Potency/PV"
MAIN, PRE = "Line/Press/MainForce/PV", "Line/Press/PreForce/PV"
_DRIVEN = "/ScrewSpeed/PV"


def reading(seen: Validated, tag: str) -> float | None:
    """Value [SI] of a measurement that may be used, else None."""
    item = seen.measurements.get(tag)
    return item.value if _usable(item) else None


def _usable(item: Measurement | None) -> TypeGuard[Measurement]:
    return item is not None and item.weight > 0.0 and isfinite(item.value)


def unseen(seen: Validated, time: float) -> Validated:
    """A cycle before ``seen`` that nobody read: drives as now, nothing measured."""
    drives = {t: m for t, m in seen.measurements.items() if t.endswith((_DRIVEN, "/FBK"))}
    return replace(seen, time=time, measurements=drives, samples=())


def measured(seen: Validated, inputs: Array, cascade: bool) -> tuple[Array, Array]:
    """Values and weights of the columns of `MEASURED` that this cycle's readings give."""
    values, weights = np.zeros(len(MEASURED)), np.zeros(len(MEASURED))

    def put(column: str, value: float, weight: float) -> None:
        values[MEASURED.index(column)] = value
        weights[MEASURED.index(column)] = weight

    m = seen.measurements
    level, main, pre = m.get(LEVEL), m.get(MAIN), m.get(PRE)
    if _usable(level):
        put("level", level.value, level.weight)
    if _usable(main) and main.value > 0.0:
        force = log(main.value)
        if _usable(pre) and pre.value > 0.0:
            put("pre_to_main", log(pre.value) - PRE_TO_MAIN * force, pre.weight)
        fill = reading(seen, f"{MV.FILL_DEPTH}/FBK")
        if not cascade:
            put("press", force, main.weight)
        elif fill is not None and fill > 0.0:
            # the depth that would have met the input's force: 4.4 is dlnF/dlnW at the setting
            put("press", log(fill) - (force - log(inputs[4])) / 4.4, main.weight)
    return values, weights


def place_sample(
    window: Window, sample: LabSample, diameter: float, period: float, settled: float
) -> Window:
    """Put an at-line sample where it was taken; tooling ``diameter`` [m].

    Soon after the press began (``settled`` below 1), the powder's lubrication is not what a steady
    line would have given it, so that strength then says less about the material.
    """
    index = window.index_at(sample.taken, period)
    if index is None or not sample.weights:
        return window
    weight = log(float(np.mean(sample.weights)))
    window = window.place(index, "lab_weight", weight, 1.0)
    window = window.place(index, "lab_thickness", float(np.mean(sample.thicknesses)), 1.0)
    strengths = [
        tensile_strength_from_breaking_force(f, diameter, t)
        for f, t in zip(sample.forces, sample.thicknesses, strict=True)
    ]
    strength = log(float(np.mean(strengths))) - STRENGTH_EXPONENT * weight
    return window.place(index, "lab_strength", strength, min(max(settled, 0.05), 1.0) ** 2)
