from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hil.config import LotChange, Scheduled
from hil.truth import Drives, Truth, TruthOut
from plant_models.blender import closed_vessel_variance
from plant_models.line import nominal_extent
from tests.hil.truth_kit import changed, drives, exact, line, noiseless_line, quiet, run, scenario

FILLED = {"blender_kg": 0.48, "chute_percent": 50.0, "frame_percent": 100.0}


def _stopped(setting: Drives) -> Drives:
    n = len(setting.screw_speed)
    return replace(
        setting,
        screw_speed=(0.0,) * n,
        blender_speed=0.0,
        paddle_speed=0.0,
        turret_speed=0.0,
    )


def _arrays(outs: list[TruthOut]) -> list[list[float]]:
    return [
        [
            *(f.fed for f in o.feeders),
            o.powder.hold_up,
            o.powder.chute_mass,
            o.powder.chute_level,
            o.powder.frame_mass,
            *o.powder.fractions,
            o.powder.extent,
            o.press.fill_depth,
            o.press.revolution.main_force,
            *o.press.tablets.weight.tolist(),
            *o.press.tablets.main_force.tolist(),
            *o.press.tablets.revolution_assay.tolist(),
        ]
        for o in outs
    ]


@pytest.mark.parametrize("seed", [1, 2])
def test_every_component_is_conserved(seed: int) -> None:
    """What the screws fed is in the line or in tablets, to 1e-9 of what passed."""
    r = line()
    truth = Truth(r, scenario("shift").truth, seed)
    start = truth.inventory()
    fed, pressed = np.zeros(3), np.zeros(3)
    setting = drives(r)
    refill = replace(setting, refill=(True, False, True))
    for s in range(1500):
        before = truth._powder.frame_row[:3].copy()
        out = truth.step(refill if 400 <= s < 425 else setting, s)
        fed += [f.fed for f in out.feeders]
        pressed += out.press.taken * before
    assert fed.sum() > 5.0
    assert np.abs(start + fed - pressed - truth.inventory()).max() < 1e-9 * fed.sum()
    assert out.mass == pytest.approx(truth.inventory().sum(), rel=1e-12)


def test_hoppers_lose_what_the_screws_feed_and_gain_what_is_refilled() -> None:
    r = line()
    truth = Truth(r, scenario().truth, 3)
    content = [f.hopper_kg * f.hopper_start_percent / 100.0 for f in r.line.feeders]
    setting = replace(drives(r), refill=(True, True, True))
    for out in run(truth, setting, 20):
        content = [c - f.fed + f.refilled for c, f in zip(content, out.feeders, strict=True)]
    assert [f.content for f in out.feeders] == pytest.approx(content, rel=1e-12)


def test_a_resumed_truth_is_identical_bit_for_bit() -> None:
    r, config = line(), changed(scenario().truth, initial=FILLED)
    setting = drives(r)
    whole = run(Truth(r, config, 5), setting, 300)
    first = Truth(r, config, 5)
    run(first, setting, 150)
    second = Truth(r, config, 5)
    second.restore(json.loads(json.dumps(first.state())))
    assert _arrays(run(second, setting, 150, start=150)) == _arrays(whole[150:])


def test_noise_is_the_same_whatever_the_controller_does() -> None:
    """Two presses at different set points meet the same die-fill scatter."""
    r = noiseless_line()
    config = changed(scenario().truth, initial=FILLED)
    one = Truth(r, config, 4).step(drives(r), 0).press.tablets
    other = Truth(r, config, 4).step(drives(r, thickness=3.2e-3), 0).press.tablets
    assert one.weight.tolist() == other.weight.tolist()
    assert one.main_force.tolist() != other.main_force.tolist()


