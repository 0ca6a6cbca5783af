from __future__ import annotations

import numpy as np
import pytest

from hil.noise import Arma, Correlated, Noise, Occurrences, arma_variance_ratio

PHI, THETA, NU = (0.9, -0.3), 0.4, 5.0


def test_a_value_depends_on_seed_source_and_second_only() -> None:
    forward, backward = Noise(7), Noise(7)
    seconds = list(range(0, 9000, 37))
    first = {s: float(forward.normal("a", s)[0]) for s in seconds}
    for s in reversed(seconds):
        backward.uniform("other", s)
        assert float(backward.normal("a", s)[0]) == first[s]


@pytest.mark.parametrize("kind", ["normal", "uniform"])
def test_seeds_and_sources_and_kinds_do_not_share_values(kind: str) -> None:
    draw = [getattr(Noise(seed), kind)(name, 5, 8) for seed, name in ((1, "a"), (2, "a"), (1, "b"))]
    assert not np.intersect1d(draw[0], draw[1]).size
    assert not np.intersect1d(draw[0], draw[2]).size


@pytest.mark.parametrize("seed", [-1, 0, 2**63, 2**64 - 1])
def test_any_integer_is_a_seed(seed: int) -> None:
    assert np.isfinite(Noise(seed).normal("a", 0)[0])


def test_there_is_no_noise_before_the_plant_started() -> None:
    with pytest.raises(ValueError, match="second 0"):
        Noise(1).normal("a", -1)


def test_values_drawn_cannot_be_changed_by_who_reads_them() -> None:
    row = Noise(1).normal("a", 0, 4)
    with pytest.raises(ValueError, match="read-only"):
        row[0] = 0.0


def test_distributions_have_the_moments_they_claim() -> None:
    noise = Noise(3)
    normal = np.concatenate([noise.normal("n", s, 40) for s in range(5000)])
    uniform = np.concatenate([noise.uniform("u", s, 40) for s in range(5000)])
    student = np.concatenate([noise.student("t", s, NU, 40) for s in range(5000)])
    assert (normal.mean(), normal.std()) == pytest.approx((0.0, 1.0), abs=0.01)
    assert (uniform.mean(), uniform.std()) == pytest.approx((0.5, 12**-0.5), abs=0.01)
    assert (student.mean(), student.std()) == pytest.approx((0.0, 1.0), abs=0.02)
    assert (np.abs(student) > 5.0).mean() > 20 * (np.abs(normal) > 5.0).mean() + 1e-4


def test_arma_noise_has_variance_one_the_correlation_of_its_form_and_heavy_tails() -> None:
    process = Arma(Noise(11), "flow", PHI, THETA, NU)
    x = np.array([process.step(s) for s in range(60_000)])
    ratio = arma_variance_ratio(PHI, THETA)
    rho_1 = (PHI[0] * ratio + THETA) / ((1.0 - PHI[1]) * ratio)
    assert x.var() == pytest.approx(1.0, rel=0.05)
    assert np.corrcoef(x[:-1], x[1:])[0, 1] == pytest.approx(rho_1, abs=0.02)
    assert (x**4).mean() / x.var() ** 2 > 3.3


def test_correlated_noise_starts_stationary_and_forgets_in_its_time() -> None:
    starts = [Correlated(Noise(seed), "d", 900.0).state() for seed in range(800)]
    assert np.std(starts) == pytest.approx(1.0, abs=0.08)
    process = Correlated(Noise(5), "d", 8.0)
    x = np.array([process.step(s) for s in range(60_000)])
    assert x.std() == pytest.approx(1.0, abs=0.05)
    assert np.corrcoef(x[:-8], x[8:])[0, 1] == pytest.approx(np.exp(-1.0), abs=0.04)


def test_processes_resume_bit_for_bit() -> None:
    one, other = (Arma(Noise(2), "f", PHI, THETA, NU) for _ in range(2))
    slow, slow_2 = (Correlated(Noise(2), "d", 900.0) for _ in range(2))
    for s in range(50):
        one.step(s)
        slow.step(s)
    other.restore(one.state())
    slow_2.restore(slow.state())
    assert [one.step(s) for s in range(50, 99)] == [other.step(s) for s in range(50, 99)]
    assert [slow.step(s) for s in range(50, 99)] == [slow_2.step(s) for s in range(50, 99)]


def test_occurrences_come_at_their_rate() -> None:
    hours = 200
    events = Occurrences(Noise(9), "bump", 0.5)
    count = sum(events.size(s) is not None for s in range(3600 * hours))
    assert count == pytest.approx(0.5 * hours, abs=4 * (0.5 * hours) ** 0.5)
