"""Slow faults on the stand-in in closed loop: drawn plants, the shipped settings.

The healthy plant has another lot, other set points and a stop.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import cache

import pytest

from controller.algorithms import make_brain
from controller.cycle_data import initial_state, make_setup
from controller.data import CV, Mode
from controller.measurement.ne107 import Defect
from hil.config import LotChange, ScenarioConfig
from hil.plant import Plant
from tests.controller.kit import LINE, ROOT, TABLE, controller_config
from tests.controller.measurement.kit import MAIN, NIR, PRE
from tests.controller.measurement.slow_kit import CELLS
from tests.controller.supervision.plays import Play
from tools.configuration import load_scenario
from tools.harness import START_TIME, product_targets

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SEED, CLOSED_BY_S, LEARNT_S = 501, 960, 2700
FEED = "Line/Formulation/TotalFeed/FBK"
DOUBTS = {Defect.DRIFT, Defect.DISPUTED, Defect.BIAS, Defect.TWIN, Defect.FOULED}


def _play(events: tuple[object, ...] = ()) -> Play:
    found = load_scenario(ROOT / "configs/scenarios/shift.yaml")
    assert isinstance(found, ScenarioConfig)
    scenario = found.model_copy(update={"events": events, "minutes": 120.0})
    config = controller_config("pid")
    brain = make_brain(config, LINE, TABLE, None)
    setup = make_setup(config, LINE, TABLE, brain, product_targets(LINE))
    plant = Plant(LINE, scenario, seed=SEED, start_time=START_TIME, run_dir=None)
    play = Play(plant, setup, initial_state(setup, epoch=SEED))
    while plant.second < CLOSED_BY_S:
        play.cycle(Mode.ADVISORY if play.state.mode is Mode.MONITORING else None)
    play.cycle(Mode.CLOSED_LOOP)
    return play


def _doubted(play: Play) -> dict[str, Defect]:
    oversight = play.outputs[-1].oversight
    assert oversight is not None
    signals = oversight.health.signals.items()
    return {t: s.defect for t, s in signals if s.defect in DOUBTS and t != FEED}  # no instrument


@cache
def _learnt() -> tuple[Plant, Play]:
    play = _play()
    play.run(LEARNT_S - play.plant.second)
    assert play.state.mode is Mode.CLOSED_LOOP
    assert _doubted(play) == {}
    return play.plant, play


def _branch() -> Play:
    plant, play = _learnt()
    return Play(copy.deepcopy(plant), play.setup, play.state)


@pytest.mark.parametrize(
    ("instrument", "kind", "size", "minutes", "tag"),
    [
        ("main_force", "biased", 5.0, 25.0, MAIN),
        ("main_force", "drifting", 6.0, 60.0, MAIN),
        ("pre_force", "biased", -4.0, 35.0, PRE),
        ("nir", "biased", 5.0, 25.0, NIR),
        ("load_cell_1", "biased", -5.0, 25.0, CELLS[0]),
        ("load_cell_2", "drifting", 6.0, 60.0, CELLS[1]),
        ("load_cell_3", "biased", 5.0, 10.0, CELLS[2]),
    ],
)
def test_a_slow_fault_is_found_and_no_other_instrument_named_alone(
    instrument: str, kind: str, size: float, minutes: float, tag: str
) -> None:
    play = _branch().fault(instrument, kind, size=size)
    seen: list[frozenset[str]] = []

    play.run(60.0 * minutes, lambda p, _: seen.append(frozenset(_doubted(p))))
    assert tag in _doubted(play)
    assert {found for found in seen if found and tag not in found} == set()


def test_a_healthy_plant_with_another_lot_other_set_points_and_a_stop_blames_nobody() -> None:
    lot = {
        "event": "lot_change",
        "at": 0.35,
        "role": "filler",
        "lot": "F-2",
        "bulk_density_percent": -6,
        "pressure_scale_percent": 20,
        "feed_factor_percent": 5,
    }
    play = _play((LotChange.model_validate(lot),))
    moves = {3600: (CV.TENSILE_STRENGTH, 2.5e6), 5400: (CV.THROUGHPUT, 17.0 / 3600.0)}
    while play.plant.second < 900 + 110 * 60:
        second = play.plant.second
        for after, (variable, value) in moves.items():
            if second == after:
                points = {**play.state.targets.set_points, variable: value}
                targets = replace(play.state.targets, set_points=points)
                play.state = replace(play.state, targets=targets)
        if second in (4500, 4620):
            command = "hold" if second == 4500 else "restart"
            play.plant.line_command("operator", command, "a stop")
        play.cycle()
        assert _doubted(play) == {}, second
