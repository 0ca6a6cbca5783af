"""Quality attributes against the survey and MODELS' reference line."""

from dataclasses import replace
from math import pi

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plant_models.line import ResolvedLine, nominal_extent, strength
from plant_models.quality import (
    StrengthParameters,
    assay,
    breaking_force,
    heckel_density,
    lubrication_factor,
    porosity_for_strength,
    potency,
    tensile_strength,
    tensile_strength_from_breaking_force,
    weibull_dissolved,
)
from plant_models.tablet_press import (
    Compaction,
    PressParameters,
    compress_at_force,
    force_at_weight,
)

PURE_MCC = StrengthParameters(sigma_0=35.7e6, k=7.06, beta=0.0, gamma=0.0, extent_0=0.0)
LUBRICATED = replace(PURE_MCC, beta=0.35, gamma=0.003, extent_0=351.0)

extents = st.floats(0.0, 5000.0)
porosities = st.floats(0.0, 0.6)


# survey


def test_strength_from_a_production_batch() -> None:
    """Item 6: batch 1, 46 N, 6.1 mm, 3.4 mm; the file's 1.412698 MPa uses pi = 3.14."""
    found = tensile_strength_from_breaking_force(46.0, 6.1e-3, 3.4e-3)
    assert found / 1e6 == pytest.approx(1.41198, abs=5e-6)
    assert found / 1e6 * pi / 3.14 == pytest.approx(1.412698, abs=1e-6)


def test_fell_and_newton() -> None:
    """Item 7: 100 N, 8 x 3 mm."""
    found = tensile_strength_from_breaking_force(100.0, 8e-3, 3e-3)
    assert found / 1e6 == pytest.approx(2.6526, abs=5e-5)


@pytest.mark.parametrize(
    ("porosity", "strength_mpa"), [(0.10, 17.62), (0.15, 12.38), (0.20, 8.70), (0.30, 4.29)]
)
def test_ryshkewitch(porosity: float, strength_mpa: float) -> None:
    """Item 16."""
    assert tensile_strength(PURE_MCC, porosity, 0.0) / 1e6 == pytest.approx(strength_mpa, abs=0.006)


@pytest.mark.parametrize(
    ("pressure", "density"), [(50.0, 0.6961), (100.0, 0.8219), (150.0, 0.8956), (200.0, 0.9388)]
)
def test_heckel(pressure: float, density: float) -> None:
    """Item 14."""
    assert heckel_density(pressure * 1e6, 93.6e6, 0.657) == pytest.approx(density, abs=6e-5)


@given(shape=st.floats(0.2, 5.0), time_63=st.floats(1.0, 1e4))
def test_weibull_time_is_where_63_percent_are_dissolved(shape: float, time_63: float) -> None:
    """Item 19."""
    assert weibull_dissolved(time_63, time_63, shape) == pytest.approx(0.63212, abs=1e-5)


def test_mildly_lubricated_mcc_keeps_its_measured_share() -> None:
    """Item 10: 8.12 / 8.69 MPa = 0.934 +- 0.02, as the floor 1 - beta of (Q2)."""
    mild = replace(PURE_MCC, beta=0.066, gamma=0.01)
    assert lubrication_factor(mild, 1e6) == pytest.approx(8.12 / 8.69, abs=0.02)


# reference line


@pytest.fixture(scope="module")
def parameters(reference: ResolvedLine) -> StrengthParameters:
    return strength(reference.blend, nominal_extent(reference))


@pytest.fixture(scope="module")
def nominal_force(press: PressParameters, blend: Compaction) -> float:
    return float(force_at_weight(press, blend, 200e-6, 3.084e-3))


def test_reference_extent(reference: ResolvedLine) -> None:
    """351 revolutions."""
    assert nominal_extent(reference) == pytest.approx(351.0, rel=5e-3)


def test_reference_strength_and_breaking_force(
    press: PressParameters,
    blend: Compaction,
    parameters: StrengthParameters,
    nominal_force: float,
) -> None:
    """2.25 MPa, 94 N."""
    tablet = compress_at_force(press, blend, nominal_force, 3.084e-3)
    sigma = tensile_strength(parameters, tablet.porosity, parameters.extent_0)
    assert sigma / 1e6 == pytest.approx(2.25, rel=5e-3)
    assert breaking_force(sigma, press.diameter, tablet.thickness) == pytest.approx(94.0, rel=5e-3)


