"""The report: one HTML page that needs nothing else, neither network nor files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from importlib.metadata import version
from pathlib import Path
from typing import Any

from controller.records.hashes import software_hash
from hil.config import (
    InstrumentFails,
    KillPlant,
    LabMissing,
    LineStop,
    LocalTakeover,
    LotChange,
    NirDrift,
    ScenarioConfig,
    ThroughputChange,
)
from plant_models.line import ResolvedLine
from tools.report.charts import Chart
from tools.report.data import RunData
from tools.report.figures import Figures
from tools.report.plots import charts_figure, html, library, strips_figure
from tools.report.results import Row, glance, goals, rows, shown, value_at
from tools.report.supervision_page import supervision_section
from tools.report.theme import STYLE

__all__ = ["Facts", "report_page", "write_report"]

_TITLES = {
    "nmpc": "NMPC: estimator and optimiser",
    "lmpc": "LMPC: Kalman filter and linear predictive control",
    "pid": "PID: conventional control",
    "plc": "PLC: its own loops, press set once",
}
_ALARMS = ("-> SHED", "refused", "not written")
_GLOSSARY = (
    ("potency", "API content of the powder, % of the label's"),
    ("IAE", "integral of the absolute error of the 60 s mean, as its average in % of set point"),
    ("floor", "tablets out of specification even if every 60 s mean were on target"),
    ("excess", "tablets out of specification beyond the floor"),
    ("coverage", "share of cycles in which the truth lies inside the 95 % interval"),
    ("sharpness", "mean half-width over 1.96 RMSE; 1 is exact"),
    ("bump", "largest move of the first closed-loop cycle over its rate limit"),
    ("shed", "the controller stops writing and the PLC's own loops take over"),
    ("1/b", "Kawakita's pressure scale: how hard the powder is to compress"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What was run: length after start-up [min], seed, begin of the counted window [s], time."""

    minutes: float
    seed: int
    closed: int
    wall_s: float


def write_report(
    file: Path,
    line: ResolvedLine,
    scenario: ScenarioConfig,
    facts: Facts,
    runs: Sequence[RunData],
    scores: Mapping[str, Mapping[str, Any]],
) -> None:
    """Write the page of ``runs``; ``scores`` are their results by controller."""
    file.write_text(report_page(line, scenario, facts, runs, scores), "utf-8")


def report_page(
    line: ResolvedLine,
    scenario: ScenarioConfig,
    facts: Facts,
    runs: Sequence[RunData],
    scores: Mapping[str, Mapping[str, Any]],
) -> str:
    """The page as text."""
    figures = Figures(line, scenario, facts.minutes, facts.seed, facts.closed, tuple(runs))
    first = runs[0]
    estimates = figures.estimates(first)
    parts = [
        _header(line, scenario, facts, runs),
        _key(runs),
        '<div class="two">',
        f'<section><h2>Results</h2><div class="panel">{_table(scores, [("", glance())])}</div>'
        f'<div class="panel plot below">{_tablets(figures)}</div></section>',
        f'<section><h2>Goals of this shift</h2><div class="panel">{_goals(scores)}</div></section>',
        "</div>",
        "<h2>Controlled variables and zones<small>truth, moving mean over 60 s; "
        "grey ground: before the counted window</small></h2>",
        _charts("controlled", figures.controlled()),
        _marks(figures),
    ]
    if estimates:
        parts += [
            "<h2>What the estimator saw<small>tablets made in each cycle, "
            "unknown to the controller</small></h2>",
            _charts("estimates", [*estimates, *figures.disturbances(first)]),
        ]
    parts += [
        "<h2>Moves and computing time</h2>",
        _charts("moves", figures.manipulated()),
        f"<h2>States<small>line, diverter and refills of the {escape(first.controller)} run"
        "</small></h2>",
        f'<div class="panel plot"><div class="wide">{_states(figures)}</div>{_state_key()}</div>',
        supervision_section(scores),
        "<h2>Events and alarms</h2>",
        f'<div class="panel">{_events(runs)}</div>',
        "<h2>All figures</h2>",
        f'<div class="panel">{_table(scores, rows())}</div>',
        f"<h2>Words</h2>{_glossary()}",
    ]
    title = f"twinline: shift of {facts.minutes:g} min, seed {facts.seed}"
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<style>{STYLE}</style><script>{library()}</script></head>"
        f"<body><main>{''.join(parts)}</main></body></html>\n"
    )


