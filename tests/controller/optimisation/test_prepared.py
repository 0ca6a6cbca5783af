"""Sensitivities made ahead: the first step is as good, and never worse for being out of date."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.config import OptimisationConfig
from controller.data import Mode
from controller.nmpc import NmpcBrain
from controller.optimisation.problem import one_later
from controller.records.codec import encode
from tests.controller.kit import LINE, TABLE, TARGETS, controller_config
from tests.controller.line_data import Line
from tests.controller.ocp_kit import SHORT, fast_of, problem
from tests.controller.twin_data import estimator

MANY = 40


@given(st.integers(0, 10_000))
@settings(max_examples=15)
def test_the_end_is_the_same_whatever_the_first_step_was_made_with(seed: int) -> None:
    fast, p = fast_of(), problem(seed)
    first = fast.solve(p, p.hold(), 2)
    x = fast.predict(p, first.moves).x[:, 0].copy()
    later = one_later(p, first.moves, x * (1.0 + 1e-3 * np.cos(np.arange(x.size))))
    guess = p.grid.shifted(first.moves)
    ahead = fast.prepare(p, first.moves)
    plain = fast.solve(later, guess, MANY)
    found = fast.solve(later, guess, MANY, prepared=ahead)
    assert found.cost == pytest.approx(plain.cost, rel=1e-5, abs=1e-8)


def test_where_the_plant_is_as_predicted_the_first_step_is_that_of_fresh_sensitivities() -> None:
    fast, p = fast_of(), problem(3)
    first = fast.solve(p, p.hold(), 2)
    later = one_later(p, first.moves, fast.predict(p, first.moves).x[:, 0].copy())
    guess = p.grid.shifted(first.moves)
    fresh = fast.solve(later, guess, 1)
    found = fast.solve(later, guess, 1, prepared=fast.prepare(p, first.moves))
    assert np.allclose(found.moves, fresh.moves, rtol=1e-9)


def test_sensitivities_that_point_the_wrong_way_are_thrown_away() -> None:
    fast, p = fast_of(), problem(5)
    plain = fast.solve(p, p.hold(), 2)
    wrong = -fast.prepare(p, p.hold())
    found = fast.solve(p, p.hold(), 2, prepared=wrong)
    assert found.cost == pytest.approx(plain.cost, rel=1e-9)


def test_sensitivities_that_broke_down_are_thrown_away() -> None:
    fast, p = fast_of(), problem(5)
    plain = fast.solve(p, p.hold(), 2)
    found = fast.solve(p, p.hold(), 2, prepared=np.full_like(fast.prepare(p, p.hold()), np.nan))
    assert found.ok
    assert found.cost == pytest.approx(plain.cost, rel=1e-9)


def test_when_the_work_is_done_changes_no_plan() -> None:
    def plans(ahead: bool) -> list[bytes]:
        line, state, found = Line(estimator(), seed=4), b.initial(), []
        for _ in range(30):
            step = b.step(state, line.cycle(), Mode.CLOSED_LOOP, TARGETS, 60.0)
            state = step.state
            if ahead:
                b.prepare(state)
            found.append(encode((step.plan,)))
        return found

    b = _brain(SHORT)
    assert plans(ahead=True) == plans(ahead=False)


def test_preparing_can_be_switched_off() -> None:
    b, line = _brain(SHORT.model_copy(update={"prepare": False})), Line(estimator(), seed=4)
    state = b.initial()
    for _ in range(26):
        state = b.step(state, line.cycle(), Mode.CLOSED_LOOP, TARGETS, 60.0).state
    b.prepare(state)
    assert b._ahead is None
    assert state.solved is not None


def test_one_stage_later_the_disturbances_have_moved_up() -> None:
    p = problem(1)
    known = np.arange(p.known.size, dtype=float).reshape(p.known.shape)
    moves = p.hold()
    later = one_later(replace(p, known=known), moves, p.x0)
    assert np.array_equal(later.known[:, :-1], known[:, 1:])
    assert np.array_equal(later.previous, moves[0])


def _brain(optimisation: OptimisationConfig) -> NmpcBrain:
    config = controller_config().model_copy(update={"optimisation": optimisation})
    return NmpcBrain(LINE, TABLE, config, None)
