"""The press against the survey (press and quality, section 10) and MODELS' reference line."""

from collections.abc import Callable
from dataclasses import replace
from math import pi

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plant_models.line import ResolvedLine
from plant_models.tablet_press import (
    Compaction,
    PressParameters,
    compress_at_fill,
    compress_at_force,
    critical_turret_speed,
    ejection_force,
    fill_depth_for_weight,
    fill_fraction,
    force_at_weight,
    force_gain,
    in_die_density,
    kawakita_density,
    kawakita_pressure,
    powder_flow,
    speed_pressure_scale,
    tablet_weight,
    weight_at_force,
)

AREA = pi * 8e-3**2 / 4.0
SURVEY = Compaction(a=0.7158, scale=11.49e6, critical_density=0.30, true_density=1504.6)
RIGID = PressParameters(
    die_area=AREA,
    diameter=8e-3,
    stations=36,
    compliance=0.0,
    pre_thickness=3.8e-3,
    recovery=0.04,
    critical_speed=50 / 60,
    paddle_speed=1.0,
    fill_loss=0.16,
    fill_loss_power=1.2,
    ejection_0=190.0,
    ejection_pressure=144e6,
    ejection_power=0.8,
    ejection_extent=5e-4,
    extent_0=351.0,
    speed_ref=46.3 / 60,
    rate_sensitivity=0.064,
)
SOFT = replace(RIGID, compliance=15e-9)

# Densities the compaction equation is valid for: rho_c < rho < rho_c / (1 - a) and below solid.
densities = st.floats(0.301, 0.99)
weights = st.floats(150e-6, 215e-6)
settings_m = st.floats(2.6e-3, 3.6e-3)
compliances = st.floats(0.0, 20e-9)


# survey


@pytest.mark.parametrize(
    ("density", "pressure", "force"),
    [(0.80, 79.09, 3.975), (0.85, 108.16, 5.436), (0.90, 155.90, 7.837)],
)
def test_kawakita_pressure(density: float, pressure: float, force: float) -> None:
    """Item 11: MPa, and kN on 8 mm."""
    found = kawakita_pressure(SURVEY, density)
    assert found / 1e6 == pytest.approx(pressure, abs=0.006)
    assert found * AREA / 1e3 == pytest.approx(force, abs=6e-4)


@pytest.mark.parametrize(
    ("gap", "forces"), [(3.0e-3, (5.976, 6.787, 7.780)), (3.1e-3, (4.960, 5.549, 6.246))]
)
def test_force_against_weight_at_a_gap(gap: float, forces: tuple[float, ...]) -> None:
    """Item 12: 196, 200, 204 mg in a rigid machine."""
    for weight, force in zip((196e-6, 200e-6, 204e-6), forces, strict=True):
        found = force_at_weight(RIGID, SURVEY, weight, gap)
        assert found / 1e3 == pytest.approx(force, rel=2e-4)


@pytest.mark.parametrize(
    ("density", "gain"), [(0.70, 3.719), (0.80, 4.730), (0.85, 5.680), (0.90, 7.284)]
)
def test_gain_of_force_on_weight(density: float, gain: float) -> None:
    """Item 13."""
    assert force_gain(SURVEY, density) == pytest.approx(gain, abs=6e-4)


def test_the_survey_makes_80_000_tablets_per_hour() -> None:
    """Feeding and blending, item 19: 20 kg/h of 250 mg are 22.22 tablets/s; 60 s are 1333."""
    speed = 20.0 / 3600.0 / (RIGID.stations * 250e-6)
    assert powder_flow(RIGID, speed, 250e-6) == pytest.approx(20.0 / 3600.0, rel=1e-12)
    per_second = speed * RIGID.stations
    assert (per_second, per_second * 60) == pytest.approx((22.22, 1333.3), rel=3e-4)


# reference line


@pytest.fixture(scope="module")
def nominal(press: PressParameters, blend: Compaction, reference: ResolvedLine) -> dict[str, float]:
    """A 200 mg tablet at the nominal thickness setting."""
    depth = fill_depth_for_weight(press, 200e-6, 1.0 / 480.0)
    tablet = compress_at_fill(press, blend, depth, 3.084e-3, 1.0 / 480.0)
    return {
        "fill_mm": depth * 1e3,
        "main_kn": float(tablet.main_force) / 1e3,
        "pre_kn": float(tablet.pre_force) / 1e3,
        "mpa": float(tablet.pressure) / 1e6,
        "density": float(tablet.in_die_density),
        "porosity": float(tablet.porosity),
        "thickness_mm": float(tablet.thickness) * 1e3,
        "loaded_mm": 3.084 + float(tablet.main_force) * press.compliance * 1e3,
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("fill_mm", 8.29),
        ("main_kn", 7.24),
        ("pre_kn", 3.27),
        ("mpa", 144.0),
        ("density", 0.820),
        ("porosity", 0.212),
        ("thickness_mm", 3.32),
        ("loaded_mm", 3.192),
    ],
)
def test_reference_tablet(nominal: dict[str, float], name: str, value: float) -> None:
    """MODELS' reference line within 0.5 %."""
    assert nominal[name] == pytest.approx(value, rel=5e-3)


