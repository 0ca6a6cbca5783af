"""The optimising controller's model as a candidate: it estimates, and its solver is never asked."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from controller.brain import Step
from controller.data import CV, Mode, ReachedBy, Validated
from controller.products.requests import ProductState
from controller.products.watch import Candidate, shadow_record, shadowed
from controller.products_config import ProductsConfig
from tests.controller.kit import LINE, TARGETS
from tests.controller.optimisation.test_nmpc_trouble import brain, readings

CONFIG = ProductsConfig(run_in_samples=0, least_cycles=30, least_samples=1)
CYCLES = 28  # the window needs 24


def test_the_same_model_in_shadow_finds_the_same_and_never_solves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    active, candidate = brain(), Candidate("c", brain())

    def asked(*_: object) -> None:
        raise AssertionError("a candidate plans")

    monkeypatch.setattr(candidate.brain.chain, "solve", asked)  # type: ignore[attr-defined]
    state, memory = ProductState(active="a", wanted_shadow="c"), active.initial()
    quality: dict[str, Any] = {}
    for seen in readings()[:CYCLES]:
        step = active.step(memory, seen, Mode.OFF, TARGETS, 60.0)
        memory = step.state
        state = shadowed(
            state,
            candidate,
            seen,
            step,
            TARGETS,
            diameter=LINE.product.diameter_mm * 1e-3,
            config=CONFIG,
            deadline_s=60.0,
        )
        if step.estimate is not None:
            quality = dict(step.estimate.quality)
    shadow = state.shadow
    assert shadow is not None and not shadow.failed
    assert state.wanted_shadow == ""
    assert shadow.active == shadow.candidate
    assert shadow.run_in + shadow.candidate.cycles == CYCLES
    assert shadow.candidate.converged > 0
    record = shadow_record(state, CONFIG)["shadow"]
    assert (record["set"], record["cycles"]) == ("c", shadow.candidate.cycles)
    assert record["verdict"] == [False, f"{shadow.candidate.cycles} of 30 cycles in shadow"]
    assert record["said"][CV.TABLET_WEIGHT][0] == quality[CV.TABLET_WEIGHT].mean
    last = shadow.history[-1]
    assert last.active == last.candidate
    assert last.candidate[CV.TABLET_WEIGHT] == quality[CV.TABLET_WEIGHT]

    taken_over = brain().step(shadow.brain, readings()[CYCLES], Mode.ADVISORY, TARGETS, 60.0)
    assert taken_over.estimate is not None and taken_over.estimate.converged
    assert taken_over.plan is not None and taken_over.plan.reached_by is ReachedBy.FAST


@cache
def nobody() -> Candidate:
    return Candidate("c", brain())


def _next(state: ProductState, seen: Validated | None, step: Step | None) -> ProductState:
    return shadowed(
        state, nobody(), seen, step, TARGETS, diameter=8e-3, config=CONFIG, deadline_s=1.0
    )


def test_without_data_or_a_step_the_candidate_waits() -> None:
    state = ProductState(active="a", wanted_shadow="c")
    assert _next(state, None, None) is state
    assert _next(state, readings()[0], None) is state
    assert shadow_record(state, CONFIG) == {}


def test_a_dropped_candidate_does_not_run_on() -> None:
    state, active = ProductState(active="a"), nobody().brain
    step = active.step(active.initial(), readings()[0], Mode.OFF, TARGETS, 60.0)
    assert _next(state, readings()[0], step) is state
