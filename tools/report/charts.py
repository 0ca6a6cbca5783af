"""What the report shows: lines, bands, limits, dots, histograms, rows of states.

A chart is data; `tools.report.plots` draws it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

__all__ = ["Band", "Bars", "Chart", "Dots", "Item", "Limit", "Line", "Mark", "Strip"]

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line; ``step`` holds each value until the next one, ``style`` is one of the theme's."""

    name: str
    x: Array
    y: Array
    style: str
    step: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """An area between two lines."""

    name: str
    x: Array
    lo: Array
    hi: Array
    style: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Dots:
    """Single points."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    style: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """A horizontal line across the chart."""

    y: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A vertical line through all charts: something happened; ``number`` stands above it."""

    x: float
    text: str
    number: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Bars:
    """A histogram outline: ``edges`` is one longer than ``heights``."""

    name: str
    edges: Array
    heights: Array
    style: str


Item = Line | Band | Dots | Bars


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """One chart; ``y`` fixes the range of the ordinate, else the data do.

    ``counts`` means that the values are counts from 0 on, shown on a logarithmic axis; ``shaded``
    are spans of the abscissa with a grey ground, ``ticks`` names for places on it.
    """

    title: str
    unit: str
    x: tuple[float, float]
    items: Sequence[Item]
    limits: Sequence[Limit] = ()
    marks: Sequence[Mark] = ()
    y: tuple[float, float] | None = None
    x_unit: str = "min"
    shaded_to: float | None = None
    counts: bool = False
    shaded: Sequence[tuple[float, float]] = ()
    ticks: Sequence[tuple[float, str]] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Strip:
    """A row of states: ``texts`` from ``x`` on, each in the ground that ``styles`` gives it."""

    name: str
    x: Array
    texts: Sequence[str]
    styles: dict[str, str] = field(default_factory=dict)

    def spans(self, end: float) -> list[tuple[float, float, str]]:
        """Runs of equal texts: from, to, text."""
        found: list[tuple[float, float, str]] = []
        for i, text in enumerate(self.texts):
            until = float(self.x[i + 1]) if i + 1 < len(self.texts) else end
            if found and found[-1][2] == text:
                found[-1] = (found[-1][0], until, text)
            else:
                found.append((float(self.x[i]), until, text))
        return found
