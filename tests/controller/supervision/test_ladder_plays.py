"""Every row of the loss ladder, and faulty data, played on the whole line in process.

Released tablets outside the specification are held against the floor: the same line without the
fault. Quick plays have short allowances; those marked slow have the defaults.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from controller.data import Mode
from controller.measurement.ne107 import Defect, DefectAction, Ne107
from controller.supervision.loss_table import LOSS_LADDER, Divert, LossRow
from controller.supervision.service_data import ServiceRequest
from plant_models.signals import LAB, PLC, PlcMode
from tests.controller.kit import PERIOD
from tests.controller.supervision.plays import FROM_S, Play, play, settings

NIR, MAIN, LEVEL = "Line/FeedFrame/Potency/PV", "Line/Press/MainForce/PV", "Line/Chute/Level/PV"
FAULTY = {
    "nir": "nir",
    "lab": "lab",
    "main_force": "main_force",
    "pre_force": "pre_force",
    "api_load_cell": "load_cell_1",
    "filler_load_cell": "load_cell_2",
    "lubricant_load_cell": "load_cell_3",
    "chute_level": "chute_level",
}
SHORT = {
    "nir_s": 30.0,
    "lab_samples": 0,
    "pre_force_s": 30.0,
    "api_load_cell_s": 30.0,
    "filler_load_cell_s": 30.0,
    "lubricant_load_cell_s": 30.0,
    "chute_level_s": 30.0,
}
LONGEST_S = 300.0
SLOW = pytest.mark.slow
ROWS = [pytest.param(row, id=row.name) for row in LOSS_LADDER]


@cache
def _sound(seconds: float) -> Play:
    return play().run(seconds)


def _losses(p: Play) -> dict[str, Any]:
    return {loss.name: loss for loss in p.ladder.lost}


def _collected(p: Play) -> set[str]:
    return {str(p.plant.state.diverter.goal)}


def _play_row(row: LossRow, p: Play, allowed: float) -> None:
    """Lose an instrument, wait until its time is up, mend it, wait for it to come back."""
    name = row.name
    late = 120.0 if name == "lab" else 0.0  # until a sample is missing
    p.run(10.0).fault(FAULTY[name]).run(late + PERIOD)
    while name not in _losses(p):
        assert p.plant.second < FROM_S + late + 60.0
        p.run(PERIOD)
    if allowed > 0.0:
        assert _losses(p)[name].action is DefectAction.SUBSTITUTE
        assert p.state.mode is Mode.CLOSED_LOOP
        p.run(allowed - PERIOD)
        assert not _losses(p)[name].expired
    while not _losses(p)[name].expired:
        assert p.plant.second < FROM_S + late + allowed + 60.0
        p.run(PERIOD)
    since = p.plant.second + 5
    p.run(30.0)
    assert p.ladder.mvs_frozen == set(row.mvs_frozen)
    assert p.ladder.cvs_dropped == set(row.cvs_dropped)
    if row.divert is not Divert.NEVER:
        assert p.fates(since)["released"] == 0
    if row.sheds:
        assert p.state.mode is Mode.SHED
        assert p.plant.state.lease.mode is PlcMode.LOCAL
    else:
        assert p.modes() == {Mode.CLOSED_LOOP}
        _frozen(p, row)
    p.mended(FAULTY[name]).run(PERIOD)
    if name != "lab":  # whose sample is its check
        assert name in _losses(p), "a good status alone has restored it"
    mended = p.plant.second
    while name in _losses(p):  # a refill that has waited may come in between
        assert p.plant.second < mended + 240.0
        p.run(PERIOD)


def _frozen(p: Play, row: LossRow) -> None:
    """Requests of frozen set points did not move while the row held."""
    sent = [o.command.frame.requests for o in p.outputs[-5:] if o.command.frame is not None]
    assert len(sent) == 5
    for tag in row.mvs_frozen:
        values = [requests[tag] for requests in sent]
        assert max(values) == pytest.approx(min(values), rel=1e-9)


@pytest.mark.parametrize("row", ROWS)
def test_a_lost_instrument_costs_no_bad_tablet_and_comes_back_by_its_check(row: LossRow) -> None:
    p = play(settings(**SHORT))
    allowed = 0.0 if row.name in ("lab", "main_force") else 30.0
    _play_row(row, p, allowed)
    length = p.plant.second - FROM_S
    assert length <= LONGEST_S
    assert p.bad_released() <= _sound(LONGEST_S).bad_released()


@SLOW
@pytest.mark.timeout(900)
@pytest.mark.parametrize("row", ROWS)
def test_the_same_with_the_default_allowances(row: LossRow) -> None:
    config = settings()
    p = play(config)
    if row.name == "lab":
        _play_lab(p)
    else:
        _play_row(row, p, row.allowed_s(config.supervision.ladder))
    p.run(300.0)
    assert p.bad_released() <= _sound(float(p.plant.second - FROM_S)).bad_released()


def _play_lab(p: Play) -> None:
    p.fault("lab").run(1200.0)
    assert _losses(p)["lab"].expired
    p.mended("lab").run(PERIOD)
    assert _losses(p) == {}


def test_a_sound_line_has_no_message_loses_nothing_and_is_not_diverted() -> None:
    p = _sound(LONGEST_S)
    assert p.modes() == {Mode.CLOSED_LOOP}
    for out in p.outputs:
        seen = out.oversight
        assert seen is not None
        assert seen.health.worst is Ne107.GOOD
        assert seen.ladder.lost == ()
        assert not seen.diversion.divert


def test_in_a_sound_line_nothing_of_this_changes_a_single_tablet() -> None:
    on = play().run(60.0)
    config = settings()
    supervision = config.supervision
    off = supervision.model_copy(
        update={
            "measurement": supervision.measurement.model_copy(update={"enabled": False}),
            "ladder": supervision.ladder.model_copy(
                update={
                    "enabled": False,
                    "diversion": supervision.ladder.diversion.model_copy(update={"enabled": False}),
                }
            ),
        }
    )
    without = play(config.model_copy(update={"supervision": off})).run(60.0)
    assert on.plant.tally.tablets().tobytes() == without.plant.tally.tablets().tobytes()
    assert [c.requests for c in on.plant.received] == [c.requests for c in without.plant.received]


@pytest.mark.parametrize(
    "name", ["main_force", "load_cell_1", pytest.param("load_cell_2", marks=SLOW)]
)
def test_what_lies_to_the_plants_own_loop_diverts_before_the_powder_arrives(name: str) -> None:
    p = play().run(10.0).fault(name, "frozen").run(20.0)
    since = p.plant.second + 5
    p.run(180.0)
    assert p.fates(since)["released"] == 0
    assert p.bad_released() == 0
    if name == "load_cell_1":  # the plant's loop did feed far too much
        assert np.nanmax(p.plant.tally.seconds()["assay"][-60:]) > 1.1


@pytest.mark.parametrize("jump", [3600.0, -3600.0])
def test_the_plants_clock_may_jump_an_hour(jump: float) -> None:
    p = play().run(10.0).fault("plant_clock", "clock_offset", size=jump)
    before = p.state.time
    p.run(60.0)
    assert p.modes() == {Mode.CLOSED_LOOP}
    assert p.state.time == before + 60.0
    assert all(o.command.frame is not None for o in p.outputs)
    health = p.outputs[-1].oversight.health.signals[PLC.TIME]  # type: ignore[union-attr]
    assert health.category is Ne107.MAINTENANCE
    p.mended("plant_clock").run(30.0)
    assert p.modes() == {Mode.CLOSED_LOOP}
    assert PLC.TIME not in p.outputs[-1].oversight.health.signals  # type: ignore[union-attr]
    same = play().run(100.0)
    assert p.plant.tally.tablets().tobytes() == same.plant.tally.tablets().tobytes()


@pytest.mark.parametrize(
    ("kind", "size"),
    [
        ("clock_offset", 3600.0),
        ("clock_offset", -3600.0),
        ("clock_drift", 300.0),
        pytest.param("clock_drift", -300.0, marks=SLOW),
    ],
)
def test_the_nirs_own_clock_costs_a_few_readings_at_most(kind: str, size: float) -> None:
    p = play().run(10.0).fault("nir", kind, size=size, ramp_s=150.0).run(170.0)
    used = [o.record.validated.measurements[NIR].weight > 0.0 for o in p.outputs]  # type: ignore[union-attr]
    assert used.count(False) <= 8
    assert used[-1]
    assert p.modes() == {Mode.CLOSED_LOOP}
    assert p.ladder.lost == ()
    health = p.outputs[-1].oversight.health.signals[NIR]  # type: ignore[union-attr]
    assert (health.defect, health.category) == (Defect.CLOCK_CORRECTED, Ne107.MAINTENANCE)


@pytest.mark.parametrize("jump", [3600.0, -3600.0])
def test_samples_of_a_tester_an_hour_off_lie_where_they_were_taken(jump: float) -> None:
    p = play().run(10.0).fault("lab", "clock_offset", size=jump).run(90.0)
    taken = [s.taken for o in p.outputs for s in o.record.validated.samples]  # type: ignore[union-attr]
    same = play().run(100.0)
    right = [s.taken for o in same.outputs for s in o.record.validated.samples]  # type: ignore[union-attr]
    assert len(taken) == len(right) == 1
    assert taken == pytest.approx(right, abs=PERIOD)
    health = p.outputs[-1].oversight.health.signals[LAB.TAKEN]  # type: ignore[union-attr]
    assert health.category is Ne107.MAINTENANCE


@pytest.mark.parametrize(
    ("name", "kind", "size", "tag", "defect"),
    [
        pytest.param("nir", "wrong_type", 0.0, NIR, Defect.TYPE, marks=SLOW),
        ("nir", "wrong_unit", 0.01, NIR, Defect.UNIT),
        pytest.param(
            "load_cell_2", "wrong_type", 0.0, "Line/Feeder2/Weight/PV", Defect.TYPE, marks=SLOW
        ),
        ("load_cell_2", "wrong_unit", 2.2046, "Line/Feeder2/Weight/PV", Defect.UNIT),
        ("chute_level", "wrong_type", 0.0, LEVEL, Defect.TYPE),
    ],
)
def test_a_wrong_type_or_unit_is_a_loss_the_twin_bridges(
    name: str, kind: str, size: float, tag: str, defect: Defect
) -> None:
    p = play().run(10.0).fault(name, kind, size=size).run(40.0)
    seen = p.outputs[-1].oversight
    assert seen is not None
    assert seen.health.signals[tag].defect is defect
    assert len(seen.ladder.lost) == 1
    weights = [o.record.validated.measurements[tag].weight for o in p.outputs[2:]]  # type: ignore[union-attr]
    assert set(weights) == {0.0}
    assert p.modes() == {Mode.CLOSED_LOOP}
    p.mended(name).run(80.0)
    assert p.ladder.lost == ()
    assert p.bad_released() == 0


@pytest.mark.parametrize(("kind", "size"), [("wrong_type", 0.0), ("wrong_unit", 1000.0)])
def test_a_main_force_of_the_wrong_type_or_unit_is_given_up_at_once(kind: str, size: float) -> None:
    p = play().run(10.0).fault("main_force", kind, size=size).run(30.0)
    assert p.state.mode is Mode.SHED
    assert "main force is lost: wrong" in p.ladder.shed
    assert p.bad_released() == 0


def test_somebody_who_vouches_brings_an_instrument_back_and_nobody_else_can() -> None:
    def vouch(p: Play, name: str, role: str = "operator") -> tuple[bool, str]:
        asked = ServiceRequest(
            kind="instrument", name=name, on=True, user="ada", role=role, reason="cleaned, checked"
        )
        answers = p.cycle(operators=(asked,)).operator_answers
        assert [a.request for a in answers] == [asked]
        return answers[0].accepted, answers[0].text

    p = play().run(10.0).fault("chute_level", "biased", size=60.0).run(60.0)
    assert "chute_level" in _losses(p)
    assert vouch(p, "chute_level", "observer")[0] is False
    assert vouch(p, "nir") == (False, "nir is not lost")
    assert vouch(p, "turret")[0] is False
    assert "chute_level" in _losses(p)
    p.mended("chute_level").cycle()
    assert "chute_level" in _losses(p)
    assert vouch(p, "chute_level") == (True, "chute_level is believed again")
    assert _losses(p) == {}
    assert p.run(30.0).ladder.lost == ()
