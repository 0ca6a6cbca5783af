"""The gate in the cycle: what is withheld, what that leads to, and how it comes back."""

from dataclasses import replace

import pytest

from controller.cycle import run_cycle
from controller.cycle_data import CycleInputs
from controller.data import Mode
from controller.supervision.permissives import Name
from controller.supervision.service_data import LimitRequest
from plant_models.signals import MV, PLC, Value
from tests.controller.kit import FilterBrain, Loop

REQ = f"{MV.MAIN_FORCE}/REQ"


@pytest.fixture
def loop() -> Loop:
    loop = Loop()
    loop.close()
    return loop


def commands(loop: Loop) -> bool:
    return loop.state.supervision.permissives[Name.COMMANDS].good


def test_one_frame_that_reads_back_otherwise_costs_one_frame(loop: Loop) -> None:
    loop.plant.values[REQ] = 9.9
    held = loop.cycle()
    assert held.command.frame is None
    assert "9.9 reads back" in held.command.reasons[0]
    again = loop.cycle()
    assert again.command.frame is not None
    assert not commands(loop), "nothing has been confirmed yet"
    loop.cycle()
    assert commands(loop)
    assert loop.state.mode is Mode.CLOSED_LOOP


def test_a_plant_that_never_reads_back_is_shed_after_the_debounce(loop: Loop) -> None:
    most = loop.config.supervision.debounce.commands_cycles
    frames = 0
    for _ in range(most):
        assert loop.state.mode is Mode.CLOSED_LOOP
        loop.plant.values[REQ] = 9.9
        frames += loop.cycle().command.frame is not None
    assert loop.state.mode is Mode.SHED
    assert "9.9 reads back" in loop.state.supervision.cause
    assert frames < most


def test_a_write_without_an_answer_is_not_held_against_what_reads_back(loop: Loop) -> None:
    loop.plant.values[REQ] = 7.1  # the frame before the one that got lost
    out = loop.cycle(write_trouble="no answer in time")
    assert out.command.frame is not None
    assert not commands(loop)
    loop.cycle()
    assert commands(loop)


def test_an_unreadable_heartbeat_between_does_not_make_an_old_one_new() -> None:
    loop = Loop()
    loop.cycles(3)
    seen = loop.plant.heartbeat
    for shown in (None, seen):
        loop.plant.tick()
        snapshot = loop.plant.snapshot()
        beat = Value(shown, 0, snapshot.time)
        frozen = replace(snapshot, values={**snapshot.values, PLC.HB: beat})
        out = run_cycle(CycleInputs(snapshot=frozen), loop.state, loop.setup, lambda: 0.0)
        loop.state = out.state
    permissive = loop.state.supervision.permissives[Name.HEARTBEAT]
    assert not permissive.good
    assert "did not advance" in permissive.text


def test_the_leave_of_a_cycle_goes_with_its_command(loop: Loop) -> None:
    out = loop.cycle()
    assert out.authority is not None
    assert out.authority.cycle == out.state.cycle
    assert out.command.frame is not None
    shed = loop.cycle(Mode.SHED)
    assert shed.authority is None
    assert shed.command.frame is None


def test_the_gate_has_the_settings_of_supervision(loop: Loop) -> None:
    gate, settings = loop.setup.gate, loop.config.supervision
    assert gate.debounce[Name.COMMANDS] == settings.debounce.commands_cycles
    assert gate.set_point_steps == settings.advice.set_point_steps
    assert gate.plan_age_max_cycles == settings.plan_age_max_cycles


def test_a_limit_that_an_operator_sets_holds_from_its_cycle_on() -> None:
    loop = Loop(brain=FilterBrain(wish={MV.MAIN_FORCE: 7400.0}))
    loop.close()
    loop.cycles(4)
    at = loop.plant.values[f"{MV.MAIN_FORCE}/ACT"]
    assert at == pytest.approx(7.4)
    limit = LimitRequest(
        mv=MV.MAIN_FORCE, lo=None, hi=7.3, user="ada", role="operator", reason="tooling is old"
    )
    out = loop.cycle(operator_requests=(limit,))
    assert [a.accepted for a in out.operator_answers] == [True], out.operator_answers
    assert out.command.frame is not None
    assert out.command.frame.requests[MV.MAIN_FORCE] == pytest.approx(7.3)
    assert any("by range" in reason for reason in out.command.reasons)
