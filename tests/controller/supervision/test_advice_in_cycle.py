"""Advice and readiness in the cycle: through the gate or kept, and before control is offered."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from controller.advice_config import AdviceConfig
from controller.config import ControllerConfig
from controller.cycle import run_cycle
from controller.data import Mode
from controller.readiness_config import ReadinessConfig
from controller.records.historian import Historian, History, sqlite_url
from controller.records.replay import inputs_of
from controller.supervision.advice import Advice, AdviceAction, AdviceRequest
from plant_models.signals import MV, PLC
from tests.controller.kit import TABLE, FilterBrain, Loop, controller_config

WISH = {MV.THICKNESS: 3.2e-3}


def _config(**supervision: object) -> ControllerConfig:
    config = controller_config()
    return config.model_copy(
        update={"supervision": config.supervision.model_copy(update=supervision)}
    )


def _loop(accept: str = "operator_set") -> Loop:
    advice = AdviceConfig.model_validate({"accept": accept})
    loop = Loop(brain=FilterBrain(wish=WISH), config=_config(advice=advice))
    for spec in TABLE.manipulated:
        loop.plant.values[f"{spec.tag}/SRC"] = "LOCAL"
    loop.cycle(Mode.ADVISORY)
    loop.cycles(15)
    return loop


def _advice(loop: Loop) -> Advice:
    shown = loop.outputs[-1].oversight
    assert shown is not None
    (advice,) = shown.advice
    return advice


def _accept(advice: Advice, role: str = "operator") -> AdviceRequest:
    return AdviceRequest(
        id=advice.id, action=AdviceAction.ACCEPT, user="ada", role=role, reason="as advised"
    )


def test_an_accepted_advice_is_an_order_when_everything_holds() -> None:
    loop = _loop()
    advice = _advice(loop)
    out = loop.cycle(operator_requests=(_accept(advice),))
    (carried,) = out.orders
    order = carried.order
    assert (order.mv, order.value, order.user) == (MV.THICKNESS, advice.value, "ada")
    assert order.reason == f"advice {advice.id}: as advised"
    assert out.operator_answers == ()  # the PLC has the last word
    assert (out.command.frame, out.authority, out.request_control) == (None, None, None)
    assert out.oversight is not None and out.oversight.advice == ()


def test_as_a_record_it_leaves_the_controller_in_no_way() -> None:
    loop = _loop("record")
    out = loop.cycle(operator_requests=(_accept(_advice(loop)),))
    assert out.orders == ()
    (answer,) = out.operator_answers
    assert answer.accepted and "enter it at the PLC" in answer.text


@pytest.mark.parametrize(
    ("tag", "value", "why"),
    [
        (PLC.PERMIT, False, "no interlock"),
        (PLC.MODE_ACT, "CASCADE", "an operator sets set points in LOCAL"),
        (f"{MV.THICKNESS}/SRC", "SEQUENCE", "is owned by SEQUENCE"),
    ],
)
def test_what_the_gate_holds_back_is_refused_and_stays_advised(
    tag: str, value: object, why: str
) -> None:
    loop = _loop()
    advice = _advice(loop)
    before, loop.plant.values[tag] = loop.plant.values[tag], value  # type: ignore[assignment]
    out = loop.cycle(operator_requests=(_accept(advice),))
    assert out.orders == ()
    (answer,) = out.operator_answers
    assert not answer.accepted and why in answer.text
    assert _advice(loop).id == advice.id
    loop.plant.values[tag] = before
    loop.cycle()
    assert len(loop.cycle(operator_requests=(_accept(_advice(loop)),)).orders) == 1


def test_a_role_that_does_not_operate_is_refused() -> None:
    loop = _loop()
    out = loop.cycle(operator_requests=(_accept(_advice(loop), role="observer"),))
    assert out.orders == ()
    assert "observer" in out.operator_answers[0].text


def test_where_it_is_required_control_is_offered_only_when_the_controller_is_ready() -> None:
    loop = Loop(config=_config(readiness=ReadinessConfig(required=True, least_cycles=30)))
    loop.cycle(Mode.ADVISORY)
    loop.cycles(15)
    out = loop.cycle(Mode.CLOSED_LOOP)
    (answer,) = out.answers
    assert answer.accepted is False
    assert "cycles in ADVISORY: 16 cycles" in answer.text
    loop.cycles(120)
    shown = loop.outputs[-1].oversight
    assert shown is not None and shown.readiness is not None and shown.readiness.ready
    loop.cycle(Mode.CLOSED_LOOP)
    assert loop.cycle().state.mode is Mode.CLOSED_LOOP


def test_by_default_the_report_informs_and_does_not_delay() -> None:
    loop = Loop()
    loop.close()
    shown = loop.outputs[-1].oversight
    assert shown is not None and shown.readiness is not None and not shown.readiness.ready


def test_a_recorded_run_with_answered_advice_comes_out_again(tmp_path: Path) -> None:
    """The orders, the advice in force and the sums of readiness, from the records alone."""
    loop = _loop()
    url = sqlite_url(tmp_path / "historian.sqlite")
    actions = {3: AdviceAction.HOLD, 5: AdviceAction.ACCEPT, 12: AdviceAction.REJECT}
    with Historian(url, loop.setup, loop.state) as historian:
        began, outputs = loop.state, []
        for number in range(70):
            requests: tuple[AdviceRequest, ...] = ()
            if number in actions:
                made = replace(_accept(_advice(loop)), action=actions[number])
                requests = (made,)
            outputs.append(loop.cycle(operator_requests=requests, solve_ms=10.0 + number))
            historian.append(outputs[-1])
    assert sum(len(o.orders) for o in outputs) == 1
    history = History(url)
    try:
        records = list(history.records(1))
        kept = history.state_at(1, outputs[-1].state.cycle)
    finally:
        history.close()
    state = began
    for record, output in zip(records, outputs, strict=True):
        again = run_cycle(inputs_of(record), state, loop.setup, lambda: 0.0)
        state = again.state
        if state.cycle == kept.cycle:
            assert kept.oversight.advice == state.oversight.advice
            sums = state.oversight.readiness.total, state.oversight.readiness.open
            saved = kept.oversight.readiness.total, kept.oversight.readiness.open
            assert np.array_equal(sums, saved) and kept.cycle > began.cycle
        assert again.orders == output.orders
        assert again.oversight is not None and output.oversight is not None
        assert again.oversight.advice == output.oversight.advice
        assert again.oversight.readiness == output.oversight.readiness
        assert record.extra["oversight"] == output.oversight.as_record()
