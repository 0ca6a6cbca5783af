"""Changeover of the line to another product: run down, empty, clear, load, start, prove.

What people and the PLC do, one control period at a time, so that a controller can look on. Between
*clear* and *load* the powder path, the hoppers and the tooling are exchanged or cleaned by hand:
what remains of the powder is stated per unit. After *load* a new `Plant` goes on with the PLC's
clock, lease and revoked epochs; its PLC diverts until the new material is proven (`hil.plc.proof`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from hil.config import ScenarioConfig
from hil.plant import Plant
from hil.plc.state import ProofState
from plant_models.blender import hold_up_at
from plant_models.line import (
    ResolvedLine,
    blender_parameters,
    chute_parameters,
    frame_parameters,
    nominal_flow,
)
from plant_models.signals import LineState, PlcMode

__all__ = ["Left", "NextProduct", "Step", "changeover", "next_plant", "wash_out"]

_DM = 0.002  # kg per step of the wash-out
_MOST_KG = 50.0
_SAFETY = 1.5  # the blender mixes further back than tanks in series do
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """Shares [-] of what each unit held that emptying and cleaning leave behind."""

    blender: float = 0.0
    chute: float = 0.0
    frame: float = 0.0

    def __post_init__(self) -> None:
        if not all(0.0 <= x <= 1.0 for x in (self.blender, self.chute, self.frame)):
            raise ValueError("what is left of the powder must be shares between 0 and 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class NextProduct:
    """What is loaded: the line set up for it, the truth, what RECIPE_ID shows, the seed.

    ``carry_over`` is the largest share [-] of the product before in a tablet.
    """

    line: ResolvedLine
    scenario: ScenarioConfig
    recipe_id: str
    carry_over: float
    seed: int


def wash_out(line: ResolvedLine, left: Left, carry_over: float) -> float:
    """Mass [kg] to press until tablets hold at most ``carry_over`` of what is left in the path.

    The blender is taken as the twin's tanks in series, filled as at the nominal point and holding
    as much of the other powder as they can have kept; then the chute, first in first out, and the
    feed frame, mixed. With a margin of half.
    """
    if not 0.0 < carry_over < 1.0:
        raise ValueError(f"carry_over must lie between 0 and 1, not {carry_over:g}")
    p = blender_parameters(line)
    chute = chute_parameters(line).volume * line.blend.bulk_density_kg_m3
    frame_hold_up = frame_parameters(line).hold_up
    tank = float(hold_up_at(p, nominal_flow(line), p.speed_0)) / p.tanks
    tanks = np.full(p.tanks, left.blender)
    plug = [left.chute] * max(1, round(chute / _DM))
    frame, pressed, clean_since = left.frame, 0.0, 0.0
    while pressed < _MOST_KG:
        foreign = 0.0
        for i in range(p.tanks):
            tanks[i] += _DM / (tank + _DM) * (foreign - tanks[i])
            foreign = float(tanks[i])
        plug.append(foreign)
        frame += _DM / (frame_hold_up + _DM) * (plug.pop(0) - frame)
        pressed += _DM
        if frame > carry_over:
            clean_since = pressed
        elif max(float(tanks.max()), max(plug)) <= carry_over:
            return _SAFETY * clean_since
    raise ValueError(f"{carry_over:g} is not reached within {_MOST_KG:g} kg")


def next_plant(before: Plant, product: NextProduct, left: Left) -> Plant:
    """The line loaded with another product and started; its tally begins anew.

    Raises ``ValueError`` unless the line before is idle (stopped and cleared) and in LOCAL.
    """
    state = before.state
    if state.sequence.line is not LineState.IDLE or state.lease.mode is not PlcMode.LOCAL:
        raise ValueError(
            f"the line is {state.sequence.line.value} in {state.lease.mode.value}: a product is "
            "loaded while it is idle in LOCAL; stop and clear it first"
        )
    after = Plant(
        product.line,
        product.scenario,
        seed=product.seed,
        start_time=before.time - before.second,
        recipe_id=product.recipe_id,
    )
    after.speed = before.speed
    after.truth.inherit(
        before.truth.state(), blender=left.blender, chute=left.chute, frame=left.frame
    )
    required = wash_out(product.line, left, product.carry_over)
    after.state = replace(
        after.state,
        heartbeat=state.heartbeat,
        lease=state.lease,
        proof=ProofState(proven=False, required=required),
    )
    return after


def changeover(
    plant: Plant, product: NextProduct, left: Left, *, user: str, reason: str
) -> Iterator[tuple[Step, Plant]]:
    """Change the product; yields step and plant after every control period, last with DONE.

    Raises ``RuntimeError`` where a step is refused or takes longer than two hours.
    """
    yield from _ordered(plant, Step.RUN_DOWN, "stop", LineState.STOPPED, user, reason)
    yield _passed(plant, Step.EMPTY)
    yield from _ordered(plant, Step.CLEAR, "clear", LineState.IDLE, user, reason)
    plant = next_plant(plant, product, left)
    yield _passed(plant, Step.LOAD)
    yield from _wait(plant, Step.START, lambda: plant.state.sequence.line is LineState.RUNNING)
    yield from _wait(plant, Step.PROVE, lambda: plant.state.proof.proven)
    yield Step.DONE, plant


def _passed(plant: Plant, step: Step) -> tuple[Step, Plant]:
    plant.advance(plant.parameters.config.control_period_s)
    return step, plant


def _ordered(
    plant: Plant, step: Step, command: str, wanted: LineState, user: str, reason: str
) -> Iterator[tuple[Step, Plant]]:
    answer = plant.line_command(user, command, reason)
    if answer != "done":
        raise RuntimeError(f"{step} was refused: {answer}")
    yield from _wait(plant, step, lambda: plant.state.sequence.line is wanted)


def _wait(plant: Plant, step: Step, ready: Callable[[], bool]) -> Iterator[tuple[Step, Plant]]:
    """Let time pass until it is so, one control period at least."""
    since, done = plant.second, False
    while not done:
        if plant.second - since > _PATIENCE_S:
            raise RuntimeError(f"{step} takes longer than {_PATIENCE_S} s")
        yield _passed(plant, step)
        done = ready()
