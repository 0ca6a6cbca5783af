"""The report of a recorded press: one HTML page that needs nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from html import escape
from importlib.metadata import version
from pathlib import Path

import numpy as np

from tools.benchmarks.control_table import Goal
from tools.commissioning.press_fit_table import head_lines, plain_text, rests_on
from tools.recordings.findings import Finding
from tools.recordings.origins import SUBSETS
from tools.recordings.scoring import Part
from tools.report.charts import Chart
from tools.report.plots import charts_figure, html, library
from tools.report.press_fit_page import estimates_table, fit_charts
from tools.report.recorded_data import RecordedDemo
from tools.report.recorded_figures import NAMES, RecordedFigures
from tools.report.theme import STYLE

__all__ = ["recorded_page", "write_recorded_report"]

_MORE_STYLE = """
h3{font-size:13.5px;margin:14px 0 4px;font-weight:600}
.panel>ul{margin:0;padding-left:18px;color:var(--soft);font-size:13px}
.tight td,.tight th{padding:2px 8px}
.tight td:not(:first-child){white-space:nowrap}
"""
_VERDICT = {True: ("✓ met", ""), False: ("✗ missed", "missed"), None: ("open", "")}
_SEVERITY = ("error", "warning", "info")
_GLOSSARY = (
    ("origin", "a row at which a forecast is made that can be checked 60 s later"),
    ("scored", "the press has been running for the 120 s before, without a gap"),
    ("weighted mean", "exponentially weighted mean of the force since the last start"),
    ("ARX", "best linear forecast from past force, fill depth, thickness, speed"),
    ("coverage", "share of origins at which the force came to lie in the 95 % interval"),
    ("settings held", "the force if nobody moved anything: the soft sensor's"),
    ("band", "thickness setting: cylindrical height of the tablet at main compression"),
)


def write_recorded_report(file: Path, demo: RecordedDemo) -> None:
    """Write the page."""
    file.write_text(recorded_page(demo), "utf-8")


def recorded_page(demo: RecordedDemo) -> str:
    """The page as text."""
    figures = RecordedFigures(demo)
    after = figures.after_start()
    windows = "".join(
        f"<h2>{escape(w.title)}<small>{escape(w.note)}</small></h2>"
        + _charts(f"window{i}", w.charts, 2)
        for i, w in enumerate(figures.windows())
    )
    parts = [
        _header(demo),
        f"<section><h2>Force 60 s ahead<small>{_fitted_on(demo)}</small></h2>"
        f'<div class="panel plot">{_results(demo)}</div></section>',
        '<div class="two">',
        f'<section><h2>Goals</h2><div class="panel">{_goals(demo.score.goals)}</div></section>',
        f'<section><h2>The same over OPC UA</h2><div class="panel">{_link(demo)}</div></section>',
        "</div>",
        "<h2>Errors<small>scored origins; each batch for itself</small></h2>",
        _charts("errors", [figures.errors(), *([after] if after else []), *figures.by_batch()], 2),
        windows,
        "<h2>What was recorded<small>scored batches, gaps between rows left out; grey: the press "
        "stands; each line runs through the least and the greatest of its bins</small></h2>",
        _charts("trends", figures.trends(), 1),
        _marks(figures),
        "<h2>Powder as the soft sensor sees it<small>medians of bins; 95 % intervals are the "
        "sensor's, without the error of its level: see below</small></h2>",
        _charts("powder", figures.powder(), 1),
        f'<div class="panel below">{_powder(demo)}</div>',
        f'<p class="glossary">{escape(_weight_rests_on(demo))}</p>',
        f"<h2>The fitted press<small>{escape(demo.fit.law.capitalize())}</small></h2>",
        _fit(demo),
        _fit_charts(demo),
        "<h2>Findings in the file<small>lines of the file, its header is line 1</small></h2>",
        f'<div class="panel">{_findings(demo)}</div>',
        f"<h2>Words</h2>{_glossary()}",
    ]
    title = f"twinline: recorded press {escape(demo.loaded.recording.name)}"
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<style>{STYLE}{_MORE_STYLE}</style><script>{library()}</script></head>"
        f"<body><main>{''.join(parts)}</main></body></html>\n"
    )


def _header(demo: RecordedDemo) -> str:
    recording, tooling, wall = demo.loaded.recording, demo.loaded.tooling, demo.wall_s
    begin, end = (datetime.fromtimestamp(t, UTC) for t in recording.time[[0, -1]])
    batches = recording.batches()
    fitted = len(demo.score.fitted)
    first = "first batch" if fitted == 1 else f"first {fitted} batches"
    what = (
        f"Product code {recording.code or 'unknown'}, {len(batches)} batches. A press was fitted "
        f"to the {first}; a monitor with it watched all rows of the other {len(batches) - fitted} "
        "and forecast the main compression force 60 s ahead, moving nothing. The last rows were "
        "played once more over a secured OPC UA link."
    )
    shown = f"{begin:%d %b %Y} to {end:%d %b %Y}"
    assumed = "" if tooling.known else " (assumed)"
    items = [
        ("rows, one every", f"{recording.size:,}, {recording.period_s:g} s"),
        ("recorded", shown),
        ("running", f"{recording.running().mean():.0%} of the rows"),
        (f"tablet{assumed}", f"{tooling.weight * 1e6:g} mg, {tooling.diameter * 1e3:g} mm"),
        (f"its thickness{assumed}", f"{tooling.thickness * 1e3:g} mm"),
        ("scored rows", f"{demo.scored.size:,}"),
        ("cycles per second", f"{demo.scored.size / max(wall['in_process'], 1e-3):.0f}"),
        ("wall time", f"{sum(wall.values()):.0f} s"),
        ("software", f"twinline {version('twinline')}"),
        *((f"hash of {name}", f"<code>{escape(h)}</code>") for name, h in demo.hashes.items()),
    ]
    cells = "".join(f"<div><span>{escape(name)}</span>{value}</div>" for name, value in items)
    return (
        f"<header><h1>Recorded press {escape(recording.name)}</h1><p>{escape(what)}</p></header>"
        f'<div class="panel facts">{cells}</div>'
    )


def _fitted_on(demo: RecordedDemo) -> str:
    return escape(
        f"RMSE in kN; fitted on {', '.join(demo.score.fitted)}, "
        f"scored on {', '.join(demo.scored.batches())}"
    )


def _results(demo: RecordedDemo) -> str:
    parts = demo.score.parts
    groups = [
        ("", [parts["scored"], parts["all"]]),
        ("where something happened, of the scored origins", [parts[name] for name in SUBSETS]),
        ("all running origins", [parts["restart"]]),
        ("scored origins, batch by batch", list(demo.score.batches)),
    ]
    heads = [*NAMES.values(), "over weighted mean", "95 % range", "coverage", "± kN"]
    lines = []
    for title, rows in groups:
        if title:
            lines.append(f'<tr class="group"><td colspan="{2 + len(heads)}">{title}</td></tr>')
        lines += [_result(part) for part in rows]
    head = "".join(f"<th>{escape(h)}</th>" for h in ("origins", *heads))
    return (
        f'<table class="tight"><thead><tr><th></th>{head}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table>"
    )


def _result(part: Part) -> str:
    count = f"{part.count:,}" + (f" (+{part.missing} without)" if part.missing else "")
    if not part.judged:
        count += ", too few"
    lo, hi = part.ratio_range
    cells = [
        count,
        *(_number(part.rmse[name], 4) for name in NAMES),
        _number(part.ratio, 3),
        f"{lo:.3f} to {hi:.3f}" if np.isfinite(lo) else "–",
        f"{100.0 * part.coverage:.1f} %" if np.isfinite(part.coverage) else "–",
        _number(part.half_width, 3),
    ]
    return f"<tr><td>{escape(part.text)}</td>{''.join(f'<td>{c}</td>' for c in cells)}</tr>"


def _goals(goals: Iterable[Goal]) -> str:
    lines = []
    for goal in goals:
        word, css = _VERDICT[goal.met]
        reached = goal.note if goal.value is None else f"{goal.value:.3f} {goal.note}".strip()
        wanted = [f"≥ {goal.lo:g}"] if goal.lo is not None else []
        wanted += [f"≤ {goal.hi:g}"] if goal.hi is not None else []
        lines.append(
            f"<tr><td>{escape(goal.name)}</td><td>{escape(reached)}</td>"
            f'<td>{", ".join(wanted)}</td><td class="{css}">{word}</td></tr>'
        )
    return (
        '<table class="short tight"><thead><tr><th>goal</th><th>reached</th><th>wanted</th>'
        f"<th></th></tr></thead><tbody>{''.join(lines)}</tbody></table>"
    )


def _link(demo: RecordedDemo) -> str:
    agrees = demo.comparison is not None and demo.comparison.agrees
    css = "" if agrees else ' class="missed"'
    return (
        f"<p{css}>{escape(demo.link_text())}.</p>"
        "<p>Plant and controller ran as two processes with certificates and passwords of their "
        "own; the plant played the file in lock-step, the controller went on from the memory that "
        "it had in process before these rows. Its forecasts were read from its historian.</p>"
    )


def _powder(demo: RecordedDemo) -> str:
    lines = "".join(
        f"<tr><td>{escape(p.batch)}</td><td>{p.density:.1f}</td><td>{p.density_spread:.1f}</td>"
        f"<td>± {p.density_half:.1f}</td><td>{p.weight * 1e6:.2f}</td>"
        f"<td>± {p.weight_half * 1e6:.2f}</td></tr>"
        for p in demo.powder()
    )
    return (
        "<table><thead><tr><th>batch, while running</th><th>bulk density, median [kg/m³]</th>"
        "<th>95 % of it within [kg/m³]</th><th>95 % interval at a time [kg/m³]</th>"
        "<th>tablet weight, median [mg]</th><th>95 % interval at a time [mg]</th>"
        f"</tr></thead><tbody>{lines}</tbody></table>"
    )


def _weight_rests_on(demo: RecordedDemo) -> str:
    tooling, at = demo.loaded.tooling, demo.fit.reference
    known = "given for the product" if tooling.known else "assumed, for the product is not known"
    return (
        f"No tablet was weighed in the recording. Weight and density are relative to the nominal "
        f"{tooling.weight * 1e6:g} mg ({known}) at the usual {at.fill * 1e3:.2f} mm of fill depth "
        f"in a die of {tooling.diameter * 1e3:g} mm: an error of these moves all of them alike. "
        "And it is taken that the powder compresses as in the fitted batches: a lot that "
        "compresses otherwise shows as weight. The intervals are those of the soft sensor about "
        "that level, from force, fill depth and the powder's walk; they hold none of these errors."
    )


def _fit(demo: RecordedDemo) -> str:
    fit = demo.fit
    head = "".join(f"<li>{escape(line)}</li>" for line in head_lines(fit))
    notes = "".join(f"<li>{escape(f.text)}: {escape(f.action)}</li>" for f in fit.findings)
    return (
        f'<div class="panel"><ul>{head}</ul>'
        f"<h3>Gains at usual running</h3>{estimates_table(fit.gains)}"
        f'<p class="glossary">{escape(plain_text(fit))}</p>'
        f"<h3>Parameters</h3>{estimates_table(fit.estimates)}"
        f'<p class="glossary">{escape(rests_on(fit))}</p><ul>{notes}</ul></div>'
    )


def _fit_charts(demo: RecordedDemo) -> str:
    parts = []
    for i, (title, small, charts) in enumerate(fit_charts(demo.fit, demo.loaded.recording)):
        parts.append(
            f"<h2>{escape(title)}<small>{escape(small)}</small></h2>"
            + _charts(f"fit{i}", charts, 3 if len(charts) > 4 else 2)
        )
    return "".join(parts)


def _findings(demo: RecordedDemo) -> str:
    lines = []
    for f in sorted(demo.loaded.findings, key=lambda f: _SEVERITY.index(f.severity)):
        css = ' class="alarm"' if f.severity == "error" else ""
        where = _lines(f)
        share = f"{f.rows:,} ({f.share:.1%})" if f.rows else ""
        cells = (f.severity, f.kind, f.channel or "(rows)", share, where, f.text, f.action)
        lines.append(f"<tr{css}>{''.join(f'<td>{escape(c)}</td>' for c in cells)}</tr>")
    heads = ("", "finding", "channel", "rows", "lines", "what", "what was done about it")
    head = "".join(f'<th style="text-align:left">{h}</th>' for h in heads)
    return (
        f'<table class="events"><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table>"
    )


def _lines(finding: Finding) -> str:
    first, last = finding.first_row, finding.last_row
    if not finding.rows or first is None:
        return ""
    return f"{first}" if first == last else f"{first}–{last}"


def _marks(figures: RecordedFigures) -> str:
    found = "; ".join(f"{m.number} {escape(m.text)}" for m in figures.batches)
    return f'<p class="glossary">Dotted lines: {found}.</p>'


def _charts(name: str, charts: Sequence[Chart], columns: int) -> str:
    plot = html(charts_figure(charts, columns=columns), name)
    return f'<div class="panel plot"><div class="wide">{plot}</div></div>'


def _number(value: float, digits: int) -> str:
    return f"{value:.{digits}f}" if np.isfinite(value) else "–"


def _glossary() -> str:
    words = "; ".join(f"<b>{escape(word)}</b> {escape(text)}" for word, text in _GLOSSARY)
    return f'<p class="glossary">{words}.</p>'
