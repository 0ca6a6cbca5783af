"""Recipes loaded by command: when that is safe, what it changes, and that it outlives a stop."""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from hil.plant import STATE_FILE, Plant
from hil.plc.state import Diverter
from hil.recipes import Recipe
from plant_models.line import ResolvedLine
from plant_models.signals import LAB, MV, PLC, LineState, PlcMode
from tests.hil.truth_kit import line, scenario
from tools.configuration import load_product_set

A, A2, TUNED, B = "A", "A version 2", "A tuned", "B"
USER, WHY = "operator", "order 12"


@cache
def other_line() -> ResolvedLine:
    root = Path(__file__).parents[2]
    return load_product_set(root / "configs/product_sets/half_strength_tablet.yaml").line


def tuned_line() -> ResolvedLine:
    """The same product on a PLC that waits longer before it collects."""
    plc = line().line.plc.model_copy(update={"good_before_collect_s": 200})
    return replace(line(), line=line().line.model_copy(update={"plc": plc}))


def recipes() -> list[Recipe]:
    made = {A: line(), A2: line(), TUNED: tuned_line(), B: other_line()}
    return [Recipe(recipe_id=name, line=of) for name, of in made.items()]


def new_plant(run_dir: Path | None = None) -> Plant:
    return Plant(
        line(),
        scenario("calm"),
        seed=11,
        start_time=1.7e9,
        run_dir=run_dir,
        recipe_id=A,
        recipes=recipes(),
    )


@cache
def _running() -> Plant:
    plant = new_plant()
    plant.advance(1000)
    assert plant.state.sequence.line is LineState.RUNNING
    return plant


def running() -> Plant:
    return deepcopy(_running())


def idle(plant: Plant) -> Plant:
    """Stopped and cleared."""
    assert plant.line_command(USER, "stop", WHY) == "done"
    while plant.state.sequence.line is LineState.STOPPING:
        plant.advance(5)
    assert plant.line_command(USER, "clear", WHY) == "done"
    plant.advance(5)
    return plant


def shown(plant: Plant, tag: str) -> object:
    return plant.values()[tag].value


def resumed(run_dir: Path, known: list[Recipe] | None = None) -> Plant:
    return Plant.resume(
        line(),
        scenario("calm"),
        run_dir=run_dir,
        recipe_id=A,
        recipes=recipes() if known is None else known,
    )