def test_reference_gains_of_strength(
    press: PressParameters,
    blend: Compaction,
    parameters: StrengthParameters,
    nominal_force: float,
) -> None:
    """dsigma/dF 0.336 MPa/kN, dsigma/dh 0; at fixed fill dln(sigma)/dln(w) 4.74."""

    def sigma(force: float, setting: float, c: Compaction = blend) -> float:
        tablet = compress_at_force(press, c, force, setting)
        return float(tensile_strength(parameters, tablet.porosity, parameters.extent_0))

    f, h = nominal_force, 3.084e-3
    by_force = (sigma(f + 10.0, h) - sigma(f - 10.0, h)) / 20.0
    assert by_force / 1e6 * 1e3 == pytest.approx(0.336, rel=6e-3)
    assert sigma(f, h - 5e-5) == pytest.approx(sigma(f, h), rel=1e-12)

    def at_fill(weight: float) -> float:
        return sigma(float(force_at_weight(press, blend, weight, h)), h)

    by_weight = (at_fill(200.1e-6) - at_fill(199.9e-6)) / 0.2e-6 * 200e-6 / at_fill(200e-6)
    assert by_weight == pytest.approx(4.74, rel=5e-3)
    harder = replace(blend, scale=1.1 * blend.scale)
    assert sigma(f, h, harder) / sigma(f, h) - 1.0 == pytest.approx(-0.10, rel=0.01)


# inverses, limits, trends


@given(porosity=porosities, extent=extents)
def test_porosity_is_found_back_from_the_strength(porosity: float, extent: float) -> None:
    sigma = tensile_strength(LUBRICATED, porosity, extent)
    assert porosity_for_strength(LUBRICATED, sigma, extent) == pytest.approx(porosity, abs=1e-12)


@given(sigma=st.floats(1e5, 2e7), thickness=st.floats(1e-3, 6e-3))
def test_strength_is_found_back_from_the_breaking_force(sigma: float, thickness: float) -> None:
    force = breaking_force(sigma, 8e-3, thickness)
    assert tensile_strength_from_breaking_force(force, 8e-3, thickness) == pytest.approx(
        sigma, rel=1e-12
    )


@given(a=porosities, b=porosities, extent=extents)
def test_strength_falls_with_porosity(a: float, b: float, extent: float) -> None:
    low, high = sorted((a, b))
    assert tensile_strength(LUBRICATED, high, extent) <= tensile_strength(LUBRICATED, low, extent)


def test_a_solid_without_lubrication_has_its_full_strength() -> None:
    assert tensile_strength(PURE_MCC, 0.0, 1000.0) == pytest.approx(35.7e6, rel=1e-14)


@given(a=extents, b=extents)
def test_lubrication_only_weakens(a: float, b: float) -> None:
    low, high = sorted((a, b))
    assert lubrication_factor(LUBRICATED, high) <= lubrication_factor(LUBRICATED, low)


def test_lubrication_factor_has_its_limits() -> None:
    nominal = 0.65 + 0.35 * 2.718281828459045 ** (-0.003 * 351.0)
    assert lubrication_factor(LUBRICATED, 351.0) == pytest.approx(1.0, rel=1e-14)
    assert lubrication_factor(LUBRICATED, 0.0) == pytest.approx(1.0 / nominal, rel=1e-12)
    assert lubrication_factor(LUBRICATED, 1e9) == pytest.approx(0.65 / nominal, rel=1e-12)


@given(fraction=st.floats(0.0, 0.2), weight=st.floats(150e-6, 250e-6))
def test_assay_is_potency_times_relative_weight(fraction: float, weight: float) -> None:
    label = 20e-6
    found = assay(fraction, weight, label)
    assert found == pytest.approx(potency(fraction, 0.1) * weight / 200e-6, rel=1e-12)


def test_a_tablet_on_target_has_its_label_claim() -> None:
    assert assay(0.10, 200e-6, 20e-6) == pytest.approx(1.0, rel=1e-14)
    assert potency(0.10, 0.10) == 1.0


@given(a=st.floats(0.0, 1e9), b=st.floats(0.0, 1e9))
def test_heckel_density_rises_towards_one(a: float, b: float) -> None:
    low, high = sorted((a, b))
    assert heckel_density(low, 93.6e6, 0.657) <= heckel_density(high, 93.6e6, 0.657) <= 1.0


@given(a=st.floats(0.0, 1e5), b=st.floats(0.0, 1e5), shape=st.floats(0.2, 5.0))
def test_what_is_dissolved_stays_dissolved(a: float, b: float, shape: float) -> None:
    early, late = sorted((a, b))
    first = weibull_dissolved(early, 480.0, shape)
    assert 0.0 <= first <= weibull_dissolved(late, 480.0, shape) <= 1.0
