"""What readiness remembers between cycles, and what it reports."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields

import numpy as np

from controller.data import CV, Array

__all__ = [
    "CVS",
    "FIELDS",
    "TIME_EDGES_MS",
    "Pending",
    "ReadinessLine",
    "ReadinessReport",
    "ReadinessState",
    "at",
    "of_cv",
    "times_at",
]

CVS = tuple(cv.value for cv in CV)
_PER_CV = ("judged", "error", "square", "banded", "covered")
FIELDS: tuple[str, ...] = (
    *(f"{what} {cv}" for cv in CVS for what in _PER_CV),
    *("costs", "planned cost", "cost"),
    *("cycles", "solved", "fast", "estimates", "converged", "held"),
    *("samples", "sample square", "sample covered"),
)
"""What is summed, by name; per CV: forecasts judged, error and its square in tolerances, forecasts
with an interval and those that it covered."""

TIME_EDGES_MS: Array = np.logspace(0.0, 4.0, 81)
"""Upper edges of the classes in which times to solve are counted."""

_AT = {name: i for i, name in enumerate(FIELDS)}
_OF_CV = {cv: _AT[f"judged {cv}"] for cv in CVS}


def at(name: str) -> int:
    """Place of a sum in its row."""
    return _AT[name]


def of_cv(cv: str) -> int:
    """Place of the first of a CV's five sums: judged, error, square, banded, covered."""
    return _OF_CV[cv]


def times_at(ms: float) -> int:
    """Place of a time to solve in the row; the last class holds all that are longer."""
    k = int(np.searchsorted(TIME_EDGES_MS, ms))
    return len(FIELDS) + min(k, TIME_EDGES_MS.size - 1)


def _empty() -> Array:
    return np.zeros(len(FIELDS) + TIME_EDGES_MS.size)


@dataclass(frozen=True, slots=True)
class Pending:
    """One forecast made at ``time``, per `CVS` (SI): (free, planned, half width), or None.

    ``set_points`` are those in use by MV tag, ``wanted`` the targets, ``lots`` those being fed.
    """

    time: float
    series: tuple[tuple[float, float, float] | None, ...]
    set_points: Mapping[str, float]
    wanted: Mapping[str, float]
    lots: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadinessState:
    """Forecasts whose time has not come, sums over closed blocks, and the open block.

    Rows are laid out as `at` and `times_at` say; ``total`` is the sum of ``blocks``, of which
    ``since`` are the beginnings [s, UTC]; ``wanted`` the targets of the last cycle.
    """

    pending: tuple[Pending, ...] = ()
    blocks: tuple[Array, ...] = ()
    since: tuple[float, ...] = ()
    total: Array = field(default_factory=_empty)
    open: Array = field(default_factory=_empty)
    opened: float | None = None
    wanted: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadinessLine:
    """One item: value (None: no evidence yet) and goal in ``unit``, and a sentence."""

    name: str
    value: float | None
    unit: str
    goal: str
    good: bool
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadinessReport:
    """What the controller thinks of itself; ``ready`` if every line is good."""

    ready: bool
    lines: tuple[ReadinessLine, ...]

    @property
    def text(self) -> str:
        """Ready, or what is missing."""
        lacking = [f"{line.name}: {line.text}" for line in self.lines if not line.good]
        return "; ".join(lacking) or "ready"

    def as_json(self) -> str:
        """For machines."""
        lines = [{f.name: getattr(line, f.name) for f in fields(line)} for line in self.lines]
        return json.dumps({"ready": self.ready, "lines": lines})
