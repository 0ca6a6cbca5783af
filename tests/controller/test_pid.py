"""Conventional control: gains, inverse, trims, ratio on totals, level, and their tuning."""

from dataclasses import replace
from math import exp, log
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.baselines.feed import (
    Balance,
    BalanceTuning,
    FeederFlow,
    FeederSettings,
    advance_balance,
    advance_flow,
    advance_surplus,
)
from controller.baselines.internal_model import (
    LabTrim,
    OperatingRecord,
    PressModel,
    TrimTuning,
    sample_disturbance,
    update,
)
from controller.baselines.operator_plc import operator_settings
from controller.baselines.pid import PidBrain
from controller.baselines.tuning import (
    lambda_gain,
    level_margins,
    linearise,
    press_gains,
    random_walk_gain,
    relative_gains,
    simc_level,
    surplus_gain,
    trim_margins,
)
from controller.config import ControllerConfig, PidConfig
from controller.data import LabSample
from plant_models.line import ResolvedLine
from plant_models.quality import breaking_force
from plant_models.signals import MV, RefillPhase
from tools.configuration import load_controller, load_line

PERIOD = 5.0


@pytest.fixture(scope="module")
def line(root: Path) -> ResolvedLine:
    return load_line(root / "configs/lines/reference.yaml")


@pytest.fixture(scope="module")
def model(line: ResolvedLine) -> PressModel:
    return PressModel(line)


@pytest.fixture(scope="module")
def config(root: Path) -> PidConfig:
    controller = load_controller(root / "configs/controllers/pid.yaml")
    assert isinstance(controller, ControllerConfig)
    return controller.pid


def _point(model: PressModel, *, time: float = 0.0) -> OperatingRecord:
    extent = model.strength_parameters.extent_0
    return OperatingRecord(time=time, force=7.25e3, thickness=3.084e-3, extent=extent)


def _sample(
    model: PressModel,
    *,
    number: int = 1,
    taken: float = 0.0,
    weight: float = 0.0,
    strength: float = 0.0,
    sample_weight: float = 0.0,
) -> LabSample:
    """Ten equal tablets of a line whose disturbances (logarithms) are given.

    ``sample_weight`` is by how much these ten are heavier than all tablets; they are stronger then.
    """
    point = _point(model)
    w = model.weight(point.force, point.thickness) * exp(weight + sample_weight)
    exponent = model.strength_exponent(point.force, point.thickness)
    s = model.strength(point.force, point.extent) * exp(strength + exponent * sample_weight)
    force = float(breaking_force(s, model.press.diameter, 3.32e-3))
    return LabSample(
        number=number,
        taken=taken,
        weights=(w,) * 10,
        thicknesses=(3.32e-3,) * 10,
        forces=(force,) * 10,
    )


# the press: gains, pairing, inverse


def test_settled_gains_of_the_linearised_twin_are_those_of_the_reference_line(
    line: ResolvedLine,
) -> None:
    gains = press_gains(linearise(line))
    in_plant_units = gains * np.array([[1e9, 1e3], [1e-3, 1e-9]])
    # mg/kN, mg/mm / MPa/kN, MPa/mm
    np.testing.assert_allclose(in_plant_units, [[6.31, 62.7], [0.336, 0.0]], rtol=0.01, atol=1e-9)


def test_the_obvious_pairing_has_relative_gain_zero(line: ResolvedLine) -> None:
    rga = relative_gains(press_gains(linearise(line)))
    np.testing.assert_allclose(rga, [[0.0, 1.0], [1.0, 0.0]], atol=1e-9)


@given(force=st.floats(5e3, 12e3), thickness=st.floats(2.7e-3, 3.5e-3), flow=st.floats(4e-3, 8e-3))
def test_force_and_thickness_follow_from_strength_and_weight(
    model: PressModel, force: float, thickness: float, flow: float
) -> None:
    extent = model.extent(flow)
    strength, weight = model.strength(force, extent), model.weight(force, thickness)
    assert model.force_for(strength, extent) == pytest.approx(force, rel=1e-9)
    assert model.thickness_for(weight, force) == pytest.approx(thickness, rel=1e-9)


