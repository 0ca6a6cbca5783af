"""The cycle as a whole: climbing the modes, closing, shedding, suspending, and its purity."""

from dataclasses import replace

import pytest

from controller.cycle import run_cycle
from controller.cycle_data import CycleInputs, TargetRequest, initial_state
from controller.data import CV, Mode
from controller.records.codec import encode, encode_state
from controller.supervision.findings import LinkStatus
from controller.supervision.permissives import Name
from plant_models.signals import MV, PLC
from tests.controller.kit import EPOCH, FilterBrain, Loop, TinyPlant, ask


def test_it_starts_in_monitoring_and_estimates_but_plans_nothing() -> None:
    out = Loop().cycle()
    assert out.state.mode is Mode.MONITORING
    assert out.record.estimate is not None
    assert out.record.plan is None
    assert out.command.frame is None


def test_advisory_plans_every_cycle_and_lets_nothing_out() -> None:
    loop = Loop()
    loop.cycle(Mode.ADVISORY)
    loop.cycles(20)
    assert all(o.record.plan is not None for o in loop.outputs)
    assert all(o.command.frame is None and o.request_control is None for o in loop.outputs)


def test_off_does_not_run_the_algorithm() -> None:
    loop = Loop()
    out = loop.cycle(Mode.OFF)
    assert (out.state.mode, out.record.estimate, out.record.plan) == (Mode.OFF, None, None)


def test_the_loop_closes_one_cycle_after_control_was_asked_for_and_granted() -> None:
    loop = Loop()
    loop.cycle(Mode.ADVISORY)
    loop.cycles(15)
    asked = loop.cycle(Mode.CLOSED_LOOP)
    assert asked.request_control == "CASCADE"
    assert asked.state.mode is Mode.ADVISORY
    assert asked.command.frame is None
    assert [a.accepted for a in asked.answers] == [None]
    closed = loop.cycle()
    assert closed.state.mode is Mode.CLOSED_LOOP
    assert closed.command.frame is not None
    assert [a.accepted for a in closed.answers] == [True]
    assert [(t.before, t.after) for t in closed.transitions] == [(Mode.ADVISORY, Mode.CLOSED_LOOP)]


def test_a_frame_carries_all_mvs_the_heartbeat_it_was_made_from_and_the_lease() -> None:
    loop = Loop()
    frame = loop.close().command.frame
    assert frame is not None
    assert set(frame.requests) == {m.tag for m in loop.plant.table.manipulated}
    assert (frame.echo, frame.epoch) == (loop.plant.heartbeat, EPOCH)
    assert frame.requests[MV.BLENDER_SPEED] == loop.plant.values[f"{MV.BLENDER_SPEED}/ACT"]


def test_frame_numbers_grow_also_across_restarts_of_the_controller() -> None:
    loop = Loop()
    loop.close()
    loop.cycles(3)
    numbers = [o.command.frame.sequence for o in loop.outputs if o.command.frame is not None]
    assert numbers == sorted(set(numbers))
    again = Loop(plant=loop.plant)
    frame = again.close().command.frame
    assert frame is not None and frame.sequence > numbers[-1]


def test_without_a_grant_the_request_expires_and_says_so() -> None:
    loop = Loop(grants=False)
    loop.cycle(Mode.ADVISORY)
    loop.cycles(15)
    loop.cycle(Mode.CLOSED_LOOP)
    answers = [a for _ in range(6) for a in loop.cycle().answers]
    assert [(a.accepted, a.text) for a in answers] == [(False, "no grant within 3 cycles")]
    assert loop.state.mode is Mode.ADVISORY
    assert sum(o.request_control is not None for o in loop.outputs) == 1


def test_a_refusal_of_the_plant_reaches_the_operator() -> None:
    loop = Loop(grants=False)
    loop.cycle(Mode.ADVISORY)
    loop.cycles(15)
    loop.cycle(Mode.CLOSED_LOOP)
    (answer,) = loop.cycle(refusal="an older epoch").answers
    assert answer.accepted is False
    assert "an older epoch" in answer.text


def test_a_missing_permissive_refuses_at_once_and_is_named() -> None:
    loop = Loop()
    loop.cycle(Mode.ADVISORY)
    (answer,) = loop.cycle(Mode.CLOSED_LOOP).answers
    assert answer.accepted is False
    assert str(Name.ESTIMATOR) in answer.text
    assert str(Name.SOLVER) in answer.text
    assert loop.cycle().answers == ()


