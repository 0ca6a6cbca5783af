"""Made-up recordings: with stops, holes and missing numbers, or plain processes."""

import numpy as np

from plant_models.recording import Recording

RATE = 30.0  # tablets per second


def recording_of(
    force: np.ndarray,
    *,
    batch: tuple[str, ...] | None = None,
    time: np.ndarray | None = None,
    **channels: np.ndarray,
) -> Recording:
    """Recording of a press that always runs, unless channels say otherwise."""
    n = force.size
    given = {"tablet_rate": np.full(n, RATE), **channels}
    return Recording(
        name="made up",
        code="0",
        period_s=10.0,
        time=1e9 + 10.0 * np.arange(n) if time is None else time,
        batch=batch or ("A",) * n,
        channels={"main_force": force, **given},
    )


def broken_recording(seed: int, rows: int) -> Recording:
    """Everything that interrupts a series, often enough to meet all of it in some hundred rows."""
    rng = np.random.default_rng(seed)
    spacing = rng.choice([10.0, 10.0, 10.0, 10.0, 20.0, 45.0], rows) if rng.random() < 0.3 else 10.0
    hole = rng.random(rows) < 0.01
    time = 1e9 + np.cumsum(np.where(hole, rng.choice([11.0, 40.0, 7200.0], rows), spacing))
    edges = np.sort(rng.integers(0, rows, rng.integers(0, 4)))
    batch = tuple(f"B{i}" for i in np.searchsorted(edges, np.arange(rows), side="right"))
    rate = np.full(rows, RATE)
    for first in rng.integers(0, rows, rng.integers(0, 6)):
        rate[first : first + rng.integers(1, 12)] = rng.choice([0.0, 20.0, np.nan])
    force = np.round(6000.0 + 150.0 * rng.standard_normal(rows), -2)
    force[rng.random(rows) < 0.02] = np.nan
    force[rng.random(rows) < 0.01] = 0.0
    fill = np.round(6e-3 + 1e-5 * np.cumsum(rng.integers(-2, 3, rows)), 6)
    fill[rng.random(rows) < 0.02] = np.nan
    thickness = 2e-3 + 1e-5 * np.cumsum(rng.random(rows) < 0.02)
    thickness[rng.random(rows) < 0.02] = np.nan
    return recording_of(
        force, batch=batch, time=time, tablet_rate=rate, fill_depth=fill, thickness=thickness
    )


def held_press(seed: int, batches: int, rows: int = 700) -> Recording:
    """Batches at levels of their own, with memory in the force, moves of fill and thickness."""
    rng = np.random.default_rng(seed)
    forces, fills, bands, names = [], [], [], []
    for i in range(batches):
        fill = np.round(6e-3 + 2e-5 * np.cumsum(rng.choice([-1, 0, 0, 1], rows)), 6)
        band = 2e-3 - 1e-5 * np.cumsum(rng.random(rows) < 0.01)
        wave = np.zeros(rows)
        for k in range(1, rows):
            wave[k] = 0.7 * wave[k - 1] + 60.0 * rng.standard_normal()
        gain = 2e6 * (fill - fill[0]) - 2e6 * (band - band[0])
        forces.append(6000.0 + 300.0 * rng.standard_normal() + gain + wave)
        fills.append(fill)
        bands.append(band)
        names += [f"B{i}"] * rows
    force = np.concatenate(forces)
    time = 1e9 + 10.0 * np.arange(force.size) + 86400.0 * np.repeat(np.arange(batches), rows)
    rate = np.full(force.size, RATE)
    rate[::173] = 0.0
    return recording_of(
        force,
        batch=tuple(names),
        time=time,
        tablet_rate=rate,
        fill_depth=np.concatenate(fills),
        thickness=np.concatenate(bands),
    )
