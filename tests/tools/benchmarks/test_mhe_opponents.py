"""The estimators that are compared estimate the same thing from the same readings."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from controller.data import Array
from controller.estimation.mhe import MheProblem, MheSolution, solve
from controller.estimation.window import MEASURED, Window
from controller.twin.core import PARAMETERS
from tools.benchmarks.mhe_dompc import DoMpcMhe
from tools.benchmarks.mhe_loop import measure_mhe, run_estimation
from tools.benchmarks.mhe_ours import OurMhe
from tools.benchmarks.mhe_problem import QUALITY, EstimationCase, quality
from tools.benchmarks.speed_child import Reporter

SAMPLES = 12
COUNT = len(PARAMETERS) - 1


@cache
def case() -> EstimationCase:
    return EstimationCase(None, SAMPLES)


def squares() -> MheProblem:
    """Ours as do-mpc has it: losses are squares, noise is free in every sample."""
    problem = case().problem
    tuning = replace(problem.tuning, dof_measured=1e12, dof_walk=1e12)
    return replace(problem, tuning=tuning, blocks=SAMPLES)


def converged(window: Window) -> MheSolution:
    prior = case().prior
    return solve(
        squares(), window, prior, prior.x, np.repeat(prior.p[:, None], SAMPLES, axis=1), 30
    )


@pytest.fixture(scope="module")
def dompc() -> Iterator[DoMpcMhe]:
    yield DoMpcMhe(case())


@pytest.mark.parametrize("seed", [1, 2])
def test_on_one_window_do_mpc_says_what_ours_says_with_its_losses(
    dompc: DoMpcMhe, seed: int
) -> None:
    """State and parameters at the window's end, to a thousandth of their standard deviations."""
    record = case().record(seed)
    window = record.window(SAMPLES - 1, SAMPLES)
    lab = MEASURED.index("lab_weight")
    window = window.place(5, "lab_weight", float(record.values[lab, 5]), 1.0)
    ours, free = converged(window), case().problem.free
    dompc.begin(window)
    x, p = dompc.last
    sd = np.sqrt(np.diag(ours.cov))
    np.testing.assert_allclose((x - ours.x[:, -1])[free] / sd[: free.size], 0.0, atol=1e-3)
    np.testing.assert_allclose((p - ours.p[:, -1])[:COUNT] / sd[free.size :], 0.0, atol=1e-3)
    assert dompc.status in ("Solve_Succeeded", "Solved_To_Acceptable_Level")
    assert dompc.settings["collocation_deg"] == 2


def test_late_readings_are_known_late_and_then_where_they_belong() -> None:
    record, nir = case().record(3), MEASURED.index("potency")
    last = SAMPLES + 5
    early, later = record.window(last, SAMPLES), record.window(last + 2, SAMPLES)
    assert early.weights[nir, -3:].tolist() == [1.0, 0.0, 0.0]
    assert later.weights[nir, -3] == 1.0
    assert later.values[nir, -3] == record.values[nir, last]
    lab = MEASURED.index("lab_weight")
    assert early.weights[lab].sum() == 0.0


def test_readings_of_a_seed_are_the_same_for_everyone_and_partly_wrong() -> None:
    one, same, other = case().record(1), case().record(1, steps=50), case().record(2)
    np.testing.assert_array_equal(one.values, same.values)
    assert not np.array_equal(one.values, other.values)
    loop = slice(SAMPLES, SAMPLES + 30)
    assert 5 < one.after_gross[loop].sum() < 30
    assert not one.after_lot[SAMPLES]
    assert one.after_lot[SAMPLES + 29]


class Knowing:
    """Says the truth, or misses the weight by so much."""

    status, settings = "knows", dict[str, Any]()

    def __init__(self, off: float = 0.0) -> None:
        self.record, self.at, self.off = case().record(1), SAMPLES - 1, off

    def begin(self, window: Window) -> None:
        assert window.size == SAMPLES

    def estimate(self, window: Window) -> tuple[Array, Array]:
        self.at += 1
        p = self.record.p[:, self.at].copy()
        p[PARAMETERS.index("strength")] += self.off
        return self.record.x[:, self.at], p


def test_who_knows_the_truth_has_no_error() -> None:
    found = run_estimation(case(), Knowing(), 5, 1)
    for errors in found.errors.values():
        np.testing.assert_allclose(errors, 0.0, atol=1e-9)
    wrong = run_estimation(case(), Knowing(0.1), 5, 1)
    true = quality(case().record(1).y[:, SAMPLES : SAMPLES + 5])["tensile_strength_mpa"]
    np.testing.assert_allclose(wrong.errors["tensile_strength_mpa"] / true, np.expm1(0.1))


def test_our_estimator_goes_through_the_loop() -> None:
    found = run_estimation(case(), OurMhe(case()), 4, 1)
    assert set(found.verdicts) == {"finite"}
    assert all(np.all(np.isfinite(e)) for e in found.errors.values())


def test_a_measuring_process_reports_plain_data() -> None:
    found = measure_mhe(Reporter(0.0, lambda _: None), "ours", 2, 1, "", samples=SAMPLES)
    assert set(found["errors"]) == set(QUALITY)
    assert len(found["ms"]) == len(found["after_lot"]) == 2
    assert found["settings"]["samples"] == SAMPLES
    with pytest.raises(ValueError, match="no such estimator"):
        measure_mhe(Reporter(0.0, lambda _: None), "nonsense", 2, 1, "", samples=SAMPLES)
