"""Advice: what is advised, in which words, for how long, and what an operator may do with it."""

import pickle

import numpy as np
import pytest

from controller.advice_config import AdviceConfig
from controller.data import CV, Forecast, Mode, ReachedBy, Relaxation, SteadyReport
from controller.supervision.advice import AdviceAction, order_reason
from controller.supervision.advice_words import why
from plant_models.signals import MV, LineState, RefillPhase
from tests.controller.kit import PERIOD, START, TARGETS
from tests.controller.supervision.advice_kit import (
    FINE,
    NOMINAL,
    STAGES,
    STEP,
    THICKER,
    Desk,
    ask,
    estimate,
    forecast,
    plan,
    snapshot,
)

NOW = NOMINAL[MV.THICKNESS]
ONE = STEP[MV.THICKNESS]


def thickness(steps: float) -> dict[str, float]:
    return {MV.THICKNESS: NOW + steps * ONE}


def test_a_move_above_the_dead_band_is_advised_with_what_it_is_and_until_when() -> None:
    desk = Desk()
    (advice,) = desk.step(THICKER, thickness(8.0)).current
    assert (advice.mv, advice.unit, advice.now) == (MV.THICKNESS, "mm", pytest.approx(NOW))
    assert advice.value == pytest.approx(NOW + ONE)
    assert advice.leads_to == pytest.approx(NOW + 8 * ONE)
    assert (advice.made, advice.expires) == (START + PERIOD, START + PERIOD + 3 * PERIOD)
    assert advice.computed_from == desk.targets.set_points
    assert advice.text == "thickness from 3.084 to 3.104 mm (on the way to 3.244)"


@pytest.mark.parametrize(("steps", "count"), [(0.09, 0), (0.11, 1), (-0.11, 1), (-0.09, 0)])
def test_a_move_within_the_dead_band_is_not_advised(steps: float, count: int) -> None:
    assert len(Desk().step(thickness(steps)).current) == count


@pytest.mark.parametrize("mode", [m for m in Mode if m is not Mode.ADVISORY])
def test_there_is_advice_in_advisory_only(mode: Mode) -> None:
    desk = Desk()
    desk.step(THICKER)
    desk.mode = mode
    assert desk.step(THICKER).current == ()


@pytest.mark.parametrize("state", [s for s in LineState if s is not LineState.RUNNING])
def test_there_is_no_advice_while_the_line_does_not_run(state: LineState) -> None:
    desk = Desk()
    desk.step(THICKER)
    desk.line_state = state
    assert desk.step(THICKER).current == ()


def test_a_move_is_limited_by_the_rate_and_by_the_plant_s_own_clamps() -> None:
    desk = Desk()
    assert desk.step(thickness(30.0)).current[0].value == pytest.approx(NOW + ONE)
    limits = {f"{MV.THICKNESS}/HI": NOW + 0.25 * ONE}
    assert Desk().step(thickness(30.0), limits=limits).current[0].value == pytest.approx(
        NOW + 0.25 * ONE
    )
    unreadable = {f"{MV.THICKNESS}/HI": float("nan")}
    assert Desk().step(THICKER, limits=unreadable).current == ()


def test_a_plan_that_hardly_changes_keeps_the_same_advice_alive() -> None:
    desk = Desk()
    for steps in (0.5, 0.6, 0.3, 0.75, 0.4, 0.05, 0.5):
        (advice,) = desk.step(thickness(steps)).current
        assert advice.id == 1
        assert advice.value == pytest.approx(NOW + 0.5 * ONE)
    assert advice.expires == START + 7 * PERIOD + 3 * PERIOD


def test_another_move_is_another_advice_with_another_number() -> None:
    desk = Desk()
    (one,) = desk.step(thickness(0.3)).current
    (two,) = desk.step(thickness(0.9)).current
    assert (one.id, two.id) == (1, 2)
    desk.step((), None, ask(1, "accept"))
    assert not desk.answers[0].accepted
    assert "not there any more" in desk.answers[0].text


@pytest.mark.parametrize("lost", ["solver", "reading"])
def test_an_advice_that_nothing_confirms_expires_after_three_cycles(lost: str) -> None:
    desk = Desk()
    desk.step(THICKER)
    for _ in range(2):
        kept = desk.step(THICKER, reached_by=ReachedBy.SHIFTED, silent=lost == "reading").current
        assert [a.id for a in kept] == [1]
    gone = desk.step(THICKER, reached_by=ReachedBy.SHIFTED, silent=lost == "reading").current
    assert gone == ()


