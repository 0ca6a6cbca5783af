from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from hil.config import LabMissing, NirDrift, Scheduled, TruthConfig
from hil.instruments import Instruments, Readings
from hil.truth import Drives, Truth, TruthOut
from plant_models.line import ResolvedLine
from plant_models.quality import tensile_strength_from_breaking_force
from plant_models.signals import BAD, GOOD, UNCERTAIN
from tests.hil.truth_kit import changed, drives, exact, line, noiseless_line, quiet, scenario

FILLED = {"blender_kg": 0.48, "chute_percent": 50.0, "frame_percent": 100.0}


def _config(base: TruthConfig | None = None, **changes: object) -> TruthConfig:
    return changed(base or quiet(scenario().truth), initial=FILLED, **changes)


def _measured(
    r: ResolvedLine,
    config: TruthConfig,
    settings: list[Drives],
    events: tuple[Scheduled, ...] = (),
    seed: int = 1,
) -> list[tuple[TruthOut, Readings]]:
    truth = Truth(r, config, seed, events)
    instruments = Instruments(r, config, seed, events)
    outs = (truth.step(setting, s) for s, setting in enumerate(settings))
    return [(o, instruments.measure(o)) for o in outs]


def _values(readings: Readings) -> list[object]:
    return [
        *((f.weight, f.flow, f.screw_speed, f.level, f.lot) for f in readings.feeders),
        readings.torque,
        readings.level,
        readings.potency,
        readings.main_force,
        readings.pre_force_rsd,
        readings.fill_depth,
        readings.lab,
        readings.tablet_force.tolist(),
    ]


def test_resumed_instruments_are_identical_bit_for_bit() -> None:
    r, config = line(), changed(scenario("shift").truth, initial=FILLED)
    setting = drives(r)
    truth, whole = Truth(r, config, 4), Instruments(r, config, 4)
    outs = [truth.step(setting, s) for s in range(900)]
    expected = [_values(whole.measure(o)) for o in outs]
    first = Instruments(r, config, 4)
    for o in outs[:450]:
        first.measure(o)
    second = Instruments(r, config, 4)
    second.restore(json.loads(json.dumps(first.state())))
    assert [_values(second.measure(o)) for o in outs[450:]] == expected[450:]


def test_flow_is_the_slope_of_the_weight_with_the_span_error() -> None:
    r = noiseless_line()
    seen = _measured(r, _config(), [drives(r)] * 200)
    out, readings = seen[-1]
    spans = (1.001, 0.998, 1.002)
    sheet = (0.05e-3, 0.2e-3, 0.02e-3)
    for i, window in enumerate((20, 10, 60)):
        sigma = sheet[i] / np.sqrt(window * (window**2 - 1) / 12.0)
        flow = readings.feeders[i].flow
        assert flow.status == GOOD
        assert flow.value == pytest.approx(out.feeders[i].fed * spans[i], abs=4.0 * sigma)


def test_flow_noise_is_what_window_and_load_cell_make_of_it() -> None:
    r = noiseless_line()
    seen = _measured(r, _config(), [drives(r)] * 1200)
    error = [m.feeders[1].flow.value - o.feeders[1].fed * 0.998 for o, m in seen[20:]]
    expected = 0.2e-3 / np.sqrt(10 * 99 / 12.0)
    assert np.std(error) == pytest.approx(expected, rel=0.15)


def test_weight_is_bad_while_refilling_and_flow_frozen_until_released() -> None:
    r = line()
    base = drives(r)
    settings = [base] * 100
    settings += [replace(base, refill=(True, False, False), hold_flow=(True, False, False))] * 25
    settings += [replace(base, hold_flow=(True, False, False))] * 40
    settings += [base] * 5
    readings = [m.feeders[0] for _, m in _measured(r, _config(), settings)]
    assert [m.weight.status for m in readings[99:127:26]] == [GOOD, GOOD]
    assert {m.weight.status for m in readings[100:125]} == {BAD}
    held = {(m.flow.value, m.flow.status) for m in readings[100:165]}
    assert held == {(readings[99].flow.value, UNCERTAIN)}
    assert readings[165].flow.status == GOOD
    assert readings[165].flow.value != readings[99].flow.value


def test_load_cells_are_disturbed_at_their_rate_and_recover() -> None:
    r = noiseless_line()
    config = _config(instruments={"weight_disturbances_per_h": 20.0})
    seen = _measured(r, config, [drives(r)] * 3600)
    error = np.array([m.feeders[1].weight.value - 0.998 * o.feeders[1].content for o, m in seen])
    jumps = np.abs(np.diff(error)) > 2e-3  # ten times the noise: half of all, about
    assert 2 <= jumps.sum() <= 30
    assert np.median(np.abs(error)) < 1.5e-3
    calm = _measured(r, _config(), [drives(r)] * 600)
    error = np.array([m.feeders[1].weight.value - 0.998 * o.feeders[1].content for o, m in calm])
    assert error.std() == pytest.approx(0.2e-3, rel=0.1)


def test_level_reads_volume_not_mass() -> None:
    r = noiseless_line()
    seen = _measured(r, _config(), [drives(r)] * 300)
    read = np.mean([m.level.value for _, m in seen])
    true = np.mean([o.powder.chute_level for o, _ in seen])
    mass = np.mean([o.powder.chute_mass for o, _ in seen])
    assert read == pytest.approx(true, abs=4e-3)
    assert read == pytest.approx(mass / 0.60 / 0.98, rel=0.03)  # bulk density 2 % low