def _happenings(scenario: ScenarioConfig) -> str:
    """What the scenario does to the line, in words."""
    words = {
        LotChange: "a new filler lot",
        NirDrift: "a drifting NIR probe",
        ThroughputChange: "a new throughput",
        LabMissing: "a missing lab sample",
        KillPlant: "a killed plant process",
        LineStop: "a line that is held",
        LocalTakeover: "a set point in local",
        InstrumentFails: "a lost instrument",
    }
    found = [words[type(s.event)] for s in scenario.schedule() if type(s.event) in words]
    return " and ".join(filter(None, [", ".join(found[:-1]), *found[-1:]])) or "no events"


def _header(
    line: ResolvedLine, scenario: ScenarioConfig, facts: Facts, runs: Sequence[RunData]
) -> str:
    began = datetime.fromtimestamp(runs[0].start_time, UTC)
    product = line.product
    what = (
        f"{product.name}, {product.weight_mg:g} mg, at {product.throughput_kg_h:g} kg/h: "
        f"{scenario.start_up_minutes:g} min start-up, then {facts.minutes:g} min with "
        f"{_happenings(scenario)}. Plant and controller ran as two processes over a secured "
        "OPC UA link, in lock-step."
    )
    hashes = runs[0].facts["hashes"]
    items = [
        ("software", f"twinline {version('twinline')}"),
        ("scenario, seed", f"{scenario.name}, {facts.seed}"),
        ("plant time begins", f"{began:%Y-%m-%d %H:%M} UTC"),
        ("counted from", f"{facts.closed / 60.0:.1f} min"),
        ("wall time, all runs", f"{facts.wall_s:.0f} s"),
        ("cycles on record", f"{sum(r.time.size for r in runs):,}"),
        ("hash of software", f"<code>{escape(hashes['software'] or software_hash())}</code>"),
        ("hash of models", f"<code>{escape(hashes['models'])}</code>"),
    ]
    items += [
        (
            f"configuration {r.controller}",
            f"<code>{escape(r.facts['hashes']['configuration'])}</code>",
        )
        for r in runs
    ]
    cells = "".join(f"<div><span>{escape(name)}</span>{value}</div>" for name, value in items)
    return (
        f"<header><h1>Shift of {facts.minutes:g} minutes with "
        f"{escape(', '.join(r.controller for r in runs))}</h1><p>{escape(what)}</p></header>"
        f'<div class="panel facts">{cells}</div>'
    )


def _table(
    scores: Mapping[str, Mapping[str, Any]], groups: Sequence[tuple[str, Sequence[Row]]]
) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in scores)
    body: list[str] = []
    for title, group in groups:
        lines = []
        for row in group:
            cells = [shown(value_at(run, row.key), row.digits) for run in scores.values()]
            if all(cell == "–" for cell in cells):
                continue
            lines.append(
                f'<tr><td>{escape(row.text)}</td><td class="unit-cell">{escape(row.unit)}</td>'
                + "".join(f"<td>{cell}</td>" for cell in cells)
                + "</tr>"
            )
        if lines and title:
            span = 2 + len(scores)
            body.append(f'<tr class="group"><td colspan="{span}">{escape(title)}</td></tr>')
        body += lines
    return (
        f'<table><thead><tr><th>figure</th><th class="unit-cell">unit</th>{head}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table>"
    )