def test_an_expired_advice_is_refused() -> None:
    desk = Desk()
    desk.step(THICKER)
    desk.cycle += 2
    desk.step(THICKER, None, ask(1, "accept"), reached_by=ReachedBy.HOLD)
    assert (desk.answers[0].accepted, desk.accepted) == (False, ())
    assert "expired 0 s ago" in desk.answers[0].text


def test_accepting_is_a_record_by_default_and_an_order_where_configured() -> None:
    for accept, carry_out in (("record", False), ("operator_set", True)):
        desk = Desk(AdviceConfig.model_validate({"accept": accept}))
        (advice,) = desk.step(THICKER).current
        desk.step(THICKER, None, ask(1, "accept"))
        (accepted,) = desk.accepted
        assert (accepted.advice, accepted.user, accepted.carry_out) == (advice, "op", carry_out)
        assert accepted.time == START + 2 * PERIOD
        assert desk.answers[0].accepted
        assert ("PLC" in desk.answers[0].text) and ("recorded" in desk.answers[0].text) != carry_out
        assert order_reason(accepted) == "advice 1: test of advice"


def test_thickness_is_entered_before_the_force_that_the_plc_moves_with_it() -> None:
    desk = Desk()
    desk.step({**THICKER, MV.MAIN_FORCE: 7.4})
    numbers = {a.mv: a.id for a in desk.state.current}
    assert numbers[MV.MAIN_FORCE] < numbers[MV.THICKNESS]
    desk.step(THICKER, None, *(ask(n, "accept") for n in sorted(numbers.values())))
    assert [a.advice.mv for a in desk.accepted] == [MV.THICKNESS, MV.MAIN_FORCE]


def test_what_was_accepted_is_not_advised_again_until_it_is_entered() -> None:
    desk = Desk()
    desk.step(THICKER)
    assert desk.step(THICKER, None, ask(1, "accept")).current == ()
    assert desk.step(THICKER).current == ()
    desk.actual[MV.THICKNESS] = NOW + ONE
    (again,) = desk.step(thickness(2.0)).current
    assert (again.id, again.now) == (2, pytest.approx(NOW + ONE))


def test_an_accepted_move_that_is_never_entered_is_advised_again() -> None:
    desk = Desk()
    desk.step(THICKER)
    desk.step(THICKER, None, ask(1, "accept"))
    seen = [len(desk.step(THICKER).current) for _ in range(3)]
    assert seen == [0, 0, 1]


def test_a_rejected_move_stays_away_unless_it_changes_by_more_than_the_limit() -> None:
    config = AdviceConfig(reject_s=100.0, reject_change_steps=5.0)
    desk = Desk(config)
    desk.step(THICKER, thickness(4.0))
    desk.step(THICKER, thickness(4.0), ask(1, "reject"))
    assert desk.answers[0].accepted
    assert desk.accepted == ()
    assert desk.step(THICKER, thickness(8.9)).current == ()
    assert [a.id for a in desk.step(THICKER, thickness(9.1)).current] == [2]


def test_a_rejected_move_comes_back_after_the_configured_time_or_the_other_way() -> None:
    config = AdviceConfig(reject_s=20.0)
    desk = Desk(config)
    desk.step(THICKER)
    desk.step(THICKER, None, ask(1, "reject"))
    assert [len(desk.step(THICKER).current) for _ in range(4)] == [0, 0, 0, 1]
    desk.step(THICKER, None, ask(2, "reject"))
    assert len(desk.step(thickness(-1.0)).current) == 1


def test_a_held_advice_is_not_replaced_for_a_bounded_time() -> None:
    desk = Desk(FINE.model_copy(update={"hold_max_s": 20.0}))
    desk.step(thickness(0.3))
    held = desk.step(thickness(1.0), None, ask(1, "hold")).current
    assert [a.id for a in held] == [1]
    assert held[0].held_by == "op"
    assert held[0].note == "the plan now says 3.104 mm"
    for _ in range(3):
        assert [a.id for a in desk.step(thickness(1.0)).current] == [1]
    assert [a.id for a in desk.step(thickness(1.0)).current] == [2]


def test_a_hold_cannot_be_made_longer_by_asking_again() -> None:
    desk = Desk(AdviceConfig(hold_max_s=10.0))
    desk.step(THICKER)
    desk.step(THICKER, None, ask(1, "hold"))
    desk.step(THICKER, None, ask(1, "hold"))
    assert desk.state.current[0].held_until == START + 4 * PERIOD
    desk.step(THICKER, None, ask(1, "hold"))
    assert "as long as it may be" in desk.answers[0].text