@pytest.mark.parametrize(
    "trouble",
    [
        lambda p: p.values.update({PLC.PERMIT: False}),
        lambda p: p.values.update({PLC.MODE_ACT: "LOCAL"}),
        lambda p: p.grant(epoch=EPOCH + 1),
        lambda p: p.values.update({PLC.RECIPE_ID: "another"}),
        lambda p: p.values.update({PLC.MODEL_VERSION: "another"}),
        lambda p: setattr(p, "heartbeat", p.heartbeat - 10),
    ],
    ids=["interlock", "plc mode", "lease", "recipe", "model", "heartbeat"],
)
def test_a_lost_safety_permissive_sheds_within_one_cycle(trouble) -> None:  # type: ignore[no-untyped-def]
    loop = Loop()
    loop.close()
    trouble(loop.plant)
    out = loop.cycle()
    assert out.state.mode is Mode.SHED
    assert out.command.frame is None


def test_a_lost_connection_sheds_at_once_without_a_snapshot() -> None:
    loop = Loop()
    loop.close()
    out = loop.cycle(snapshot=None, link=LinkStatus(connected=False, alive=False, note="gone"))
    assert out.state.mode is Mode.SHED
    assert "gone" in out.state.supervision.cause
    back = loop.cycle(Mode.ADVISORY)
    assert back.state.mode is Mode.ADVISORY


def test_shed_is_left_only_by_an_operator_and_only_to_advisory() -> None:
    loop = Loop()
    loop.close()
    loop.cycle(Mode.SHED)
    loop.cycles(30)
    assert loop.state.mode is Mode.SHED
    for mode in (Mode.CLOSED_LOOP, Mode.MONITORING, Mode.OFF):
        assert [a.accepted for a in loop.cycle(mode).answers] == [False]
    assert loop.cycle(Mode.ADVISORY).state.mode is Mode.ADVISORY


def test_other_permissives_shed_only_after_their_debounce() -> None:
    loop = Loop()
    loop.close()
    needed = loop.config.supervision.debounce.commands_cycles
    for _ in range(needed - 1):
        assert loop.cycle(write_trouble="timed out").state.mode is Mode.CLOSED_LOOP
    assert loop.cycle().state.mode is Mode.CLOSED_LOOP
    for _ in range(needed):
        out = loop.cycle(write_trouble="timed out")
    assert out.state.mode is Mode.SHED
    assert "timed out" in out.state.supervision.cause


def test_frames_that_the_plant_refuses_shed_after_the_debounce() -> None:
    loop = Loop()
    loop.close()
    for number in range(loop.config.supervision.debounce.commands_cycles):
        loop.plant.values[PLC.REJECTED_COUNT] = number + 1
        out = loop.cycle()
    assert out.state.mode is Mode.SHED
    assert str(Name.COMMANDS) in out.state.supervision.cause


def test_one_failed_innovation_test_does_not_shed() -> None:
    loop = Loop()
    loop.close()
    loop.setup = replace(loop.setup, brain=FilterBrain(converged=False))
    loop.cycles(loop.config.supervision.debounce.estimator_cycles - 1)
    assert loop.state.mode is Mode.CLOSED_LOOP
    loop.setup = replace(loop.setup, brain=FilterBrain())
    assert loop.cycle().state.supervision.permissives[Name.ESTIMATOR].good
    loop.setup = replace(loop.setup, brain=FilterBrain(converged=False))
    loop.cycles(loop.config.supervision.debounce.estimator_cycles)
    assert loop.state.mode is Mode.SHED


def test_a_stopped_line_suspends_and_running_again_resumes_without_a_new_request() -> None:
    loop = Loop()
    loop.close()
    loop.plant.values[PLC.LINE_STATE] = "held"
    loop.plant.values[PLC.MODE_ACT] = "LOCAL"
    held = loop.cycles(20)
    assert held.state.mode is Mode.CLOSED_LOOP
    assert held.command.frame is None
    assert "held" in held.command.reasons[0]
    assert all(o.request_control is None for o in loop.outputs[-20:])
    loop.plant.values[PLC.LINE_STATE] = "running"
    assert loop.cycle().request_control == "CASCADE"
    resumed = loop.cycle()
    assert resumed.command.frame is not None
    assert resumed.state.supervision.suspended_since is None
    assert resumed.state.supervision.closed_cycles == 1


def test_a_suspension_that_lasts_too_long_sheds() -> None:
    loop = Loop()
    loop.close()
    loop.plant.values[PLC.LINE_STATE] = "held"
    cycles = int(loop.config.supervision.resume_within_s / loop.config.period_s)
    assert loop.cycles(cycles).state.mode is Mode.CLOSED_LOOP
    assert loop.cycles(2).state.mode is Mode.SHED


