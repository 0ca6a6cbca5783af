"""The ARX: known processes found again, its arithmetic by hand, and nothing learned from later."""

from dataclasses import replace

import numpy as np
import pytest

from plant_models.recording import Recording
from tests.helpers.pressed import held_press, recording_of
from tools.recordings.all_opponents import ARX, EWMA, FIRST_VALUE, build_opponents
from tools.recordings.arx import Study, Trial, folds, least_errors, study
from tools.recordings.arx_regressors import FORCE, Form, regressors
from tools.recordings.opponents import fit_constant, rmse, weighted_mean
from tools.recordings.origins import Origins, find_origins


def _study(r: Recording, fitted: tuple[str, ...]) -> tuple[Study, Origins, float]:
    o = find_origins(r)
    alpha = fit_constant(weighted_mean, o, np.isin(r.batch, fitted))
    found = study(r, o, alpha, fitted)
    assert found is not None
    return found, o, alpha


def _wave(n: int, noise: float) -> np.ndarray:
    """An AR(2) process of period 10 rows about 6 kN."""
    rng = np.random.default_rng(7)
    a1, a2 = 2.0 * 0.99 * np.cos(2.0 * np.pi / 10.0), -(0.99**2)
    x = np.zeros(n)
    x[:2] = 100.0
    for k in range(2, n):
        x[k] = a1 * x[k - 1] + a2 * x[k - 2] + noise * rng.standard_normal()
    return 6e3 + x


def test_a_known_process_is_forecast_as_well_as_it_can_be() -> None:
    """The best six-row forecast misses by the shocks of six rows, weighted by the response."""
    names = tuple(f"B{i}" for i in range(6) for _ in range(1500))
    r = recording_of(_wave(len(names), 10.0), batch=names)
    found, o, alpha = _study(r, ("B0", "B1", "B2"))
    later = o.scored & np.isin(r.batch, ("B3", "B4", "B5"))
    response = [1.0, 2.0 * 0.99 * np.cos(2.0 * np.pi / 10.0)]
    for _ in range(4):
        response.append(response[1] * response[-1] - 0.99**2 * response[-2])
    least = 10.0 * float(np.sqrt(np.sum(np.square(response))))
    reached = rmse((o.truth() - found.forecast(found.chosen))[later])
    mean = rmse((o.truth() - weighted_mean(o.force, o, alpha))[later])
    assert reached < 1.10 * least < 0.6 * mean
    best = min(found.trials, key=lambda t: t.error)
    assert rmse((o.truth() - found.forecast(best))[later]) < 1.05 * least
    assert rmse(least_errors(r, o, alpha, later)) < 1.02 * least


def test_an_input_that_moves_the_force_later_is_used() -> None:
    """Force follows fill by 60 s, so that it is known in advance, but for noise of 20 N."""
    rng = np.random.default_rng(5)
    names = tuple(f"B{i}" for i in range(4) for _ in range(1000))
    fill = 6e-3 + 1e-5 * np.cumsum(rng.choice([-1, 0, 1], len(names)))
    force = 6e3 + 3e6 * (np.r_[np.full(6, fill[0]), fill[:-6]] - 6e-3)
    r = recording_of(force + 20.0 * rng.standard_normal(force.size), batch=names, fill_depth=fill)
    found, o, _ = _study(r, ("B0", "B1"))
    later = o.scored & np.isin(r.batch, ("B2", "B3"))
    assert "fill_depth" in found.chosen.candidate.inputs
    assert rmse((o.truth() - found.forecast(found.chosen))[later]) < 25.0


def _one(found: Study, **wanted: object) -> Trial:
    def fits(trial: Trial) -> bool:
        return all(getattr(trial.candidate, name) == value for name, value in wanted.items())

    return next(t for t in found.trials if fits(t))


@pytest.mark.parametrize("form", list(Form))
def test_errors_of_a_direct_candidate_are_those_of_fits_without_each_batch(form: Form) -> None:
    r = held_press(1, 3)
    fitted = r.batches()
    found, o, alpha = _study(r, fitted)
    trial = _one(found, form=form, direct=True, order=3, inputs=("fill_depth",), ridge=0.1)
    design = regressors(r, o, alpha, np.ones(r.size, dtype=bool), form)
    x = design.x[:, design.columns(3, ("fill_depth",), trial.candidate.means)]
    mean = weighted_mean(o.force, o, alpha)
    for i, name in enumerate(fitted):
        left = o.scored & (np.array(r.batch) == name)
        a, b = x[(o.scored & ~left)[design.rows]], design.target[(o.scored & ~left)[design.rows]]
        weights = np.linalg.solve(a.T @ a + 0.1 * len(a) * np.eye(x.shape[1]), a.T @ b)
        missed = (design.target - x @ weights)[left[design.rows]]
        usual = (o.truth() - mean)[left]
        assert trial.errors[i] == pytest.approx((missed @ missed) / (usual @ usual), rel=1e-6)


def test_an_iterated_forecast_is_six_steps_of_the_one_step_forecast() -> None:
    r = held_press(2, 3)
    found, o, alpha = _study(r, r.batches())
    wanted = {"form": Form.INCREMENTS, "order": 2, "inputs": ("fill_depth",), "ridge": 0.1}
    trial = _one(found, direct=False, means=(), **wanted)
    design = regressors(r, o, alpha, np.ones(r.size, dtype=bool), Form.INCREMENTS)
    columns = design.columns(2, ("fill_depth",), ())
    x, scale = design.x[:, columns], design.scale[columns]
    used = o.scored[design.rows] & np.isfinite(design.step)
    a, b = x[used], design.step[used]
    n = int(o.scored.sum())
    one = np.linalg.solve(a.T @ a + 0.1 * n * np.eye(4), a.T @ b)
    for i in np.flatnonzero(o.scored[design.rows])[::97]:
        f0, f1, u0, u1 = x[i] * scale
        for _ in range(6):
            ahead = one @ (np.array([f0, f1, u0, u1]) / scale)
            f0, f1, u1 = ahead, f0, u0
        expected = design.base[i] + ahead
        assert found.forecast(trial)[design.rows[i]] == pytest.approx(expected, rel=1e-9)


