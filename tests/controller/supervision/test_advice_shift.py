"""An operator who does as advised, one who does not, and what the controller thinks of itself.

The whole loop in process, in LOCAL and ADVISORY from start to end: nothing is written but what the
operator's own ``OperatorSet`` carries, through the gate.
"""

import os
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from controller.advice_config import AdviceConfig
from controller.algorithms import make_brain
from controller.cycle import run_cycle
from controller.cycle_data import CycleInputs, CycleOutput, CycleSetup, initial_state, make_setup
from controller.data import CV, Mode
from controller.supervision.advice_data import Advice, AdviceAction, AdviceRequest
from controller.supervision.modes import ModeRequest
from controller.supervision.readiness_data import ReadinessReport
from hil.config import ScenarioConfig
from hil.plant import Plant
from plant_models.signals import APC, MV, PLC, LineState
from tests.controller.kit import LINE, PERIOD, ROOT, TABLE, controller_config
from tools.configuration import load_scenario
from tools.harness import START_TIME, product_targets, read_snapshot

LAST_S = 1_500
PRESS = (MV.MAIN_FORCE, MV.THICKNESS)


@dataclass
class Story:
    """What a shift in ADVISORY left."""

    outputs: list[CycleOutput] = field(default_factory=list)
    accepted: list[Advice] = field(default_factory=list)
    answers: list[tuple[bool, str]] = field(default_factory=list)
    plant: Plant | None = None

    @property
    def strength(self) -> float:
        """Mean square deviation of the tablets' strength from 2.25 MPa in the last minutes."""
        assert self.plant is not None
        seconds = self.plant.tally.seconds()
        seconds = seconds[seconds["second"] >= LAST_S - 180]
        return float(np.sqrt(np.mean((seconds["strength"] / 2.25e6 - 1.0) ** 2)))

    @property
    def report(self) -> ReadinessReport:
        found = self.outputs[-1].oversight
        assert found is not None and found.readiness is not None
        return found.readiness


@lru_cache(maxsize=1)
def _setup() -> CycleSetup:
    config = controller_config("nmpc")
    advice = AdviceConfig(accept="operator_set")
    supervision = config.supervision.model_copy(update={"advice": advice})
    config = config.model_copy(update={"supervision": supervision})
    cache = Path(os.environ["TWINLINE_HOME"]) / "cache"
    brain = make_brain(config, LINE, TABLE, cache)
    return make_setup(config, LINE, TABLE, brain, product_targets(LINE))


@lru_cache(maxsize=2)
def story(obedient: bool) -> Story:
    """A calm quarter of an hour; ``obedient``: the press's advice is accepted as it comes."""
    setup, told = _setup(), Story()
    script = load_scenario(ROOT / "configs/scenarios/calm.yaml")
    assert isinstance(script, ScenarioConfig)
    script = script.model_copy(update={"events": (), "minutes": 20.0})
    plant = told.plant = Plant(LINE, script, seed=2, start_time=START_TIME, run_dir=None)
    state = initial_state(setup, epoch=7)
    wishes: list[Advice] = []
    while plant.second < LAST_S:
        plant.advance(PERIOD)
        inputs = CycleInputs(
            snapshot=read_snapshot(plant),
            requests=_climb(state.mode),
            operator_requests=tuple(_accept(a) for a in wishes),
            deadline_s=60.0,
        )
        out = run_cycle(inputs, state, setup, lambda: 0.0)
        state = out.state
        for c in out.orders:
            o = c.order
            answer = plant.operator_set(o.user, o.mv, o.value, o.reason)
            told.answers.append((answer == "done", answer))
            told.accepted += [a for a in wishes if a.id == c.request.id]
        told.answers += [(a.accepted, a.text) for a in out.operator_answers]
        assert out.oversight is not None
        wishes = [a for a in out.oversight.advice if obedient and a.mv in PRESS]
        told.outputs.append(replace(out, state=state))
    return told


def _climb(mode: Mode) -> tuple[ModeRequest, ...]:
    if mode is not Mode.MONITORING:
        return ()
    return (ModeRequest(mode=Mode.ADVISORY, user="ada", role="operator", reason="test of advice"),)


def _accept(advice: Advice) -> AdviceRequest:
    return AdviceRequest(
        id=advice.id, action=AdviceAction.ACCEPT, user="ada", role="operator", reason="as advised"
    )


@pytest.mark.slow
def test_an_operator_who_does_as_advised_comes_to_the_targets() -> None:
    obedient, idle = story(True), story(False)
    assert idle.strength > 0.10
    assert obedient.strength < 0.04  # of which the estimate knows half: two samples of the tester
    estimate = obedient.outputs[-1].record.estimate
    assert estimate is not None
    assert estimate.quality[CV.TENSILE_STRENGTH].mean == pytest.approx(2.25e6, rel=0.015)
    assert len(obedient.accepted) >= 3


@pytest.mark.slow
@pytest.mark.parametrize("obedient", [True, False])
def test_nothing_leaves_the_controller_but_the_operator_s_own_calls(obedient: bool) -> None:
    told = story(obedient)
    assert told.plant is not None
    for out in told.outputs:
        assert out.command.frame is None and out.authority is None
        assert out.request_control is None
    values = told.plant.values()
    assert (values[PLC.MODE_ACT].value, values[APC.EPOCH].value) == ("LOCAL", 0)
    assert (values[APC.SEQ_HEAD].value, values[PLC.REJECTED_COUNT].value) == (0, 0)
    sets = [e for e in told.plant.events if e.what.startswith("OperatorSet")]
    assert [e.user for e in sets] == ["ada"] * len(told.accepted)
    for event, advice in zip(sets, told.accepted, strict=True):
        assert event.what == f"OperatorSet {advice.mv} {advice.value!r}"
        assert event.reason == f"advice {advice.id}: as advised"


@pytest.mark.slow
def test_the_plc_carries_out_what_the_gate_has_let_through() -> None:
    told = story(True)
    assert all(accepted for accepted, _ in told.answers), told.answers


@pytest.mark.slow
def test_readiness_sees_what_the_idle_operator_has_left_on_the_table() -> None:
    line = {line.name: line for line in story(False).report.lines}
    gain = line["gain against the operator's settings"].value
    assert gain is not None and gain > 50.0
    error = line["forecast error of tablet weight"]
    assert error.value is not None and error.value < 1.0
    for name in ("plans by a solver", "estimator converged"):
        assert line[name].value == 100.0


@pytest.mark.slow
def test_advice_does_not_chatter_and_says_why() -> None:
    told = story(False)
    seen = {
        a.id: a for out in told.outputs for a in (out.oversight.advice if out.oversight else ())
    }
    running = [o for o in told.outputs if _runs(o)]
    assert 1 <= len(seen) <= len(running) / 6
    strength = [a for a in seen.values() if a.mv == MV.MAIN_FORCE]
    assert any(a.effects[0].variable == CV.TENSILE_STRENGTH.value for a in strength)
    assert all(a.reason and a.effect for a in seen.values())


def _runs(output: CycleOutput) -> bool:
    v = output.record.validated
    return v is not None and v.line_state is LineState.RUNNING