# -- when --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("recipe", "cleaning", "reason", "answer"),
    [
        (B, "dry", "", "a reason is needed"),
        ("C", "dry", WHY, "there is no recipe 'C'; the PLC can load A, A tuned, A version 2, B"),
        (A, "dry", WHY, "A is loaded already"),
        (B, "magic", WHY, "cleaning is one of none, dry, wet, not 'magic'"),
        (B, "", WHY, "cleaning is one of none, dry, wet, not ''"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_the_reason(
    recipe: str, cleaning: str, reason: str, answer: str
) -> None:
    plant = idle(running())
    before, recipe_id = plant.state, shown(plant, PLC.RECIPE_ID)
    assert plant.load_recipe(USER, recipe, cleaning, reason) == answer
    assert (plant.state, shown(plant, PLC.RECIPE_ID)) == (before, recipe_id)
    assert (plant.events[-1].user, plant.events[-1].answer) == (USER, answer)


@pytest.mark.parametrize("recipe", [B, TUNED])
def test_other_parameters_are_loaded_into_an_idle_line_only(recipe: str) -> None:
    for state in LineState:
        plant = running()
        plant.state = replace(plant.state, sequence=replace(plant.state.sequence, line=state))
        answer = plant.load_recipe(USER, recipe, "dry", WHY)
        assert (answer == "done") == (state is LineState.IDLE), state
        assert (shown(plant, PLC.RECIPE_ID) == recipe) == (state is LineState.IDLE)
        if state is not LineState.IDLE:
            assert answer.startswith(f"the line is {state}: other parameters are loaded while")


@pytest.mark.parametrize("recipe", [A2, TUNED, B])
def test_nothing_is_loaded_under_a_controller(recipe: str) -> None:
    plant = running()
    assert plant.request_control("s", "controller", "CASCADE", 7, WHY) == "granted"
    for state in LineState:
        plant.state = replace(plant.state, sequence=replace(plant.state.sequence, line=state))
        answer = plant.load_recipe(USER, recipe, "dry", WHY)
        assert answer == "the PLC is in CASCADE: a recipe is loaded in LOCAL"
    assert plant.state.lease.mode is PlcMode.CASCADE


def test_a_line_with_other_signals_is_not_set_up() -> None:
    shorter = line().line.model_copy(update={"feeders": line().line.feeders[:2]})
    fewer = replace(line(), line=shorter, components=line().components[:2])
    plant = Plant(
        line(),
        scenario("calm"),
        seed=11,
        start_time=1.7e9,
        recipes=[Recipe(recipe_id="short", line=fewer)],
    )
    assert plant.load_recipe(USER, "short", "", WHY) == "short is for a line with other signals"


# -- what --------------------------------------------------------------------------------------


def test_the_same_parameters_under_another_id_move_nothing_while_the_line_runs() -> None:
    plant, other = running(), running()
    assert plant.load_recipe(USER, A2, "", "version 2 is promoted") == "done"
    assert shown(plant, PLC.RECIPE_ID) == A2
    for each in (plant, other):
        each.advance(60)
    assert plant.state == other.state
    assert plant.tally.seconds().tobytes() == other.tally.seconds().tobytes()
    assert plant.tally.released > 0


def test_other_parameters_of_the_same_product_keep_the_powder_and_need_no_proof() -> None:
    plant = idle(running())
    powder = plant.truth.state()
    assert plant.load_recipe(USER, TUNED, "", WHY) == "done"
    assert plant.truth.state() == powder
    assert plant.state.proof.proven
    assert plant.parameters.config.good_before_collect_s == 200


def test_another_product_changes_ranges_and_diverts_until_it_is_proven() -> None:
    plant = idle(running())
    second, made, released = plant.second, plant.tally.made, plant.tally.released
    version, number = shown(plant, PLC.MODEL_VERSION), shown(plant, LAB.ID)
    plant.write("s", {f"{MV.API_RATIO}/REQ": 10.0})
    assert plant.load_recipe(USER, B, "dry", WHY) == "done"
    plant.advance(1)
    assert shown(plant, PLC.RECIPE_ID) == B
    assert shown(plant, PLC.MODEL_VERSION) == plant.table.model_version() != version
    assert (shown(plant, f"{MV.API_RATIO}/LO"), shown(plant, f"{MV.API_RATIO}/HI")) == (
        pytest.approx(4.75),
        pytest.approx(5.25),
    )
    assert shown(plant, f"{MV.API_RATIO}/REQ") == pytest.approx(5.0)
    assert (plant.second, plant.tally.made) == (second + 1, made)
    assert shown(plant, LAB.ID) in (0, number)
    assert shown(plant, PLC.LINE_STATE) == "idle"
    assert not plant.state.proof.proven and plant.state.proof.required > 0.0
    assert plant.state.diverter.goal is Diverter.DIVERT
    assert plant.line_command(USER, "start", WHY) == "done"
    plant.advance(300)
    assert plant.tally.made > made
    assert plant.tally.released == released


# -- saved -------------------------------------------------------------------------------------


def test_what_was_loaded_is_loaded_after_a_stop_whatever_the_plant_is_started_with(
    tmp_path: Path,
) -> None:
    plant = new_plant(tmp_path)
    plant.advance(600)
    idle(plant)
    assert plant.load_recipe(USER, B, "none", WHY) == "done"
    state, truth = plant.state, plant.truth.state()
    again = resumed(tmp_path)
    assert shown(again, PLC.RECIPE_ID) == B
    assert again.table.model_version() == plant.table.model_version()
    assert again.state.proof == state.proof and not state.proof.proven
    assert again.state.mvs == state.mvs
    assert json.dumps(again.truth.state()) == json.dumps(truth)
    for each in (plant, again):
        assert each.line_command(USER, "start", WHY) == "done"
        each.advance(300)
    assert plant.tally.seconds()["weight"].tobytes() == again.tally.seconds()["weight"].tobytes()
    assert max(plant.tally.seconds()["foreign"]) > 0.5


def test_the_powder_is_that_of_the_product_where_only_the_parameters_are_others(
    tmp_path: Path,
) -> None:
    plant = new_plant(tmp_path)
    plant.advance(600)
    idle(plant)
    assert plant.load_recipe(USER, TUNED, "", WHY) == "done"
    again = resumed(tmp_path)
    assert shown(again, PLC.RECIPE_ID) == TUNED
    assert json.dumps(again.truth.state()) == json.dumps(plant.truth.state())
    assert json.loads((tmp_path / STATE_FILE).read_text())["line"] == line().digest()


def test_a_plant_whose_recipe_is_gone_does_not_start(tmp_path: Path) -> None:
    plant = new_plant(tmp_path)
    plant.advance(5)
    assert plant.load_recipe(USER, A2, "", WHY) == "done"
    with pytest.raises(ValueError, match="saved with the recipe A version 2, which is none"):
        resumed(tmp_path, [r for r in recipes() if r.recipe_id != A2])


def test_without_a_load_the_plant_shows_what_it_is_started_with(tmp_path: Path) -> None:
    new_plant(tmp_path).advance(5)
    again = Plant.resume(line(), scenario("calm"), run_dir=tmp_path, recipe_id=A2)
    assert shown(again, PLC.RECIPE_ID) == A2
