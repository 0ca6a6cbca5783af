"""The fit of a press cell as tables for a terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tools.commissioning.press_estimates import GAINS
from tools.commissioning.press_events import Kind
from tools.commissioning.press_result import Estimate, PressFit

__all__ = ["fit_tables", "head_lines", "number", "plain_text", "rests_on"]


_Column = tuple[str, Callable[[Estimate], str]]


def fit_tables(fit: PressFit) -> RenderableType:
    """Everything the fit tells, for a console."""
    parts: list[RenderableType] = [Text(line) for line in head_lines(fit)]
    parts += [
        Text(),
        _estimates("gain at usual running", fit.gains),
        Text(),
        _by_kind(fit),
        Text(),
        Text(plain_text(fit), style="yellow"),
        Text(),
        _estimates("parameter", fit.estimates, digits=2),
        Text(
            "95 %: with the data; before: without them, from the sources below; identified: share "
            "of that interval that is left; what is held is not identified",
            style="dim",
        ),
        Text(rests_on(fit)),
        Text(),
        *(
            Text(f"{_labelled(e)}: {e.text}. {e.source}", style="dim")
            for e in (*fit.gains, *fit.estimates)
        ),
        Text(),
        _correlation(fit),
        Text(),
        _moves(fit),
        Text(),
    ]
    parts += [
        Text(f"{f.severity}: {f.text}; {f.action}", style="yellow")
        for f in fit.findings
        if f.severity != "info"
    ]
    return Group(*parts)


def head_lines(fit: PressFit) -> list[str]:
    """What was fitted on what, and how well."""
    at = fit.reference
    told = int(np.sum(fit.information > 1.0))
    batches = ", ".join(fit.batches) or "none"
    return [
        f"{fit.recording}, code {fit.code or 'unknown'}, law {fit.law}; batches {batches}",
        f"usual running: fill {at.fill * 1e3:.2f} mm, band {at.band * 1e3:.2f} mm, force "
        f"{at.force / 1e3:.2f} kN, {at.rate * 3.6:.0f} thousand tablets/h",
        f"{fit.steps.size} moves; their information exceeds that before the data in {told} of "
        f"{fit.information.size} directions (eigenvalues "
        f"{', '.join(f'{x:.2g}' for x in np.maximum(fit.information, 0.0))})",
        f"-2 ln likelihood {fit.misfit:.1f}; intervals widened {np.sqrt(fit.disagree):.2f}-fold "
        "for few moves and batches that disagree",
    ]


def number(value: float, shown: float = 1.0, digits: int = 3) -> str:
    """Some digits of a value in its shown unit; a dash for none."""
    if not np.isfinite(value):
        return "–"
    x = value * shown
    return f"{x:.0f}" if abs(x) >= 10.0**digits else f"{x:.{digits}g}"


def _estimates(title: str, estimates: Sequence[Estimate], digits: int = 3) -> Table:
    columns: list[_Column] = [
        (title, _labelled),
        ("estimate", lambda e: number(e.value, e.shown)),
        ("95 %", lambda e: _range(e.lo, e.hi, e.shown, digits)),
        ("before", lambda e: _range(*e.prior, e.shown, 2)),
        ("cell", lambda e: number(e.used, e.shown)),
        ("identified", lambda e: e.verdict),
    ]
    table = Table(box=None, pad_edge=False)
    for name, _ in columns:
        left = name in (title, "identified")
        table.add_column(name, justify="left" if left else "right", no_wrap=True)
    for e in estimates:
        style = "" if e.identified else "yellow"
        table.add_row(
            *(Text(of(e), style=style if of(e) == e.verdict else "") for _, of in columns)
        )
    return table


def _labelled(e: Estimate) -> str:
    name = e.name if e.name in GAINS else e.name.replace("_", " ")
    return name if e.unit == "1" else f"{name}, {e.unit}"


def _range(lo: float, hi: float, shown: float, digits: int = 3) -> str:
    return f"{number(lo, shown, digits)} … {number(hi, shown, digits)}"


def _by_kind(fit: PressFit) -> Table:
    """Gains that the moves of one kind alone would give."""
    table = Table(box=None, pad_edge=False)
    table.add_column("with moves of one kind")
    for kind, alone in fit.by_kind.items():
        table.add_column(f"{kind.text} ({alone.count})", justify="right")
    for e in fit.gains:
        cells = []
        for alone in fit.by_kind.values():
            value, sd = alone.gains[e.name]
            cells.append(f"{number(value, e.shown)} ± {number(1.96 * sd, abs(e.shown))}")
        table.add_row(_labelled(e), *cells)
    return table


def plain_text(fit: PressFit) -> str:
    """The regression that the loop biases, and why it is no gain."""
    p = fit.plain
    return (
        f"biased, not a gain: force on fill depth, as recorded, {number(p.slope, 1e-6)} kN/mm "
        f"({_range(p.lo, p.hi, 1e-6)}, {p.rows} rows): the loop moves the fill depth against "
        "whatever the powder does to the force"
    )


def rests_on(fit: PressFit) -> str:
    """What the tooling of the mapping decides."""
    t = fit.tooling
    known = "of the mapping" if t.known else "assumed, not known"
    return (
        f"Tooling {known}: die {t.diameter * 1e3:g} mm, {t.weight * 1e6:g} mg at usual running, "
        f"core {t.thickness * 1e3:g} mm. Pressures, weights, bulk density and the cups' prior rest "
        "on it; the gains of the force hardly do."
    )


def _correlation(fit: PressFit) -> Table:
    names = [e.name for e in fit.estimates[: fit.correlation.shape[0]]]
    table = Table(box=None, pad_edge=False)
    table.add_column("correlation")
    for name in names[:-1]:
        table.add_column(name, justify="right")
    for i, name in enumerate(names[1:], start=1):
        table.add_row(name, *(f"{fit.correlation[i, j]:.2f}" for j in range(i)))
    return table


def _moves(fit: PressFit) -> Table:
    table = Table(box=None, pad_edge=False)
    columns: list[tuple[str, Callable[[int], str]]] = [
        ("batch", lambda i: fit.uses[i].batch),
        ("rows running", lambda i: str(fit.uses[i].running)),
        *(
            (f"moves {kind.text}", lambda i, kind=kind: str(fit.uses[i].moves[kind]))
            for kind in Kind
        ),
        ("bulk density kg/m³", lambda i: number(fit.uses[i].bulk_density)),
        ("random walk %/√min", lambda i: number(_walk(fit, fit.uses[i].batch), 100.0)),
    ]
    for name, _ in columns:
        table.add_column(name, justify="left" if name == "batch" else "right")
    for i in range(len(fit.uses)):
        table.add_row(*(of(i) for _, of in columns))
    return table


def _walk(fit: PressFit, batch: str) -> float:
    return fit.quiet.walk_of(batch) * float(np.sqrt(60.0 / fit.quiet.span))