def test_an_aborted_line_sheds() -> None:
    loop = Loop()
    loop.close()
    loop.plant.values[PLC.LINE_STATE] = "held"
    loop.cycle()
    loop.plant.values[PLC.LINE_STATE] = "aborted"
    assert loop.cycle().state.mode is Mode.SHED


def test_an_interlock_during_a_suspension_sheds() -> None:
    loop = Loop()
    loop.close()
    loop.plant.values[PLC.LINE_STATE] = "held"
    loop.cycle()
    loop.plant.values[PLC.PERMIT] = False
    assert loop.cycle().state.mode is Mode.SHED


def test_the_first_moves_use_only_a_part_of_the_rate() -> None:
    plant = TinyPlant()
    spec = plant.table.mv(MV.MAIN_FORCE)
    loop = Loop(plant=plant, brain=FilterBrain(wish={MV.MAIN_FORCE: 12e3}))
    loop.close()
    loop.cycles(6)
    sent = [o.command.frame.requests[MV.MAIN_FORCE] for o in loop.outputs if o.command.frame]
    largest = spec.rate * loop.config.period_s
    moves = [b - a for a, b in zip([spec.nominal, *sent], sent, strict=False)]
    assert moves[:6] == pytest.approx([largest * s for s in (0.2, 0.4, 0.6, 0.8, 1.0, 1.0)])
    assert max(moves) < largest


WISH = TargetRequest(
    variable=CV.TABLET_WEIGHT, value=205e-6, user="ada", role="operator", reason="trial"
)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"role": "guest"}, "role guest"),
        ({"reason": ""}, "a reason"),
        ({"value": 0.1}, "must lie in 0.00019..0.00021"),
        ({"value": float("nan")}, "must lie in"),
        ({"variable": CV.THROUGHPUT, "value": 0.1}, "must lie in 0.00333333..0.00777778"),
        ({"variable": "colour"}, "colour has no target"),
    ],
)
def test_a_target_is_refused_for_a_reason(change: dict[str, object], text: str) -> None:
    loop = Loop()
    (answer,) = loop.cycle(target_requests=(replace(WISH, **change),)).target_answers  # type: ignore[arg-type]
    assert not answer.accepted
    assert text in answer.text
    assert loop.state.targets is loop.setup.targets


def test_a_target_within_its_limits_holds_from_this_cycle_on() -> None:
    loop = Loop()
    out = loop.cycle(target_requests=(WISH,))
    assert [a.accepted for a in out.target_answers] == [True]
    assert out.record.targets.set_points[CV.TABLET_WEIGHT] == 205e-6
    assert loop.cycle().record.targets.set_points[CV.TABLET_WEIGHT] == 205e-6


def test_a_cycle_without_plant_time_does_not_run_the_algorithm_again() -> None:
    loop = Loop()
    loop.cycle()
    before = loop.state
    out = loop.cycle(snapshot=replace(loop.outputs[-1].record.snapshot))
    assert out.record.estimate is None
    assert out.state.brain is before.brain


def test_a_cycle_is_a_pure_function() -> None:
    loop = Loop()
    loop.close()
    loop.plant.tick()
    inputs = CycleInputs(snapshot=loop.plant.snapshot(), requests=(ask(Mode.SHED),))
    kept = encode_state(loop.state)
    one = run_cycle(inputs, loop.state, loop.setup, lambda: 0.0)
    two = run_cycle(inputs, loop.state, loop.setup, lambda: 0.0)
    assert encode(one.record) == encode(two.record)
    assert encode_state(loop.state) == kept


def test_the_permissives_say_since_when() -> None:
    loop = Loop()
    first = loop.cycle(Mode.ADVISORY)
    since = {p.name: p.since for p in first.permissives}
    later = loop.cycles(20)
    shown = {p.name: p for p in later.permissives}
    assert shown[Name.LINE_STATE].since == since[Name.LINE_STATE]
    assert shown[Name.SOLVER].good
    assert shown[Name.SOLVER].since > since[Name.SOLVER]


def test_a_controller_that_does_not_estimate_has_no_such_permissive() -> None:
    loop = Loop()
    assert Name.ESTIMATOR in {p.name for p in loop.cycle().permissives}
    config = loop.config.model_copy(update={"algorithm": "pid"})
    assert Name.ESTIMATOR not in {p.name for p in Loop(config=config).cycle().permissives}


def test_the_state_before_the_first_cycle_counts_from_zero() -> None:
    loop = Loop()
    assert initial_state(loop.setup, 7).cycle == 0
    assert loop.cycle().record.cycle == 1
