"""Results of the demo on a recorded press: keys for machines, a few lines and tables for people."""

from __future__ import annotations

import csv
import gzip
import io
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from tools.commissioning.press_result import as_data
from tools.recordings.score_table import print_score
from tools.recordings.table import summary
from tools.report.recorded_data import RecordedDemo

__all__ = ["plain", "print_result", "recorded_document", "write_forecasts"]

_KN, _MG = 1e-3, 1e6


def recorded_document(demo: RecordedDemo) -> dict[str, Any]:
    """Every key of the demo; what could not be computed is null."""
    scored = demo.score.as_json()["recording"]
    file = summary(demo.loaded)
    sensor = demo.config.press.sensor
    link = {"agrees": False} if demo.comparison is None else dict(demo.comparison.as_json())
    more: dict[str, Any] = {
        "findings": file.pop("findings"),
        "file": file,
        "fit": as_data(demo.fit),
        "sensor": {
            "force_sd_kN": sensor.force_sd_kn,
            "fill_sd_mm": sensor.fill_sd_mm,
            "powder_walk": sensor.powder_walk,
            "gain": demo.tuning.gain,
            "force_per_log_volume_kN": demo.tuning.slope * _KN,
            "rows": demo.tuning.rows,
        },
        "powder": [
            {
                "batch": p.batch,
                "bulk_density_kg_m3": p.density,
                "bulk_density_spread_kg_m3": p.density_spread,
                "bulk_density_half_width_kg_m3": p.density_half,
                "tablet_weight_mg": p.weight * _MG,
                "tablet_weight_half_width_mg": p.weight_half * _MG,
            }
            for p in demo.powder()
        ],
        "link": link | {"note": demo.link_note},
    }
    found: dict[str, Any] = plain(
        {
            "recording": scored | more,
            "law": demo.fit.law,
            "minutes": demo.minutes,
            "rows_per_s": demo.scored.size / max(demo.wall_s["in_process"], 1e-3),
            "wall_s": dict(demo.wall_s),
            "hashes": dict(demo.hashes),
        }
    )
    return found


def plain(value: Any) -> Any:
    """The same as JSON knows it: null for what is no number, text for keys."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not isfinite(value) else value


def print_result(console: Console, demo: RecordedDemo) -> None:
    """Print the score, what the link thought, and how long it took."""
    print_score(console, demo.score)
    agrees = demo.comparison is not None and demo.comparison.agrees
    console.print(demo.link_text(), style="" if agrees else "bold red", markup=False)
    wall = demo.wall_s
    pace = demo.scored.size / max(wall["in_process"], 1e-3)
    parts = ", ".join(f"{name.replace('_', ' ')} {s:.1f} s" for name, s in wall.items())
    console.print(
        f"{demo.scored.size:,} rows in process at {pace:.0f} rows/s; wall time: {parts}",
        markup=False,
    )


def write_forecasts(file: Path, demo: RecordedDemo) -> None:
    """What was recorded and thought at every scored row, as compressed CSV in plant units."""
    c, t = demo.scored.channels, demo.thoughts
    density, density_half = demo.density()
    columns = {
        "unix_s": (t.time, "%.0f"),
        "force_kN": (c["main_force"] * _KN, "%.3f"),
        "fill_depth_mm": (c["fill_depth"] * 1e3, "%.4f"),
        "thickness_mm": (c["thickness"] * 1e3, "%.4f"),
        "tablets_per_h": (c["tablet_rate"] * 3600.0, "%.0f"),
        "forecast_60s_kN": (t.mean[:, -1] * _KN, "%.5f"),
        "half_width_60s_kN": (t.half[:, -1] * _KN, "%.5f"),
        "settings_held_60s_kN": (t.free[:, -1] * _KN, "%.5f"),
        "bulk_density_kg_m3": (density, "%.2f"),
        "bulk_density_half_width_kg_m3": (density_half, "%.2f"),
        "tablet_weight_mg": (t.weight[:, 0] * _MG, "%.3f"),
        "tablet_weight_half_width_mg": (t.weight[:, 1] * _MG, "%.3f"),
    }
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["batch", *columns])
    shown = [
        ["" if not isfinite(value) else form % value for value in values.tolist()]
        for values, form in columns.values()
    ]
    writer.writerows(zip(demo.scored.batch, *shown, strict=True))
    with gzip.open(file, "wt", encoding="utf-8", compresslevel=6) as stream:
        stream.write(text.getvalue())
