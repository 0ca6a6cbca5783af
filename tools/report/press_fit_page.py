"""The fit of a press cell as charts, and as one HTML page of its own."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plant_models.press_cell import main_force
from plant_models.recording import Recording
from tools.commissioning.press_events import Kind, tracks
from tools.commissioning.press_fit_table import head_lines, number, plain_text, rests_on
from tools.commissioning.press_likelihood import residuals
from tools.commissioning.press_result import Estimate, PressFit
from tools.report.charts import Bars, Chart, Dots, Item, Limit, Line
from tools.report.plots import charts_figure, html, library
from tools.report.theme import STYLE

__all__ = [
    "estimates_table",
    "fit_charts",
    "fit_page",
    "force_charts",
    "profile_charts",
    "step_charts",
]

Array = NDArray[np.float64]

_STYLES = {Kind.HAND: "pid", Kind.WAITING: "plc", Kind.ANSWER: "nmpc"}
_ROWS = 3000  # of the recording, at most, in a chart
_END = 3.84
_HIGHEST = 8.0  # of a profile


def fit_charts(fit: PressFit, recording: Recording) -> list[tuple[str, str, list[Chart]]]:
    """Groups of charts: title, small print, charts."""
    return [
        (
            "Moves, measured against fitted",
            "a dot a move; on the line the cell explains it",
            step_charts(fit),
        ),
        (
            "Force against fill depth",
            "the cell at three bands, and what a regression of the loop's rows would say",
            force_charts(fit, recording),
        ),
        (
            "Residuals of the moves",
            "in standard deviations",
            _residual_charts(fit),
        ),
        (
            "Profiles",
            f"rise of the misfit; a 95 % interval ends at {_END:g}; no narrower than before the "
            "data: not identified",
            profile_charts((*fit.gains, *fit.estimates)),
        ),
    ]


def step_charts(fit: PressFit) -> list[Chart]:
    """Force steps where force is the effect, fill steps where fill is."""
    steps, cell = fit.steps, fit.cell
    error, _ = residuals(cell, steps, fit.play)
    force = np.diff(np.log(steps.force), axis=1)[:, 0]
    fill = np.diff(steps.fill, axis=1)[:, 0]
    answer = steps.kind == Kind.ANSWER
    depth = np.mean(steps.fill, axis=1) + cell.lower_cup
    charts = []
    for title, unit, measured, missed, kinds in (
        ("force, set by hand or loop waiting", "%", 100.0 * force, 100.0 * error, (0, 1)),
        ("fill depth, loop answering", "mm", 1e3 * fill, 1e3 * error * depth, (2,)),
    ):
        of = answer if kinds == (2,) else ~answer
        span = _span(np.append(measured[of], (measured - missed)[of]), symmetric=True)
        items: list[Item] = [_line("as fitted", span, span, "sp")]
        for kind in (Kind(k) for k in kinds):
            own = steps.kind == kind
            x, y = (measured - missed)[own], measured[own]
            items.append(Dots(name=kind.text, x=x.tolist(), y=y.tolist(), style=_STYLES[kind]))
        charts.append(
            Chart(
                title=f"measured step of {title}",
                unit=unit,
                x=span,
                y=span,
                x_unit=f"{unit} fitted",
                items=items,
            )
        )
    return charts


def force_charts(fit: PressFit, recording: Recording) -> list[Chart]:
    """Rows, plateaus set by hand, the cell's lines and the biased regression; and against band."""
    at, cell, steps = fit.reference, fit.cell, fit.steps
    runs = [r for r in tracks(recording, fit.batches) if not r.by_hand]
    rows = np.concatenate(
        [np.array([r.fill, r.band, r.force]) for r in runs] or [np.zeros((3, 0))], 1
    )
    rows = rows[:, :: max(1, rows.shape[1] // _ROWS)]
    hand = steps.kind == Kind.HAND
    plateaus = np.array([steps.fill[hand, 1], steps.band[hand, 1], steps.force[hand, 1]])
    both = np.concatenate([rows, plateaus, [[at.fill], [at.band], [at.force]]], axis=1)
    usual = np.quantile(both[2], (0.005, 0.97))
    force = _span(np.append(usual, 1.1 * at.force) / 1e3)
    charts = []
    for x, name in ((0, "fill depth"), (1, "band")):
        span = _span(1e3 * both[x])
        grid = np.linspace(*span, 80)
        items: list[Item] = [
            _dots("rows on the loop", 1e3 * rows[x], rows[2] / 1e3, "plc"),
            _dots("set by hand", 1e3 * plateaus[x], plateaus[2] / 1e3, "pid"),
        ]
        levels = np.unique(np.round(np.quantile(both[1 - x], (0.05, 0.5, 0.95)), 5))
        for level in levels.tolist():
            fill, band = (grid / 1e3, level) if x == 0 else (level, grid / 1e3)
            other = "band" if x == 0 else "fill"
            curve = np.asarray(main_force(cell, fill, band)) / 1e3
            items.append(
                Line(
                    name=f"cell, {other} {1e3 * level:.2f} mm",
                    x=grid,
                    y=curve,
                    style="nmpc" if level == levels[levels.size // 2] else "truth",
                )
            )
        if x == 0 and np.isfinite(fit.plain.slope):
            biased = (at.force + fit.plain.slope * (grid / 1e3 - at.fill)) / 1e3
            items.append(Line(name="regression, biased", x=grid, y=biased, style="limit"))
        charts.append(
            Chart(
                title=f"main force against {name}",
                unit="kN",
                x=span,
                y=force,
                x_unit="mm",
                items=items,
            )
        )
    return charts


def _residual_charts(fit: PressFit) -> list[Chart]:
    steps = fit.steps
    order: list[Item] = []
    for kind in Kind:
        own = np.flatnonzero(steps.kind == kind)
        if own.size:
            order.append(_dots(kind.text, own.astype(float) + 1.0, fit.scaled[own], _STYLES[kind]))
    spread: list[Item] = []
    edges = np.linspace(-5.0, 5.0, 26)
    for kind in Kind:
        own = fit.scaled[steps.kind == kind]
        if own.size:
            heights = np.histogram(np.clip(own, -4.99, 4.99), edges)[0].astype(float)
            spread.append(Bars(name=kind.text, edges=edges, heights=heights, style=_STYLES[kind]))
    limits = (Limit(y=2.0, text="+2"), Limit(y=-2.0, text="-2"))
    return [
        Chart(
            title="residual, in order",
            unit="sd",
            x=(0.0, steps.size + 1.0),
            y=(-6.0, 6.0),
            x_unit="move",
            items=order,
            limits=limits,
        ),
        Chart(title="how often", unit="moves", x=(-5.0, 5.0), x_unit="sd", items=spread),
    ]


def profile_charts(estimates: Sequence[Estimate]) -> list[Chart]:
    """Rise of the misfit over each quantity, with and before the data."""
    charts = []
    for e in estimates:
        x = e.profile.values * e.shown
        lo, hi = sorted(end * e.shown for end in e.prior)
        before = np.linspace(lo, hi, 41)
        share = np.log(before / lo) / np.log(hi / lo) if e.log else (before - lo) / (hi - lo)
        known = _END * (2.0 * share - 1.0) ** 2
        order = np.argsort(x)
        items: list[Item] = [
            Line(name="before the data", x=before, y=known, style="sp"),
            Line(name="with the data", x=x[order], y=e.profile.rise[order], style="nmpc"),
        ]
        charts.append(
            Chart(
                title=e.text,
                unit="",
                x=_span(np.append(x, before)),
                y=(0.0, _HIGHEST),
                x_unit=e.unit.removeprefix("1"),
                items=items,
                limits=[Limit(y=_END, text="95 %")],
            )
        )
    return charts


def _line(name: str, x: Sequence[float], y: Sequence[float], style: str) -> Line:
    return Line(name=name, x=np.array(x), y=np.array(y), style=style)


def _dots(name: str, x: Array, y: Array, style: str) -> Dots:
    return Dots(name=name, x=x.tolist(), y=y.tolist(), style=style)


def _span(values: Array, *, symmetric: bool = False) -> tuple[float, float]:
    """Range of the values with a margin."""
    there = values[np.isfinite(values)]
    if not there.size:
        return -1.0, 1.0
    lo, hi = float(there.min()), float(there.max())
    if symmetric:
        hi = max(abs(lo), abs(hi))
        lo = -hi
    margin = 0.06 * (hi - lo) or 0.05 * abs(hi) or 1.0
    return lo - margin, hi + margin


# Page -------------------------------------------------------------------------------------------


def fit_page(fit: PressFit, recording: Recording, file: Path) -> None:
    """Write the page: one file that needs nothing else."""
    head = "".join(f"<p>{escape(line)}</p>" for line in head_lines(fit))
    parts = [
        f"<header><h1>Press cell fitted to {escape(fit.recording)}</h1>{head}</header>",
        f'<h2>Gains at usual running</h2><div class="panel">{estimates_table(fit.gains)}'
        f'<p class="glossary">{escape(plain_text(fit))}</p></div>',
        f'<h2>Parameters</h2><div class="panel">{estimates_table(fit.estimates)}'
        f'<p class="glossary">{escape(rests_on(fit))}</p></div>',
    ]
    for i, (title, small, charts) in enumerate(fit_charts(fit, recording)):
        plot = html(charts_figure(charts, 3 if title == "Profiles" else 2), f"fit{i}")
        parts.append(
            f"<h2>{escape(title)}<small>{escape(small)}</small></h2>"
            f'<div class="panel plot"><div class="wide">{plot}</div></div>'
        )
    notes = "".join(f"<li>{escape(f.text)}: {escape(f.action)}</li>" for f in fit.findings)
    parts.append(f'<h2>Notes</h2><div class="panel"><ul>{notes}</ul></div>')
    file.write_text(
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>twinline: fit of {escape(fit.recording)}</title>"
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<style>{STYLE}</style><script>{library()}</script></head>"
        f"<body><main>{''.join(parts)}</main></body></html>\n",
        "utf-8",
    )


def estimates_table(estimates: Sequence[Estimate]) -> str:
    """Estimates as an HTML table; their sources show on hovering."""
    names = ("estimate", "95 %", "before the data", "in the cell", "identified")
    head = '<th></th><th class="unit-cell">unit</th>'
    head += "".join(f"<th>{name}</th>" for name in names)
    body = "".join(
        f'<tr title="{escape(e.source)}"><td>{escape(e.text)}</td>'
        f'<td class="unit-cell">{escape(e.unit.removeprefix("1"))}</td>'
        f"<td>{number(e.value, e.shown)}</td>"
        f"<td>{number(e.lo, e.shown)} … {number(e.hi, e.shown)}</td>"
        f"<td>{number(e.prior[0], e.shown)} … {number(e.prior[1], e.shown)}</td>"
        f"<td>{number(e.used, e.shown)}</td><td>{escape(e.verdict)}</td></tr>"
        for e in estimates
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
