"""Every set point of the simulated plant taken local and given back while another lot arrives."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from controller.algorithms import make_brain
from controller.data import CycleRecord, Mode
from hil.config import LotChange
from hil.plant import Plant
from plant_models.signals import LineState
from tests.controller.kit import LINE, OWNED, PERIOD, ROOT, TABLE, controller_config
from tools import harness
from tools.configuration import load_scenario

pytestmark = pytest.mark.slow

FIRST_S, EVERY_S, KEPT_S = 1200, 180, 60
MINUTES = (FIRST_S + EVERY_S * len(OWNED) - 900) / 60.0
SHIFTED = 0.02  # of its range, by the operator while he keeps it
ONE_STEP = 1.0 + 1e-6


@dataclass
class Takeovers:
    """A shift in which the operator keeps one set point after the other for a minute."""

    plants: list[Plant] = field(default_factory=list)
    returned: dict[str, int] = field(default_factory=dict)
    records: tuple[CycleRecord, ...] = ()

    def on_cycle(self, second: int, last: int) -> None:
        (plant,) = self.plants
        number, since = divmod(second - FIRST_S, EVERY_S)
        if not 0 <= number < len(OWNED):
            return
        tag, who = OWNED[number], "operator"
        if since == 0:
            assert plant.state.sequence.line is LineState.RUNNING
            assert plant.set_local(who, tag, True, "test") == "done"
            spec, actual = TABLE.mv(tag), plant.values()[f"{tag}/ACT"].value
            assert isinstance(actual, float)
            way = 1.0 if actual < 0.5 * (spec.lo + spec.hi) else -1.0
            moved = actual + way * SHIFTED * (spec.hi - spec.lo)
            assert plant.operator_set(who, tag, moved, "test") == "done"
        elif since == KEPT_S:
            assert plant.set_local(who, tag, False, "test") == "done"
            self.returned[tag] = second


@pytest.fixture(scope="module")
def shift() -> Takeovers:
    done, config = Takeovers(), controller_config()
    calm = load_scenario(ROOT / "configs/scenarios/calm.yaml")
    (lot,) = [
        e
        for e in load_scenario(ROOT / "configs/scenarios/shift.yaml").events
        if isinstance(e, LotChange)
    ]
    events = (*calm.events, lot.model_copy(update={"at": 0.05}))

    def plant(*args: object, **options: object) -> Plant:
        done.plants.append(Plant(*args, **options))  # type: ignore[arg-type]
        return done.plants[0]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(harness, "Plant", plant)
        done.records = harness.run_shift(
            line=LINE,
            scenario=calm.model_copy(update={"events": events}),
            config=config,
            brain=make_brain(config, LINE, TABLE, Path(os.environ["TWINLINE_HOME"]) / "cache"),
            seed=5,
            minutes=MINUTES,
            keep_records=True,
            on_cycle=done.on_cycle,
        ).records
    return done


def _second(record: CycleRecord) -> int:
    return round(record.time - harness.START_TIME)


def _moves(record: CycleRecord) -> dict[str, float]:
    """Moves of a frame as shares of the largest one in a cycle."""
    frame = record.command.frame
    if frame is None:
        return {}
    moves = {}
    for spec in TABLE.manipulated:
        before = record.snapshot.number(f"{spec.tag}/ACT")
        assert before is not None
        moves[spec.tag] = (frame.requests[spec.tag] - before) / (spec.rate * PERIOD)
    return moves


@pytest.mark.parametrize("tag", OWNED)
def test_what_is_given_back_moves_at_most_one_step_of_its_rate(shift: Takeovers, tag: str) -> None:
    back = shift.returned[tag]
    after = [r for r in shift.records if back < _second(r) <= back + EVERY_S - KEPT_S]
    written = [r for r in after if r.command.frame is not None]
    assert len(written) > 10, [r.command.reasons for r in after]
    assert max(abs(m) for r in written for m in _moves(r).values()) <= ONE_STEP
    assert any(_moves(r)[tag] != 0.0 for r in written)


@pytest.mark.parametrize("tag", OWNED)
def test_what_the_operator_keeps_is_not_written_and_only_critical_ones_cost_the_loop(
    shift: Takeovers, tag: str
) -> None:
    back = shift.returned[tag]
    kept = [r for r in shift.records if back - KEPT_S + PERIOD < _second(r) <= back]
    assert all(_moves(r).get(tag, 0.0) == 0.0 for r in kept)
    critical = tag in controller_config().supervision.critical
    lost = any(r.mode is not Mode.CLOSED_LOOP for r in kept)
    assert lost == critical
