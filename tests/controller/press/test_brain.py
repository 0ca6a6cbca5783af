"""The press monitor: running, standing, restarting, blind; what a saved state thinks."""

from __future__ import annotations

import pickle
from dataclasses import dataclass

import numpy as np
import pytest

from controller.brain import Step
from controller.data import Measurement, Mode, Targets, Validated, Verdict
from controller.press.brain import BAND, FILL, FORCE, RATE, PressBrain, PressState
from controller.press.settings import PressMonitorConfig
from plant_models.press_cell import main_force
from plant_models.signals import LineState, PlcMode

CONFIG = PressMonitorConfig()
CELL = CONFIG.cell.cell()
NONE = Targets(set_points={})


@dataclass(frozen=True)
class Row:
    time: float
    force: float = 6000.0
    fill: float = 5.3e-3
    band: float = 2.05e-3
    rate: float = 33.0


def _validated(row: Row) -> Validated:
    def reading(value: float) -> Measurement:
        good = bool(np.isfinite(value))
        return Measurement(
            value=value,
            weight=float(good),
            verdict=Verdict.USE if good else Verdict.DROP,
            reason="" if good else "no value",
            source_time=row.time,
        )

    values = {RATE: row.rate, FORCE: row.force, FILL: row.fill, BAND: row.band}
    return Validated(
        time=row.time,
        scan_id=int(row.time),
        heartbeat=0,
        plc_mode=PlcMode.LOCAL,
        line_state=LineState.STOPPED,
        permit=False,
        lease_epoch=0,
        measurements={tag: reading(value) for tag, value in values.items()},
        actual={},
        available={},
        feeder_rates=(),
        refills=(),
        lots=(),
        samples=(),
        enough=False,
        missing=(),
    )


def _play(rows: list[Row], state: PressState | None = None) -> list[Step]:
    brain = PressBrain(CONFIG, 10.0)
    steps: list[Step] = []
    for row in rows:
        before = steps[-1].state if steps else state or brain.initial()
        steps.append(brain.step(before, _validated(row), Mode.MONITORING, NONE, 1.0))
    return steps


def _rows(count: int, start: float = 0.0, seed: int = 2) -> list[Row]:
    rng = np.random.default_rng(seed)
    return [
        Row(time=start + 10.0 * k, force=6000.0 + 100.0 * e, fill=5.3e-3 + 1e-5 * f)
        for k, (e, f) in enumerate(rng.standard_normal((count, 2)))
    ]


def test_a_running_press_is_estimated_and_forecast_60_s_ahead() -> None:
    last = _play(_rows(200))[-1]
    assert last.forecast is not None and last.estimate is not None
    free, planned, half = last.forecast.series["main_force"]
    assert last.forecast.times.tolist() == [10.0, 20.0, 30.0, 40.0, 50.0, 60.0]
    assert free.shape == planned.shape == half.shape == (6,)
    assert planned[-1] == pytest.approx(6000.0, abs=60.0)
    assert 120.0 < half[-1] < 320.0
    assert last.plan is None
    weight = last.estimate.quality["tablet_weight"]
    assert weight.half_width > 0.0
    meets = main_force(CELL, last.estimate.mean[1], 2.05e-3, last.estimate.mean[0], 33.0)
    assert meets == pytest.approx(last.estimate.quality["main_force"].mean, rel=1e-9)
    assert last.estimate.converged


def test_a_standing_press_has_no_forecast_and_what_it_shows_is_not_believed() -> None:
    running = _rows(60)
    standing = [Row(time=600.0 + 10.0 * k, force=9999.0, rate=0.0) for k in range(30)]
    steps = _play(running + standing)
    assert all(s.forecast is None for s in steps[60:])
    stands = steps[-1].estimate
    assert stands is not None and stands.note == "press stands"
    assert stands.quality["main_force"].mean == pytest.approx(6000.0, abs=100.0)
    before = steps[59].estimate
    assert before is not None
    assert stands.quality["main_force"].half_width > before.quality["main_force"].half_width


def test_a_restart_goes_on_from_what_was_known() -> None:
    standing = [Row(time=600.0 + 10.0 * k, rate=0.0) for k in range(30)]
    again = _rows(40, start=900.0, seed=4)
    steps = _play(_rows(60) + standing + again)
    first = steps[90]
    assert first.forecast is not None
    assert first.state.started == 900.0
    assert first.forecast.series["main_force"][1][-1] == pytest.approx(6000.0, abs=250.0)
    waiting = steps[-1].state.reply.waiting
    assert len(waiting) == 6


def test_a_gap_in_time_counts_as_a_start() -> None:
    steps = _play(_rows(50) + _rows(20, start=5000.0))
    assert steps[50].state.started == 5000.0
    assert steps[69].state.started == 5000.0


@pytest.mark.parametrize("blind", ["force", "fill", "band", "rate"])
def test_a_missing_reading_is_bridged(blind: str) -> None:
    rows = _rows(120)
    nan = float("nan")
    rows[80:90] = [Row(**(r.__dict__ | {blind: nan})) for r in rows[80:90]]
    steps = _play(rows)
    assert steps[-1].forecast is not None
    assert steps[-1].forecast.series["main_force"][1][-1] == pytest.approx(6000.0, abs=80.0)
    for step in steps[80:90]:
        assert (step.forecast is None) == (blind == "rate")


def test_blind_from_the_beginning_says_nothing() -> None:
    nan = float("nan")
    steps = _play([Row(time=10.0 * k, force=nan, fill=nan, band=nan, rate=nan) for k in range(5)])
    assert all(s.estimate is None and s.forecast is None for s in steps)
    steps = _play([Row(time=10.0 * k, force=nan) for k in range(5)])
    assert all(s.forecast is None for s in steps)


def test_a_saved_state_thinks_the_same() -> None:
    rows = _rows(150)
    rows[70:75] = [Row(time=r.time, rate=0.0) for r in rows[70:75]]
    whole = _play(rows)
    saved = pickle.loads(pickle.dumps(whole[99].state))
    resumed = _play(rows[100:], saved)
    for a, b in zip(whole[100:], resumed, strict=True):
        assert a.forecast is not None and b.forecast is not None
        for left, right in zip(
            a.forecast.series["main_force"], b.forecast.series["main_force"], strict=True
        ):
            assert np.array_equal(left, right)
