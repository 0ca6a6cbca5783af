"""The records that flow through a control cycle, front to back.

Snapshot -> Validated -> Estimate -> Forecast -> Plan -> Command -> CycleRecord. All frozen, all in
SI except where a field says otherwise. A step reads the records before it and writes its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plant_models.signals import CommandFrame, LineState, PlcMode, RefillPhase, Snapshot

__all__ = [
    "CV",
    "Array",
    "Command",
    "CycleRecord",
    "Estimate",
    "Forecast",
    "Interval",
    "LabSample",
    "Measurement",
    "Mode",
    "Plan",
    "ReachedBy",
    "Relaxation",
    "SteadyReport",
    "Targets",
    "Validated",
    "Verdict",
]

Array = NDArray[np.float64]


class Mode(StrEnum):
    """Modes of the controller."""

    OFF = "OFF"
    MONITORING = "MONITORING"
    ADVISORY = "ADVISORY"
    CLOSED_LOOP = "CLOSED_LOOP"
    SHED = "SHED"


class CV(StrEnum):
    """Controlled variables with a set point; names as in results and reports."""

    POTENCY = "potency"  # share of label [-]
    TABLET_WEIGHT = "tablet_weight"  # [kg]
    TENSILE_STRENGTH = "tensile_strength"  # [Pa]
    THROUGHPUT = "throughput"  # [kg/s]


class Verdict(StrEnum):
    """What validation decided about one measurement."""

    USE = "use"
    DOWN_WEIGHT = "down-weight"
    DROP = "drop"


class ReachedBy(StrEnum):
    """Rung of the solver chain that made the plan; the text tells the operator what happened."""

    FAST = "fast solver"
    REFERENCE = "reference solver: the fast one failed"
    SHIFTED = "last plan shifted: no solver finished in time"
    HOLD = "set points held: no plan young enough"
    BASELINE = "conventional control"
    NONE = "no plan"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One validated measurement in SI; ``weight`` in [0, 1] multiplies its information."""

    value: float
    weight: float
    verdict: Verdict
    reason: str
    source_time: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LabSample:
    """An at-line sample, in SI; placed at ``taken`` [s, UTC], not when its result came."""

    number: int
    taken: float
    weights: tuple[float, ...]
    thicknesses: tuple[float, ...]
    forces: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Validated:
    """The snapshot after validation.

    ``measurements`` maps tags to SI values; dropped ones are there with weight 0. ``actual`` and
    ``available`` are keyed by MV tag: set point in use (``ACT``, SI) and whether the controller
    may move it. ``feeder_rates`` are the rate set points in use [kg/s], ``refills`` and ``lots``
    per feeder in line order. ``samples`` are at-line samples not seen before this cycle.
    """

    time: float
    scan_id: int
    heartbeat: int
    plc_mode: PlcMode
    line_state: LineState
    permit: bool
    lease_epoch: int
    measurements: Mapping[str, Measurement]
    actual: Mapping[str, float]
    available: Mapping[str, bool]
    feeder_rates: tuple[float, ...]
    refills: tuple[RefillPhase, ...]
    lots: tuple[str, ...]
    samples: tuple[LabSample, ...]
    enough: bool
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Interval:
    """Mean and 95 % half-width, in SI."""

    mean: float
    half_width: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """State of the line now, with covariance; ``quality`` are the tablets being made now.

    ``tested`` says whether there was enough to test, so that ``converged`` is an answer.
    """

    time: float
    names: tuple[str, ...]
    mean: Array
    covariance: Array
    quality: Mapping[str, Interval]
    converged: bool
    normalised_innovation: float
    note: str = ""
    tested: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """Predictions over the horizon; ``series`` maps a variable to rows per ``times`` [s ahead].

    Each entry is ``(free, planned, half_width)``: response without further moves, response to the
    plan, 95 % half-width, in SI. The half-width is that of what is to come true: of ``planned`` in
    closed loop, else of ``free``, in which the PLC's own loops go on moving the MVs of ``loops``.
    """

    times: Array
    series: Mapping[str, tuple[Array, Array, Array]]
    loops: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """Set points in SI, per CV.

    ``out`` are the CVs that are not controlled now; ``limits`` narrow the ranges of MVs (lo, hi) by
    tag, SI.
    """

    set_points: Mapping[str, float]
    out: tuple[str, ...] = ()
    limits: Mapping[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Relaxation:
    """A goal that cannot be met at rest: what was wanted and what is reached, SI, and why."""

    variable: str
    wanted: float
    reached: float
    because: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SteadyReport:
    """Where the line is to settle, SI: MVs by tag, CVs by name, what was relaxed for it.

    ``value_per_h`` in the currency of the prices, ``work`` of compaction per tablet [J]; both are
    those at rest there.
    """

    moves: Mapping[str, float]
    set_points: Mapping[str, float]
    relaxed: tuple[Relaxation, ...]
    value_per_h: float
    work: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Future set points per MV tag (SI) on ``times`` [s ahead]; the first one is for now.

    ``target`` is the steady state that it leads to, where one was computed.
    """

    time: float
    times: Array
    moves: Mapping[str, Array]
    reached_by: ReachedBy
    steps: int
    solver_verdicts: tuple[str, ...]
    cost: float
    age_cycles: int = 0
    target: SteadyReport | None = None

    def first(self) -> dict[str, float]:
        """The set points to write now, SI, by MV tag."""
        return {tag: float(values[0]) for tag, values in self.moves.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What supervision let out: a frame, or none and why."""

    frame: CommandFrame | None
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CycleRecord:
    """Everything about one cycle; replaying it reproduces the plan."""

    cycle: int
    time: float
    mode: Mode
    snapshot: Snapshot
    validated: Validated | None
    estimate: Estimate | None
    forecast: Forecast | None
    plan: Plan | None
    command: Command
    targets: Targets
    permissives: Mapping[str, tuple[bool, str]]
    hashes: Mapping[str, str]
    wall_ms: Mapping[str, float] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)
