"""Noise of the soft sensor: what a made-up press has in it comes out again."""

from dataclasses import replace

import numpy as np
import pytest

from controller.press.settings import CellConfig, PressSensorConfig
from plant_models.press_cell import main_force
from plant_models.recording import Recording
from tests.helpers.pressed import RATE, recording_of
from tools.recordings.opponents import fit_constant, weighted_mean
from tools.recordings.origins import find_origins
from tools.recordings.sensor_tuning import (
    LEAST_GAIN,
    LOST_MOTION,
    MOST_GAIN,
    SensorTuning,
    tune_sensor,
)

CELL = CellConfig().cell()
USUAL = (6.6e-3, 2.1e-3, RATE)
NOISE, STEP = 90.0, 12.0  # N


def walking(seed: int, rows: int = 6000, fill_noise: float = 1e-6) -> Recording:
    """Force about a level that walks, two batches."""
    rng = np.random.default_rng(seed)
    level = 6000.0 + np.cumsum(STEP * rng.standard_normal(rows))
    return recording_of(
        level + NOISE * rng.standard_normal(rows),
        batch=("A",) * (rows // 2) + ("B",) * (rows - rows // 2),
        fill_depth=6.6e-3 + fill_noise * rng.standard_normal(rows),
        thickness=np.full(rows, 2.1e-3),
    )


def tuned(recording: Recording, gain: float) -> SensorTuning:
    return tune_sensor(recording, ["A"], find_origins(recording), CELL, USUAL, gain)


def test_noise_and_walk_of_a_made_up_press_are_found() -> None:
    recording = walking(1)
    origins = find_origins(recording)
    batch = np.asarray(recording.batch) == "A"
    t = tuned(recording, fit_constant(weighted_mean, origins, batch))
    assert t.force_sd == pytest.approx(NOISE, rel=0.1)
    step = 1e-5
    slope = (main_force(CELL, *USUAL[:2], step) - main_force(CELL, *USUAL[:2], -step)) / (2 * step)
    assert t.slope == pytest.approx(slope, rel=1e-3) and t.slope < 0.0
    assert t.powder_walk * abs(t.slope) == pytest.approx(STEP, rel=0.4)
    assert t.rows == 3000 - 12


def test_only_the_fitted_batches_are_looked_at() -> None:
    recording = walking(2)
    force = recording.channels["main_force"].copy()
    force[3000:] += 2000.0 * np.random.default_rng(0).standard_normal(3000)
    louder = replace(recording, channels={**recording.channels, "main_force": force})
    assert tuned(louder, 0.1) == tuned(recording, 0.1)


@pytest.mark.parametrize(("gain", "used"), [(5e-4, LEAST_GAIN), (0.2, 0.2), (0.8, MOST_GAIN)])
def test_a_gain_that_says_nothing_of_the_powder_is_bounded(gain: float, used: float) -> None:
    t = tuned(walking(3), gain)
    assert t.gain == used
    assert t.powder_walk == pytest.approx(t.force_sd * used / (1.0 - used) ** 0.5 / abs(t.slope))


@pytest.mark.parametrize(("scatter", "expected"), [(1e-6, LOST_MOTION), (80e-6, 80e-6)])
def test_the_fill_depth_is_never_believed_beyond_its_lost_motion(
    scatter: float, expected: float
) -> None:
    assert tuned(walking(4, fill_noise=scatter), 0.1).fill_sd == pytest.approx(expected, rel=0.1)


def test_spikes_and_starts_do_not_count() -> None:
    recording = walking(5)
    force = recording.channels["main_force"].copy()
    force[:3000:250] += 3e3
    spiky = replace(recording, channels={**recording.channels, "main_force": force})
    assert tuned(spiky, 0.1).force_sd == pytest.approx(tuned(recording, 0.1).force_sd, rel=0.25)


def test_scatter_below_the_recorded_resolution_is_that_of_rounding() -> None:
    rows = 2000
    force = np.full(rows, 6000.0)
    force[::50] += 100.0
    recording = recording_of(
        force,
        batch=("A",) * rows,
        fill_depth=np.full(rows, 6.6e-3),
        thickness=np.full(rows, 2.1e-3),
    )
    assert tuned(recording, 0.1).force_sd >= 100.0 / 12.0**0.5


def test_a_press_that_hardly_ran_gets_settings_that_a_controller_takes() -> None:
    """Few rows, and a force that never moves: both must leave positive numbers."""
    for rows in (20, 500):
        recording = recording_of(
            np.full(rows, 6000.0),
            batch=("A",) * rows,
            fill_depth=np.full(rows, 6.6e-3),
            thickness=np.full(rows, 2.1e-3),
        )
        t = tuned(recording, 0.1)
        settings = PressSensorConfig(
            force_sd_kn=t.force_sd * 1e-3, fill_sd_mm=t.fill_sd * 1e3, powder_walk=t.powder_walk
        )
        assert settings.force_sd_kn in (0.1, 0.01)
