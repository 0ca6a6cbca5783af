"""The figures of the report, from what the runs left."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from controller.data import CV
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
from hil.mismatch import mismatch_of
from hil.nir import Nir
from hil.noise import Noise
from plant_models.line import ResolvedLine, recipe_fractions
from plant_models.signal_list import signal_table
from plant_models.signals import MV, PLC
from plant_models.units import from_si
from tools.report.charts import Band, Bars, Chart, Dots, Item, Limit, Line, Mark, Strip
from tools.report.data import RunData
from tools.scoring import out_of_specification, specification, trailing_mean
from tools.shift_score import set_point_series, truth_log

__all__ = ["Figures"]

Array = NDArray[np.float64]
_BEFORE_MIN = 3.0  # shown of the start-up
_NAMES = {
    CV.POTENCY.value: "Potency",
    CV.TABLET_WEIGHT.value: "Tablet weight",
    CV.TENSILE_STRENGTH.value: "Tensile strength",
    CV.THROUGHPUT.value: "Throughput",
}
_UNITS = {
    CV.POTENCY.value: "% of label",
    CV.TABLET_WEIGHT.value: "mg",
    CV.TENSILE_STRENGTH.value: "MPa",
    CV.THROUGHPUT.value: "kg/h",
}
_MOVED = (
    (MV.TOTAL_FEED, "Total feed"),
    (MV.API_RATIO, "API ratio"),
    (MV.MAIN_FORCE, "Main force set point"),
    (MV.THICKNESS, "Thickness setting"),
    (MV.TURRET_SPEED, "Turret speed"),
)
_MODE_STYLE = {
    "MONITORING": "s1",
    "ADVISORY": "s2",
    "CLOSED_LOOP": "s3",
    "SHED": "bad",
    "OFF": "s0",
}
_PLC_STYLE = {"LOCAL": "s1", "CASCADE": "s3", "REMOTE": "s3"}
_LINE_STYLE = {
    **dict.fromkeys(("starting", "holding", "held", "restarting", "stopping", "stopped"), "s1"),
    "running": "s3",
    "aborted": "bad",
}
_DIVERTER_STYLE = {"divert": "warn", "moving": "warn", "collect": "s1"}
_REFILL_STYLE = {"request": "s1", "active": "s3", "settling": "s2"}


@dataclass(frozen=True)
class Figures:
    """Charts over the same span of plant time; ``runs`` in the order of the table.

    ``closed`` is where the counted window begins [s].
    """

    line: ResolvedLine
    scenario: ScenarioConfig
    minutes: float
    seed: int
    closed: int
    runs: Sequence[RunData]

    @property
    def span(self) -> tuple[float, float]:
        """Plant time shown [min]."""
        first = max(0.0, self.scenario.start_up_minutes - _BEFORE_MIN)
        return first, self.scenario.total_seconds(self.minutes) / 60.0

    @property
    def marks(self) -> list[Mark]:
        """What the scenario does to the line."""
        found: list[Mark] = []
        for s in self.scenario.schedule(self.minutes):
            text = {
                LotChange: "new filler lot",
                NirDrift: "NIR begins to drift",
                ThroughputChange: "throughput ordered",
                LabMissing: "lab sample missing",
                KillPlant: "plant killed",
                LineStop: "line held",
                LocalTakeover: "set point in local",
                InstrumentFails: "instrument lost",
            }.get(type(s.event))
            if text is not None:
                found.append(Mark(x=s.second / 60.0, text=text, number=len(found) + 1))
        return found

    def _chart(
        self,
        title: str,
        unit: str,
        items: Sequence[Item],
        limits: Sequence[Limit] = (),
        y: tuple[float, float] | None = None,
    ) -> Chart:
        return Chart(
            title=title,
            unit=unit,
            x=self.span,
            items=items,
            limits=limits,
            marks=self.marks,
            y=y,
            shaded_to=self.closed / 60.0,
        )

    def _fit(self, lines: Sequence[Line], also: Sequence[float] = ()) -> tuple[float, float]:
        """Range of the ordinate: what happens in the counted window, and ``also``."""
        values = [float(v) for v in also]
        for item in lines:
            known = item.y[(item.x >= self.closed / 60.0) & np.isfinite(item.y)]
            if known.size:
                values += [float(v) for v in np.percentile(known, [0.2, 99.8])]
        lo, hi = min(values), max(values)
        margin = 0.08 * (hi - lo) or 1.0
        return lo - margin, hi + margin

    # Truth

    def _truth(self, run: RunData) -> dict[str, Array]:
        """Moving means over 60 s of what was really made, in plant units."""
        t = truth_log(run.seconds, run.tablets, self.line)
        series = {
            CV.POTENCY.value: (t.potency, "% of label"),
            CV.TABLET_WEIGHT.value: (t.weight, "mg"),
            CV.TENSILE_STRENGTH.value: (t.strength, "MPa"),
            CV.THROUGHPUT.value: (t.throughput, "kg/h"),
            "main_force": (t.main_force, "kN"),
            "level": (t.level, "%"),
            "thickness": (t.thickness, "mm"),
        }
        out = {k: trailing_mean(v) * from_si(1.0, u) for k, (v, u) in series.items()}
        out["time"] = t.time / 60.0
        return out

    def _set_points(self, cv: str) -> Line:
        time = np.arange(0.0, 60.0 * self.span[1] + 1.0, 5.0)
        values = set_point_series(self.line, self.scenario, self.minutes, time)[cv]
        scale = from_si(1.0, _UNITS[cv])
        return Line(name="set point", x=time / 60.0, y=values * scale, style="sp", step=True)

    def controlled(self) -> list[Chart]:
        """CVs of all runs: truth against set point and specification."""
        truths = {r.controller: self._truth(r) for r in self.runs}
        p = self.line.product
        limits = {
            CV.POTENCY.value: (p.assay_limits_percent.lo, p.assay_limits_percent.hi),
            CV.TABLET_WEIGHT.value: (p.weight_limits_mg.lo, p.weight_limits_mg.hi),
            CV.TENSILE_STRENGTH.value: (
                p.tensile_strength_limits_mpa.lo,
                p.tensile_strength_limits_mpa.hi,
            ),
        }
        charts = []
        for cv, name in _NAMES.items():
            lines = [
                Line(name=c, x=t["time"], y=t[cv], style=c) for c, t in reversed(truths.items())
            ]
            bounds = [Limit(y=y, text=f"specification {y:g}") for y in limits.get(cv, ())]
            set_point = self._set_points(cv)
            y = self._fit([*lines, set_point], [b.y for b in bounds])
            charts.append(self._chart(name, _UNITS[cv], [set_point, *lines], bounds, y))
        zones = (
            ("main_force", "Main compression force", "kN", p.main_force_zone_kn),
            ("level", "Chute level", "%", p.level_zone_percent),
            ("thickness", "Tablet thickness", "mm", p.thickness_zone_mm),
        )
        for key, name, unit, zone in zones:
            lines = [
                Line(name=c, x=t["time"], y=t[key], style=c) for c, t in reversed(truths.items())
            ]
            bounds = [Limit(y=y, text=f"zone {y:g}") for y in (zone.lo, zone.hi)]
            charts.append(
                self._chart(name, unit, lines, bounds, self._fit(lines, [zone.lo, zone.hi]))
            )
        return charts

    def tablets(self) -> Chart:
        """Tablets made out of specification since the counted window began."""
        spec = specification(self.line.product)
        lines = []
        for run in reversed(self.runs):
            t = truth_log(run.seconds, run.tablets, self.line)
            bad = out_of_specification(spec, t.tablets.weight, t.tablets.strength, t.tablets.assay)
            bad &= t.time[t.tablets.row] >= self.closed
            count = np.cumsum(np.bincount(t.tablets.row[bad], minlength=t.time.size))
            lines.append(
                Line(
                    name=run.controller,
                    x=t.time / 60.0,
                    y=count.astype(float),
                    step=True,
                    style=run.controller,
                )
            )
        chart = self._chart(
            "Tablets out of specification, accumulated",
            "tablets, logarithmic",
            lines,
        )
        return replace(chart, counts=True)

    def estimates(self, run: RunData) -> list[Chart]:
        """Estimate with its 95 % band against the truth of the tablets made in the cycle."""
        if not any(np.isfinite(q).any() for q in run.quality.values()):
            return []
        t = truth_log(run.seconds, run.tablets, self.line)
        actual = {
            CV.POTENCY.value: t.potency,
            CV.TABLET_WEIGHT.value: t.weight,
            CV.TENSILE_STRENGTH.value: t.strength,
            CV.THROUGHPUT.value: t.throughput,
        }
        minutes = run.time / 60.0
        charts = []
        for cv, name in _NAMES.items():
            scale = from_si(1.0, _UNITS[cv])
            truth = Line(
                name="truth",
                x=t.time / 60.0,
                y=trailing_mean(actual[cv], 5) * scale,
                style="truth",
            )
            mean, half = run.quality[cv].T
            band = Band(name="95 % interval", x=minutes, lo=mean - half, hi=mean + half, style="ci")
            estimate = Line(name="estimate", x=minutes, y=mean, style="nmpc")
            items: list[Item] = [band, truth, estimate]
            lab = {
                CV.TABLET_WEIGHT.value: [s.weight for s in run.samples],
                CV.TENSILE_STRENGTH.value: [s.strength for s in run.samples],
            }.get(cv)
            if lab is not None:
                items.append(
                    Dots(
                        name="at-line sample",
                        x=[s.time / 60.0 for s in run.samples],
                        y=lab,
                        style="lab",
                    )
                )
            y = self._fit([truth, estimate])
            charts.append(self._chart(f"{name}: estimate and truth", _UNITS[cv], items, y=y))
        return charts

    def disturbances(self, run: RunData) -> list[Chart]:
        """Estimated disturbances where the truth is known."""
        bias = run.disturbances["potency_bias"]
        if not np.isfinite(bias).any():
            return []
        truth = self.scenario.truth
        events = self.scenario.schedule(self.minutes)
        mismatch = mismatch_of(self.line, truth, self.seed)
        nir = Nir(self.line, truth.instruments, mismatch, Noise(self.seed), events)
        seconds = np.arange(0, int(60.0 * self.span[1]) + 1, 5)
        known = np.array([100.0 * nir.bias(int(s)) for s in seconds])
        compliance = np.full(seconds.shape, 100.0 * math.log(mismatch.compliance))
        charts = [
            self._estimated("NIR bias", "% of label", run, "potency_bias", seconds, known),
            self._estimated("Machine compliance", "100 ln", run, "compliance", seconds, compliance),
        ]
        for s in events:
            if not isinstance(s.event, LotChange):
                continue
            share = recipe_fractions(self.line)[self.line.feeder_index(s.event.role)]
            for name, title, change in (
                (
                    "lot_scale",
                    "Effect of the new lot on the pressure scale 1/b",
                    share * s.event.pressure_scale_percent / 100.0,
                ),
                (
                    "lot_volume",
                    "Effect of the new lot on the bulk volume",
                    share * (1.0 / (1.0 + s.event.bulk_density_percent / 100.0) - 1.0),
                ),
            ):
                value = np.where(seconds >= s.second, 100.0 * math.log1p(change), np.nan)
                charts.append(self._estimated(title, "100 ln", run, name, seconds, value))
            break
        return charts

    def _estimated(
        self,
        title: str,
        unit: str,
        run: RunData,
        name: str,
        seconds: NDArray[np.int64],
        known: Array,
    ) -> Chart:
        mean, half = run.disturbances[name].T
        minutes = run.time / 60.0
        items: list[Item] = [
            Band(name="95 % interval", x=minutes, lo=mean - half, hi=mean + half, style="ci"),
            Line(name="truth", x=seconds / 60.0, y=known, style="truth"),
            Line(name="estimate", x=minutes, y=mean, style="nmpc"),
        ]
        lines = [item for item in items if isinstance(item, Line)]
        return self._chart(title, unit, items, y=self._fit(lines, [0.0]))

    # Moves

    def manipulated(self) -> list[Chart]:
        """Set points in use, with their limits where these are near."""
        table = signal_table(self.line.line)
        charts = []
        for tag, name in _MOVED:
            spec = table.mv(tag)
            lines = [
                Line(
                    name=r.controller,
                    x=r.time / 60.0,
                    y=r.tags[f"{tag}/ACT"],
                    style=r.controller,
                    step=True,
                )
                for r in reversed(self.runs)
            ]
            y = self._fit(lines)
            near = 0.5 * (y[1] - y[0])
            limits = [
                Limit(y=v, text=f"limit {v:g}")
                for v in (spec.lo, spec.hi)
                if y[0] - near <= v <= y[1] + near
            ]
            y = self._fit(lines, [limit.y for limit in limits])
            charts.append(self._chart(f"{name} in use", spec.unit, lines, limits, y))
        charts.append(self.cycle_times())
        return charts

    def cycle_times(self) -> Chart:
        """Histogram of wall time per cycle."""
        totals = {
            r.controller: r.wall_ms["total"][np.isfinite(r.wall_ms["total"])] for r in self.runs
        }
        longest = max(float(np.percentile(v, 99.5)) for v in totals.values())
        edges = np.linspace(0.0, longest, 61)
        bars = []
        for name, values in reversed(totals.items()):
            count, _ = np.histogram(values, edges)
            share = 100.0 * count / max(1, values.size)
            bars.append(Bars(name=name, edges=edges, heights=share, style=name))
        return Chart(
            title="Wall time of a cycle, read to write",
            unit="% of cycles",
            x=(0.0, longest),
            items=bars,
            x_unit="ms",
        )

    # States

    def states(self) -> list[Strip]:
        """Modes of every run, then line, diverter and refills of the first."""
        rows = []
        for r in self.runs:
            rows.append(
                Strip(
                    name=f"{r.controller} mode", x=r.time / 60.0, texts=r.mode, styles=_MODE_STYLE
                )
            )
        first = self.runs[0]
        x = first.time / 60.0
        rows += [
            Strip(name="PLC mode", x=x, texts=first.texts[PLC.MODE_ACT], styles=_PLC_STYLE),
            Strip(name="line", x=x, texts=first.texts[PLC.LINE_STATE], styles=_LINE_STYLE),
            Strip(name="diverter", x=x, texts=first.texts[PLC.DIVERTER], styles=_DIVERTER_STYLE),
        ]
        for feeder, texts in zip(self.line.line.feeders, first.refills, strict=True):
            rows.append(Strip(name=f"{feeder.name} refill", x=x, texts=texts, styles=_REFILL_STYLE))
        return rows
