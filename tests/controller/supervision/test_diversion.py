"""Diversion: for lost instruments, for an estimate at a limit, ahead of an assay that runs away."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controller.data import CV, Estimate, Interval
from controller.ladder_config import DiversionConfig
from controller.supervision.diversion import (
    Diversion,
    DiversionState,
    decide_diversion,
    quality_limits,
)
from controller.supervision.ladder import LadderReport
from tests.controller.kit import LINE, PERIOD
from tests.controller.measurement.kit import estimate

LIMITS = quality_limits(LINE.product)
LABEL = 200e-6
NOTHING = LadderReport()


def _go(
    state: DiversionState,
    known: Estimate | None,
    ladder: LadderReport = NOTHING,
    config: DiversionConfig | None = None,
) -> tuple[DiversionState, Diversion]:
    return decide_diversion(state, ladder, known, LIMITS, LABEL, config or DiversionConfig())


def _with(k: int, **quality: float) -> Estimate:
    base = estimate()
    changed = {**base.quality, **{name: Interval(v, 0.0) for name, v in quality.items()}}
    return replace(base, quality=changed, time=1000.0 + PERIOD * k)


def test_limits_are_the_products_in_si() -> None:
    assert {
        CV.TABLET_WEIGHT: pytest.approx((190e-6, 210e-6)),
        CV.TENSILE_STRENGTH: pytest.approx((1.7e6, 3.0e6)),
        "assay": pytest.approx((0.95, 1.05)),
    } == LIMITS


def test_a_line_on_target_is_not_diverted() -> None:
    state = DiversionState()
    for k in range(50):
        state, decided = _go(state, _with(k))
        assert decided == Diversion(divert=False)


def test_the_ladder_diverts_whatever_the_estimate_says() -> None:
    for known in (None, estimate()):
        _, decided = _go(DiversionState(), known, LadderReport(divert=True))
        assert decided.divert


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (CV.TABLET_WEIGHT, 208.5e-6),
        (CV.TABLET_WEIGHT, 191e-6),
        (CV.TABLET_WEIGHT, 300e-6),
        (CV.TENSILE_STRENGTH, 1.75e6),
        (CV.TENSILE_STRENGTH, 2.95e6),
        (CV.POTENCY, 1.047),
        (CV.POTENCY, 0.953),
    ],
)
def test_an_estimate_at_a_limit_diverts_at_the_second_cycle_and_says_why(
    name: str, value: float
) -> None:
    state, first = _go(DiversionState(), _with(0, **{name: value}))
    assert not first.divert
    state, second = _go(state, _with(1, **{name: value}))
    assert second.divert
    assert "of the way from target to its limit" in second.reasons[0]


def test_it_ends_well_inside_and_after_a_while() -> None:
    config, state = DiversionConfig(return_cycles=4, assay_ahead_s=0.0), DiversionState()
    for k in range(3):
        state, decided = _go(state, _with(k, **{CV.TABLET_WEIGHT: 209e-6}), config=config)
    assert decided.divert
    for k in range(3, 40):  # inside, but too near to the limit to come back
        state, decided = _go(state, _with(k, **{CV.TABLET_WEIGHT: 207.5e-6}), config=config)
        assert decided.divert
    diverted = []
    for k in range(40, 46):
        state, decided = _go(state, _with(k), config=config)
        diverted.append(decided.divert)
    assert diverted == [True, True, True, False, False, False]


def test_an_assay_that_runs_away_diverts_before_it_arrives() -> None:
    state, at = DiversionState(), 1.0
    for k in range(40):
        at = 1.0 + 0.004 * k
        state, decided = _go(state, _with(k, **{CV.POTENCY: at}))
        if decided.divert:
            break
    assert decided.divert
    assert at < 1.045


def test_nothing_known_changes_nothing() -> None:
    state = DiversionState(outside=1, inside=3, diverting=True)
    after, decided = _go(state, None)
    assert after == state
    assert not decided.divert


def test_switched_off_only_the_ladder_counts() -> None:
    config, state = DiversionConfig(enabled=False), DiversionState()
    for k in range(5):
        state, decided = _go(state, _with(k, **{CV.TABLET_WEIGHT: 300e-6}), config=config)
    assert not decided.divert
    assert _go(state, estimate(), LadderReport(divert=True), config)[1].divert


def test_an_estimator_that_never_converged_diverts_nothing_one_that_did_is_heard_for_a_while() -> (
    None
):
    def wild(k: int) -> Estimate:
        return replace(_with(k, **{CV.TABLET_WEIGHT: 220e-6}), converged=False)

    state = DiversionState()
    for k in range(30):
        state, decided = _go(state, wild(k))
        assert not decided.divert
    state, _ = _go(state, _with(30))
    state, _ = _go(state, wild(31))
    state, decided = _go(state, wild(32))
    assert decided.divert