def test_when_nothing_flows_nothing_moves() -> None:
    r, config = line(), changed(scenario().truth, initial=FILLED)
    truth = Truth(r, config, 1)
    setting = drives(r)
    run(truth, setting, 200)
    run(truth, _stopped(setting), 30, start=200)  # screws and turret run down
    before = json.dumps(truth.state()["powder"])
    outs = run(truth, _stopped(setting), 60, start=230)
    assert json.dumps(truth.state()["powder"]) == before
    assert all(o.press.tablets.count == 0 and o.press.taken == 0.0 for o in outs)


def test_an_exact_plant_settles_at_the_reference_point() -> None:
    """Without mismatch, noise and scatter the truth agrees with MODELS' consistent line."""
    r = noiseless_line()
    truth = Truth(r, changed(exact(scenario().truth), initial=FILLED), 1)
    out = run(truth, drives(r), 900)[-1]
    t = out.press.tablets
    assert t.weight.mean() * 1e6 == pytest.approx(200.0, rel=5e-3)
    assert t.main_force.mean() == pytest.approx(7240.0, rel=2e-2)
    assert t.pre_force.mean() == pytest.approx(3270.0, rel=2e-2)
    assert t.strength.mean() == pytest.approx(2.25e6, rel=2e-2)
    assert t.porosity.mean() == pytest.approx(0.212, abs=0.003)
    assert t.thickness.mean() == pytest.approx(3.32e-3, rel=5e-3)
    assert t.ejection.mean() == pytest.approx(190.0, rel=0.03)
    assert out.powder.hold_up == pytest.approx(0.48, rel=0.01)
    assert out.powder.extent == pytest.approx(nominal_extent(r), rel=0.02)
    assert np.ptp(t.weight) == pytest.approx(0.0, abs=1e-15)
    assert t.assay.mean() == pytest.approx(out.press.potency * t.weight.mean() / 200e-6, rel=1e-9)


def test_the_blender_disperses_with_its_peclet_number() -> None:
    """Mean and variance of a step's passage, against the closed-closed vessel."""
    r = noiseless_line()
    config = changed(exact(scenario().truth), initial=FILLED)
    event = LotChange(event="lot_change", at=0.0, role="filler", lot="F-2", strength_percent=10.0)
    truth = Truth(r, config, 1, (Scheduled(second=300, duration=0, event=event),))
    run(truth, drives(r), 300)
    passed = []
    for s in range(300, 1100):
        truth.step(drives(r), s)
        passed.append(1.0 - (truth._powder._cells[-1, -2] / 10e6 - 1.0) / 0.089)
    left = np.array(passed) - passed[-1]  # the filler's share itself hardly moves
    mean = left.sum() + 0.5
    variance = 2.0 * (np.arange(1, 801) * left).sum() - mean**2
    assert mean == pytest.approx(86.5, rel=0.03)
    assert variance / mean**2 == pytest.approx(closed_vessel_variance(10.0), rel=0.05)


def test_a_new_lot_arrives_with_the_powder_and_not_before() -> None:
    r = noiseless_line()
    config = changed(exact(scenario().truth), initial=FILLED)
    event = LotChange(
        event="lot_change",
        at=0.0,
        role="filler",
        lot="F-0002",
        bulk_density_percent=-6.0,
        pressure_scale_percent=20.0,
    )
    truth = Truth(r, config, 1, (Scheduled(second=300, duration=0, event=event),))
    outs = run(truth, drives(r), 1300)
    assert [o.feeders[1].lot for o in outs[299:301]] == ["F-0001", "F-0002"]
    scale = np.array([o.powder.pressure_scale for o in outs])
    change = (scale - scale[299]) / scale[299]
    assert abs(change[350]) < 1e-6  # still in the chute
    assert change[-1] == pytest.approx(0.89 * 0.20, rel=0.01)
    halfway = int(np.argmax(change > 0.5 * change[-1]))
    assert 160 < halfway - 300 < 220
    volume = outs[-1].powder.specific_volume / outs[299].powder.specific_volume
    assert volume == pytest.approx(1.0 + 0.89 * (480.0 / 491.2) * (1.0 / 0.94 - 1.0), rel=1e-3)
    weight = [float(o.press.tablets.weight.mean()) for o in (outs[299], outs[-1])]
    assert weight[1] / weight[0] == pytest.approx(1.0 / volume, rel=2e-3)