def _goals(scores: Mapping[str, Mapping[str, Any]]) -> str:
    lines = []
    for goal in goals(scores):
        word = "✓ met" if goal.met else "✗ missed"
        css = "" if goal.met else ' class="missed"'
        lines.append(
            f"<tr><td>{escape(goal.text)}</td><td>{escape(goal.reached)}</td>"
            f"<td>{escape(goal.wanted)}</td><td{css}>{word}</td></tr>"
        )
    if not lines:
        return "<p>The goals are those of the optimising controller, which did not run.</p>"
    return (
        '<table class="short"><thead><tr>'
        "<th>goal</th><th>reached</th><th>wanted</th><th></th></tr></thead>"
        f"<tbody>{''.join(lines)}</tbody></table>"
    )


def _charts(name: str, charts: Sequence[Chart]) -> str:
    plot = html(charts_figure(charts), name)
    return f'<div class="panel plot"><div class="wide">{plot}</div></div>'


def _tablets(figures: Figures) -> str:
    return html(charts_figure([figures.tablets()], columns=1, legend=False), "tablets")


def _states(figures: Figures) -> str:
    return html(strips_figure(figures.states(), figures.span, figures.marks), "states")


def _key(runs: Sequence[RunData]) -> str:
    parts = [
        f'<span><i style="border-color:var(--{r.controller})"></i>'
        f"{escape(_TITLES.get(r.controller, r.controller))}</span>"
        for r in runs
    ]
    parts.append('<span><i style="border-top:1px dashed #24292e"></i>set point</span>')
    parts.append('<span><i style="border-top:1px dashed #6d747a"></i>limit</span>')
    parts.append('<span><i style="border-top:1px dotted #9aa1a7"></i>event</span>')
    return f'<p class="key">{"".join(parts)}</p>'


def _state_key() -> str:
    keys = (
        ("#7f878e", "closed loop, cascade, running, refill active"),
        ("#b9bfc4", "advisory, settling after a refill"),
        ("#d9dcdf", "monitoring, local, other line states, collecting"),
        ("var(--warn)", "diverting"),
        ("var(--bad)", "shed, aborted"),
    )
    cells = "".join(
        f'<span><b style="background:{colour}"></b>{escape(text)}</span>' for colour, text in keys
    )
    return f'<p class="key" style="margin:6px 0 0">{cells}</p>'


def _marks(figures: Figures) -> str:
    found = "; ".join(f"{m.number} {escape(m.text)} at {m.x:.1f} min" for m in figures.marks)
    return f'<p class="glossary">Dotted lines, in minutes of plant time: {found}.</p>'


def _events(runs: Sequence[RunData]) -> str:
    lines: list[tuple[float, str]] = []
    for run in runs:
        for e in run.events:
            alarm = any(word in e.text for word in _ALARMS)
            css = ' class="alarm"' if alarm else ""
            lines.append(
                (
                    e.time,
                    f"<tr{css}>"
                    f'<td class="t">{e.time / 60.0:.2f}</td><td>{escape(run.controller)}</td>'
                    f'<td>{escape(e.kind)}</td><td class="who">{escape(e.who)}</td>'
                    f"<td>{'⚠ ' if alarm else ''}{escape(e.text)}</td></tr>",
                )
            )
        refused = [c for c in run.commands if c.cause]
        for c in refused[:20]:
            text = f"frame {c.sequence} refused by the PLC: {c.cause}"
            lines.append(
                (
                    float(c.second),
                    f'<tr class="alarm"><td class="t">{c.second / 60.0:.2f}</td>'
                    f'<td>{escape(run.controller)}</td><td>refusal</td><td class="who">PLC</td>'
                    f"<td>⚠ {escape(text)}</td></tr>",
                )
            )
    body = "".join(text for _, text in sorted(lines, key=lambda item: item[0]))
    return (
        '<table class="events"><thead><tr><th>min</th><th style="text-align:left">run</th>'
        '<th style="text-align:left">kind</th><th style="text-align:left">who</th>'
        f'<th style="text-align:left">what</th></tr></thead><tbody>{body}</tbody></table>'
    )


def _glossary() -> str:
    words = "; ".join(f"<b>{escape(word)}</b> {escape(text)}" for word, text in _GLOSSARY)
    return f'<p class="glossary">{words}.</p>'