def test_a_strength_that_nothing_reaches_asks_for_a_finite_force(model: PressModel) -> None:
    extent = model.strength_parameters.extent_0
    force = model.force_for(50e6, extent)
    assert np.isfinite(force)
    assert force > model.force_for(3e6, extent)


def test_single_tablets_at_fixed_fill_gain_strength_as_the_models_say(model: PressModel) -> None:
    assert model.strength_exponent(7.24e3, 3.084e-3) == pytest.approx(4.74, rel=0.02)


# at-line trims


@given(weight=st.floats(-0.05, 0.05), strength=st.floats(-0.3, 0.3), luck=st.floats(-0.01, 0.01))
def test_a_sample_shows_the_disturbance_whatever_its_own_weight(
    model: PressModel, weight: float, strength: float, luck: float
) -> None:
    """Strength is referred to the weight of all tablets, so the luck of the draw cancels."""
    sample = _sample(model, weight=weight, strength=strength, sample_weight=luck)
    d_weight, d_strength = sample_disturbance(model, sample, _point(model), weight)
    assert d_weight == pytest.approx(weight + luck, abs=1e-9)
    assert d_strength == pytest.approx(strength, abs=1e-9)


TUNING = TrimTuning(weight_gain=0.2, strength_gain=0.3, lot_arrives_s=90.0, lot_settled_s=400.0)


def _after(model: PressModel, trim: LabTrim, *samples: LabSample) -> LabTrim:
    history = [_point(model, time=t) for t in np.arange(0.0, 4000.0, 5.0)]
    return update(model, trim, TUNING, samples, history)


def test_samples_are_averaged_until_their_gain_falls_to_the_configured_one(
    model: PressModel,
) -> None:
    trim = LabTrim(running_since=0.0)
    seen = []
    for number in range(1, 9):
        # The second sample is the only one that deviates.
        w = 0.02 if number == 2 else 0.0
        trim = _after(model, trim, _sample(model, number=number, taken=300.0 * number, weight=w))
        seen.append(trim.weight)
    assert seen[:4] == pytest.approx([0.0, 0.01, 0.01 * 2 / 3, 0.01 / 2], abs=1e-9)
    assert seen[7] / seen[6] == pytest.approx(1.0 - TUNING.weight_gain)


def test_samples_of_the_start_up_are_replaced_by_the_first_in_running(model: PressModel) -> None:
    trim = _after(model, LabTrim(), _sample(model, taken=300.0, weight=0.05))
    assert (trim.weight, trim.samples) == (pytest.approx(0.05), 0)
    trim = replace(trim, running_since=500.0)
    trim = _after(model, trim, _sample(model, number=2, taken=600.0, weight=-0.01))
    assert (trim.weight, trim.samples) == (pytest.approx(-0.01), 1)


def test_a_new_lot_restarts_the_trim_once_it_reaches_the_press(model: PressModel) -> None:
    old = LabTrim(
        weight=0.0, strength=0.0, samples=9, running_since=0.0, lot_time=1000.0, restart=True
    )
    still_old = _after(model, old, _sample(model, taken=1050.0, weight=0.01))
    assert still_old.weight == pytest.approx(0.01 * 0.2)
    passing = _after(model, still_old, _sample(model, number=2, taken=1200.0, weight=-0.02))
    assert (passing.weight, passing.samples) == (pytest.approx(-0.02), 0)
    settled = _after(model, passing, _sample(model, number=3, taken=1500.0, weight=-0.03))
    assert (settled.weight, settled.samples) == (pytest.approx(-0.03), 1)
    second = _after(model, settled, _sample(model, number=4, taken=1800.0, weight=-0.01))
    assert second.weight == pytest.approx(-0.02)


def test_a_lot_whose_passing_was_never_sampled_still_restarts_the_trim(model: PressModel) -> None:
    old = LabTrim(samples=9, running_since=0.0, lot_time=1000.0, restart=True)
    settled = _after(model, old, _sample(model, taken=1500.0, weight=-0.03))
    assert (settled.weight, settled.samples) == (pytest.approx(-0.03), 1)


