"""Changeover of the line to another recipe: run down, empty, clear, load, start, prove.

What people and the PLC do, one control period at a time, so that a controller can look on. Between
*clear* and *load* the powder path, the hoppers and the tooling are exchanged or cleaned by hand:
what remains of the powder follows from the kind of cleaning (`hil.cleaning`). The plant is the same
before and after; its PLC diverts until the new material is proven (`hil.plc.proof`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import StrEnum

from hil.plant import Plant
from plant_models.signals import LineState

__all__ = ["Step", "changeover"]

_PATIENCE_S = 7200


class Step(StrEnum):
    """Steps of a changeover, in order."""

    RUN_DOWN = "run down"
    EMPTY = "empty"
    CLEAR = "clear"
    LOAD = "load"
    START = "start"
    PROVE = "prove"
    DONE = "done"


def changeover(
    plant: Plant, recipe: str, cleaning: str, *, user: str, reason: str
) -> Iterator[Step]:
    """Change the recipe; yields the step after every control period, last DONE.

    Parameters
    ----------
    plant
        Runs a recipe, and can load the wanted one.
    recipe
        Id of the recipe to load.
    cleaning
        One of `hil.cleaning.CLEANING`.
    user, reason
        Who does it, and why.

    Raises ``RuntimeError`` where a step is refused or takes longer than two hours.
    """
    yield from _ordered(plant, Step.RUN_DOWN, "stop", LineState.STOPPED, user, reason)
    yield _passed(plant, Step.EMPTY)
    yield from _ordered(plant, Step.CLEAR, "clear", LineState.IDLE, user, reason)
    _done(Step.LOAD, plant.load_recipe(user, recipe, cleaning, reason))
    yield _passed(plant, Step.LOAD)
    yield from _ordered(plant, Step.START, "start", LineState.RUNNING, user, reason)
    yield from _wait(plant, Step.PROVE, lambda: plant.state.proof.proven)
    yield Step.DONE


def _passed(plant: Plant, step: Step) -> Step:
    plant.advance(plant.parameters.config.control_period_s)
    return step


def _done(step: Step, answer: str) -> None:
    if answer != "done":
        raise RuntimeError(f"{step} was refused: {answer}")


def _ordered(
    plant: Plant, step: Step, command: str, wanted: LineState, user: str, reason: str
) -> Iterator[Step]:
    _done(step, plant.line_command(user, command, reason))
    yield from _wait(plant, step, lambda: plant.state.sequence.line is wanted)


def _wait(plant: Plant, step: Step, ready: Callable[[], bool]) -> Iterator[Step]:
    """Let time pass until it is so, one control period at least."""
    since, done = plant.second, False
    while not done:
        if plant.second - since > _PATIENCE_S:
            raise RuntimeError(f"{step} takes longer than {_PATIENCE_S} s")
        yield _passed(plant, step)
        done = ready()
