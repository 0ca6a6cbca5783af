"""Compaction work: the closed form is the integral of force over path, and agrees with a survey."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad

from plant_models.tablet_press import Compaction, compaction_work, kawakita_pressure

REFERENCE = Compaction(a=0.70, scale=20e6, critical_density=0.316, true_density=1520.0)
AREA = 50.27e-6


@given(
    st.floats(0.4, 0.92),
    st.floats(50e-6, 500e-6),
    st.floats(5e6, 60e6),
    st.floats(0.68, 0.85),
    st.floats(0.25, 0.35),
)
def test_it_is_the_integral_of_the_force_over_the_way_of_the_punch(
    density: float, weight: float, scale: float, a: float, critical: float
) -> None:
    """Whatever the die: its area cancels."""
    c = replace(REFERENCE, scale=scale, a=a, critical_density=critical)
    if density >= 0.98 * critical / (1.0 - a):
        density = 0.98 * critical / (1.0 - a)

    def height(relative: float) -> float:
        return weight / (c.true_density * AREA * relative)

    def force(h: float) -> float:
        return float(kawakita_pressure(c, height(1.0) / h)) * AREA

    work, _ = quad(force, height(density), height(critical), epsrel=1e-10, limit=200)
    assert compaction_work(c, weight, density) == pytest.approx(work, rel=1e-7)


def test_microcrystalline_cellulose_takes_32_joules_per_gram_to_a_density_of_0_9() -> None:
    """The survey's figure for its MCC constants: 31.8 J/g, worked out there independently."""
    mcc = Compaction(a=0.716, scale=11.5e6, critical_density=0.30, true_density=1540.0)
    per_gram = compaction_work(mcc, 200e-6, 0.90) / 200e-6 * 1e-3
    assert per_gram == pytest.approx(31.8, rel=0.03)


def test_the_reference_tablet_takes_a_few_joules_and_the_press_some_hundred_watts() -> None:
    work = float(compaction_work(REFERENCE, 200e-6, 0.82))
    assert 2.0 < work < 8.0
    assert 50.0 < work * 27.8 < 250.0


def test_powder_below_its_critical_density_takes_none() -> None:
    assert compaction_work(REFERENCE, 200e-6, np.array([0.1, 0.316])) == pytest.approx([0.0, 0.0])


@given(st.floats(0.33, 0.95), st.floats(1e-3, 0.05))
def test_denser_always_takes_more(density: float, more: float) -> None:
    less = compaction_work(REFERENCE, 200e-6, density)
    assert compaction_work(REFERENCE, 200e-6, density + more) > less