def test_a_sample_counts_at_the_setting_it_was_taken_at(model: PressModel) -> None:
    """Moves made since the sample do not disturb it: the internal model bridges the dead time."""
    before, now = _point(model, time=1000.0), _point(model, time=1120.0)
    moved = replace(now, force=9e3, thickness=3.0e-3)
    trim = update(
        model,
        LabTrim(running_since=0.0),
        TUNING,
        [_sample(model, taken=1000.0, weight=0.01, strength=0.1)],
        [before, moved],
    )
    assert trim.weight == pytest.approx(0.01, abs=1e-9)
    assert trim.strength == pytest.approx(0.1, abs=1e-9)


def test_a_sample_older_than_the_history_is_left_out(model: PressModel) -> None:
    trim = LabTrim(running_since=0.0)
    late = update(
        model, trim, TUNING, [_sample(model, taken=10.0, weight=0.05)], [_point(model, time=900.0)]
    )
    assert late == trim


# ratio on totals, refill, level

API = FeederSettings(overfeed=0.05, decay=80.0, refill_time=25.0, noise=0.05e-3)
RATE = 0.5e-3


def _fed(flow: FeederFlow, weight: float | None, phase: RefillPhase) -> FeederFlow:
    return advance_flow(flow, API, weight, RATE, phase, PERIOD, 1.0)


def test_flow_is_the_fall_of_the_hopper_and_no_powder_is_counted_twice() -> None:
    flow = FeederFlow(flow=RATE, mean=RATE, expected=RATE)
    weight, total = 3.0, 0.0
    flow = _fed(flow, weight, RefillPhase.NONE)
    for missing in (False, False, True, True, False):
        weight -= 1.05 * RATE * PERIOD
        flow = _fed(flow, None if missing else weight, RefillPhase.NONE)
        total += flow.flow * PERIOD
    assert total == pytest.approx(5 * 1.05 * RATE * PERIOD, rel=1e-9)


def test_a_spike_of_the_load_cell_is_not_flow_and_a_moved_zero_is_taken_in_time() -> None:
    flow = _fed(FeederFlow(flow=RATE, mean=RATE, expected=RATE), 3.0, RefillPhase.NONE)
    spike = _fed(flow, 3.0 - 0.02, RefillPhase.NONE)
    assert spike.flow == RATE
    back = _fed(spike, 3.0 - 2 * RATE * PERIOD, RefillPhase.NONE)
    assert back.flow == pytest.approx(RATE)
    weight = 3.0 + 0.02
    for _ in range(3):
        weight -= RATE * PERIOD
        flow = _fed(flow, weight, RefillPhase.NONE)
        assert flow.flow == RATE
    assert _fed(flow, weight - RATE * PERIOD, RefillPhase.NONE).flow == pytest.approx(RATE)


def test_refill_is_counted_with_its_usual_overfeed() -> None:
    flow = _fed(FeederFlow(flow=RATE, mean=RATE, expected=RATE), 3.0, RefillPhase.NONE)
    filled = [flow := _fed(flow, None, RefillPhase.ACTIVE) for _ in range(5)]
    assert filled[-1].flow == pytest.approx(1.05 * RATE)
    assert all(f.volumetric for f in filled)
    settling = _fed(flow, 3.5, RefillPhase.SETTLING)
    assert settling.flow == pytest.approx(RATE * (1.0 + 0.05 * exp(-5.0 / 80.0)))


def test_surplus_grows_with_api_and_leaks_with_the_blender() -> None:
    flows = tuple(FeederFlow(flow=f, mean=f, expected=f) for f in (0.6e-3, 5.0e-3, 0.05e-3))
    total = sum(f.flow for f in flows)
    surplus = advance_surplus(0.0, flows, 0, 0.1, PERIOD, 200.0)
    assert surplus == pytest.approx(PERIOD * (0.6e-3 - 0.1 * total), rel=0.03)
    at_ratio = tuple(FeederFlow(flow=f, mean=f, expected=f) for f in (0.5e-3, 4.5e-3))
    later = advance_surplus(surplus, at_ratio, 0, 0.1, PERIOD, 200.0)
    assert later == pytest.approx(surplus * exp(-PERIOD / 200.0))


