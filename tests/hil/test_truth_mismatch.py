from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from hil.config import ScenarioConfig, Uncertain
from hil.mismatch import mismatch_of
from tests.hil.truth_kit import changed, line, scenario


def test_the_nominal_plant_is_the_same_for_every_seed() -> None:
    r, config = line(), scenario("calm").truth
    assert mismatch_of(r, config, 1) == mismatch_of(r, config, 2)
    m = mismatch_of(r, config, 1)
    assert (m.bulk_density, m.pressure_scale, m.strength) == pytest.approx((0.98, 1.04, 0.94))
    assert m.feed_factor == pytest.approx((1.03, 0.98, 1.05))
    assert m.span == pytest.approx((1.001, 0.998, 1.002))
    assert (m.nir_bias, m.nir_delay, m.compliance) == pytest.approx((0.008, 2.0, 0.90))
    assert m.backlash == pytest.approx(7.5e-6)


def test_drawn_errors_are_normal_with_half_the_range_and_cut_at_it() -> None:
    r, config = line(), scenario("shift").truth
    plants = [mismatch_of(r, config, seed) for seed in range(600)]
    for name, span in (("bulk_density", 0.08), ("pressure_scale", 0.15), ("compliance", 0.20)):
        error = np.array([getattr(m, name) for m in plants]) - 1.0
        assert np.abs(error).max() <= span
        assert np.abs(error).max() > 0.9 * span
        # a normal cut at two standard deviations keeps 0.880 of its own
        assert error.std() == pytest.approx(0.880 * span / 2.0, rel=0.1)
        assert error.mean() == pytest.approx(0.0, abs=0.1 * span)
    backlash = np.array([m.backlash for m in plants])
    assert 5e-6 <= backlash.min() < backlash.max() <= 10e-6
    errors = np.array([[m.bulk_density, m.pressure_scale, *m.feed_factor] for m in plants])
    off = np.corrcoef(errors.T) - np.eye(5)
    assert np.abs(off).max() < 0.15


def test_shift_steady_and_calm_share_one_truth() -> None:
    shift, steady, calm = (scenario(name).truth for name in ("shift", "steady", "calm"))
    assert changed(shift, mismatch_mode="nominal") == steady == calm


def test_the_shift_happens_at_fractions_of_its_length() -> None:
    shift = scenario("shift")
    at = {s.event.event: (s.second, s.duration) for s in shift.schedule(120.0)}
    assert at["close_loop"] == (900, 0)
    assert at["lot_change"] == (900 + round(0.33 * 7200), 0)
    assert at["nir_drift"] == (900 + 3240, 900)
    assert at["throughput"] == (900 + 4320, 0)
    assert at["lab_missing"] == (900 + 5040, 0)
    assert at["kill_plant"] == (900 + 5760, 0)
    assert shift.total_seconds(120.0) == 8100
    assert shift.total_seconds() == 3300


def test_a_nominal_error_outside_its_range_is_refused() -> None:
    with pytest.raises(ValidationError, match="lies outside"):
        Uncertain(nominal=5.0, range=2.0)


@pytest.mark.parametrize(
    ("path", "value", "text"),
    [
        (("truth", "feeding", "arma_phi"), (1.2, 0.1), "not stationary"),
        (("truth", "blender", "cells"), 19, "greater than or equal to 20"),
        (("truth", "blender", "peclet"), 60.0, "cells"),
        (("truth", "press", "tooling_station_share"), 1.5, "less than or equal to 1"),
        (("minutes",), 0.0, "greater than 0"),
        (("truth", "surprise"), 1.0, "Extra inputs"),
    ],
)
def test_impossible_truths_are_refused(path: tuple[str, ...], value: object, text: str) -> None:
    document = scenario("shift").model_dump(by_alias=True)
    place = document
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    with pytest.raises(ValidationError, match=text):
        ScenarioConfig.model_validate(document)