def test_reference_speed_and_rate(press: PressParameters) -> None:
    """27.8 tablets/s at 46.3 rpm."""
    assert press.speed_ref * 60.0 == pytest.approx(46.3, abs=0.05)
    assert press.speed_ref * press.stations == pytest.approx(27.8, abs=0.05)


def _slope(f: Callable[[float], float], x: float, step: float) -> float:
    return float((f(x + step) - f(x - step)) / (2.0 * step))


def test_reference_gains_of_weight_in_cascade(
    press: PressParameters, blend: Compaction, nominal: dict[str, float]
) -> None:
    """dw/dF 6.31 mg/kN, dw/dh 62.7 mg/mm."""
    force = nominal["main_kn"] * 1e3
    by_force = _slope(lambda f: weight_at_force(press, blend, f, 3.084e-3), force, 10.0)
    by_thickness = _slope(lambda h: weight_at_force(press, blend, force, h), 3.084e-3, 1e-6)
    assert by_force * 1e6 * 1e3 == pytest.approx(6.31, rel=5e-3)
    assert by_thickness * 1e6 * 1e-3 == pytest.approx(62.7, rel=5e-3)


def test_reference_force_gain_at_fixed_setting(
    press: PressParameters, blend: Compaction, nominal: dict[str, float]
) -> None:
    """dlnF/dlnW 4.38 with the machine's compliance; 4.9 at fixed loaded thickness."""
    force = nominal["main_kn"] * 1e3
    slope = _slope(lambda w: force_at_weight(press, blend, w, 3.084e-3), 200e-6, 1e-8)
    assert slope * 200e-6 / force == pytest.approx(4.38, rel=5e-3)
    assert force_gain(blend, nominal["density"]) > 4.38


def test_reference_thickness_move_shifts_the_weight(
    press: PressParameters, blend: Compaction, nominal: dict[str, float]
) -> None:
    """-0.05 mm at constant force by dw/dh 62.7 mg/mm; one permitted move (0.02 mm): 0.6 %."""
    force = nominal["main_kn"] * 1e3
    before = weight_at_force(press, blend, force, 3.084e-3)
    moved = weight_at_force(press, blend, force, 3.034e-3)
    assert moved / before - 1.0 == pytest.approx(-0.05 * 62.7 / 200.0, rel=5e-3)
    permitted = weight_at_force(press, blend, force, 3.064e-3)
    assert 100.0 * (permitted / before - 1.0) == pytest.approx(-0.6, abs=0.05)


def test_reference_softer_powder_shifts_the_weight(
    press: PressParameters, blend: Compaction, nominal: dict[str, float]
) -> None:
    """1/b +10 % at constant force and setting: weight -1.89 %."""
    force = nominal["main_kn"] * 1e3
    harder = replace(blend, scale=1.1 * blend.scale)
    change = weight_at_force(press, harder, force, 3.084e-3) / weight_at_force(
        press, blend, force, 3.084e-3
    )
    assert 100.0 * (change - 1.0) == pytest.approx(-1.89, rel=5e-3)


def test_the_tooling_cap_stays_below_solid_for_any_likely_powder(
    press: PressParameters, blend: Compaction
) -> None:
    """MODELS: up to 14 kN the relative density stays below 0.93 for 1/b within 15 %."""
    for factor in (0.85, 1.0, 1.15):
        c = replace(blend, scale=factor * blend.scale)
        assert kawakita_density(c, 14e3 / press.die_area) < 0.93


# inverses


@given(density=densities)
def test_density_is_found_back_from_its_pressure(density: float) -> None:
    pressure = kawakita_pressure(SURVEY, density)
    assert kawakita_density(SURVEY, pressure) == pytest.approx(density, rel=1e-10)


@given(weight=weights, setting=settings_m, compliance=compliances)
def test_weight_is_found_back_from_its_force(
    weight: float, setting: float, compliance: float
) -> None:
    p = replace(RIGID, compliance=compliance)
    if weight / (SURVEY.true_density * AREA * setting) > 0.999:
        return  # denser than solid in a rigid machine
    force = force_at_weight(p, SURVEY, weight, setting)
    assert weight_at_force(p, SURVEY, force, setting) == pytest.approx(weight, rel=1e-9)