def test_a_full_chute_blocks_the_blender_and_says_so() -> None:
    r = line()
    truth = Truth(r, changed(scenario().truth, initial=FILLED), 1)
    outs = run(truth, drives(r, turret_speed=0.0), 300)
    assert not outs[10].powder.overflow
    assert outs[-1].powder.overflow
    assert outs[-1].powder.chute_level == pytest.approx(1.0, abs=1e-9)
    assert outs[-1].powder.hold_up > 0.7


def test_an_empty_chute_starves_the_dies() -> None:
    r = noiseless_line()
    truth = Truth(r, changed(exact(scenario().truth), initial=FILLED), 1)
    outs = run(truth, replace(drives(r), screw_speed=(0.0, 0.0, 0.0)), 600)
    starved = [o for o in outs if o.powder.starved and o.press.tablets.count]
    assert starved[0].powder.chute_mass == 0.0
    assert starved[-1].press.tablets.weight.mean() < 0.1 * outs[0].press.tablets.weight.mean()
    assert outs[-1].press.tablets.count == 0  # an empty die makes no tablet
    assert outs[-1].powder.frame_mass > 0.0


def test_refill_makes_the_feeder_overfeed_and_the_surplus_decays() -> None:
    r = noiseless_line()
    truth = Truth(r, exact(scenario().truth), 1)
    setting = drives(r)
    before = run(truth, setting, 60)[-1].feeders[0]
    after = run(truth, replace(setting, refill=(True, False, False)), 25, 60)[-1].feeders[0]
    late = run(truth, setting, 160, 85)[-1].feeders[0]
    assert after.content - before.content == pytest.approx(0.5, abs=0.02)
    assert after.fed / before.fed == pytest.approx(1.05, rel=0.005)
    assert late.fed / before.fed == pytest.approx(1.0 + 0.05 * np.exp(-2.0), rel=0.005)


def test_flow_noise_has_the_configured_size() -> None:
    r = line()
    truth = Truth(r, quiet(scenario().truth), 8)
    outs = run(truth, drives(r), 1500)[60:]
    for i, feeder in enumerate(r.line.feeders):
        fed = np.array([o.feeders[i].fed for o in outs])
        trend = np.polyval(np.polyfit(np.arange(fed.size), fed, 2), np.arange(fed.size))
        rsd = 100.0 * np.std(fed / trend)
        assert rsd == pytest.approx(feeder.flow_noise_percent, rel=0.12)


def test_single_tablets_scatter_as_configured() -> None:
    """Weight 0.97 %; force from weight and punches together, with the same stations odd again."""
    r = noiseless_line()
    config = changed(
        scenario().truth,
        initial=FILLED,
        press={"density_fast_percent": 0.0, "density_slow_percent": 0.0},
    )
    truth = Truth(r, config, 6)
    run(truth, drives(r), 300)
    tablets = [o.press.tablets for o in run(truth, drives(r), 60, 300)]
    weight = np.concatenate([t.weight for t in tablets])
    force = np.concatenate([t.main_force for t in tablets])
    station = np.concatenate([t.station for t in tablets])
    rsd = 100.0 * weight.std() / weight.mean()
    assert rsd == pytest.approx(0.97, rel=0.06)
    gain = np.polyfit(weight / weight.mean(), force / force.mean(), 1)[0]
    rest = force / force.mean() - gain * (weight / weight.mean() - 1.0)
    assert gain == pytest.approx(4.4, rel=0.06)
    assert 100.0 * rest.std() == pytest.approx(1.2, rel=0.08)
    persistent = np.array([rest[station == i].mean() for i in range(36)])
    assert 100.0 * persistent.std() == pytest.approx(1.2 * 0.5**0.5, rel=0.15)


