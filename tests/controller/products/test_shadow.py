"""A candidate in shadow: compared by what the laboratory says, and never planned from."""

from __future__ import annotations

import math
import pickle
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from controller.brain import Forced, Step
from controller.data import (
    CV,
    Estimate,
    Interval,
    LabSample,
    Mode,
    Plan,
    ReachedBy,
    Targets,
    Validated,
)
from controller.products.shadow import Errors, ShadowState, shadow_step, verdict
from controller.products_config import ProductsConfig
from plant_models.quality import breaking_force
from plant_models.signals import LineState, PlcMode

CONFIG = ProductsConfig(run_in_samples=0, least_cycles=20, least_samples=2, history_s=600.0)
DIAMETER, WEIGHT, STRENGTH, THICKNESS = 8e-3, 200e-6, 2.2e6, 3.3e-3
TARGETS = Targets(set_points={})
NOTHING = Forced(estimator_steps=0, optimiser_steps=0, reached_by=ReachedBy.NONE)


def estimate(time: float, bias: float, *, converged: bool = True, sure: float = 0.01) -> Estimate:
    return Estimate(
        time=time,
        names=(),
        mean=np.zeros(0),
        covariance=np.zeros((0, 0)),
        quality={
            CV.TABLET_WEIGHT: Interval(WEIGHT * (1.0 + bias), sure * WEIGHT),
            CV.TENSILE_STRENGTH: Interval(STRENGTH * (1.0 + bias), sure * STRENGTH),
        },
        converged=converged,
        normalised_innovation=1.0,
    )


def sample(number: int, taken: float, spread: float = 0.0) -> LabSample:
    force = float(breaking_force(STRENGTH, DIAMETER, THICKNESS))
    off = tuple(spread * s for s in (-1.0, 1.0, -1.0, 1.0))
    return LabSample(
        number=number,
        taken=taken,
        weights=tuple(WEIGHT * (1.0 + e) for e in off),
        thicknesses=(THICKNESS,) * 4,
        forces=(force,) * 4,
    )


def validated(time: float, *samples: LabSample) -> Validated:
    return Validated(
        time=time,
        scan_id=int(time),
        heartbeat=int(time),
        plc_mode=PlcMode.LOCAL,
        line_state=LineState.RUNNING,
        permit=True,
        lease_epoch=0,
        measurements={},
        actual={},
        available={},
        feeder_rates=(),
        refills=(),
        lots=(),
        samples=samples,
        enough=True,
        missing=(),
    )


@dataclass
class Candidate:
    """A model that is wrong by ``bias``, remembers how often it was asked, and makes a plan."""

    bias: float = 0.0
    converged: bool = True
    converges_at: int = 0
    breaks_at: int | None = None
    modes: tuple[Mode, ...] = ()
    name: str = "candidate"
    manipulated: tuple[str, ...] = ("Line/Press/MainForceSP",)

    def initial(self) -> int:
        return 0

    def prepare(self, state: Any) -> None:
        raise AssertionError("nothing is prepared for a candidate")

    def step(
        self,
        state: int,
        validated: Validated,
        mode: Mode,
        targets: Targets,
        deadline_s: float,
        forced: Forced | None = None,
    ) -> Step:
        self.modes += (mode,)
        if state == self.breaks_at:
            raise np.linalg.LinAlgError("singular")
        plan = Plan(
            time=validated.time,
            times=np.zeros(1),
            moves={"Line/Press/MainForceSP": np.zeros(1)},
            reached_by=ReachedBy.FAST,
            steps=1,
            solver_verdicts=(),
            cost=0.0,
        )
        return Step(
            state=state + 1,
            estimate=estimate(
                validated.time,
                self.bias,
                converged=self.converged and state >= self.converges_at,
            ),
            forecast=None,
            plan=plan,
            taken=NOTHING,
        )


def run(
    brain: Candidate,
    bias: float = 0.004,
    cycles: int = 72,
    delay: float = 120.0,
    config: ProductsConfig = CONFIG,
) -> ShadowState:
    """Cycles beside an active model that is off by ``bias``, a sample every two minutes."""
    state = ShadowState(set_hash="c", brain=brain.initial(), since=0.0)
    for i in range(1, cycles + 1):
        time = 5.0 * i
        arrived = [] if time < delay or time % 120.0 else [sample(i, time - delay)]
        state = shadow_step(
            state,
            brain,
            validated(time, *arrived),
            estimate(time, bias),
            TARGETS,
            diameter=DIAMETER,
            config=config,
            deadline_s=1.0,
        )
    return state


def test_both_are_compared_with_the_samples_of_the_moment_they_were_taken() -> None:
    state = run(Candidate(bias=-0.002), bias=0.004, delay=115.0)
    for figures, bias in ((state.active, 0.004), (state.candidate, -0.002)):
        assert (figures.cycles, figures.converged) == (72, 72)
        for name in (CV.TABLET_WEIGHT, CV.TENSILE_STRENGTH):
            errors = figures.errors[name]
            assert errors.count == 3
            assert errors.rms == pytest.approx(abs(bias))
            assert errors.mean == pytest.approx(bias)
            assert errors.coverage == 1.0


