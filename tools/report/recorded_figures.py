"""The charts of a recorded press, from what its demo left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from tools.recordings.all_opponents import ARX, EWMA, PERSISTENCE
from tools.recordings.origins import Origins, find_origins
from tools.recordings.scoring import FORECAST
from tools.report.charts import Band, Bars, Chart, Dots, Item, Limit, Line, Mark
from tools.report.recorded_data import RecordedDemo
from tools.report.recorded_series import (
    Event,
    binned,
    events_of,
    extremes,
    hours,
    middle_event,
    stops,
)

__all__ = ["NAMES", "RecordedFigures", "Window"]

Array = NDArray[np.float64]

NAMES: Mapping[str, str] = {
    FORECAST: "forecast",
    PERSISTENCE: "last value",
    EWMA: "weighted mean",
    ARX: "best ARX",
}
_STYLES = {FORECAST: "nmpc", PERSISTENCE: "plc", EWMA: "pid", ARX: "lmpc"}
_KN, _MM, _MG, _PER_H = 1e-3, 1e3, 1e6, 3.6  # N, m, kg, tablets/s; the last in 1000/h
_BEFORE_S, _AFTER_S, _EVERY_S = 300.0, 900.0, 120.0
_COVERAGE = (0.92, 0.98)


@dataclass(frozen=True, slots=True)
class Window:
    """Charts around an event, and which event it is."""

    title: str
    note: str
    charts: tuple[Chart, ...]


@dataclass(frozen=True)
class RecordedFigures:
    """Charts of one demo; those over recorded time share their abscissa."""

    demo: RecordedDemo

    @cached_property
    def _x(self) -> Array:
        return hours(self.demo.scored)

    @cached_property
    def _origins(self) -> Origins:
        return find_origins(self.demo.scored)

    @cached_property
    def _stops(self) -> list[tuple[float, float]]:
        return stops(self.demo.scored)

    @cached_property
    def _resolution(self) -> float:
        """Smallest step of the recorded force [kN]: finer bins would show it and nothing else."""
        force = self._origins.force
        steps = np.diff(np.unique(np.round(force[np.isfinite(force)] * _KN, 6)))
        return float(steps.min()) if steps.size else 0.0

    @cached_property
    def batches(self) -> list[Mark]:
        """Where each scored batch begins."""
        scored = self.demo.scored
        return [
            Mark(x=float(self._x[scored.rows_of(b)[0]]), text=f"batch {b}", number=i + 1)
            for i, b in enumerate(scored.batches())
        ]

    def _later(self, values: Array) -> Array:
        """Of a series over the whole recording, the scored rows."""
        names = np.asarray(self.demo.loaded.recording.batch)
        return np.asarray(values[np.isin(names, self.demo.scored.batches())])

    @cached_property
    def _ahead(self) -> dict[str, Array]:
        """Forecasts 60 s ahead at every scored row by method [kN]."""
        found = {FORECAST: self.demo.thoughts.mean[:, -1] * _KN}
        opponents = self.demo.score.opponents.forecasts
        for name in (PERSISTENCE, EWMA, ARX):
            ahead = self._later(opponents[name]) * _KN
            if np.isfinite(ahead).any():
                found[name] = ahead
        return found

    @cached_property
    def _errors(self) -> dict[str, Array]:
        truth = self._origins.truth() * _KN
        return {name: truth - ahead for name, ahead in self._ahead.items()}

    def _over_time(
        self,
        title: str,
        unit: str,
        items: Sequence[Item],
        limits: Sequence[Limit] = (),
        y: tuple[float, float] | None = None,
    ) -> Chart:
        end = float(self._x[-1]) if self._x.size > 1 else 1.0
        return Chart(
            title=title,
            unit=unit,
            x=(0.0, end),
            items=items,
            limits=limits,
            marks=self.batches,
            y=y,
            x_unit="h",
            shaded=self._stops,
        )

    def trends(self) -> list[Chart]:
        """Force, fill depth, thickness and speed of the scored batches while the press ran."""
        scored, running = self.demo.scored, self.demo.scored.running()
        series = (
            ("Main force", "kN", "main_force", _KN, True),
            ("Fill depth", "mm", "fill_depth", _MM, True),
            ("Thickness (band at main compression)", "mm", "thickness", _MM, True),
            ("Speed", "1000 tablets/h", "tablet_rate", _PER_H, False),
        )
        charts = []
        for title, unit, name, factor, held in series:
            values = scored.channels[name] * factor
            y = np.where(running, values, np.nan) if held else values
            x, drawn = extremes(self._x, y)
            line = Line(name="recorded", x=x, y=drawn, style="truth")
            charts.append(self._over_time(title, unit, [line], y=_span(y, zero=not held)))
        return charts

    def powder(self) -> list[Chart]:
        """What the soft sensor says of the powder: ln specific volume, density, tablet weight."""
        t, running = self.demo.thoughts, self.demo.scored.running()
        density, half = self.demo.density()
        weight = t.weight * _MG
        shown = (
            ("ln of specific bulk volume over nominal", "1", *t.volume.T),
            ("Bulk density in the die", "kg/m³", density, half),
            ("Tablet weight", "mg", *weight.T),
        )
        charts = []
        for title, unit, mean, width in shown:
            mean, width = (np.where(running, v, np.nan) for v in (mean, width))
            x, middle, around = binned(self._x, mean, width)
            items = [*_bands(x, middle, around)]
            items.append(Line(name="soft sensor", x=x, y=middle, style="nmpc"))
            charts.append(
                self._over_time(
                    title, unit, items, y=_span(np.r_[middle - around, middle + around])
                )
            )
        return charts

    def errors(self) -> Chart:
        """Distribution of the errors on scored origins."""
        of = {name: e[self._origins.scored] for name, e in self._errors.items()}
        of = {name: e[np.isfinite(e)] for name, e in of.items()}
        every = np.abs(np.concatenate([np.zeros(1), *of.values()]))
        widest = max(float(np.quantile(every, 0.995)), 0.05)
        step = max(self._resolution, widest / 30.0)
        number = np.ceil(widest / step) + 0.5
        edges = step * np.arange(-number, number + 0.5)
        widest = float(edges[-1])
        bars = []
        for name, e in reversed(of.items()):
            count, _ = np.histogram(e, edges)
            share = 100.0 * count / max(1, e.size)
            bars.append(Bars(name=NAMES[name], edges=edges, heights=share, style=_STYLES[name]))
        return Chart(
            title="Errors of the 60 s forecast on scored origins",
            unit="% of origins",
            x=(-widest, widest),
            items=bars,
            x_unit="kN",
        )

    def by_batch(self) -> list[Chart]:
        """RMSE of all methods and coverage of the interval, batch by batch."""
        parts = [p for p in self.demo.score.batches if p.count]
        places = np.arange(len(parts), dtype=float)
        ticks = [(float(x), p.name) for x, p in zip(places, parts, strict=True)]
        span = (-0.5, max(len(parts), 1) - 0.5)
        methods = [name for name in NAMES if any(np.isfinite(p.rmse[name]) for p in parts)]
        dots = [
            Dots(
                name=NAMES[name],
                x=(places + 0.08 * (i - 0.5 * (len(methods) - 1))).tolist(),
                y=[p.rmse[name] for p in parts],
                style=_STYLES[name],
            )
            for i, name in enumerate(methods)
        ]
        covered = Dots(
            name="coverage",
            x=places.tolist(),
            y=[100.0 * p.coverage for p in parts],
            style=_STYLES[FORECAST],
        )
        most = max((p.rmse[name] for p in parts for name in methods), default=0.1)
        low = min([100.0 * p.coverage for p in parts] + [90.0])
        return [
            Chart(
                title="RMSE by batch",
                unit="kN",
                x=span,
                items=dots,
                y=(0.0, 1.15 * most),
                x_unit="",
                ticks=ticks,
            ),
            Chart(
                title="Coverage of the 95 % interval by batch",
                unit="%",
                x=span,
                items=[covered],
                limits=[Limit(y=100.0 * c, text=f"goal {100.0 * c:g}") for c in _COVERAGE],
                y=(low - 2.0, 101.0),
                x_unit="",
                ticks=ticks,
            ),
        ]

    def after_start(self) -> Chart | None:
        """RMSE and half-width of the interval by minute since the press started."""
        o, scored = self._origins, self.demo.scored
        since = (scored.time - scored.time[o.start]) / 60.0
        minutes = np.arange(0, 16)
        half = self.demo.thoughts.half[:, -1] * _KN
        lines: dict[str, list[float]] = {name: [] for name in (*self._errors, "half")}
        for minute in minutes:
            rows = o.all & (since >= minute) & (since < minute + 1)
            for name, e in self._errors.items():
                known = e[rows & np.isfinite(e)]
                lines[name].append(_rms(known))
            known = half[rows & np.isfinite(half)]
            lines["half"].append(float(np.mean(known)) / 1.96 if known.size >= 5 else np.nan)
        if not np.isfinite(lines[FORECAST]).any():
            return None
        x = np.asarray(minutes + 0.5, dtype=np.float64)
        items: list[Item] = [
            Line(name=NAMES[n], x=x, y=np.array(lines[n]), style=_STYLES[n])
            for n in reversed(self._errors)
        ]
        items.append(Line(name="half-width / 1.96", x=x, y=np.array(lines["half"]), style="limit"))
        return Chart(
            title="RMSE after a start, by minute since it",
            unit="kN",
            x=(0.0, 16.0),
            items=items,
            x_unit="min",
        )

    # Around an event

    def windows(self) -> list[Window]:
        """Forecasts around a restart and around a change of thickness, the one in the middle."""
        o, scored = self._origins, self.demo.scored
        rows = np.arange(scored.size)
        error = self._errors[FORECAST]
        starts = np.flatnonzero(o.running & (o.start == rows) & (rows > 0))
        band = scored.channels["thickness"]
        moved = np.zeros(scored.size, dtype=bool)
        moved[1:] = (np.abs(np.diff(band)) > 1e-9) & (o.start[1:] < rows[1:])
        warm = rows - o.start >= o.past
        changes = np.flatnonzero(moved & warm)
        found = []
        for what, at in (("start of the press", starts), ("change of thickness", changes)):
            events = events_of(scored, o, at.tolist(), error)
            event = middle_event(events)
            if event is not None:
                found.append(self._window(event, what, len(events)))
        return found

    def _window(self, event: Event, what: str, number: int) -> Window:
        scored, t = self.demo.scored, self.demo.thoughts
        minutes = (scored.time - scored.time[event.row]) / 60.0
        same = np.asarray(scored.batch) == scored.batch[event.row]
        near = same & (minutes >= -_BEFORE_S / 60.0) & (minutes <= _AFTER_S / 60.0)
        span = (-_BEFORE_S / 60.0, _AFTER_S / 60.0)
        force = np.where(self._origins.running, self._origins.force, np.nan) * _KN
        measured = Dots(
            name="measured", x=minutes[near].tolist(), y=force[near].tolist(), style="lab"
        )
        marks = [Mark(x=0.0, text=what)]
        fans = self._fans(np.flatnonzero(near), minutes)
        later = minutes + t.times[-1] / 60.0
        mean, half, free = (v[:, -1][near] * _KN for v in (t.mean, t.half, t.free))
        rolling: list[Item] = [
            *_bands(later[near], mean, half),
            Line(name="settings held", x=later[near], y=free, style="plc"),
            Line(name="forecast", x=later[near], y=mean, style="nmpc"),
            measured,
        ]
        seen = [force[near], *(v for f in fans if isinstance(f, Band) for v in (f.lo, f.hi))]
        y = _span(np.concatenate([*seen, mean - half, mean + half]))
        fill, band = (scored.channels[n] * _MM for n in ("fill_depth", "thickness"))
        settings = [
            Chart(
                title=title,
                unit="mm",
                x=span,
                items=[Line(name="recorded", x=minutes[near], y=v[near], style="truth", step=True)],
                marks=marks,
                y=_span(v[near]),
            )
            for title, v in (("Fill depth", fill), ("Thickness", band))
        ]
        return Window(
            f"Around a {what}",
            f"batch {scored.batch[event.row]}; of {number} such the one in the middle: RMSE "
            f"{event.error:.3f} kN in the 5 min after it",
            (
                Chart(
                    title="Forecasts made every 2 min, 60 s ahead",
                    unit="kN",
                    x=span,
                    items=[*fans, measured],
                    marks=marks,
                    y=y,
                ),
                Chart(
                    title="What was forecast 60 s before",
                    unit="kN",
                    x=span,
                    items=rolling,
                    marks=marks,
                    y=y,
                ),
                *settings,
            ),
        )

    def _fans(self, rows: NDArray[np.intp], minutes: Array) -> list[Item]:
        t, period = self.demo.thoughts, self.demo.scored.period_s
        every = round(_EVERY_S / period)
        chosen = [r for r in rows[::every].tolist() if np.isfinite(t.mean[r, -1])]
        fans: list[Item] = []
        for r in chosen:
            x = minutes[r] + t.times / 60.0
            mean, half = t.mean[r] * _KN, t.half[r] * _KN
            fans += _bands(x, mean, half)
            fans.append(Line(name="forecast", x=x, y=mean, style="nmpc"))
        return fans


def _bands(x: Array, mean: Array, half: Array) -> list[Item]:
    """The 95 % interval, one area for every stretch of it."""
    known = np.isfinite(mean) & np.isfinite(half)
    ends = np.flatnonzero(np.diff(known.astype(int))) + 1
    return [
        Band(
            name="95 % interval",
            x=x[part],
            lo=mean[part] - half[part],
            hi=mean[part] + half[part],
            style="ci",
        )
        for part in np.split(np.arange(x.size), ends)
        if part.size > 1 and known[part[0]]
    ]


def _rms(values: Array) -> float:
    return float(np.sqrt(np.mean(values**2))) if values.size >= 5 else float("nan")


def _span(values: Array, *, zero: bool = False) -> tuple[float, float]:
    """Range of an ordinate: what is known, but for the outermost 0.1 %, with a margin."""
    known = values[np.isfinite(values)]
    if not known.size:
        return 0.0, 1.0
    low, high = (float(v) for v in np.percentile(known, [0.1, 99.9]))
    low = min(low, 0.0) if zero else low
    margin = 0.08 * (high - low) or 0.05 * abs(high) or 1.0
    return low - (0.0 if zero else margin), high + margin