@given(force=st.floats(100.0, 14e3), setting=settings_m, compliance=compliances)
def test_force_is_found_back_from_its_weight(
    force: float, setting: float, compliance: float
) -> None:
    p = replace(RIGID, compliance=compliance)
    weight = weight_at_force(p, SURVEY, force, setting)
    assert force_at_weight(p, SURVEY, weight, setting) == pytest.approx(force, rel=1e-7)


@given(weight=weights, volume=st.floats(1.6e-3, 2.6e-3), fraction=st.floats(0.7, 1.0))
def test_fill_depth_is_found_back_from_its_weight(
    weight: float, volume: float, fraction: float
) -> None:
    depth = fill_depth_for_weight(RIGID, weight, volume, fraction)
    assert tablet_weight(RIGID, depth, volume, fraction) == pytest.approx(weight, rel=1e-12)


@given(weight=weights, setting=st.floats(2.9e-3, 3.6e-3))
def test_both_structures_make_the_same_tablet(weight: float, setting: float) -> None:
    """REMOTE by fill depth, then CASCADE by the force that came out."""
    depth = fill_depth_for_weight(SOFT, weight, 1.0 / 480.0)
    remote = compress_at_fill(SOFT, SURVEY, depth, setting, 1.0 / 480.0)
    cascade = compress_at_force(SOFT, SURVEY, remote.main_force, setting)
    for name in ("weight", "main_force", "pre_force", "pressure", "in_die_density", "thickness"):
        assert getattr(cascade, name) == pytest.approx(getattr(remote, name), rel=1e-8, abs=1e-9)
    assert cascade.porosity == pytest.approx(remote.porosity, abs=1e-8)


@given(weight=weights, setting=st.floats(2.9e-3, 3.6e-3), compliance=compliances)
def test_the_closed_form_solves_the_press_equations(
    weight: float, setting: float, compliance: float
) -> None:
    """(P3), (P4) and (P5) hold together at the force returned."""
    p = replace(RIGID, compliance=compliance)
    force = float(force_at_weight(p, SURVEY, weight, setting))
    loaded = setting + force * p.compliance
    density = in_die_density(p, SURVEY, weight, loaded)
    pressure = float(kawakita_pressure(SURVEY, density))
    assert pressure * AREA == pytest.approx(force, rel=1e-7, abs=1e-6)


# limits and trends


@given(a=weights, b=weights, setting=settings_m, compliance=st.floats(5e-9, 20e-9))
def test_more_powder_never_takes_less_force(
    a: float, b: float, setting: float, compliance: float
) -> None:
    p = replace(RIGID, compliance=compliance)
    light, heavy = sorted((a, b))
    assert (
        0.0
        <= force_at_weight(p, SURVEY, light, setting)
        <= force_at_weight(p, SURVEY, heavy, setting)
    )


@given(weight=weights, a=settings_m, b=settings_m)
def test_a_thinner_setting_never_takes_less_force(weight: float, a: float, b: float) -> None:
    thin, thick = sorted((a, b))
    assert force_at_weight(SOFT, SURVEY, weight, thin) >= force_at_weight(
        SOFT, SURVEY, weight, thick
    )


def test_powder_that_does_not_fill_the_gap_takes_no_force() -> None:
    assert force_at_weight(SOFT, SURVEY, 50e-6, 3.6e-3) == 0.0
    assert kawakita_pressure(SURVEY, 0.2) == 0.0


@given(a=densities, b=densities)
def test_pressure_rises_with_density(a: float, b: float) -> None:
    low, high = sorted((a, b))
    assert 0.0 <= kawakita_pressure(SURVEY, low) <= kawakita_pressure(SURVEY, high)


@given(pressure=st.floats(0.0, 1e12))
def test_density_never_leaves_the_validity_range(pressure: float) -> None:
    density = kawakita_density(SURVEY, pressure)
    assert SURVEY.critical_density <= density
    assert density <= SURVEY.critical_density / (1.0 - SURVEY.a) * (1.0 + 1e-12)


@given(force=st.floats(100.0, 14e3), setting=settings_m)
def test_porosity_and_thickness_follow_from_the_recovery(force: float, setting: float) -> None:
    """(P7): the solid in the tablet is the solid in the die."""
    tablet = compress_at_force(SOFT, SURVEY, force, setting)
    solid = tablet.weight / SURVEY.true_density
    assert (1.0 - tablet.porosity) * tablet.thickness * AREA == pytest.approx(solid, rel=1e-12)
    assert tablet.thickness > setting + force * SOFT.compliance