def test_a_better_or_equal_candidate_may_be_promoted_and_a_worse_one_not() -> None:
    assert verdict(run(Candidate(bias=0.002)), CONFIG)[0]
    assert verdict(run(Candidate(bias=0.004)), CONFIG)[0]
    good, text = verdict(run(Candidate(bias=0.0045)), CONFIG)
    assert not good
    assert text == (
        "error tablet_weight: 0.45 % against 0.40 %, tensile_strength: 0.45 % against 0.40 % "
        "(not better or equal)"
    )


def test_a_candidate_must_have_run_and_met_samples() -> None:
    assert verdict(run(Candidate(), cycles=19), CONFIG) == (False, "19 of 20 cycles in shadow")
    assert verdict(run(Candidate(), cycles=30), CONFIG) == (
        False,
        "1 of 2 samples of tablet_weight",
    )


def test_a_candidate_that_does_not_converge_is_not_promoted() -> None:
    said = verdict(run(Candidate(converged=False)), CONFIG)
    assert said == (False, "the candidate has not converged within 72 cycles")


def test_a_candidate_that_starts_cold_is_compared_once_it_has_converged() -> None:
    """Else one that needs a while to converge could never catch up with the active model."""
    state = run(Candidate(bias=0.002, converges_at=24))
    assert (state.run_in, state.candidate.cycles, state.active.cycles) == (24, 48, 48)
    assert state.candidate.converged == state.active.converged == 48
    assert verdict(state, CONFIG)[0]


def test_a_candidate_first_learns_from_samples_that_do_not_count() -> None:
    config = CONFIG.model_copy(update={"run_in_samples": 2})
    before = run(Candidate(bias=0.002), cycles=47, config=config)
    assert verdict(before, config) == (False, "it has learnt from 1 of 2 samples")
    assert before.candidate.cycles == 0
    after = run(Candidate(bias=0.002), config=config)
    assert (after.run_in, after.learnt_from, after.candidate.cycles) == (48, 2, 24)
    counts = [s.candidate.errors[CV.TABLET_WEIGHT].count for s in (after, run(Candidate()))]
    assert counts == [1, 3]


def test_a_candidate_that_loses_its_footing_is_not_promoted() -> None:
    state = run(Candidate(bias=0.002))
    lost = replace(state, candidate=replace(state.candidate, converged=70))
    good, text = verdict(lost, CONFIG)
    assert not good
    assert text == "the candidate had converged in 70 cycles, the active model in 72"


def test_nothing_of_a_candidate_can_reach_a_plan() -> None:
    """It is asked in OFF only, and its plan is nowhere in the state that is kept."""
    brain = Candidate()
    state = run(brain)
    assert set(brain.modes) == {Mode.OFF}
    assert not any(isinstance(v, Plan) for v in _inside(state))


def _inside(part: Any) -> list[Any]:
    found = [part]
    for name in getattr(type(part), "__slots__", ()):
        found += _inside(getattr(part, name))
    if isinstance(part, (tuple, list)):
        for item in part:
            found += _inside(item)
    if isinstance(part, dict):
        for item in part.values():
            found += _inside(item)
    return found


def test_a_candidate_that_breaks_is_set_aside_with_its_words() -> None:
    brain = Candidate(breaks_at=30)
    state = run(brain)
    assert len(brain.modes) == 31
    assert state.failed == "LinAlgError: singular"
    assert verdict(state, CONFIG) == (False, "the candidate failed: LinAlgError: singular")


def test_a_sample_from_before_the_shadow_began_says_nothing() -> None:
    state = run(Candidate(), cycles=3)
    after = shadow_step(
        state,
        Candidate(),
        validated(20.0, sample(1, -100.0)),
        estimate(20.0, 0.0),
        TARGETS,
        diameter=DIAMETER,
        config=CONFIG,
        deadline_s=1.0,
    )
    assert after.candidate.errors == {}


def test_without_an_estimate_of_both_nothing_is_compared() -> None:
    state = ShadowState(set_hash="c", brain=0, since=0.0)
    for i in range(1, 5):
        state = shadow_step(
            state,
            Candidate(),
            validated(5.0 * i, *([sample(1, 5.0)] if i == 4 else [])),
            None,
            TARGETS,
            diameter=DIAMETER,
            config=CONFIG,
            deadline_s=1.0,
        )
    assert (state.active.cycles, state.active.converged) == (4, 0)
    assert state.candidate.errors == state.active.errors == {}


def test_an_interval_that_misses_counts_as_missed_unless_the_sample_is_as_unsure() -> None:
    said = Interval(1.02 * WEIGHT, 0.01 * WEIGHT)
    assert Errors().plus(said, WEIGHT, 0.0).coverage == 0.0
    assert Errors().plus(said, WEIGHT, 0.02 * WEIGHT).coverage == 1.0
    assert math.isnan(Errors().rms) and math.isnan(Errors().coverage)


def test_the_state_is_bounded_and_can_be_stored() -> None:
    state = run(Candidate(), cycles=400)
    assert len(state.history) <= CONFIG.history_s / 5.0 + 1
    assert pickle.loads(pickle.dumps(state)) == state
    assert replace(state) == state
