"""The control cycle on a recording: it watches, judges what a press shows, and touches nothing."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from controller.cycle import run_cycle
from controller.cycle_data import CycleInputs, CycleOutput, CycleSetup, initial_state
from controller.data import Mode, Verdict
from controller.supervision.modes import ModeRequest
from controller.supervision.permissives import Name
from hil.recorded import RecordedPlant
from plant_models.recording import Recording
from tests.helpers.playing import (
    PERIOD,
    bare_monitor,
    extract,
    monitor_setup,
    played,
    recorded_line,
)
from tests.hil.recording_kit import GAP, MISSING, ROWS, STOP, made_recording

PRESS = (
    "Line/Press/TabletRate/PV",
    "Line/Press/MainForce/PV",
    "Line/Press/FillDepth/FBK",
    "Line/Press/Thickness/FBK",
)
FORCE = PRESS[1]
EPOCH = 99


@pytest.fixture(scope="module")
def setup(tmp_path_factory: pytest.TempPathFactory) -> CycleSetup:
    return monitor_setup(bare_monitor(tmp_path_factory.mktemp("monitor")))


def run(setup: CycleSetup, recording: Recording) -> list[CycleOutput]:
    plant = RecordedPlant(recorded_line(), recording)
    return list(played(plant, setup, initial_state(setup, EPOCH), recording.size))


@pytest.fixture(scope="module")
def whole(setup: CycleSetup) -> list[CycleOutput]:
    return run(setup, extract())


def test_every_row_of_a_recording_is_watched_and_nothing_is_sent(
    whole: list[CycleOutput],
) -> None:
    assert len(whole) == extract().size == whole[-1].state.cycle
    assert [o.record.time for o in whole] == extract().time.tolist()
    for output in whole:
        assert output.state.mode is Mode.MONITORING
        assert output.command.frame is None and output.request_control is None
        assert not output.transitions


def test_what_a_press_shows_is_used_and_the_rest_is_missed(setup: CycleSetup) -> None:
    outputs = run(setup, made_recording())
    for row, output in enumerate(outputs):
        seen = output.record.validated
        assert seen is not None and not seen.enough
        recorded = row != MISSING
        assert {seen.measurements[t].verdict is Verdict.USE for t in PRESS if t != FORCE} == {
            recorded
        }
        standing = row in range(STOP.start, STOP.stop)
        force = seen.measurements[FORCE]
        assert force.reason == ("no value" if not recorded else "press stands" * standing)
        usable = {tag for tag, m in seen.measurements.items() if m.verdict is Verdict.USE}
        others = {tag for tag in usable if not tag.startswith("Line/Press/")}
        assert others == ({"Line/FeedFrame/PaddleSpeed/PV"} if recorded else set())
        assert set(seen.missing).isdisjoint(PRESS)
        assert all(not available for available in seen.available.values())


def test_the_permissives_are_red_where_the_recording_says_nothing(setup: CycleSetup) -> None:
    state = {p.name: p for p in run(setup, made_recording())[-1].permissives}
    good = {name for name, p in state.items() if p.good}
    assert good == {Name.HEARTBEAT, Name.COMMANDS, Name.SERVICES}
    assert Name.INSTRUMENTS not in state
    assert state[Name.PLC_MODE].text == "the PLC is in LOCAL, not CASCADE"
    assert state[Name.PERMIT].text == "no permission of the PLC"
    assert "Line/PLC/LINE_STATE" in state[Name.MEASUREMENTS].text
    assert "recipe 5 in the plant" in state[Name.AGREEMENT].text


def test_an_operator_cannot_close_a_loop_on_the_past(setup: CycleSetup) -> None:
    plant, state = RecordedPlant(recorded_line(), made_recording()), initial_state(setup, EPOCH)
    answers = []
    for mode in (Mode.ADVISORY, Mode.CLOSED_LOOP, Mode.CLOSED_LOOP):
        plant.advance(PERIOD)
        request = ModeRequest(mode=mode, user="ada", role="operator", reason="a test")
        inputs = CycleInputs(snapshot=plant.snapshot(), requests=(request,))
        output = run_cycle(inputs, state, setup, lambda: 0.0)
        state = output.state
        answers += [a.accepted for a in output.answers]
        assert output.command.frame is None and output.request_control is None
    assert answers == [True, False, False]
    assert state.mode is Mode.ADVISORY


def test_a_press_that_shows_one_force_for_long_is_not_believed(setup: CycleSetup) -> None:
    recording = made_recording(80)
    channels = {k: v.copy() for k, v in recording.channels.items()}
    channels["main_force"][MISSING + 1 :] = 7.0e3
    outputs = run(setup, replace(recording, channels=channels))
    reasons = [o.record.validated.measurements[FORCE].reason for o in outputs if o.record.validated]
    frozen = [row for row, reason in enumerate(reasons) if reason.startswith("frozen")]
    assert frozen == list(range(frozen[0], 80))
    assert frozen[0] == STOP.stop + 28  # the last standing row is the first of 30
    missing = [FORCE in o.record.validated.missing for o in outputs if o.record.validated]
    assert missing.index(True) - frozen[0] in range(5, 8)


def test_real_running_rows_are_rarely_refused(whole: list[CycleOutput]) -> None:
    """Limits of the shipped monitor on real data."""
    running = extract().running()
    reasons = Counter[str]()
    for output, runs in zip(whole, running, strict=True):
        assert output.record.validated is not None
        if runs:
            reasons.update(
                m.reason.partition(" ")[0] or "used"
                for t in PRESS
                if (m := output.record.validated.measurements[t])
            )
    assert reasons["used"] / sum(reasons.values()) > 0.998, reasons
    assert np.count_nonzero(running) == sum(reasons.values()) / len(PRESS)


def test_a_pause_of_an_hour_is_no_reason_to_stop(setup: CycleSetup) -> None:
    outputs = run(setup, made_recording(ROWS))
    heartbeat = {p.name: (p.good, p.text) for o in outputs[GAP : GAP + 1] for p in o.permissives}[
        Name.HEARTBEAT
    ]
    assert heartbeat == (True, "beats")
    used = outputs[GAP].record.validated
    assert used is not None
    assert used.measurements[FORCE].verdict is Verdict.USE
