"""Goals in order of priority: against linear programs solved level by level."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from controller.data import Array
from controller.optimisation.priorities import Goals, Step, prioritised_step

N = 5


def random_goals(seed: int) -> tuple[Goals, Array, Array]:
    """One goal per level, some of them bands, some exact, some without effect; some moves fixed."""
    rng = np.random.default_rng(seed)
    m = int(rng.integers(3, 9))
    a = rng.normal(size=(m, N)) * 10.0 ** rng.uniform(-1.0, 2.0, (m, 1))
    if rng.uniform() < 0.3:
        a[int(rng.integers(m))] = 0.0
    if rng.uniform() < 0.3:
        a[1] = a[0] * rng.uniform(0.5, 2.0)
    middle = rng.normal(size=m) * 10.0 ** rng.uniform(-1.0, 1.0, m)
    half = np.where(rng.uniform(size=m) < 0.5, 0.0, np.abs(rng.normal(size=m)))
    low, high = -rng.uniform(0.0, 1.0, N), rng.uniform(0.0, 1.0, N)
    fixed = rng.uniform(size=N) < 0.25
    low[fixed] = high[fixed] = 0.0
    return Goals(a, middle - half, middle + half, np.arange(m), np.zeros(m)), low, high


def step(goals: Goals, low: Array, high: Array, guess: tuple[int, ...] = ()) -> Step:
    return prioritised_step(goals, low, high, 0.01 * np.eye(N), np.full(N, 0.01), guess)


def settled(goals: Goals, low: Array, high: Array) -> Array:
    """Where a few steps lead, as in an iteration: what each costs in exactness, the next mends."""
    s = np.zeros(N)
    levels: tuple[int, ...] = ()
    for _ in range(4):
        off = goals.a @ s
        there = replace(goals, lo=goals.lo - off, hi=goals.hi - off)
        found = step(there, low - s, high - s, levels)
        assert found.ok
        s, levels = s + found.s, tuple(sorted(found.blocked))
    return s


def excess(goals: Goals, s: Array) -> Array:
    """How far each goal is missed."""
    y = goals.a @ s
    return np.asarray(np.maximum(np.maximum(y - goals.hi, goals.lo - y), 0.0))


def best(goals: Goals, low: Array, high: Array) -> Array:
    """The least excess of each goal, after those before it: linear programs in [s, e]."""
    found: list[float] = []
    for k in range(goals.lo.size):
        slack = np.array(found) + 1e-6
        rows = np.vstack((goals.a[:k], -goals.a[:k]))
        limits = np.concatenate((goals.hi[:k] + slack, -(goals.lo[:k] - slack)))
        rows = np.hstack((rows, np.zeros((2 * k, 1))))
        mine = np.vstack((np.append(goals.a[k], -1.0), np.append(-goals.a[k], -1.0)))
        result = linprog(
            np.append(np.zeros(N), 1.0),
            np.vstack((rows, mine)),
            np.concatenate((limits, [goals.hi[k], -goals.lo[k]])),
            bounds=[*zip(low, high, strict=True), (0.0, None)],
        )
        assert result.status == 0
        found.append(float(result.fun))
    return np.array(found)


@given(st.integers(0, 100_000))
@settings(max_examples=100)
def test_each_goal_is_missed_by_no_more_than_the_ones_before_it_demand(seed: int) -> None:
    goals, low, high = random_goals(seed)
    found = excess(goals, settled(goals, low, high))
    size = np.maximum(np.linalg.norm(goals.a, axis=1), 1.0)
    assert found / size == pytest.approx(best(goals, low, high) / size, abs=3e-3)


@given(st.integers(0, 100_000))
@settings(max_examples=100)
def test_no_bound_is_ever_left(seed: int) -> None:
    goals, low, high = random_goals(seed)
    found = step(goals, low, high)
    assert np.all(found.s >= low - 1e-7) and np.all(found.s <= high + 1e-7)


@given(st.integers(0, 100_000), st.sets(st.integers(0, 8), max_size=3))
@settings(max_examples=60)
def test_a_guess_saves_time_and_changes_nothing(seed: int, guess: set[int]) -> None:
    """Right or wrong."""
    goals, low, high = random_goals(seed)
    known = tuple(k for k in sorted(guess) if k < goals.lo.size)
    one, other = step(goals, low, high), step(goals, low, high, known)
    size = np.maximum(np.linalg.norm(goals.a, axis=1), 1.0)
    assert other.ok
    assert excess(goals, other.s) / size == pytest.approx(excess(goals, one.s) / size, abs=1e-3)


def test_goals_that_can_be_met_leave_the_rest_to_the_objective() -> None:
    goals = Goals(
        np.eye(N)[:2], np.array([0.5, -0.2]), np.array([0.5, 0.2]), np.arange(2), _none(2)
    )
    wide = np.full(N, 1.0)
    found = prioritised_step(goals, -wide, wide, np.eye(N), np.full(N, 0.3))
    assert found.blocked == {}
    assert found.s == pytest.approx([0.5, -0.2, -0.3, -0.3, -0.3], abs=1e-5)


def test_what_stood_in_the_way_is_named() -> None:
    """The first unknown at its upper bound, then the first goal, met from below."""
    a = np.array([[1.0, 0.0, 0.0, 0.0, 0.0], [1.0, 1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0, 0.0]])
    wanted = np.array([2.0, 1.0, 5.0])
    wide = np.full(N, 1.5)
    found = step(Goals(a, wanted, wanted, np.arange(3), _none(3)), -wide, wide)
    assert found.s[:2] == pytest.approx([1.5, -0.5], abs=1e-4)
    assert set(found.blocked) == {0, 2}
    assert list(found.blocked[0][0]) == [1, 0, 0, 0, 0]
    assert found.blocked[2][1][1] == 1


def test_a_relaxed_goal_gives_way_up_to_its_tolerance_for_those_after_it() -> None:
    """It must miss 2 by 1; the next goal would have it miss by 4."""
    a = np.array([[1.0, 0.0, 0.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0, 0.0]])
    wanted, wide = np.array([2.0, -2.0]), np.full(N, 1.0)
    goals = Goals(a, wanted, wanted, np.arange(2), _none(2))
    for tolerance, reached in ((0.0, 1.0), (0.3, 0.7), (0.9, 0.1), (5.0, 0.0)):
        found = step(replace(goals, tolerance=np.array([tolerance, 0.0])), -wide, wide)
        assert found.s[0] == pytest.approx(reached, abs=1e-3)


def test_a_goal_that_answers_to_nothing_is_relaxed_and_named() -> None:
    a = np.vstack((np.zeros(N), np.eye(N)[0]))
    goals = Goals(a, np.array([1.0, 0.3]), np.array([2.0, 0.3]), np.arange(2), _none(2))
    found = step(goals, -np.ones(N), np.ones(N))
    assert found.ok
    assert found.s[0] == pytest.approx(0.3, abs=1e-5)
    assert 0 in found.blocked


def test_with_every_move_fixed_there_is_a_step_of_nothing() -> None:
    goals = Goals(np.eye(N)[:1], np.array([0.3]), np.array([0.3]), np.arange(1), _none(1))
    found = step(goals, np.zeros(N), np.zeros(N))
    assert np.array_equal(found.s, np.zeros(N))
    assert 0 in found.blocked


def _none(m: int) -> Array:
    return np.zeros(m)
