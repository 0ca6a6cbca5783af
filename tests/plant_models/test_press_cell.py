"""One product on one press: the force of a fill, for numbers, arrays and symbols."""

from dataclasses import replace
from math import exp, pi

import casadi as ca
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plant_models.press_cell import (
    Law,
    PressCell,
    force_sensitivity,
    main_force,
    relative_density,
    tablet_weight,
    weight_at_force,
)
from plant_models.tablet_press import Compaction, kawakita_pressure

AREA = pi * 8.1e-3**2 / 4.0
# The survey's press 7.2 (226 mg, 8.1 mm, fill 6.45 mm, band 1.95 mm) with its MCC of 2.5.
KAWAKITA = PressCell(
    law="kawakita",
    die_area=AREA,
    cup_height=1.0e-3,
    compliance=12e-9,
    true_density=1500.0,
    bulk_density=226e-6 / (6.45e-3 * AREA),
    a=0.716,
    scale=11.5e6,
    critical_density=0.30,
    heckel_slope=1.0 / 93.6e6,
    heckel_intercept=0.657,
    speed_sensitivity=0.1,
    rate_ref=30.0,
)
HECKEL = replace(KAWAKITA, law="heckel")
CELLS = {"kawakita": KAWAKITA, "heckel": HECKEL}
BAND = 1.95e-3

laws = st.sampled_from(sorted(CELLS))
fills = st.floats(5.2e-3, 8.0e-3)
bands = st.floats(1.6e-3, 2.4e-3)
logs = st.floats(-0.1, 0.1)
rates = st.floats(5.0, 80.0)


@given(laws, fills, bands, logs, rates)
def test_the_force_obeys_the_law_at_the_density_it_makes(
    law: Law, fill: float, band: float, log_volume: float, rate: float
) -> None:
    cell = CELLS[law]
    force = main_force(cell, fill, band, log_volume, rate)
    height = band + cell.cup_height + cell.compliance * force
    density = tablet_weight(cell, fill, log_volume) / (cell.true_density * AREA * height)
    stretch = 1.0 + cell.speed_sensitivity * np.log10(rate / cell.rate_ref)
    if law == "kawakita":
        powder = Compaction(
            a=cell.a,
            scale=cell.scale * stretch,
            critical_density=cell.critical_density,
            true_density=cell.true_density,
        )
        assert force / AREA == pytest.approx(kawakita_pressure(powder, density), rel=1e-7)
    elif force > 0.0:
        wanted = cell.heckel_slope / stretch * force / AREA + cell.heckel_intercept
        assert density == pytest.approx(1.0 - exp(-wanted), rel=1e-9)
    else:
        assert density <= 1.0 - exp(-cell.heckel_intercept)


@pytest.mark.parametrize("law", sorted(CELLS))
def test_the_force_rises_with_fill_falls_with_band_and_is_zero_in_an_unfilled_gap(
    law: str,
) -> None:
    cell = CELLS[law]
    fill = np.linspace(0.5e-3, 10e-3, 400)
    force = main_force(cell, fill, BAND)
    pressed = force > 0.0
    assert force[0] == 0.0
    assert np.all(np.diff(pressed.astype(int)) >= 0)
    assert np.all(np.diff(force[pressed]) > 0.0)
    against_band = main_force(cell, 6.45e-3, np.linspace(1.0e-3, 10.0e-3, 400))
    assert np.all(np.diff(against_band[against_band > 0.0]) < 0.0)
    assert against_band[-1] == 0.0
    assert np.all(np.isfinite(force))


@pytest.mark.parametrize("law", sorted(CELLS))
def test_symbols_give_what_numbers_give_and_the_slope_too(law: str) -> None:
    cell = CELLS[law]
    x = ca.SX.sym("x", 4)
    force = main_force(cell, x[0], x[1], x[2], x[3])
    both = ca.Function("both", [x], [force, ca.jacobian(force, x)])
    at = np.array([6.45e-3, BAND, 0.02, 40.0])
    value, slope = (np.asarray(out).ravel() for out in both(at))
    assert value[0] == pytest.approx(main_force(cell, *at), rel=1e-12)
    for i in range(4):
        step = np.zeros(4)
        step[i] = 1e-5 * at[i]
        rise = main_force(cell, *(at + step)) - main_force(cell, *(at - step))
        assert slope[i] == pytest.approx(rise / (2.0 * step[i]), rel=1e-5)


@pytest.mark.parametrize("law", sorted(CELLS))
@pytest.mark.parametrize("fill", [0.0, 6.45e-3, 20e-3])
@pytest.mark.parametrize("rate", [0.0, 40.0])
def test_slopes_are_finite_wherever_an_estimator_may_look(
    law: str, fill: float, rate: float
) -> None:
    x = ca.SX.sym("x", 3)
    force = main_force(CELLS[law], x[0], x[1], x[2], rate)
    slope = ca.Function("slope", [x], [ca.gradient(force, x)])
    assert np.all(np.isfinite(np.asarray(slope([fill, BAND, 0.0]))))


def test_log_volume_is_weight_and_so_is_the_offset_of_the_fill() -> None:
    cell = replace(KAWAKITA, lower_cup=0.5e-3)
    assert tablet_weight(KAWAKITA, 6.45e-3) == pytest.approx(226e-6)
    assert tablet_weight(KAWAKITA, 6.45e-3, 0.01) == pytest.approx(226e-6 * np.exp(-0.01))
    assert tablet_weight(cell, 5.95e-3) == pytest.approx(226e-6)


def test_without_a_rate_it_is_the_reference_rate() -> None:
    for cell in CELLS.values():
        assert main_force(cell, 6.45e-3, BAND) == main_force(cell, 6.45e-3, BAND, 0.0, 30.0)
        assert main_force(cell, 6.45e-3, BAND) < main_force(cell, 6.45e-3, BAND, 0.0, 60.0)


@given(laws, fills, bands, logs, rates)
def test_weight_and_density_at_a_force_are_those_that_take_it(
    law: Law, fill: float, band: float, log_volume: float, rate: float
) -> None:
    cell = CELLS[law]
    force = main_force(cell, fill, band, log_volume, rate)
    if force == 0.0:
        return
    weight = tablet_weight(cell, fill, log_volume)
    assert weight_at_force(cell, force, band, rate) == pytest.approx(weight, rel=1e-9)
    solid = weight / (cell.true_density * AREA)
    height = band + cell.cup_height + cell.compliance * force
    assert relative_density(cell, force, rate) == pytest.approx(solid / height, rel=1e-9)


@pytest.mark.parametrize("law", sorted(CELLS))
def test_the_sensitivity_is_the_slope_in_logarithms(law: str) -> None:
    cell = CELLS[law]
    force = main_force(cell, 6.45e-3, BAND, 0.0, 40.0)
    more, less = (main_force(cell, 6.45e-3, BAND, v, 40.0) for v in (-1e-5, 1e-5))
    slope = (np.log(more) - np.log(less)) / 2e-5
    assert force_sensitivity(cell, force, BAND, 40.0) == pytest.approx(slope, rel=1e-6)