def test_only_the_one_who_holds_an_advice_may_answer_it() -> None:
    desk = Desk()
    desk.step(THICKER)
    desk.step(THICKER, None, ask(1, "hold", user="anna"), ask(1, "accept", user="ben"))
    assert [a.accepted for a in desk.answers] == [True, False]
    assert "held by anna" in desk.answers[1].text
    desk.step(THICKER, None, ask(1, "release", user="anna"), ask(1, "reject", user="ben"))
    assert [a.accepted for a in desk.answers] == [True, True]


def test_a_released_advice_gives_way_to_what_the_plan_says_now() -> None:
    desk = Desk()
    desk.step(thickness(0.3))
    desk.step(thickness(1.0), None, ask(1, "hold"))
    desk.step(thickness(1.0), None, ask(1, "release"))
    assert [a.id for a in desk.state.current] == [2]
    desk.step(thickness(1.0), None, ask(2, "release"))
    assert desk.answers[0].text == "nobody holds advice 2"


def test_a_held_advice_is_refused_when_the_set_point_has_changed() -> None:
    desk = Desk()
    desk.step(THICKER)
    desk.step(THICKER, None, ask(1, "hold"))
    desk.actual[MV.THICKNESS] = NOW + 0.5 * ONE
    desk.step(thickness(1.5), None, ask(1, "accept"))
    assert desk.accepted == ()
    assert "computed from 3.084 mm" in desk.answers[0].text
    assert "computed from 3.084 mm" in desk.state.current[0].overtaken
    desk.actual[MV.THICKNESS] = NOW
    desk.step(THICKER, None, ask(1, "accept"))
    assert "overtaken" in desk.answers[0].text


def test_a_held_advice_is_refused_when_the_plan_has_turned_round() -> None:
    desk = Desk()
    desk.step(THICKER)
    desk.step(thickness(-1.0), None, ask(1, "hold"))
    desk.step(THICKER, None, ask(1, "accept"))
    assert desk.answers[0].text == "advice 1 is overtaken: the plan has turned round"


def test_an_advice_is_refused_when_a_target_has_changed() -> None:
    desk = Desk()
    desk.step(THICKER)
    desk.move_target(CV.THROUGHPUT.value, 21.0 / 3600.0)
    desk.step(THICKER, None, ask(1, "accept"))
    assert (desk.accepted, desk.answers[0].text) == ((), "the target of throughput has changed")
    assert [a.id for a in desk.state.current] == [2]


def test_an_advice_is_refused_when_the_mv_is_lost_or_nothing_is_read() -> None:
    desk = Desk()
    desk.step(THICKER)
    desk.step(THICKER, None, ask(1, "accept"), silent=True)
    assert "unknown" in desk.answers[0].text
    desk.lost = frozenset({MV.THICKNESS})
    desk.step(THICKER, None, ask(1, "accept"))
    assert desk.answers[0].text == "thickness is not available"
    assert desk.state.current == ()


def test_a_stranger_may_not_answer_and_neither_outside_advisory() -> None:
    desk = Desk()
    desk.step(THICKER)
    desk.step(THICKER, None, ask(1, "accept", role="observer"))
    assert desk.answers[0].text == "op has the role observer"
    desk.mode = Mode.CLOSED_LOOP
    desk.step(THICKER, None, ask(1, "accept"))
    assert desk.answers[0].text == "there is no advice in CLOSED_LOOP"


def test_plant_time_that_goes_back_takes_advice_and_silence_with_it() -> None:
    desk = Desk()
    desk.cycle = 1000
    desk.step({**THICKER, MV.TOTAL_FEED: 20.2})
    numbers = {a.mv: a.id for a in desk.state.current}
    desk.step(THICKER, None, ask(numbers[MV.TOTAL_FEED], "reject"))
    desk.cycle = 280  # an hour
    thick = numbers[MV.THICKNESS]
    desk.step({**THICKER, MV.TOTAL_FEED: 20.2}, None, ask(thick, "accept"))
    assert desk.answers[0].text == f"advice {thick} is of another time"
    assert desk.accepted == ()
    assert {a.mv for a in desk.state.current} == {MV.THICKNESS, MV.TOTAL_FEED}
    assert min(a.id for a in desk.state.current) > max(numbers.values())