def test_a_fast_turret_fills_less_and_scatters_more() -> None:
    r = noiseless_line()
    config = changed(quiet(scenario().truth), initial=FILLED, press={"weight_rsd_percent": 0.97})
    weights = {}
    for rpm in (48.0, 65.0):
        truth = Truth(r, config, 2)
        outs = run(truth, drives(r, turret_speed=rpm / 60.0), 40)[15:]
        weights[rpm] = np.concatenate([o.press.tablets.weight for o in outs])
    assert weights[65.0].mean() / weights[48.0].mean() == pytest.approx(
        1.0 - 0.0012 * 15.0**1.2, rel=2e-3
    )
    rsd = {k: w.std() / w.mean() for k, w in weights.items()}
    assert rsd[65.0] / rsd[48.0] == pytest.approx(1.0 + 0.03 * 15.0, rel=0.12)


def test_strain_rate_stiffens_the_powder_by_decades() -> None:
    r = noiseless_line()
    config = changed(
        exact(scenario().truth), initial=FILLED, press={"strain_rate_percent_per_decade": 6.4}
    )
    force = {}
    for rpm in (46.3, 25.0):
        out = run(Truth(r, config, 1), drives(r, turret_speed=rpm / 60.0), 40)[-1]
        force[rpm] = float(out.press.tablets.main_force.mean())
    share = np.log(force[46.3] / force[25.0]) / np.log10(46.3 / 25.0)
    assert 0.03 < share < 0.064  # less than 6.4 % per decade: the machine gives way


def test_revolution_means_are_those_of_its_tablets() -> None:
    r = line()
    truth = Truth(r, changed(scenario().truth, initial=FILLED), 1)
    outs = run(truth, drives(r), 60)
    force = np.concatenate([o.press.tablets.main_force for o in outs])
    assay = np.concatenate([o.press.tablets.assay for o in outs])
    mean_assay = np.concatenate([o.press.tablets.revolution_assay for o in outs])
    turn = outs[-1].press.revolution
    own = force[36 * (turn.number - 1) : 36 * turn.number]
    assert turn.number == force.size // 36
    assert turn.main_force == pytest.approx(own.mean(), rel=1e-12)
    assert turn.main_rsd == pytest.approx(own.std() / own.mean(), rel=1e-9)
    assert mean_assay[10] == pytest.approx(assay[:11].mean(), rel=1e-12)
    assert mean_assay[500] == pytest.approx(assay[465:501].mean(), rel=1e-12)


@settings(max_examples=15)
@given(
    screws=st.tuples(*[st.floats(0.0, 2.0)] * 3),
    turret=st.floats(0.0, 1.25),
    blender=st.floats(0.0, 6.0),
    fill=st.floats(5e-3, 12e-3),
    thickness=st.floats(2.6e-3, 3.6e-3),
)
def test_whatever_is_set_masses_stay_real(
    screws: tuple[float, float, float],
    turret: float,
    blender: float,
    fill: float,
    thickness: float,
) -> None:
    r = line()
    truth = Truth(r, scenario("shift").truth, 1)
    start = truth.inventory().sum()
    setting = drives(
        r,
        screw_speed=screws,
        turret_speed=turret,
        blender_speed=blender,
        fill_depth=fill,
        thickness=thickness,
    )
    outs = run(truth, setting, 40)
    fed = sum(f.fed for o in outs for f in o.feeders)
    taken = sum(o.press.taken for o in outs)
    assert truth.inventory().sum() == pytest.approx(start + fed - taken, rel=1e-9)
    for o in outs:
        p = o.powder
        assert min(p.hold_up, p.frame_mass, p.chute_mass, *p.fractions) >= -1e-15
        assert sum(p.fractions) == pytest.approx(1.0, abs=1e-9)
        assert p.chute_level <= 1.0 + 1e-9
        assert np.isfinite(o.press.tablets.main_force).all()
