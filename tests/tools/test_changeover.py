"""Changeover from one product to the next, plant and controller in one process.

The truth marks every gram of the product before, so that for each tablet its share is known.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from time import perf_counter

import numpy as np
import pytest

from controller.algorithms import make_brain
from controller.cycle import run_cycle
from controller.cycle_data import (
    CycleInputs,
    CycleOutput,
    CycleSetup,
    CycleState,
    initial_state,
    make_setup,
)
from controller.data import Mode
from controller.products.requests import ProductAction, ProductRequest
from controller.products.sets import ProductSet
from controller.reload import product_change, reloaded
from controller.supervision.modes import ModeRequest
from controller.supervision.permissives import Name
from controller.targets import product_targets
from hil.changeover import Step, changeover
from hil.cleaning import CLEANING, Left, wash_out
from hil.plant import Plant
from hil.plc.state import ProofState
from hil.recipes import Recipe
from hil.tally import Fate
from hil.truth import Truth
from plant_models.line import ResolvedLine
from plant_models.signal_list import signal_table
from plant_models.signals import MV, PLC, LineState, is_good
from tools.configuration import load_controller, load_product_set, load_scenario
from tools.harness import read_snapshot

CONFIGS = Path(__file__).parents[2] / "configs"
SESSION, USER, PERIOD, EPOCH = "controller", "operator", 5, 7
CARRY_OVER = 1e-3
DIRTY = CLEANING["none"]  # the powder is pushed out
HASTY = "second product in a hurry"


@lru_cache
def product(name: str) -> ProductSet:
    return load_product_set(CONFIGS / f"product_sets/{name}.yaml")


A, B = "reference_tablet", "half_strength_tablet"


def line_with(start_up_s: int) -> ResolvedLine:
    """The second product on a line with a hasty start-up."""
    line = product(B).line
    plc = line.line.plc.model_copy(update={"start_up_s": start_up_s, "good_before_collect_s": 5})
    return replace(line, line=line.line.model_copy(update={"plc": plc}))


def recipes() -> tuple[Recipe, ...]:
    """The two products, and the second one with a hasty start-up."""
    made = [
        Recipe(recipe_id=p.recipe_id, line=p.line, carry_over=CARRY_OVER)
        for p in (product(A), product(B))
    ]
    return (*made, Recipe(recipe_id=HASTY, line=line_with(120), carry_over=CARRY_OVER))


@lru_cache
def started() -> Plant:
    scenario = load_scenario(CONFIGS / "scenarios/calm.yaml")
    made = product(A)
    plant = Plant(
        made.line,
        scenario,
        seed=3,
        start_time=1.7e9,
        recipe_id=made.recipe_id,
        recipes=recipes(),
    )
    plant.advance(1000)
    assert plant.state.sequence.line is LineState.RUNNING
    return plant


def running_plant() -> Plant:
    """The first product on the line, running; every call gives the same one anew."""
    return deepcopy(started())


@pytest.fixture
def foreign(monkeypatch: pytest.MonkeyPatch) -> dict[int, float]:
    """Share of the product before in the tablets of each plant second."""
    shares: dict[int, float] = {}
    step = Truth.step

    def recorded(self: Truth, drives: object, second: int) -> object:
        out = step(self, drives, second)  # type: ignore[arg-type]
        shares[second] = self.foreign
        return out

    monkeypatch.setattr(Truth, "step", recorded)
    return shares


def released(plant: Plant) -> np.ndarray:
    tablets = plant.tally.tablets()
    return tablets[tablets["fate"] == Fate.RELEASED]


def worst_released(plant: Plant, foreign: dict[int, float]) -> float:
    """Largest share of the product before, of those made since ``foreign`` is recorded."""
    seconds = np.unique(released(plant)["second"])
    return max((foreign[int(s)] for s in seconds if s >= min(foreign)), default=0.0)


@dataclass
class Room:
    """A controller beside the plant that it sees, and the people who run both."""

    plant: Plant
    setup: CycleSetup
    state: CycleState
    refusal: str = ""
    said: list[str] = field(default_factory=list)

    @classmethod
    def beside(cls, plant: Plant) -> Room:
        setup = set_up(product(A))
        return cls(plant, setup, initial_state(setup, EPOCH))

    def cycle(self, *wanted: Mode, asked: ProductRequest | None = None) -> CycleOutput:
        requests = tuple(
            ModeRequest(mode=m, user=USER, role="operator", reason="changeover") for m in wanted
        )
        inputs = CycleInputs(
            snapshot=read_snapshot(self.plant),
            requests=requests,
            operator_requests=() if asked is None else (asked,),
            refusal=self.refusal,
        )
        out = run_cycle(inputs, self.state, self.setup, perf_counter)
        self.state, self.refusal = out.state, ""
        self.said += [a.text for a in out.answers]
        if out.request_control is not None:
            answer = self.plant.request_control(SESSION, USER, out.request_control, EPOCH, "x")
            self.refusal = "" if answer == "granted" else answer
        if out.command.frame is not None:
            codes = self.plant.write(SESSION, out.command.frame.as_writes())
            assert all(is_good(code) for code in codes.values())
        return out

    def cycles(self, seconds: int) -> None:
        for _ in range(seconds // PERIOD):
            self.plant.advance(PERIOD)
            self.cycle()

    def close(self) -> None:
        """Climb to CLOSED_LOOP, asking again while permissives are missing."""
        for _ in range(60):
            self.plant.advance(PERIOD)
            up = {Mode.MONITORING: Mode.ADVISORY, Mode.ADVISORY: Mode.CLOSED_LOOP}
            wanted = up.get(self.state.mode)
            pending = self.state.supervision.pending is not None
            self.cycle(*(() if wanted is None or pending else (wanted,)))
            if self.state.mode is Mode.CLOSED_LOOP:
                return
        raise AssertionError(self.said[-3:])

    def load(self, wanted: str) -> str:
        """A person of quality loads a set; the answer. The controller goes on with it."""
        request = ProductRequest(
            set_hash=product(wanted).hash,
            action=ProductAction.LOAD,
            user="quinn",
            role="quality",
            reason="order 12",
        )
        self.plant.advance(PERIOD)
        out = self.cycle(asked=request)
        (answer,) = out.operator_answers
        change = product_change(self.state, self.setup)
        assert bool(change) == answer.accepted
        if change:
            self.setup = set_up(known()[change])
            self.state = reloaded(self.state, self.setup)
            assert product_change(self.state, self.setup) == ""
        return answer.text


def known() -> dict[str, ProductSet]:
    return {product(name).hash: product(name) for name in (A, B)}


def set_up(made: ProductSet) -> CycleSetup:
    config = load_controller(CONFIGS / "controllers/pid.yaml")
    table = signal_table(made.line.line)
    brain = make_brain(config, made.line, table, None)
    targets = product_targets(made.line)
    return make_setup(config, made.line, table, brain, targets, product=made, known=known())


def test_from_one_product_to_the_next_in_closed_loop(foreign: dict[int, float]) -> None:
    """Run down, empty, clear, load, start, prove; the loop closed before and after."""
    room = Room.beside(running_plant())
    room.close()
    room.cycles(120)
    assert released(room.plant).size > 1000
    assert "not in CLOSED_LOOP" in room.load(B)
    plant, stopped_at, steps = room.plant, room.plant.second, []
    for step in changeover(plant, product(B).recipe_id, "dry", user=USER, reason="order 12"):
        steps += [step] if not steps or steps[-1] is not step else []
        out = room.cycle(*([Mode.MONITORING] if room.state.mode is not Mode.MONITORING else []))
        assert out.command.frame is None
        agreement = room.state.supervision.permissives[Name.AGREEMENT]
        if step is Step.LOAD:  # the controller still has the product before
            assert not agreement.good
            assert "is being loaded" in room.load(B)
    assert steps == list(Step)
    assert plant.values()[PLC.RECIPE_ID].value == product(B).recipe_id
    assert room.state.supervision.permissives[Name.AGREEMENT].good
    room.close()
    room.cycles(300)

    tablets = released(plant)
    after = tablets[tablets["second"] > stopped_at]
    assert after.size > 5000
    assert worst_released(plant, foreign) <= CARRY_OVER
    assert np.median(after["weight"]) == pytest.approx(180e-6, rel=0.03)
    assert 0.95 < after["assay"].min() < after["assay"].max() < 1.05
    accepted = [c.second for c in plant.tally.commands if c.accepted]
    assert sum(second > stopped_at for second in accepted) > 50
    assert len(accepted) == len(plant.tally.commands)


def play(cleaning: str, recipe: str = HASTY, *, proof: bool = True) -> Plant:
    """A changeover, and ten minutes more."""
    plant = running_plant()
    for step in changeover(plant, recipe, cleaning, user=USER, reason="order 12"):
        if step is Step.LOAD and not proof:
            plant.state = replace(plant.state, proof=ProofState())
    plant.advance(600)
    return plant


@pytest.mark.parametrize("cleaning", CLEANING)
def test_no_tablet_of_mixed_product_is_released(cleaning: str, foreign: dict[int, float]) -> None:
    before = released(running_plant()).size
    plant = play(cleaning)
    assert released(plant).size > before + 1000
    assert worst_released(plant, foreign) <= CARRY_OVER
    assert max(foreign.values()) == (0.0 if cleaning == "wet" else 1.0)  # what lay in the frame


def test_without_the_proof_a_hasty_start_would_release_it(foreign: dict[int, float]) -> None:
    """What the proof is for: the same start without it."""
    plant = play("none", proof=False)
    assert worst_released(plant, foreign) > 2.0 * CARRY_OVER


def test_the_log_of_the_truth_holds_the_share_of_the_product_before(
    foreign: dict[int, float],
) -> None:
    rows = play("none").tally.seconds()
    assert {int(r["second"]): float(r["foreign"]) for r in rows if r["foreign"]} == {
        second: share for second, share in foreign.items() if share
    }


def test_nothing_is_released_before_a_sample_has_shown_the_weight(
    foreign: dict[int, float],
) -> None:
    """Clean from the start, and still the laboratory has to see it."""
    stopped_at = running_plant().second
    plant = play("wet", product(B).recipe_id)
    tablets = released(plant)
    first = tablets["second"][tablets["second"] > stopped_at + 60].min()
    washed = plant.state.proof.washed_at
    assert washed is not None and max(foreign.values()) == 0.0
    lab = plant.parameters.config
    assert first - washed > lab.good_before_collect_s + 120


def test_the_plc_counts_on_and_remembers_who_was_revoked() -> None:
    plant = running_plant()
    made, sample = plant.tally.made, plant.readings.lab
    assert plant.request_control("s", USER, "CASCADE", 11, "x") == "granted"
    assert plant.request_control("s", USER, "CASCADE", 12, "x") == "granted"
    start = plant.time - plant.second
    *_, last = changeover(plant, product(B).recipe_id, "dry", user=USER, reason="x")
    assert last is Step.DONE
    assert plant.time - plant.second == start
    assert plant.tally.made > made
    assert sample is not None and plant.readings.lab is not None
    assert plant.readings.lab.number > sample.number
    assert 11 in plant.state.lease.revoked
    assert plant.request_control("s", USER, "CASCADE", 11, "x") != "granted"
    assert plant.parameters.limits[MV.API_RATIO].nominal == pytest.approx(0.05)


def test_the_wash_out_is_enough_for_the_truth_and_not_far_too_much(
    foreign: dict[int, float],
) -> None:
    loaded_at = running_plant().second
    plant, line = play("none"), product(B).line
    rows = plant.tally.seconds()
    rows = rows[rows["second"] >= min(s for s, share in foreign.items() if share)]
    assert rows["second"].min() > loaded_at
    pressed = np.cumsum(rows["throughput"])
    share = np.array([foreign[int(s)] for s in rows["second"]])
    for carry_over in (1e-1, 1e-2, 1e-3, 1e-4):
        mass = wash_out(line, DIRTY, carry_over)
        assert pressed[-1] > mass
        assert share[pressed >= mass].max() <= carry_over
        assert share[pressed >= 0.3 * mass].max() > carry_over


def test_the_wash_out_grows_with_what_is_left_and_what_is_asked() -> None:
    line = product(B).line
    mass = wash_out(line, DIRTY, CARRY_OVER)
    cleaned = wash_out(line, CLEANING["dry"], CARRY_OVER)
    assert cleaned < mass < wash_out(line, DIRTY, CARRY_OVER / 10)
    assert wash_out(line, Left(), CARRY_OVER) == 0.0


@pytest.mark.parametrize("carry_over", [0.0, 1.0, float("nan")])
def test_no_wash_out_for_a_limit_that_is_none(carry_over: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        wash_out(product(B).line, DIRTY, carry_over)


def test_what_is_left_is_a_share() -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        Left(chute=1.2)
