"""The soft sensor of a press: what it knows after a jump, a gross error, a stop; its covariance."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.press.sensor import PressSample, PressSensor, SensorState
from controller.press.settings import PressMonitorConfig
from plant_models.press_cell import main_force

CONFIG = PressMonitorConfig()
CELL = CONFIG.cell.cell()
BAND, RATE = 2.05e-3, 33.0
NOISE = 100.0  # [N]


def _force(fill: float, volume: float, band: float = BAND) -> float:
    return float(main_force(CELL, fill, band, volume, RATE))


def _samples(
    volume: np.ndarray, seed: int = 1, fill: float = 5.0e-3, band: float = BAND
) -> list[PressSample]:
    rng = np.random.default_rng(seed)
    return [
        PressSample(_force(fill, v, band) + NOISE * e, fill + 1e-5 * f, band, RATE)
        for v, e, f in zip(
            volume, rng.standard_normal(volume.size), rng.standard_normal(volume.size), strict=True
        )
    ]


def _run(samples: list[PressSample], sensor: PressSensor | None = None) -> list[SensorState]:
    sensor = sensor or PressSensor(CELL, CONFIG.sensor)
    states: list[SensorState] = []
    for sample in samples:
        states.append(sensor.step(states[-1] if states else None, sample))
    return states


def test_a_constant_powder_is_found() -> None:
    states = _run(_samples(np.full(150, 0.02)))
    assert states[-1].z[-1, 0] == pytest.approx(0.02, abs=4.0 * np.sqrt(states[-1].cov[0, 0]))
    assert states[-1].force == pytest.approx(_force(5.0e-3, 0.02), abs=4.0 * states[-1].force_sd)
    assert states[-1].force_sd < NOISE


def test_the_window_does_not_grow_and_the_arrival_cost_keeps_what_left_it() -> None:
    short = CONFIG.sensor.model_copy(update={"window_samples": 8})
    samples = _samples(np.cumsum(np.r_[0.0, 2e-4 * np.ones(119)]))
    long = _run(
        samples, PressSensor(CELL, CONFIG.sensor.model_copy(update={"window_samples": 360}))
    )
    brief = _run(samples, PressSensor(CELL, short))
    assert len(brief[-1].data) == 8
    assert brief[-1].z[-1, 0] == pytest.approx(long[-1].z[-1, 0], abs=3e-4)
    assert brief[-1].force_sd == pytest.approx(long[-1].force_sd, rel=0.15)


def test_a_gross_error_is_not_followed_and_a_jump_is() -> None:
    quiet = np.zeros(100)
    samples = _samples(quiet)
    bad = samples[80]
    samples[80] = PressSample(bad.force + 30.0 * NOISE, bad.fill, bad.band, bad.rate)
    states = _run(samples)
    before = states[79].force
    assert abs(states[80].force - before) < 5.0 * NOISE
    assert abs(states[-1].force - before) < 2.0 * NOISE
    jumped = _run(_samples(np.r_[np.zeros(60), np.full(40, -0.02)]))
    wanted = _force(5.0e-3, -0.02)
    assert abs(wanted - _force(5.0e-3, 0.0)) > 3.0 * NOISE
    assert jumped[66].force == pytest.approx(wanted, abs=1.5 * NOISE)


def test_a_thickness_move_changes_the_force_but_not_the_powder() -> None:
    samples = _samples(np.zeros(60)) + _samples(np.zeros(3), seed=2, band=BAND + 1e-4)
    states = _run(samples)
    moved = _force(5.0e-3, 0.0, BAND + 1e-4) - _force(5.0e-3, 0.0)
    assert abs(moved) > 5.0 * NOISE
    assert states[60].force - states[59].force == pytest.approx(moved, abs=1.5 * NOISE)
    assert abs(states[60].z[-1, 0] - states[59].z[-1, 0]) < 3e-3


def test_missing_readings_widen_the_estimate() -> None:
    samples = _samples(np.zeros(80))
    blind = [PressSample(np.nan, s.fill, s.band, s.rate) for s in samples[40:]]
    seen, unseen = _run(samples), _run(samples[:40] + blind)
    assert unseen[-1].force_sd > 1.5 * seen[-1].force_sd
    assert np.isnan(unseen[-1].residual)
    neither = [PressSample(np.nan, np.nan, s.band, s.rate) for s in samples[40:]]
    assert np.isfinite(_run(samples[:40] + neither)[-1].force)


def test_a_standing_press_is_known_less_and_less() -> None:
    sensor = PressSensor(CELL, CONFIG.sensor)
    state = _run(_samples(np.zeros(50)), sensor)[-1]
    later = sensor.stand(sensor.stand(state, 10.0), 10.0)
    assert later.force_sd > state.force_sd
    assert later.force == state.force


def test_intervals_cover_what_they_say() -> None:
    """The state is drawn from the model that the sensor assumes, without its heavy tails."""
    inside = []
    for seed in range(12):
        rng = np.random.default_rng(100 + seed)
        walk = CONFIG.sensor.powder_walk * rng.standard_normal(120)
        fill = 5.0e-3 + 1e-3 * CONFIG.sensor.fill_walk_mm * np.cumsum(rng.standard_normal(120))
        volume = np.cumsum(walk)
        true = np.array([_force(m, v) for m, v in zip(fill, volume, strict=True)])
        shown = fill + 1e-3 * CONFIG.sensor.fill_sd_mm * rng.standard_normal(120)
        measured = true + NOISE * rng.standard_normal(120)
        states = _run([PressSample(f, m, BAND, RATE) for f, m in zip(measured, shown, strict=True)])
        inside += [
            abs(s.force - t) < 1.96 * s.force_sd
            for s, t in zip(states[20:], true[20:], strict=True)
        ]
    assert 0.90 < np.mean(inside) < 0.985


@settings(max_examples=40, deadline=None)
@given(
    force=st.floats(0.0, 60e3) | st.just(float("nan")),
    fill=st.floats(0.5e-3, 20e-3) | st.just(float("nan")),
    band=st.floats(0.3e-3, 8e-3),
    rate=st.floats(0.1, 300.0),
)
def test_any_reading_leaves_finite_numbers(
    force: float, fill: float, band: float, rate: float
) -> None:
    sensor = PressSensor(CELL, CONFIG.sensor)
    state = sensor.step(None, PressSample(force, fill, band, rate))
    for _ in range(3):
        state = sensor.step(state, PressSample(force, fill, band, rate))
    after = sensor.step(state, PressSample(6000.0, 5.0e-3, BAND, RATE))
    assert np.all(np.isfinite(after.z)) and np.all(np.isfinite(after.cov))
    assert np.isfinite(after.force) and after.force_sd > 0.0