def test_nir_is_late_biased_and_noisy() -> None:
    """A ramp of the API reaches the instrument after its true delay, stamped with the nominal."""
    r = noiseless_line()
    base = drives(r)
    more = replace(base, screw_speed=(base.screw_speed[0] * 1.3, *base.screw_speed[1:]))
    config = _config()
    sheet = changed(r.line.instruments, potency_noise_percent=0.0)
    r = replace(r, line=changed(r.line, instruments=sheet))
    seen = _measured(r, config, [base] * 10 + [more] * 390)
    potency = [o.powder.fractions[0] / 0.10 for o, _ in seen]
    _, last = seen[377]
    drift = 0.01 * 365 / 3600
    assert last.potency.second == 367  # believed; taken at 365, shown 12 s later
    assert last.potency.value == pytest.approx(potency[365] + 0.008 + drift, abs=1e-12)
    assert seen[5][1].potency.status == BAD
    assert [m.potency for _, m in seen[377:382]] == [last.potency] * 5


def test_nir_drift_ramps_and_stays() -> None:
    r = noiseless_line()
    event = NirDrift(event="nir_drift", at=0.0, bias_percent=2.0, over=0.1)
    events = (Scheduled(second=100, duration=200, event=event),)
    nir = Instruments(r, exact(_config()), 1, events)._nir
    assert [nir.bias(s) for s in (100, 200, 300, 900)] == pytest.approx([0.0, 0.01, 0.02, 0.02])


def test_nir_has_outliers_at_their_rate() -> None:
    r = noiseless_line()
    config = _config(instruments={"nir_outlier_percent": 1.0, "nir_outlier_size_percent": 50.0})
    nir = Instruments(r, config, 2)._nir
    powder = Truth(r, config, 2).step(drives(r), 0).powder
    shown = [nir.measure(powder, s).value for s in range(100, 50_000, 5)]
    # a Student-t of 3 degrees of freedom exceeds 0.4 SD in 52 % of cases
    large = np.abs(np.array(shown[10:]) - 1.0 - 0.008 - 0.07) > 0.20
    assert 0.003 < large.mean() < 0.010


def test_forces_are_those_of_the_last_revolution() -> None:
    r = noiseless_line()
    seen = _measured(r, _config(scenario().truth), [drives(r)] * 400)
    ratio = np.array(
        [m.main_force.value / o.press.revolution.main_force for o, m in seen if m.revolution > 0]
    )
    assert ratio.std() == pytest.approx(0.005, rel=0.25)
    out, readings = seen[-1]
    assert readings.main_force_rsd.value == out.press.revolution.main_rsd
    assert readings.tablet_force.size == out.press.tablets.count
    single = readings.tablet_force / out.press.tablets.main_force
    assert np.ptp(single) < 1e-12


def test_forces_are_bad_before_the_first_revolution_and_uncertain_at_standstill() -> None:
    r = line()
    base = drives(r)
    settings = [replace(base, turret_speed=0.0)] * 5 + [base] * 30
    settings += [replace(base, turret_speed=0.0)] * 40
    status = [m.main_force.status for _, m in _measured(r, _config(), settings)]
    assert (status[4], status[30], status[-1]) == (BAD, GOOD, UNCERTAIN)


def test_encoders_see_the_motor_not_the_backlash() -> None:
    r = noiseless_line()
    base = drives(r)
    settings = [base] * 20 + [replace(base, fill_depth=base.fill_depth - 0.05e-3)] * 30
    out, readings = _measured(r, _config(), settings)[-1]
    assert readings.fill_depth.value == pytest.approx(base.fill_depth - 0.05e-3, abs=6e-6)
    assert out.press.fill_depth == pytest.approx(base.fill_depth - 0.05e-3 + 3.75e-6, abs=1e-8)


def test_a_lab_sample_is_tablets_of_its_second_after_the_delay() -> None:
    r = noiseless_line()
    seen = _measured(r, _config(scenario().truth), [drives(r)] * 430)
    assert seen[419][1].lab is None
    lab = seen[420][1].lab
    assert lab is not None
    assert (lab.number, lab.taken, lab.published) == (1, 300, 420)
    tablets = seen[300][0].press.tablets
    assert len(lab.weight) == 10
    nearest = [np.abs(tablets.weight - w).min() for w in lab.weight]
    assert max(nearest) < 4 * 0.2e-6
    strength = tensile_strength_from_breaking_force(
        np.array(lab.force), 8e-3, np.array(lab.thickness)
    )
    error = 3.0 / (np.pi * 8e-3 * 3.3e-3 / 2.0) / 10**0.5 + tablets.strength.std() / 10**0.5
    assert np.mean(strength) == pytest.approx(tablets.strength.mean(), abs=4 * error)


def test_the_lost_sample_of_the_scenario_leaves_a_gap() -> None:
    r = noiseless_line()
    event = LabMissing(event="lab_missing", at=0.0)
    seen = _measured(
        r,
        _config(),
        [drives(r)] * 1400,
        (Scheduled(second=450, duration=0, event=event),),
    )
    taken = {(m.lab.number, m.lab.taken) for _, m in seen if m.lab is not None}
    assert taken == {(1, 300), (3, 900), (4, 1200)}


def test_a_standing_press_gives_no_sample() -> None:
    r = noiseless_line()
    settings = [replace(drives(r), turret_speed=0.0)] * 430
    assert all(m.lab is None for _, m in _measured(r, _config(), settings))


def test_torque_follows_hold_up() -> None:
    r = noiseless_line()
    seen = _measured(r, exact(_config()), [drives(r)] * 300)
    assert np.mean([m.torque.value for _, m in seen[200:]]) == pytest.approx(4.0, rel=0.02)
