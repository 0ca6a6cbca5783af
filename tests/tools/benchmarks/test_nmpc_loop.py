"""The loop in which solvers are compared: the same for all, and scored by one rule."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from controller.data import Array
from controller.optimisation.problem import Grid, OcpProblem, objective
from controller.twin.core import OUTPUTS
from tools.benchmarks.nmpc_loop import loop_cost, run_loop
from tools.benchmarks.nmpc_measure import measure_nmpc
from tools.benchmarks.nmpc_ours import OursWithScenarios
from tools.benchmarks.nmpc_problem import Case
from tools.benchmarks.speed_child import Reporter

CASE = Case(stages=60)
NUMBER = {name: i for i, name in enumerate(OUTPUTS)}


@dataclass
class Stub:
    """Decides what it is told to; remembers what it was asked."""

    change: float = 0.0
    grid: Grid = CASE.dense
    status: str = "stub"
    iterations: int = 3
    settings: dict[str, Any] = field(default_factory=dict)
    asked: list[OcpProblem] = field(default_factory=list)

    def decide(self, problem: OcpProblem) -> Array:
        self.asked.append(problem)
        return problem.previous * (1.0 + self.change)


def test_a_shorter_loop_is_the_beginning_of_a_longer_one() -> None:
    short, long = run_loop(CASE, Stub(), 4), run_loop(CASE, Stub(), 7)
    np.testing.assert_array_equal(short.y, long.y[:4])
    np.testing.assert_array_equal(short.cost, long.cost[:4])


def test_everyone_meets_the_same_noise_whatever_is_decided() -> None:
    """Told parameters do not depend on the moves; another seed gives others."""
    a, b, c = Stub(), Stub(change=0.002), Stub()
    run_loop(CASE, a, 5)
    run_loop(CASE, b, 5)
    run_loop(CASE, c, 5, seed=2)
    for one, two, other in zip(a.asked, b.asked, c.asked, strict=True):
        np.testing.assert_array_equal(one.p, two.p)
        assert not np.array_equal(one.p, other.p)


def test_what_breaks_a_rate_or_is_no_number_is_not_taken() -> None:
    f = CASE.factory
    wild = run_loop(CASE, Stub(change=0.5), 3)
    steps = np.diff(wild.moves, axis=0, prepend=CASE.nominal[None, :])
    assert np.all(np.abs(steps) <= f.rate * (1.0 + 1e-9))
    lost = run_loop(CASE, Stub(change=np.nan), 3)
    np.testing.assert_array_equal(lost.moves, np.tile(CASE.nominal, (3, 1)))
    assert (lost.verdicts, lost.iterations) == (("stub",) * 3, (3,) * 3)


def test_the_cost_of_a_way_is_the_objective_of_the_plan_that_goes_it() -> None:
    """(N1) over 60 steps with constant set points, zones violated, is (O1)."""
    rng, calm = np.random.default_rng(1), Case(stages=60)
    y = np.zeros((60, len(OUTPUTS)))
    y[:, NUMBER["level"]] = 0.5 + 0.2 * rng.uniform(-1.0, 1.0, 60)
    y[:, NUMBER["thickness"]] = 3.3e-3
    y[:, NUMBER["lubricant"]] = 0.01
    y[:, NUMBER["potency"]] = 1.0 + 0.01 * rng.standard_normal(60)
    moves = calm.nominal * (1.0 + 0.001 * rng.standard_normal((60, calm.nominal.size)))
    x, p = calm.rest(), np.zeros(13)
    problem = calm.problem(calm.dense, 0, x, p, calm.nominal)
    goals = np.array([calm.references(k) for k in range(60)])
    shifted = y.copy()  # the script's set points move: the outputs move with them
    tracked = [NUMBER[n] for n in ("potency", "log_weight", "log_strength", "throughput", "level")]
    shifted[:, tracked] += goals - goals[0]
    level = NUMBER["level"]
    assert np.array_equal(shifted[:, level], y[:, level])
    assert loop_cost(calm, shifted, moves)[-1] == pytest.approx(objective(problem, y.T, moves))


def test_a_refill_is_announced_and_a_set_point_is_not() -> None:
    first = CASE.problem(CASE.dense, 0, CASE.rest(), np.zeros(13), CASE.nominal)
    assert first.known[:3:3].max() == 0.0 and first.known[3].max() == 1.0
    assert CASE.references(2)[3] > CASE.references(1)[3]


def test_a_plan_for_scenarios_takes_draws_from_the_estimate() -> None:
    short = Case(stages=8)
    contestant = OursWithScenarios(short, short.blocked, None)
    found = run_loop(short, contestant, 2)
    assert set(found.verdicts) == {"fast solver"}
    assert contestant.settings["scenarios"] == 8
    assert not np.array_equal(found.moves, run_loop(short, Stub(), 2).moves)


def test_a_measuring_process_reports_plain_data() -> None:
    sent: list[dict[str, Any]] = []
    found = measure_nmpc(Reporter(0.0, sent.append), "ours", 3, "", stages=8)
    assert len(found["ms"]) == len(found["cpu_ms"]) == len(found["cost"]) == len(sent) == 3
    assert found["verdicts"] == {"fast solver": 3}
    assert found["settings"]["nodes"] == [0, 1, 2, 3, 4, 6]
    with pytest.raises(ValueError, match="no such solver"):
        measure_nmpc(Reporter(0.0, sent.append), "nonsense", 1, "")
