"""Draws the charts with plotly: figures whose charts share one zoom over plant time."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

import numpy as np

from tools.report.charts import Array, Band, Bars, Chart, Dots, Item, Line, Mark, Strip
from tools.report.theme import COLOURS, GROUNDS, LAYOUT, LINES, SMALL

__all__ = ["charts_figure", "html", "library", "strips_figure"]

_ROW, _GAP, _STRIP_ROW = 152, 52, 21  # heights [px]: of a chart, between two, of a row of states
_LEGEND, _BELOW = 62, 24
_CONFIG = {
    "displaylogo": False,
    "doubleClick": "reset",
    "modeBarButtonsToRemove": ["lasso2d", "select2d", "autoScale2d"],
    "responsive": True,
    "showSendToCloud": False,
}


def library() -> str:
    """Plotly's own script, which a page needs once."""
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs())


def html(figure: Any, name: str) -> str:
    """``figure`` as an element with the id ``name``, for a page that holds the `library`."""
    text: str = figure.to_html(
        full_html=False,
        include_plotlyjs=False,
        include_mathjax=False,
        config=_CONFIG,
        div_id=name,
        default_height=f"{figure.layout.height}px",
    )
    return text


def charts_figure(charts: Sequence[Chart], columns: int = 2, *, legend: bool = True) -> Any:
    """The charts in rows of ``columns``; those over the same span are zoomed together."""
    from plotly.subplots import make_subplots

    rows = -(-len(charts) // columns)
    above = _LEGEND if legend else 32
    inner = rows * _ROW + (rows - 1) * _GAP
    figure = make_subplots(
        rows=rows, cols=columns, vertical_spacing=_GAP / inner, horizontal_spacing=0.075
    )
    figure.update_layout(
        LAYOUT,
        height=inner + above + _BELOW,
        margin={"l": 50, "r": 12, "t": above, "b": _BELOW},
        showlegend=legend,
        legend={"y": 1.0 + 32.0 / inner},
    )
    shapes: list[dict[str, Any]] = []
    notes: list[dict[str, Any]] = []
    named: set[str] = set()
    for i, chart in enumerate(charts):
        at = str(i + 1) if i else ""
        traces = [trace for item in chart.items for trace in _traces(chart, item)]
        for trace in traces:
            name = str(trace["legendgroup"])
            trace["showlegend"] = name not in named and trace.get("showlegend", True)
            if trace["showlegend"]:
                named.add(name)
            figure.add_trace({**trace, "xaxis": f"x{at}", "yaxis": f"y{at}"})
        figure.layout[f"xaxis{at}"].update(_abscissa(chart, charts[0], first=i == 0))
        figure.layout[f"yaxis{at}"].update(_ordinate(chart))
        shapes += _shapes(chart, at)
        notes += _notes(chart, at)
    for i in range(len(charts) + 1, rows * columns + 1):
        figure.layout[f"xaxis{i}"].visible = figure.layout[f"yaxis{i}"].visible = False
    figure.update_layout(shapes=shapes, annotations=notes)
    return figure


def strips_figure(
    rows: Sequence[Strip], span: tuple[float, float], marks: Sequence[Mark] = ()
) -> Any:
    """Rows of states over plant time [min]."""
    from plotly.graph_objects import Figure

    bars = [
        (row.name, max(first, span[0]), min(last, span[1]), text, row.styles[text])
        for row in rows
        for first, last, text in row.spans(span[1])
        if row.styles.get(text) and last > span[0] and first < span[1]
    ]
    names, begins, ends, texts, styles = zip(*bars, strict=True) if bars else ((),) * 5
    figure = Figure()
    figure.add_bar(
        orientation="h",
        y=names,
        base=begins,
        x=[last - first for first, last in zip(begins, ends, strict=True)],
        width=0.78,
        text=texts,
        customdata=[
            f"{text}: {first:.1f} to {last:.1f} min"
            for first, last, text in zip(begins, ends, texts, strict=True)
        ],
        hovertemplate="%{y}<br>%{customdata}<extra></extra>",
        textposition="inside",
        insidetextanchor="start",
        textangle=0,
        insidetextfont={"color": [GROUNDS[style][1] for style in styles]},
        marker={
            "color": [GROUNDS[style][0] for style in styles],
            "line": {"color": COLOURS["panel"], "width": 0.6},
        },
    )
    figure.update_layout(
        LAYOUT,
        height=len(rows) * _STRIP_ROW + 18 + _BELOW,
        margin={"l": 118, "r": 12, "t": 18, "b": _BELOW},
        hovermode="closest",
        showlegend=False,
        plot_bgcolor=COLOURS["panel"],
        uniformtext={"mode": "hide", "minsize": 10},
        shapes=[_vertical(mark, "") for mark in _within(marks, span)],
        annotations=[_number(mark, "") for mark in _within(marks, span)],
    )
    figure.update_xaxes(_time_axis("min"), range=span, nticks=14, minallowed=span[0])
    figure.update_yaxes(
        categoryorder="array",
        categoryarray=[row.name for row in reversed(rows)],
        range=[-0.5, len(rows) - 0.5],
        fixedrange=True,
        showgrid=False,
        ticks="",
        ticklabelstandoff=6,
    )
    return figure


# What is drawn


def _small(values: Iterable[float]) -> Any:
    """As numbers of 4 bytes, 7 digits: enough for any screen, and half the page."""
    return np.asarray(values, dtype=np.float32)


def _inside(x: Array, span: tuple[float, float]) -> Any:
    return (x >= span[0]) & (x <= span[1])


def _hover(chart: Chart, name: str) -> str:
    shown = "%{customdata:,d} tablets" if chart.counts else f"%{{y:.5~g}} {escape(chart.unit)}"
    return f"{escape(name)} {shown}<extra></extra>"


def _traces(chart: Chart, item: Item) -> list[dict[str, Any]]:
    """What plotly draws of ``item``, without its axes."""
    base: dict[str, Any] = {"type": "scatter", "name": item.name, "legendgroup": item.name}
    if isinstance(item, Line):
        keep = _inside(item.x, chart.x)
        y = item.y[keep]
        more = {"customdata": _small(y)} if chart.counts else {}
        return [
            {
                **base,
                "mode": "lines",
                "x": _small(item.x[keep]),
                "y": _small(1.0 + y if chart.counts else y),
                "line": {**LINES[item.style], "shape": "hv" if item.step else "linear"},
                "connectgaps": False,
                "hovertemplate": _hover(chart, item.name),
                **more,
            }
        ]
    if isinstance(item, Band):
        keep = _inside(item.x, chart.x) & np.isfinite(item.lo) & np.isfinite(item.hi)
        edge = {**base, "mode": "lines", "x": _small(item.x[keep]), "line": {"width": 0}}
        lo, hi = _small(item.lo[keep]), _small(item.hi[keep])
        text = (
            f"{escape(item.name)} %{{customdata:.5~g}} to %{{y:.5~g}} {escape(chart.unit)}"
            "<extra></extra>"
        )
        return [
            {**edge, "y": lo, "hoverinfo": "skip", "showlegend": False},
            {
                **edge,
                "y": hi,
                "customdata": lo,
                "fill": "tonexty",
                "fillcolor": COLOURS[item.style],
                "hovertemplate": text,
            },
        ]
    if isinstance(item, Bars):
        colour = LINES[item.style]["color"]
        return [
            {
                **base,
                "mode": "lines",
                "x": _small([item.edges[0], *item.edges]),
                "y": _small([0.0, *item.heights, 0.0]),
                "line": {**LINES[item.style], "shape": "hv"},
                "fill": "tozeroy",
                "fillcolor": f"{colour}1a",  # a tenth of it
                "hovertemplate": _hover(chart, item.name),
            }
        ]
    x, y = np.asarray(item.x, dtype=float), np.asarray(item.y, dtype=float)
    keep = _inside(x, chart.x) & np.isfinite(y)
    return [_dots(chart, item, base, x[keep], y[keep])]


def _dots(chart: Chart, item: Dots, base: dict[str, Any], x: Array, y: Array) -> dict[str, Any]:
    ink = LINES[item.style]
    return {
        **base,
        "mode": "markers",
        "x": _small(x),
        "y": _small(y),
        "marker": {
            "size": 6,
            "color": COLOURS["field"],
            "line": {"color": ink["color"], "width": ink["width"]},
        },
        "hovertemplate": _hover(chart, item.name),
    }


# Axes


def _time_axis(unit: str) -> dict[str, Any]:
    return {
        "showgrid": False,
        "hoverformat": ".1f",
        "ticksuffix": f" {unit}",
        "showticksuffix": "last",
        "linecolor": COLOURS["rule"],
        "tickcolor": COLOURS["rule"],
    }


def _abscissa(chart: Chart, leader: Chart, *, first: bool) -> dict[str, Any]:
    linked = {} if first or chart.x != leader.x else {"matches": "x"}
    places, texts = zip(*chart.ticks, strict=True) if chart.ticks else ((), ())
    named = {"tickvals": places, "ticktext": texts} if chart.ticks else {}
    return {**_time_axis(chart.x_unit), "range": chart.x, "nticks": 9, **linked, **named}


def _ordinate(chart: Chart) -> dict[str, Any]:
    if chart.counts:
        items = [item for item in chart.items if isinstance(item, Line)]
        most = max((float(np.nanmax(item.y)) for item in items if item.y.size), default=0.0)
        top = 1.05 * max(1.0, math.log10(1.0 + most))
        tens = [0, *(10**d for d in range(1, 1 + int(top)))]
        return {
            "type": "log",
            "range": [0.0, top],
            "tickvals": [1 + n for n in tens],
            "ticktext": [f"{n:,}" for n in tens],
        }
    range_ = {"range": chart.y} if chart.y is not None else {"rangemode": "tozero"}
    return {"nticks": 6, **range_}


def _within(marks: Sequence[Mark], span: tuple[float, float]) -> list[Mark]:
    return [mark for mark in marks if span[0] <= mark.x <= span[1]]


def _vertical(mark: Mark, at: str) -> dict[str, Any]:
    return {
        "type": "line",
        "x0": mark.x,
        "x1": mark.x,
        "y0": 0,
        "y1": 1,
        "xref": f"x{at}",
        "yref": f"y{at} domain",
        "line": LINES["event"],
    }


def _number(mark: Mark, at: str) -> dict[str, Any]:
    return {
        "text": str(mark.number or "·"),
        "hovertext": f"{escape(mark.text)}, {mark.x:.1f} min",
        "x": mark.x,
        "y": 1,
        "xref": f"x{at}",
        "yref": f"y{at} domain",
        "yanchor": "bottom",
        "showarrow": False,
        "borderpad": 0,
        "font": {"size": 9.5, "color": COLOURS["soft"]},
    }


def _shapes(chart: Chart, at: str) -> list[dict[str, Any]]:
    whole = {"x0": 0, "x1": 1, "xref": f"x{at} domain", "yref": f"y{at}"}
    shapes: list[dict[str, Any]] = [
        {"type": "line", **whole, "y0": limit.y, "y1": limit.y, "line": LINES["limit"]}
        for limit in chart.limits
    ]
    shapes += [_vertical(mark, at) for mark in _within(chart.marks, chart.x)]
    spans = list(chart.shaded)
    if chart.shaded_to is not None and chart.shaded_to > chart.x[0]:
        spans.append((chart.x[0], chart.shaded_to))
    shapes += [
        {
            "type": "rect",
            "x0": first,
            "x1": last,
            "y0": 0,
            "y1": 1,
            "xref": f"x{at}",
            "yref": f"y{at} domain",
            "fillcolor": COLOURS["before"],
            "line": {"width": 0},
            "layer": "below",
        }
        for first, last in spans
    ]
    return shapes


def _notes(chart: Chart, at: str) -> list[dict[str, Any]]:
    corner = {"xref": f"x{at} domain", "x": 0, "xanchor": "left", "showarrow": False}
    unit = f'<span style="color:{COLOURS["soft"]};font-size:11.5px">{escape(chart.unit)}</span>'
    title = {
        **corner,
        "text": f"<b>{escape(chart.title)}</b>  {unit}",
        "y": 1,
        "yref": f"y{at} domain",
        "yanchor": "bottom",
        "xshift": -46,
        "yshift": 11,
        "font": {"size": 12.5, "color": COLOURS["ink"]},
    }
    limits = [
        {
            **corner,
            "text": escape(limit.text),
            "y": limit.y,
            "yref": f"y{at}",
            "yanchor": "bottom",
            "font": SMALL,
        }
        for limit in chart.limits
    ]
    return [title, *limits, *(_number(mark, at) for mark in _within(chart.marks, chart.x))]
