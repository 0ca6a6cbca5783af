"""A PLC and a plant for tests: readings as they would be, frames, a plant that already runs."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from functools import cache

import numpy as np

from hil.outlet import Outlet
from hil.plant import Plant
from hil.plc.handshake import ReceivedFrame, request_control
from hil.plc.loops import rate_set_points
from hil.plc.parameters import PlcParameters, plc_parameters
from hil.plc.scan import scan
from hil.plc.state import Diverter, LevelState, PlcState, SequenceState, initial_state
from hil.process_image import blank_readings
from hil.readings import FeederReadings, Reading, Readings
from plant_models.signal_list import signal_table
from plant_models.signals import APC, GOOD, MV, LineState, Payload, PlcMode
from plant_models.units import from_si
from tests.hil.truth_kit import line, scenario

CONTROLLER = "session-1"
EPOCH = 4711


@cache
def parameters() -> PlcParameters:
    """The reference line's PLC."""
    return plc_parameters(line(), signal_table(line().line))


def running_state() -> PlcState:
    """The PLC in LOCAL, line running at the recipe, level and force at their set points."""
    p = parameters()
    state = initial_state(p)
    mvs = {
        tag: replace(mv, act=p.limits[tag].nominal, target=p.limits[tag].nominal)
        for tag, mv in state.mvs.items()
    }
    rates = rate_set_points(p, mvs, state.feeders)
    return replace(
        state,
        heartbeat=1000,
        mvs=mvs,
        feeders=tuple(
            replace(f, rate=r, speed=r / f.feed_factor)
            for f, r in zip(state.feeders, rates, strict=True)
        ),
        sequence=SequenceState(line=LineState.RUNNING, line_s=100),
        level=LevelState(window=(0.5,) * 5, level=0.5, feed=mvs[MV.TOTAL_FEED].act),
        force=replace(
            state.force,
            revolution=1,
            recent=(mvs[MV.MAIN_FORCE].act, mvs[MV.MAIN_FORCE].act * (1.0 + 1e-9)) * 30,
        ),
    )


def readings(state: PlcState, **changes: object) -> Readings:
    """What good instruments would show of a line that does what it is told."""
    p, second = parameters(), state.heartbeat

    def good(value: float) -> Reading:
        return Reading(value, GOOD, second)

    mvs = state.mvs
    usual = replace(
        blank_readings(len(p.feeders)),
        second=second,
        feeders=tuple(
            FeederReadings(
                weight=good(0.7 * s.model.capacity),
                flow=good(f.rate),
                screw_speed=good(f.speed),
                level=good(0.7),
                lot="A",
            )
            for s, f in zip(p.feeders, state.feeders, strict=True)
        ),
        level=good(0.5),
        main_force=good(mvs[MV.MAIN_FORCE].act * (1.0 + 1e-9 * (second % 2))),
        turret_speed=good(mvs[MV.TURRET_SPEED].act),
        fill_depth=good(mvs[MV.FILL_DEPTH].act),
        thickness=good(mvs[MV.THICKNESS].act),
        revolution=state.force.revolution + 1,
        tablet_force=np.full(28, mvs[MV.MAIN_FORCE].act),
    )
    return replace(usual, **changes)


def scans(state: PlcState, seconds: int, **changes: object) -> PlcState:
    """Let the PLC run with good readings and an outlet that does what it is told."""
    outlet = outlet_at(state.diverter.position)
    for _ in range(seconds):
        state, _ = scan(parameters(), state, readings(state, **changes), outlet.feedback)
        outlet.drive(state.diverter.goal)
    return state


def outlet_at(position: Diverter) -> Outlet:
    """An outlet whose diverter stands at ``position``."""
    outlet = Outlet(parameters().config.diverter_travel_s)
    for _ in range(10):
        outlet.drive(position)
    return outlet


def granted(state: PlcState, epoch: int = EPOCH, mode: str = "CASCADE") -> PlcState:
    """Control granted to ``epoch``; fails the test if it is not."""
    state, answer = request_control(
        parameters(),
        state,
        session=CONTROLLER,
        user="controller",
        mode=mode,
        epoch=epoch,
        reason="test",
    )
    assert answer == "granted"
    return state


def actual(state: PlcState) -> dict[str, float]:
    """Set points in use, plant units."""
    limits = parameters().limits
    return {tag: from_si(mv.act, limits[tag].unit) for tag, mv in state.mvs.items()}


def frame(
    state: PlcState, moves: Mapping[str, float] | None = None, **other: object
) -> ReceivedFrame:
    """A good frame for ``state``: set points in use plus ``moves``, in plant units."""
    requests: dict[str, float | None] = {**actual(state), **(moves or {})}
    good = ReceivedFrame(
        head=state.lease.sequence + 1,
        tail=state.lease.sequence + 1,
        echo=state.heartbeat,
        epoch=state.lease.epoch,
        divert=False,
        requests=requests,
    )
    return replace(good, **other)


@cache
def _started(name: str, seed: int) -> Plant:
    plant = Plant(line(), scenario(name), seed=seed, start_time=1.7e9)
    plant.advance(1000)
    return plant


def running_plant(name: str = "calm", seed: int = 11) -> Plant:
    """A plant of its own, 1000 s old: started up and running."""
    return copy.deepcopy(_started(name, seed))


def writes(plant: Plant, moves: Mapping[str, float] | None = None) -> dict[str, Payload]:
    """A good frame as one batch of writes: set points in use plus ``moves`` (absolute)."""
    values, lease = plant.values(), plant.state.lease
    acts = {f"{tag}/REQ": values[f"{tag}/ACT"].value for tag in plant.parameters.limits}
    return {
        APC.SEQ_HEAD: lease.sequence + 1,
        **acts,
        **{f"{tag}/REQ": value for tag, value in (moves or {}).items()},
        APC.ECHO: plant.second,
        APC.EPOCH: lease.epoch,
        APC.DIVERT_REQ: False,
        APC.SEQ_TAIL: lease.sequence + 1,
    }


def close_loop(plant: Plant, mode: PlcMode = PlcMode.CASCADE, epoch: int = EPOCH) -> None:
    """Take control; fails the test if it is refused."""
    answer = plant.request_control(CONTROLLER, "controller", mode.value, epoch, "test")
    assert answer == "granted"
