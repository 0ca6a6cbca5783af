"""Set points taken local and given back, switched off and on: the loop goes on, without a jump."""

from __future__ import annotations

import pytest

from controller.cycle_data import CycleOutput
from controller.data import CV, Mode
from controller.supervision.service import LimitRequest, MvService, ServiceReport, ServiceRequest
from plant_models.signals import MV
from tests.controller.kit import OWNED, PERIOD, TABLE
from tests.controller.supervision.stops_kit import PlcLine, moved

WHO = {"user": "ada", "role": "operator", "reason": "test of services"}
CRITICAL = (MV.MAIN_FORCE, MV.THICKNESS)
OTHERS = tuple(tag for tag in OWNED if tag not in CRITICAL)
ONE_STEP = 1.0 + 1e-6


@pytest.fixture
def plant() -> PlcLine:
    line = PlcLine()
    line.close()
    for _ in range(10):
        line.cycle()
    return line


def report(output: CycleOutput) -> ServiceReport:
    assert output.oversight is not None and output.oversight.services is not None
    return output.oversight.services


def cycles(line: PlcLine, number: int) -> list[CycleOutput]:
    return [line.cycle() for _ in range(number)]


def by_hand(line: PlcLine, tag: str) -> None:
    """Keep a set point and move it a tenth of its range towards the middle."""
    spec = TABLE.mv(tag)
    actual = line.outputs[-1].record.snapshot.number(f"{tag}/ACT")
    assert actual is not None
    line.local(tag, True)
    way = 1.0 if actual < 0.5 * (spec.lo + spec.hi) else -1.0
    line.set_by_hand(tag, actual + way * 0.1 * (spec.hi - spec.lo))


@pytest.mark.parametrize("tag", OTHERS)
def test_an_mv_taken_local_is_a_disturbance_and_comes_back_without_a_jump(
    plant: PlcLine, tag: str
) -> None:
    by_hand(plant, tag)
    away = cycles(plant, 12)
    for output in away:
        assert output.state.mode is Mode.CLOSED_LOOP
        assert output.command.frame is not None
        assert report(output).mvs[tag] in (MvService.FFWD, MvService.TRACK)
        assert moved(output)[tag] == 0.0
    others = [t for t in OWNED if report(away[-1]).mvs[t] is MvService.ON]
    assert set(CRITICAL) <= set(others)
    plant.local(tag, False)
    back = cycles(plant, 12)
    services = [report(o).mvs[tag] for o in back]
    init = plant.config.supervision.service.init_cycles
    assert services == [MvService.INIT] * init + [MvService.ON] * (12 - init)
    assert all(abs(move) <= ONE_STEP for o in back for move in moved(o).values())
    assert max(abs(moved(o)[tag]) for o in back) > 0.0
    assert plant.state.mode is Mode.CLOSED_LOOP
    assert plant.plc.lease.refused == {}


@pytest.mark.parametrize("tag", CRITICAL)
def test_a_critical_mv_taken_local_sheds_after_its_debounce_and_closes_again_without_a_jump(
    plant: PlcLine, tag: str
) -> None:
    plant.local(tag, True)
    debounce = plant.config.supervision.debounce.set_points_cycles
    assert [o.state.mode for o in cycles(plant, debounce)] == [
        *[Mode.CLOSED_LOOP] * (debounce - 1),
        Mode.SHED,
    ]
    assert tag in plant.state.supervision.cause
    cycles(plant, 5)
    plant.local(tag, False)
    plant.cycle(Mode.ADVISORY)
    cycles(plant, 3)
    plant.cycle(Mode.CLOSED_LOOP)
    first = next(o for o in cycles(plant, 4) if o.command.frame is not None)
    share = 1.0 / plant.config.supervision.closing_ramp_cycles
    assert all(abs(move) <= share * ONE_STEP for move in moved(first).values())


@pytest.mark.parametrize("tag", CRITICAL)
def test_a_critical_mv_that_is_back_in_time_sheds_nothing(plant: PlcLine, tag: str) -> None:
    plant.local(tag, True)
    cycles(plant, plant.config.supervision.debounce.set_points_cycles - 1)
    plant.local(tag, False)
    assert {o.state.mode for o in cycles(plant, 10)} == {Mode.CLOSED_LOOP}


def test_a_unit_out_of_remote_stays_where_it_is_while_the_press_is_controlled(
    plant: PlcLine,
) -> None:
    def switch(on: bool) -> CycleOutput:
        request = ServiceRequest(kind="unit", name="Formulation", on=on, **WHO)
        output = plant.cycle(asked=(request,))
        (answer,) = output.operator_answers
        assert (answer.request, answer.accepted) == (request, True)
        return output

    out = [switch(False), *cycles(plant, 20)]
    for output in out:
        assert moved(output)[MV.TOTAL_FEED] == moved(output)[MV.API_RATIO] == 0.0
    assert any(moved(o)[MV.MAIN_FORCE] != 0.0 for o in out)
    back = [switch(True), *cycles(plant, 10)]
    assert report(back[0]).mvs[MV.TOTAL_FEED] is MvService.INIT
    assert all(abs(move) <= ONE_STEP for o in back for move in moved(o).values())
    assert max(abs(moved(o)[MV.TOTAL_FEED]) for o in back) > 0.5


def test_a_switch_that_would_cost_the_loop_is_refused_in_closed_loop(plant: PlcLine) -> None:
    request = ServiceRequest(kind="mv", name=MV.THICKNESS, on=False, **WHO)
    (answer,) = plant.cycle(asked=(request,)).operator_answers
    assert not answer.accepted and "critical" in answer.text
    assert plant.state.mode is Mode.CLOSED_LOOP


def test_a_variable_out_of_service_is_not_controlled(plant: PlcLine) -> None:
    request = ServiceRequest(kind="cv", name=CV.POTENCY.value, on=False, **WHO)
    output = plant.cycle(asked=(request,))
    assert [a.accepted for a in output.operator_answers] == [True]
    assert output.record.validated is not None
    assert report(output).out == (CV.POTENCY.value,)


def test_an_operators_limit_binds_what_is_written(plant: PlcLine) -> None:
    spec = TABLE.mv(MV.TURRET_SPEED)
    middle, room = spec.nominal, 0.05 * (spec.hi - spec.lo)
    request = LimitRequest(mv=spec.tag, lo=middle - room, hi=middle + room, **WHO)
    (answer,) = plant.cycle(asked=(request,)).operator_answers
    assert answer.accepted, answer.text
    settling = round((spec.hi - spec.lo) / (spec.rate * PERIOD)) + 5
    cycles(plant, settling)
    written = []
    for output in cycles(plant, 200):
        assert output.command.frame is not None
        written.append(output.command.frame.requests[spec.tag])
    assert all(middle - 1.01 * room <= x <= middle + 1.01 * room for x in written)
    assert max(written) - min(written) > room
