"""Small charts as inline SVG: lines, bands, limits, dots, strips, histograms.

A chart is data; `render` turns it into text. Points lie on a pixel grid of a tenth, which is finer
than any screen shows and keeps a page of forty charts below a megabyte.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray

__all__ = ["Band", "Bars", "Chart", "Dots", "Limit", "Line", "Mark", "render", "thin", "ticks"]

Array = NDArray[np.float64]
WIDTH, HEIGHT = 560, 196
LEFT, RIGHT, TOP, BOTTOM = 52, 18, 30, 22
_MOST_POINTS = 700


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line; ``step`` holds each value until the next one."""

    name: str
    x: Array
    y: Array
    css: str
    step: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """An area between two lines."""

    name: str
    x: Array
    lo: Array
    hi: Array
    css: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Dots:
    """Single points."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    css: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """A horizontal line across the chart."""

    y: float
    text: str
    css: str = "limit"


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
    css: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """One chart; ``y`` fixes the range of the ordinate, else the data do.

    ``counts`` means that the values are ``log10(1 + n)`` of counts and are labelled by these.
    """

    title: str
    unit: str
    x: tuple[float, float]
    items: Sequence[Line | Band | Dots | Bars]
    limits: Sequence[Limit] = ()
    marks: Sequence[Mark] = ()
    y: tuple[float, float] | None = None
    x_title: str = "min"
    shaded_to: float | None = None
    counts: bool = False


def ticks(lo: float, hi: float, most: int = 5) -> list[float]:
    """Round numbers in ``[lo, hi]``, at most ``most`` + 1 of them."""
    span = hi - lo
    if not span > 0.0:
        return [lo]
    raw = span / most
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * m for m in (1.0, 2.0, 2.5, 5.0, 10.0) if power * m >= raw * (1.0 - 1e-9))
    first = math.ceil(lo / step - 1e-9)
    last = math.floor(hi / step + 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def thin(x: Array, y: Array, most: int = _MOST_POINTS) -> tuple[Array, Array]:
    """Means over equal runs of points, so that at most ``most`` are left."""
    size = -(-len(x) // most)
    if size <= 1:
        return x, y
    whole = len(x) // size * size
    rows = y[:whole].reshape(-1, size)
    known = np.isfinite(rows)
    count = known.sum(axis=1)
    mean = np.full(rows.shape[0], np.nan)
    np.divide(np.where(known, rows, 0.0).sum(axis=1), count, out=mean, where=count > 0)
    return x[:whole].reshape(-1, size).mean(axis=1), mean


def _range(chart: Chart) -> tuple[float, float]:
    if chart.y is not None:
        return chart.y
    values: list[float] = [limit.y for limit in chart.limits]
    for item in chart.items:
        parts: Iterable[Iterable[float]]
        if isinstance(item, Band):
            parts = (item.lo, item.hi)
        elif isinstance(item, Bars):
            parts = ([0.0], item.heights)
        else:
            parts = (item.y,)
        values += [float(v) for part in parts for v in part if math.isfinite(v)]
    lo, hi = (min(values), max(values)) if values else (0.0, 1.0)
    margin = 0.06 * (hi - lo) or 0.5
    return lo - (0.0 if lo == 0.0 else margin), hi + margin


@dataclass(frozen=True, slots=True)
class _Frame:
    """Pixels of the plotting area, and the maps into it."""

    x: tuple[float, float]
    y: tuple[float, float]

    def px(self, value: float) -> float:
        share = (value - self.x[0]) / (self.x[1] - self.x[0])
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def py(self, value: float) -> float:
        share = (value - self.y[0]) / (self.y[1] - self.y[0])
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)


def _points(f: _Frame, x: Array, y: Array) -> list[tuple[float, float]]:
    room = 4.0 * HEIGHT  # far outside is outside enough
    return [
        (f.px(a), min(max(f.py(b), -room), room)) if math.isfinite(b) else (math.nan, math.nan)
        for a, b in zip(x, y, strict=True)
    ]


def _path(points: Sequence[tuple[float, float]], step: bool = False) -> str:
    parts: list[str] = []
    pen, last = False, math.nan
    for x, y in points:
        if not math.isfinite(y):
            pen = False
            continue
        if not pen:
            parts.append(f"M{x:.1f},{y:.1f}")
        elif step:
            parts.append(
                f"L{x:.1f},{last:.1f}L{x:.1f},{y:.1f}" if y != last else f"L{x:.1f},{y:.1f}"
            )
        else:
            parts.append(f"L{x:.1f},{y:.1f}")
        pen, last = True, y
    return "".join(parts)


def _inside(x: Array, span: tuple[float, float]) -> NDArray[np.bool_]:
    return np.asarray((x >= span[0]) & (x <= span[1]))


def _line(f: _Frame, item: Line) -> str:
    keep = _inside(item.x, f.x)
    x, y = item.x[keep], item.y[keep]
    if not item.step:
        x, y = thin(x, y)
    path = _path(_points(f, x, y), item.step)
    return f'<path class="line {item.css}" data-name="{escape(item.name)}" d="{path}"/>'


def _band(f: _Frame, item: Band) -> str:
    keep = _inside(item.x, f.x) & np.isfinite(item.lo) & np.isfinite(item.hi)
    if not keep.any():
        return ""
    x, lo = thin(item.x[keep], item.lo[keep])
    _, hi = thin(item.x[keep], item.hi[keep])
    there = _points(f, x, hi)
    back = _points(f, x, lo)[::-1]
    path = _path(there) + _path(back).replace("M", "L", 1) + "Z"
    return f'<path class="band {item.css}" d="{path}"/>'


def _dots(f: _Frame, item: Dots) -> str:
    return "".join(
        f'<circle class="dot {item.css}" cx="{f.px(x):.1f}" cy="{f.py(y):.1f}" r="2.4"/>'
        for x, y in zip(item.x, item.y, strict=True)
        if math.isfinite(y) and f.x[0] <= x <= f.x[1]
    )


def _bars(f: _Frame, item: Bars) -> str:
    corners = [(float(item.edges[0]), 0.0)]
    for i, height in enumerate(item.heights):
        corners += [
            (float(item.edges[i]), float(height)),
            (float(item.edges[i + 1]), float(height)),
        ]
    corners.append((float(item.edges[-1]), 0.0))
    path = _path([(f.px(x), f.py(y)) for x, y in corners])
    return f'<path class="bars {item.css}" d="{path}"/>'


def _label(value: float, step: float) -> str:
    digits = 0
    while digits < 6 and abs(round(step, digits) - step) > 1e-9 * step:
        digits += 1
    return f"{value:,.{digits}f}".replace("-", "−")


def _rows(f: _Frame, chart: Chart) -> list[tuple[float, str]]:
    """Where the ordinate is labelled, and how."""
    if chart.counts:
        decades = range(1, 1 + max(1, math.ceil(f.y[1])))
        return [(0.0, "0"), *((math.log10(1 + 10**d), f"{10**d:,}") for d in decades)]
    values = ticks(*f.y, most=4)
    step = values[1] - values[0] if len(values) > 1 else 1.0
    return [(value, _label(value, step)) for value in values]


def _axes(f: _Frame, chart: Chart) -> str:
    out: list[str] = []
    bottom = HEIGHT - BOTTOM
    for value, text in _rows(f, chart):
        if value > f.y[1]:
            continue
        y = f.py(value)
        out.append(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        )
        out.append(f'<text class="tick end" x="{LEFT - 5}" y="{y + 3.5:.1f}">{text}</text>')
    columns = ticks(*f.x, most=8)
    across = columns[1] - columns[0] if len(columns) > 1 else 1.0
    for value in columns:
        x = f.px(value)
        out.append(
            f'<line class="tickmark" x1="{x:.1f}" x2="{x:.1f}" y1="{bottom}" y2="{bottom + 3}"/>'
        )
        out.append(
            f'<text class="tick mid" x="{x:.1f}" y="{bottom + 14}">{_label(value, across)}</text>'
        )
    out.append(f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{bottom}" y2="{bottom}"/>')
    return "".join(out)


_numbers = iter(range(1, 1_000_000))


def render(chart: Chart) -> str:
    """The chart as an ``svg`` element; crosshair and read-outs are the page's business."""
    f = _Frame(chart.x, _range(chart))
    clip = f"c{next(_numbers)}"
    inner_w, inner_h = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
    out = [
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(chart.title)}, {escape(chart.unit)}" '
        f'data-x="{f.x[0]:g},{f.x[1]:g}" data-y="{f.y[0]:.6g},{f.y[1]:.6g}" '
        f'data-counts="{int(chart.counts)}">',
        f'<clipPath id="{clip}"><rect x="{LEFT}" y="{TOP}" width="{inner_w}" height="{inner_h}"/>'
        "</clipPath>",
        f'<rect class="field" x="{LEFT}" y="{TOP}" width="{inner_w}" height="{inner_h}"/>',
    ]
    if chart.shaded_to is not None and chart.shaded_to > chart.x[0]:
        width = f.px(chart.shaded_to) - LEFT
        out.append(
            f'<rect class="before" x="{LEFT}" y="{TOP}" width="{width:.1f}" height="{inner_h}"/>'
        )
    out.append(_axes(f, chart))
    for mark in chart.marks:
        if chart.x[0] <= mark.x <= chart.x[1]:
            x = f.px(mark.x)
            out.append(
                f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}">'
                f"<title>{escape(mark.text)}</title></line>"
                f'<text class="number mid" x="{x:.1f}" y="{TOP - 2}">{mark.number or ""}</text>'
            )
    out.append(f'<g clip-path="url(#{clip})">')
    for item in chart.items:
        if isinstance(item, Line):
            out.append(_line(f, item))
        elif isinstance(item, Band):
            out.append(_band(f, item))
        elif isinstance(item, Bars):
            out.append(_bars(f, item))
        else:
            out.append(_dots(f, item))
    out.append("</g>")
    for limit in chart.limits:
        if f.y[0] <= limit.y <= f.y[1]:
            y = f.py(limit.y)
            out.append(
                f'<line class="{limit.css}" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" '
                f'y2="{y:.1f}"/>'
                f'<text class="note" x="{LEFT + 4}" y="{y - 3:.1f}">'
                f"{escape(limit.text)}</text>"
            )
    out.append(
        f'<text class="title" x="2" y="13">{escape(chart.title)}'
        f'<tspan class="unit" dx="6">{escape(chart.unit)}</tspan></text>'
        f'<text class="tick end" x="{WIDTH - 1}" y="{HEIGHT - 1}">{escape(chart.x_title)}</text>'
        "</svg>"
    )
    return "".join(out)