def test_the_reason_names_the_variable_that_is_off_target() -> None:
    (advice,) = Desk().step(THICKER, free={CV.TENSILE_STRENGTH.value: 2.10e6}).current
    assert advice.reason == "tensile strength is 2.1, 0.15 MPa below its target 2.25 MPa"
    assert advice.effect == (
        "tensile strength: 2.1 MPa now; in 6 min 2.1 without the plan's moves, "
        "2.25 ± 0.04 MPa with them"
    )
    assert [e.variable for e in advice.effects] == ["tensile_strength", "tablet_weight"]


def test_the_effect_is_told_for_when_it_comes() -> None:
    """A disturbance that passes in two minutes: the plan meets it then, not in six."""
    wanted = TARGETS.set_points[CV.POTENCY]
    free = np.full(STAGES, wanted)
    free[20:28] = 0.98
    told = forecast()
    told = Forecast(
        times=told.times,
        series={
            **told.series,
            CV.POTENCY.value: (free, np.full(STAGES, wanted), np.full(STAGES, np.nan)),
        },
    )
    seen = snapshot()
    richer = {MV.API_RATIO: NOMINAL[MV.API_RATIO] + STEP[MV.API_RATIO]}
    reason, effects = why(
        MV.API_RATIO, plan(seen, richer), told, estimate(), TARGETS, AdviceConfig()
    )
    assert reason == "potency is forecast to be 98 in 2 min, below its target 100 % of label"
    assert effects[0].text == (
        "potency: 100 % of label now; in 2 min 98 without the plan's moves, "
        "100 % of label with them"
    )


def test_the_reason_names_the_driving_variable_first_whichever_it_is() -> None:
    (advice,) = Desk().step(THICKER, free={CV.TABLET_WEIGHT.value: 204e-6}).current
    assert advice.reason == "tablet weight is 204, 4 mg above its target 200 mg"


def test_a_move_that_follows_others_says_so() -> None:
    (advice,) = Desk().step(THICKER).current
    assert advice.reason == "a correction: tensile strength is to stay at its target 2.25 MPa"


def test_active_constraints_are_told_in_the_operator_s_words() -> None:
    report = SteadyReport(
        moves={},
        set_points={},
        relaxed=(
            Relaxation(
                variable="throughput",
                wanted=20.0 / 3600.0,
                reached=18.0 / 3600.0,
                because=("main_compression_force at its upper limit", f"{MV.TURRET_SPEED} fixed"),
            ),
        ),
        value_per_h=0.0,
        work=0.0,
    )
    desk = Desk()
    desk.actual[MV.TOTAL_FEED] = 28.0
    desk.lost = frozenset({MV.API_RATIO})
    desk.refills = (RefillPhase.NONE, RefillPhase.ACTIVE, RefillPhase.REQUEST)
    (advice,) = desk.step(THICKER, target=report).current
    assert advice.limits == (
        "total feed is at its upper limit 28 kg/h",
        "API ratio is not available",
        "feeder 2 is refilled: its rate is frozen",
        "throughput can only reach 18 of 20 kg/h: main compression force at its upper limit, "
        "turret speed fixed",
    )


def test_conventional_control_advises_without_a_forecast() -> None:
    made = plan(snapshot(), THICKER, reached_by=ReachedBy.BASELINE)
    reason, effects = why(MV.THICKNESS, made, None, None, Desk().targets, AdviceConfig())
    assert (reason, effects) == (
        "conventional control: there is no forecast to explain the move",
        (),
    )


def test_a_plan_of_one_move_leads_to_that_move() -> None:
    desk = Desk()
    desk.stages = 1
    (advice,) = desk.step(THICKER, reached_by=ReachedBy.BASELINE).current
    assert (advice.value, advice.leads_to) == (pytest.approx(NOW + ONE),) * 2


def test_the_state_survives_being_saved() -> None:
    desk = Desk()
    desk.step({**THICKER, MV.TOTAL_FEED: 20.2})
    (feed,) = [a.id for a in desk.state.current if a.mv == MV.TOTAL_FEED]
    desk.step(THICKER, None, ask(feed, "reject"))
    assert pickle.loads(pickle.dumps(desk.state)) == desk.state
    assert desk.state.quiet[MV.TOTAL_FEED].action is AdviceAction.REJECT


def test_a_dead_band_of_a_whole_step_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing would ever be advised"):
        AdviceConfig(dead_band_steps=1.0)
