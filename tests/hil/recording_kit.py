"""A small recording made by hand, with a stop, a gap and rows without numbers; its line."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np

from plant_models.line import ResolvedLine
from plant_models.recording import Recording
from tools.configuration import load_line

START = 1_600_000_000.0
PERIOD = 10
ROWS = 40
MISSING, STOP, GAP, PAUSE = 7, slice(20, 24), 30, 3600.0


@cache
def recorded_line() -> ResolvedLine:
    root = Path(__file__).resolve().parents[2]
    return load_line(root / "configs" / "lines" / "recorded_press.yaml")


def made_recording(rows: int = ROWS, *, code: str = "5", seed: int = 1) -> Recording:
    """Row 7 without numbers, rows 20 to 23 standing, an hour's pause before row 30."""
    rng = np.random.default_rng(seed)
    time = START + PERIOD * np.arange(rows, dtype=float)
    time[GAP:] += PAUSE
    channels = {
        "tablet_rate": np.full(rows, 100e3 / 3600.0),
        "main_force": np.round(7.0 + 0.3 * rng.standard_normal(rows), 1) * 1e3,
        "fill_depth": np.round(3.7 + 0.02 * rng.standard_normal(rows), 2) * 1e-3,
        "thickness": np.full(rows, 0.88e-3),
        "force_rsd": np.full(rows, 0.047),
        "ejection_force": np.full(rows, 182.0),
        "made": 1000.0 + 278.0 * np.arange(rows),
        "rejected": np.full(rows, 12.0),
        "paddle_speed": np.full(rows, 25.0 / 60.0),
        "pre_force": np.full(rows, np.nan),
        "stiffness": np.full(rows, 71.0),
    }
    channels["tablet_rate"][STOP] = 0.0
    for series in channels.values():
        series[MISSING : MISSING + 1] = np.nan
    batch = tuple("A" if i < GAP else "B" for i in range(rows))
    return Recording(
        name="made by hand", code=code, period_s=PERIOD, time=time, batch=batch, channels=channels
    )
