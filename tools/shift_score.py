"""The result of one shift: the plant's tally and the controller's cycles become keys and numbers.

The same for a run in process and for one over the link: both hand over the tally as `hil.tally`
keeps it and one `CycleNote` per control cycle.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from controller.data import CV, CycleRecord, Interval
from hil.config import LotChange, ScenarioConfig, ThroughputChange
from hil.tally import Fate, ReceivedCommand, bump_at_closing, rate_violation
from plant_models.line import KG_H, ResolvedLine, nominal_flow
from plant_models.signals import SignalTable
from tools.scoring import (
    UNITS,
    EstimateLog,
    TabletLog,
    TruthLog,
    score_estimates,
    score_tablets,
    score_truth,
    specification,
)

__all__ = [
    "CLOSED_BY",
    "CycleNote",
    "closing_second",
    "cycle_note",
    "lot_change_second",
    "score_shift",
    "set_point_series",
    "truth_log",
]

CLOSED_BY = 0.02  # share of the shift by which the loop is closed
AFTER_LOT_S = 600.0

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class CycleNote:
    """What a score needs of one cycle: plant time [s], wall time [ms], estimated quality (SI)."""

    time: float
    wall_ms: float
    quality: Mapping[str, Interval]


def cycle_note(record: CycleRecord, start_time: float) -> CycleNote:
    """Note of a recorded cycle; ``start_time`` is the UTC [s] of plant second 0."""
    estimate = record.estimate
    return CycleNote(
        time=record.time - start_time,
        wall_ms=record.wall_ms.get("total", sum(record.wall_ms.values())),
        quality={} if estimate is None else estimate.quality,
    )


def closing_second(scenario: ScenarioConfig, minutes: float, period: int) -> int:
    """Plant second of the first closed-loop cycle, on the controller's grid; same for all."""
    second = 60.0 * (scenario.start_up_minutes + CLOSED_BY * minutes)
    return int(second // period) * period


def lot_change_second(scenario: ScenarioConfig, minutes: float) -> int | None:
    """Plant second of the first lot change, if there is one."""
    for s in scenario.schedule(minutes):
        if isinstance(s.event, LotChange):
            return s.second
    return None


def set_point_series(
    line: ResolvedLine, scenario: ScenarioConfig, minutes: float, time: Array
) -> dict[str, Array]:
    """Set points in SI per CV at plant seconds ``time``; the scenario changes the throughput."""
    product = line.product
    flow = nominal_flow(line) * np.ones_like(time)
    for s in scenario.schedule(minutes):
        if isinstance(s.event, ThroughputChange):
            changed = product.throughput_kg_h * KG_H * (1.0 + s.event.change_percent / 100.0)
            flow[time > s.second] = changed
    return {
        CV.POTENCY.value: np.ones_like(time),
        CV.TABLET_WEIGHT.value: np.full_like(time, product.weight_mg * 1e-6),
        CV.TENSILE_STRENGTH.value: np.full_like(time, product.tensile_strength_mpa * 1e6),
        CV.THROUGHPUT.value: flow,
    }


def truth_log(seconds: NDArray[np.void], tablets: NDArray[np.void], line: ResolvedLine) -> TruthLog:
    """The plant's tally (rows of `hil.tally.SECOND` and `hil.tally.TABLET`) for scoring."""
    count = seconds.size
    row = tablets["second"].astype(np.int64) - int(seconds["second"][0])
    fate = tablets["fate"]

    def per_second(which: Fate) -> NDArray[np.int64]:
        return np.bincount(row[fate == which], minlength=count).astype(np.int64)

    made = np.nan_to_num(seconds["made"]).astype(np.int64)
    label = line.product.weight_mg * 1e-6
    return TruthLog(
        time=np.asarray(seconds["second"], dtype=np.float64) + 1.0,  # a row is a second's end
        weight=seconds["weight"],
        strength=seconds["strength"],
        assay=seconds["assay"],
        potency=seconds["tablet_assay"] * label / seconds["weight"],
        throughput=np.where(made > 0, seconds["throughput"], 0.0),
        main_force=seconds["main_force"],
        level=seconds["level"],
        thickness=seconds["tablet_thickness"],
        made=made,
        rejected=per_second(Fate.REJECTED),
        diverted=per_second(Fate.DIVERTED),
        released=per_second(Fate.RELEASED),
        tablets=TabletLog(
            row=row,
            weight=tablets["weight"].astype(np.float64),
            strength=tablets["strength"].astype(np.float64),
            assay=tablets["assay"].astype(np.float64),
            released=fate == Fate.RELEASED,
        ),
    )


def _estimates(cycles: Sequence[CycleNote]) -> EstimateLog:
    known = [c for c in cycles if c.quality]
    names = [cv.value for cv in CV]
    none = Interval(float("nan"), float("nan"))
    return EstimateLog(
        time=np.array([c.time for c in known]),
        mean={n: np.array([c.quality.get(n, none).mean for c in known]) for n in names},
        half_width={n: np.array([c.quality.get(n, none).half_width for c in known]) for n in names},
    )


def score_shift(
    *,
    line: ResolvedLine,
    table: SignalTable,
    scenario: ScenarioConfig,
    minutes: float,
    seconds: NDArray[np.void],
    tablets: NDArray[np.void],
    commands: Sequence[ReceivedCommand],
    cycles: Sequence[CycleNote],
    start: float,
    period: float,
    wall_s: float,
) -> dict[str, Any]:
    """Every key of a run's result.

    Parameters
    ----------
    line, table, scenario, minutes
        What was run: line, its signals, the script, length of the shift after start-up [min].
    seconds, tablets, commands
        The plant's tally.
    cycles
        One note per control cycle.
    start
        First plant second of the counted window.
    period
        Control period [s].
    wall_s
        Wall time of the run [s].

    Returns
    -------
    Nested mapping, plant units (``units``); ``mhe`` is there if the controller estimates.
    """
    truth = truth_log(seconds, tablets, line)
    spec = specification(line.product)
    set_points = set_point_series(line, scenario, minutes, truth.time)
    targets = {name: float(values[0]) for name, values in set_points.items()}
    moves = {m.tag: m.rate * period for m in table.manipulated}
    wall = np.array([c.wall_ms for c in cycles])
    result: dict[str, Any] = {
        "cycles": len(cycles),
        "overruns": int(np.count_nonzero(wall > 1e3 * period)),
        "real_time_factor": float(truth.time.size / wall_s) if wall_s > 0.0 else 0.0,
        "cycle_ms": {
            "median": float(np.median(wall)) if wall.size else 0.0,
            "p99": float(np.percentile(wall, 99.0)) if wall.size else 0.0,
        },
        "tablets": score_tablets(truth, spec, targets, start),
        **score_truth(truth, spec, set_points, start),
        "max_mv_rate_violation": rate_violation(commands, moves),
        "bump_at_closing": bump_at_closing(commands, moves),
        "units": UNITS,
    }
    estimates = _estimates(cycles)
    if estimates.time.size:
        result["mhe"] = score_estimates(truth, estimates, period, start)
        lot = lot_change_second(scenario, minutes)
        if lot is not None:
            after = score_estimates(truth, estimates, period, lot, lot + AFTER_LOT_S)
            result["mhe_after_lot"] = after
    return result
