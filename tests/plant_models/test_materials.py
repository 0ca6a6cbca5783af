"""Mixing rules and conversions of units."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plant_models.line import ResolvedLine, recipe_fractions
from plant_models.materials import mix_by_mass, mixture_density
from plant_models.units import UNITS, from_si, to_si

densities = st.lists(st.floats(200.0, 3000.0), min_size=1, max_size=6)


@st.composite
def mixtures(draw: st.DrawFn) -> tuple[list[float], list[float]]:
    values = draw(densities)
    parts = draw(st.lists(st.floats(0.01, 1.0), min_size=len(values), max_size=len(values)))
    return [p / sum(parts) for p in parts], values


def test_components_of_the_reference_recipe_give_its_blend(reference: ResolvedLine) -> None:
    """1520 and 480 kg/m3 at 10 / 89 / 1 %."""
    shares = recipe_fractions(reference)
    assert shares == pytest.approx((0.10, 0.89, 0.01))
    true = mixture_density(shares, [c.true_density_kg_m3 for c in reference.components])
    bulk = mixture_density(shares, [c.bulk_density_kg_m3 for c in reference.components])
    assert (true, bulk) == pytest.approx((1520.0, 480.0), rel=1e-3)


@given(mixture=mixtures())
def test_a_mixture_is_neither_lighter_nor_heavier_than_its_components(
    mixture: tuple[list[float], list[float]],
) -> None:
    shares, values = mixture
    density = mixture_density(shares, values)
    assert min(values) * (1 - 1e-12) <= density <= max(values) * (1 + 1e-12)
    mean = mix_by_mass(shares, values)
    assert min(values) * (1 - 1e-12) <= mean <= max(values) * (1 + 1e-12)
    assert density <= mean * (1 + 1e-12)  # harmonic mean below arithmetic mean


@given(mixture=mixtures())
def test_volumes_add(mixture: tuple[list[float], list[float]]) -> None:
    shares, values = mixture
    volumes = [1.0 / v for v in values]
    assert 1.0 / mixture_density(shares, values) == pytest.approx(
        mix_by_mass(shares, volumes), rel=1e-12
    )


@given(first=mixtures(), second=mixtures(), share=st.floats(0.0, 1.0))
def test_mixing_mixtures_is_mixing_their_components(
    first: tuple[list[float], list[float]],
    second: tuple[list[float], list[float]],
    share: float,
) -> None:
    """Hence the specific volume can be carried through the line like a concentration."""
    whole = mixture_density(
        [*(share * x for x in first[0]), *((1.0 - share) * x for x in second[0])],
        [*first[1], *second[1]],
    )
    parts = mixture_density(
        [share, 1.0 - share], [mixture_density(*first), mixture_density(*second)]
    )
    assert whole == pytest.approx(parts, rel=1e-12)


def test_as_many_fractions_as_densities() -> None:
    with pytest.raises(ValueError, match="zip"):
        mixture_density([0.5, 0.5], [1000.0])


@pytest.mark.parametrize(
    ("value", "unit", "si"),
    [
        (20.0, "kg/h", 20.0 / 3600.0),
        (46.3, "rpm", 46.3 / 60.0),
        (200.0, "mg", 200e-6),
        (7.24, "kN", 7240.0),
        (3.084, "mm", 3.084e-3),
        (2.25, "MPa", 2.25e6),
        (100.0, "% of label", 1.0),
        (10.0, "%", 0.1),
        (1.5, "", 1.5),
    ],
)
def test_plant_units_become_si(value: float, unit: str, si: float) -> None:
    assert to_si(value, unit) == pytest.approx(si, rel=1e-14)


@given(value=st.floats(-1e9, 1e9), unit=st.sampled_from(sorted(UNITS)))
def test_conversion_and_back_is_nothing(value: float, unit: str) -> None:
    assert from_si(to_si(value, unit), unit) == pytest.approx(value, rel=1e-14, abs=1e-300)


def test_an_unknown_unit_is_an_error() -> None:
    with pytest.raises(KeyError, match="stone"):
        to_si(1.0, "stone")