def test_lags_end_at_the_start_and_missing_numbers_count_as_the_mean() -> None:
    force = 6e3 + np.arange(60.0)
    force[30] = np.nan
    o = find_origins(recording_of(force))
    r = recording_of(force)
    design = regressors(r, o, 0.2, np.ones(60, dtype=bool), Form.INCREMENTS)
    mean = weighted_mean(o.force, o, 0.2)
    for lag in (1, 5, 17):
        column = design.place[FORCE, lag]
        values = design.x[:, column] * design.scale[column]
        for row in (3, 16, 31, 35, 47):
            i = int(np.flatnonzero(design.rows == row)[0])
            past = force[row - lag] if row >= lag and row - lag != 30 else mean[row]
            assert values[i] == pytest.approx(past - mean[row], abs=1e-6)


def test_one_row_ahead_is_the_next_row_of_the_stretch_or_nothing() -> None:
    force, rate = 6e3 + np.arange(60.0), np.full(60, 30.0)
    rate[30] = 0.0
    r = recording_of(force, tablet_rate=rate)
    design = regressors(r, find_origins(r), 0.2, np.ones(60, dtype=bool), Form.INCREMENTS)
    step = dict(zip(design.rows.tolist(), (design.step + design.base).tolist(), strict=True))
    assert step[20] == pytest.approx(force[21])
    assert step[31] == pytest.approx(force[32])
    assert np.isnan(step[29])


def test_the_chosen_candidate_is_within_one_standard_error_of_the_best() -> None:
    found, _, _ = _study(held_press(4, 4), ("B0", "B1", "B2", "B3"))
    best = min(found.trials, key=lambda t: t.error)
    assert found.chosen.error <= best.error + best.standard_error
    assert 0.0 < found.freedom < 18 * 4 + 12


def test_folds_are_batches_and_blocks_of_a_single_one() -> None:
    r = held_press(5, 3)
    o = find_origins(r)
    several = folds(r, o, ("B0", "B2"))
    names = np.array(r.batch)
    assert {(names[k], several[k]) for k in np.flatnonzero(several >= 0)} == {("B0", 0), ("B2", 1)}
    assert np.array_equal(several >= 0, o.scored & np.isin(names, ("B0", "B2")))
    single = folds(r, o, ("B1",))
    assert np.array_equal(single >= 0, o.scored & (names == "B1"))
    assert np.all(np.diff(single[single >= 0]) >= 0)
    assert sorted(set(single.tolist())) == [-1, 0, 1, 2, 3, 4, 5]


def test_a_batch_with_next_to_no_origin_is_no_fold() -> None:
    r = held_press(5, 3)
    names = np.array(r.batch)
    rate = np.where(names == "B1", 0.0, r.channels["tablet_rate"])
    rate[np.flatnonzero(names == "B1")[100:130]] = 30.0
    r = replace(r, channels={**r.channels, "tablet_rate": rate})
    o = find_origins(r)
    assert 0 < (o.scored & (names == "B1")).sum() < 20
    assert set(folds(r, o, ("B0", "B1", "B2"))[names == "B1"].tolist()) == {-1}


def test_one_batch_does_not_tell_what_levels_do() -> None:
    found, _, _ = _study(held_press(6, 2), ("B0",))
    assert {t.candidate.form for t in found.trials} == {Form.LIMITED}


def test_too_little_to_fit_is_said_by_no_study() -> None:
    r = held_press(6, 1)
    o = find_origins(r)
    assert study(r, o, 0.1, ()) is None
    short = held_press(6, 1, rows=40)
    assert study(short, find_origins(short), 0.1, ("B0",)) is None


def test_hindsight_is_the_smallest_miss_of_all_trials() -> None:
    r = held_press(8, 4)
    found, o, _ = _study(r, ("B0", "B1"))
    later = o.scored & np.isin(r.batch, ("B2", "B3"))
    picked = found.hindsight(later)
    reached = rmse((o.truth() - found.forecast(picked))[later])
    for trial in found.trials[::211]:
        assert reached <= rmse((o.truth() - found.forecast(trial))[later]) + 1e-6


def test_nothing_of_the_later_batches_reaches_an_opponent() -> None:
    """Other numbers there, same constants, same candidate, same forecasts before."""
    r = held_press(9, 4)
    fitted = ("B0", "B1")
    later = ~np.isin(r.batch, fitted)
    rng = np.random.default_rng(0)
    shaken = {
        name: np.where(later, values * (1.0 + 0.2 * rng.random(r.size)), values)
        for name, values in r.channels.items()
    }
    one, two = (build_opponents(x, fitted) for x in (r, replace(r, channels=shaken)))
    assert (one.alpha, one.alpha_first) == (two.alpha, two.alpha_first)
    assert (one.arx_text, one.arx_error, one.arx_freedom) == (
        two.arx_text,
        two.arx_error,
        two.arx_freedom,
    )
    for name in (EWMA, FIRST_VALUE, ARX):
        np.testing.assert_array_equal(one.forecasts[name][~later], two.forecasts[name][~later])
    assert one.arx_bound != two.arx_bound