@given(a=st.floats(100.0, 14e3), b=st.floats(100.0, 14e3), setting=settings_m)
def test_more_force_means_less_porosity(a: float, b: float, setting: float) -> None:
    low, high = sorted((a, b))
    assert (
        compress_at_force(SOFT, SURVEY, high, setting).porosity
        <= compress_at_force(SOFT, SURVEY, low, setting).porosity
    )


@given(force=st.floats(100.0, 14e3), a=settings_m, b=settings_m)
def test_the_force_alone_fixes_the_density(force: float, a: float, b: float) -> None:
    """Hence dsigma/dh is 0 at constant force."""
    assert compress_at_force(SOFT, SURVEY, force, a).porosity == pytest.approx(
        compress_at_force(SOFT, SURVEY, force, b).porosity, abs=1e-12
    )


@given(turret=st.floats(0.0, 50 / 60), paddle=st.floats(1.0, 2.0))
def test_dies_fill_completely_below_the_critical_speed(turret: float, paddle: float) -> None:
    assert fill_fraction(RIGID, turret, paddle) == pytest.approx(1.0, abs=1e-12)


@given(a=st.floats(0.3, 1.3), b=st.floats(0.3, 1.3), paddle=st.floats(0.5, 2.0))
def test_filling_falls_with_turret_speed(a: float, b: float, paddle: float) -> None:
    slow, fast = sorted((a, b))
    assert fill_fraction(RIGID, fast, paddle) <= fill_fraction(RIGID, slow, paddle) <= 1.0


@given(turret=st.floats(0.3, 1.3), a=st.floats(0.5, 2.0), b=st.floats(0.5, 2.0))
def test_filling_rises_with_paddle_speed(turret: float, a: float, b: float) -> None:
    slow, fast = sorted((a, b))
    assert fill_fraction(RIGID, turret, slow) <= fill_fraction(RIGID, turret, fast)


def test_critical_speed_of_the_reference_press(press: PressParameters) -> None:
    """50 rpm at 60 rpm paddle, proportional; 10 rpm above it 0.12 % x 10^1.2 are missing."""
    assert critical_turret_speed(press, 1.0) * 60.0 == pytest.approx(50.0)
    assert critical_turret_speed(press, 0.5) * 60.0 == pytest.approx(25.0)
    missing = 1.0 - fill_fraction(press, 60 / 60, 1.0)
    assert missing == pytest.approx(0.0012 * 10.0**1.2, rel=1e-9)


@given(a=st.floats(0.0, 300e6), b=st.floats(0.0, 300e6), extent=st.floats(0.0, 2000.0))
def test_ejection_force_rises_with_pressure(a: float, b: float, extent: float) -> None:
    low, high = sorted((a, b))
    assert 0.0 < ejection_force(RIGID, low, extent) <= ejection_force(RIGID, high, extent)


@given(pressure=st.floats(1e6, 300e6), a=st.floats(0.0, 2000.0), b=st.floats(0.0, 2000.0))
def test_ejection_force_falls_with_lubrication(pressure: float, a: float, b: float) -> None:
    low, high = sorted((a, b))
    assert ejection_force(RIGID, pressure, high) <= ejection_force(RIGID, pressure, low)


def test_ejection_force_at_the_nominal_point(press: PressParameters) -> None:
    """MODELS: about 190 N."""
    assert ejection_force(press, 144e6, press.extent_0) == pytest.approx(190.0, rel=1e-12)


@given(a=st.floats(0.3, 1.3), b=st.floats(0.3, 1.3))
def test_powder_resists_more_when_pressed_faster(a: float, b: float) -> None:
    slow, fast = sorted((a, b))
    assert speed_pressure_scale(RIGID, 1.0, slow) <= speed_pressure_scale(RIGID, 1.0, fast)


def test_a_decade_of_speed_adds_the_configured_share() -> None:
    assert speed_pressure_scale(RIGID, 20e6, RIGID.speed_ref) == pytest.approx(20e6, rel=1e-14)
    assert speed_pressure_scale(RIGID, 20e6, 10.0 * RIGID.speed_ref) == pytest.approx(
        20e6 * 1.064, rel=1e-12
    )


def test_stations_are_computed_together_as_one_by_one() -> None:
    """Arrays over tablets, as the simulated press uses them."""
    rng = np.random.default_rng(1)
    depths = 8.29e-3 * (1.0 + 0.01 * rng.standard_normal(36))
    together = compress_at_fill(SOFT, SURVEY, depths, 3.1e-3, 1.0 / 480.0)
    for i, depth in enumerate(depths):
        alone = compress_at_fill(SOFT, SURVEY, float(depth), 3.1e-3, 1.0 / 480.0)
        assert together.main_force[i] == pytest.approx(float(alone.main_force), rel=1e-14)
        assert together.porosity[i] == pytest.approx(float(alone.porosity), rel=1e-14)
