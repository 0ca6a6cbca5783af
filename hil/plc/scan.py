"""One scan of the PLC: readings and state in, drives and state out. The order is the control order.

Interlocks and sequence; watchdog; set points (level loop, tracking, ramps); weight-force loop;
refill and feeders; diverter.
"""

from __future__ import annotations

from dataclasses import replace

from hil.plc.loops import (
    fill_step,
    force_history,
    force_stands,
    gravimetric_step,
    level_filter,
    level_step,
    mean_force,
    rate_set_points,
)
from hil.plc.modes import Source, level_follower, owner, shed, watchdog_cause
from hil.plc.parameters import PlcParameters
from hil.plc.proof import prove
from hil.plc.ramps import aim, ramp
from hil.plc.refill import refill_step, volumetric
from hil.plc.rejection import check_gate, diverter_step
from hil.plc.sequence import Powers, force_loop_active, powers, sequence_step, settled
from hil.plc.state import MvState, OutletFeedback, Phase, PlcState
from hil.readings import Readings
from hil.truth_data import Drives
from plant_models.signals import MV, LineState, PlcMode, RefillPhase, is_bad

__all__ = ["scan"]


def scan(
    p: PlcParameters, state: PlcState, readings: Readings, outlet: OutletFeedback
) -> tuple[PlcState, Drives]:
    """One second of the PLC: the new state and what its drives are set to.

    The diverter's goal is `PlcState.diverter`'s; single tablets are judged as they are made
    (`hil.plc.rejection.judge_tablets`).
    """
    on = powers(p, state)
    fed = state.mvs[MV.TOTAL_FEED].act if on.feed else 0.0
    state = replace(
        state,
        heartbeat=state.heartbeat + 1,
        force=force_history(p, state.force, readings.main_force, on.press),
        level=level_filter(p, state.level, readings.level, fed if on.blender else None),
        rejection=check_gate(state.rejection, outlet),
        proof=prove(p, state.proof, readings, state.heartbeat),
    )
    state = sequence_step(p, state, readings)
    cause = watchdog_cause(p, state)
    if cause:
        state = shed(p, state, cause)
    on = powers(p, state)
    state = _set_points(p, state, on)
    state = _fill(p, state, readings, on)
    state = _feeders(p, state, readings, on)
    state = _divert(p, state, readings, outlet)
    return state, _drives(p, state, on)


def _set_points(p: PlcParameters, state: PlcState, on: Powers) -> PlcState:
    mvs, level = dict(state.mvs), state.level
    line = state.sequence.line
    follower, base = "", None
    if line is LineState.RUNNING:
        follower = level_follower(p, state.lease.mode, mvs)
    elif line is LineState.STARTING and state.sequence.phase is not Phase.FILL:
        follower, base = MV.TURRET_SPEED, 1.0 / (p.press.stations * p.weight)
    if line is LineState.RUNNING or follower:
        level, output = level_step(p, level, mvs, follower, base)
        if output is not None:
            mvs[follower] = aim(p.limits[follower], mvs[follower], output)
    if on.press and owner(p, state, MV.MAIN_FORCE) is Source.LOOP:
        measured = mean_force(state.force)
        if measured is not None:
            mvs[MV.MAIN_FORCE] = aim(p.limits[MV.MAIN_FORCE], mvs[MV.MAIN_FORCE], measured)
    ramped: dict[str, MvState] = {tag: ramp(p.limits[tag], mv) for tag, mv in mvs.items()}
    return replace(state, mvs=ramped, level=level)


def _fill(p: PlcParameters, state: PlcState, readings: Readings, on: Powers) -> PlcState:
    loop_owns = state.lease.mode is not PlcMode.REMOTE and not state.mvs[MV.FILL_DEPTH].local
    active = on.press and loop_owns and force_loop_active(state)
    force, fill = fill_step(
        p, state.force, state.mvs, readings.main_force, readings.revolution, active
    )
    return replace(state, force=force, mvs={**state.mvs, MV.FILL_DEPTH: fill})


def _feeders(p: PlcParameters, state: PlcState, readings: Readings, on: Powers) -> PlcState:
    feeders = refill_step(p.feeders, state.feeders, [f.level for f in readings.feeders])
    rates = rate_set_points(p, state.mvs, feeders)
    moved = tuple(
        gravimetric_step(s, f, seen.flow, rate, on.feed)
        for s, f, seen, rate in zip(p.feeders, feeders, readings.feeders, rates, strict=True)
    )
    return replace(state, feeders=moved)


def _divert(
    p: PlcParameters, state: PlcState, readings: Readings, outlet: OutletFeedback
) -> PlcState:
    """Divert while the force is far off, or nobody measures it: then no tablet can be judged."""
    running = state.sequence.line is LineState.RUNNING
    measured = mean_force(state.force)
    set_point = state.mvs[MV.MAIN_FORCE].act
    band = p.config.reject_force_band_percent / 100.0
    off = measured is not None and abs(measured / set_point - 1.0) > band
    blind = running and (is_bad(readings.main_force.status) or force_stands(state.force))
    diverter = diverter_step(
        p,
        state.diverter,
        outlet,
        collectable=running and not state.lease.divert and state.proof.proven,
        good=settled(p, state),
        bad=off or blind,
    )
    return replace(state, diverter=diverter)


def _drives(p: PlcParameters, state: PlcState, on: Powers) -> Drives:
    mvs = state.mvs
    return Drives(
        screw_speed=tuple(f.speed for f in state.feeders),
        refill=tuple(f.phase is RefillPhase.ACTIVE for f in state.feeders),
        hold_flow=tuple(volumetric(f.phase) for f in state.feeders),
        blender_speed=mvs[MV.BLENDER_SPEED].act if on.blender else 0.0,
        paddle_speed=p.press.paddle_speed if on.press else 0.0,
        turret_speed=mvs[MV.TURRET_SPEED].act if on.press else 0.0,
        fill_depth=mvs[MV.FILL_DEPTH].act,
        thickness=mvs[MV.THICKNESS].act,
        pre_thickness=p.press.pre_thickness,
    )