def test_the_balance_finds_a_constant_disagreement_of_load_cells_and_press() -> None:
    """The press takes 2 % more than it is believed to; the level is held by the right feed."""
    tuning = BalanceTuning(blender_lag=68.0, time_constant=300.0, bias_max=0.05)
    balance = Balance(content=0.3, blended=5e-3, bias=0.0)
    content, blended, believed = 0.3, 5e-3, 5e-3
    for _ in range(2000):
        feed = believed * (1.0 + balance.bias) + (0.3 - balance.content) / 300.0
        blended += (1.0 - exp(-PERIOD / 68.0)) * (feed - blended)
        content += PERIOD * (blended - 1.02 * believed)
        balance = advance_balance(balance, tuning, feed, believed, content, PERIOD)
    assert balance.bias == pytest.approx(0.02, abs=1e-4)
    assert content == pytest.approx(0.3, abs=1e-3)


# tuning


def test_gains_as_configured_have_the_margins_of_a_careful_tuner(
    line: ResolvedLine, config: PidConfig
) -> None:
    """Gain margin at least 2, phase margin at least 35 degrees, process gains 50 % off included."""
    level = level_margins(linearise(line), line, config, PERIOD)
    assert level.gain >= 2.0
    assert level.phase >= 35.0
    interval = line.line.instruments.lab_period_s
    for gain in (config.weight_gain, config.strength_gain):
        margins = trim_margins(gain, interval, model_error=1.5)
        assert margins.gain >= 2.0
        assert margins.phase >= 35.0


def test_trim_margins_are_those_of_a_sampled_integrator() -> None:
    """``g / (z - 1)`` becomes unstable at g = 2."""
    assert trim_margins(0.5, 300.0).gain == pytest.approx(4.0, rel=1e-3)


def test_lambda_gain_leaves_the_rest_after_one_interval() -> None:
    assert 1.0 - lambda_gain(300.0, 600.0) == pytest.approx(exp(-0.5))


@pytest.mark.parametrize(("noise", "step"), [(1.0, 0.1), (1.0, 1.0), (0.1, 1.0)])
def test_random_walk_gain_is_the_fixed_point_of_the_filter(noise: float, step: float) -> None:
    variance = 1.0
    gain = 0.0
    for _ in range(2000):
        variance += step**2
        gain = variance / (variance + noise**2)
        variance *= 1.0 - gain
    assert random_walk_gain(noise, step) == pytest.approx(gain, rel=1e-6)


def test_simc_rules_give_stable_loops(line: ResolvedLine, config: PidConfig) -> None:
    gain, integral = simc_level(line, 200.0)
    linear = linearise(line)
    margins = level_margins(
        linear,
        line,
        config.model_copy(update={"level_s": 1.0 / gain, "balance_s": 0.25 * integral}),
        PERIOD,
    )
    assert margins.gain > 2.0
    assert margins.phase > 30.0
    assert 0.005 < surplus_gain(line, PERIOD) < 0.1


# operator


def test_the_operator_inverts_what_two_samples_show(line: ResolvedLine, model: PressModel) -> None:
    samples = [
        (_sample(model, number=n, weight=0.02, strength=-0.2, sample_weight=luck), _point(model))
        for n, luck in ((1, 0.004), (2, -0.004))
    ]
    settings = operator_settings(line, samples, 200e-6, 2.25e6)
    force, thickness = settings[MV.MAIN_FORCE], settings[MV.THICKNESS]
    extent = model.strength_parameters.extent_0
    assert log(model.strength(force, extent) / 2.25e6) == pytest.approx(0.2, abs=1e-9)
    assert log(model.weight(force, thickness) / 200e-6) == pytest.approx(-0.02, abs=1e-9)


def test_the_operator_needs_samples(line: ResolvedLine) -> None:
    with pytest.raises(ValueError, match="at least one sample"):
        operator_settings(line, [], 200e-6, 2.25e6)


def test_the_brain_owns_what_cascade_gives_it(line: ResolvedLine, config: PidConfig) -> None:
    brain = PidBrain(line, config, PERIOD)
    assert brain.name == "pid"
    assert set(brain.manipulated) == {
        MV.TOTAL_FEED,
        MV.API_RATIO,
        MV.MAIN_FORCE,
        MV.THICKNESS,
        MV.TURRET_SPEED,
    }
