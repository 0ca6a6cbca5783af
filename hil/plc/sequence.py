"""State of the line: start-up, hold, restart, stop, abort, clear; interlocks; what is switched on.

The start-up is one script for every controller: feeders at low rate until blender, frame and chute
are filled, press at low speed, force loop closed, ramp to nominal, settle; running at the end of
the configured start-up time if force and level are then in order, later if they are not.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from hil.plc.loops import mean_force
from hil.plc.parameters import PlcParameters
from hil.plc.ramps import aim
from hil.plc.rejection import outlet_fault
from hil.plc.state import Diverter, MvState, Phase, PlcState, SequenceState
from hil.readings import Readings
from plant_models.signals import MV, LineState, is_good

__all__ = ["Powers", "force_loop_active", "line_command", "powers", "sequence_step", "settled"]

_LOW_SPEED_S = 60
_LOOP_CLOSES_S = 20
_RESTART_S = 30
_STOPPING_S = 900
_HOLD_S = 10
_OVER_CAP_SCANS = 3
_EMPTY_S = 5
_SETTLED_FORCE = 0.05

_COMMANDS: dict[str, dict[LineState, LineState]] = {
    "start": {LineState.IDLE: LineState.STARTING, LineState.STOPPED: LineState.STARTING},
    "hold": {LineState.RUNNING: LineState.HOLDING, LineState.RESTARTING: LineState.HOLDING},
    "restart": {LineState.HELD: LineState.RESTARTING},
    "stop": {
        s: LineState.STOPPING
        for s in (LineState.STARTING, LineState.RUNNING, LineState.HELD, LineState.RESTARTING)
    },
    "abort": {
        s: LineState.ABORTED for s in LineState if s not in (LineState.IDLE, LineState.ABORTED)
    },
    "clear": {LineState.ABORTED: LineState.STOPPED, LineState.STOPPED: LineState.IDLE},
}


@dataclass(frozen=True, slots=True)
class Powers:
    """What runs: feeders, blender with paddles, press."""

    feed: bool
    blender: bool
    press: bool


def powers(p: PlcParameters, state: PlcState) -> Powers:
    """What the sequence has switched on now."""
    sequence, level = state.sequence, state.level.level
    if sequence.line is LineState.RUNNING:
        return Powers(True, True, True)
    if sequence.line is LineState.STARTING:
        return Powers(True, True, sequence.phase is not Phase.FILL)
    if sequence.line is LineState.RESTARTING:
        room = level < p.level_hi
        return Powers(room, room, level > p.level_lo)
    if sequence.line is LineState.STOPPING:
        return Powers(False, True, True)
    return Powers(False, False, False)


def settled(p: PlcParameters, state: PlcState) -> bool:
    """Whether the mean force is at its set point and the level in its zone."""
    force = mean_force(state.force)
    set_point = state.mvs[MV.MAIN_FORCE].act
    return (
        force is not None
        and abs(force / set_point - 1.0) <= _SETTLED_FORCE
        and p.level_lo <= state.level.level <= p.level_hi
    )


def force_loop_active(state: PlcState) -> bool:
    """Whether the sequence lets the force loop act now."""
    s = state.sequence
    if s.line is LineState.RUNNING:
        return True
    if s.line is LineState.STARTING:
        return s.phase in (Phase.RAMP, Phase.SETTLE) or (
            s.phase is Phase.LOW_SPEED and s.phase_s >= _LOOP_CLOSES_S
        )
    return s.line is LineState.RESTARTING and s.line_s >= _HOLD_S


def line_command(
    p: PlcParameters, state: PlcState, command: str, reason: str
) -> tuple[PlcState, str]:
    """An operator's command to the line: ``done``, or why not."""
    if command not in _COMMANDS:
        return state, f"unknown command {command!r}; known are {', '.join(_COMMANDS)}"
    if not reason.strip():
        return state, "a reason is needed"
    line = state.sequence.line
    new = _COMMANDS[command].get(line)
    if new is None:
        return state, f"{command} is not possible while the line is {line.value}"
    state = _enter(p, state, new)
    if command == "clear":
        state = replace(state, sequence=replace(state.sequence, interlock=""))
    return state, "done"


def _enter(p: PlcParameters, state: PlcState, line: LineState, interlock: str = "") -> PlcState:
    sequence = SequenceState(line=line, interlock=interlock or state.sequence.interlock)
    mvs, level, lease, diverter = state.mvs, state.level, state.lease, state.diverter
    if line is LineState.STARTING:
        mvs = {tag: _recipe(p, tag, mv) for tag, mv in mvs.items()}
    if line in (LineState.STARTING, LineState.STOPPED, LineState.ABORTED, LineState.STOPPING):
        for tag in (MV.TOTAL_FEED, MV.TURRET_SPEED):
            mvs = {**mvs, tag: aim(p.limits[tag], mvs[tag], p.limits[tag].lo)}
        level = replace(level, follower="")
    if line in (LineState.HOLDING, LineState.RUNNING):
        mvs = {tag: replace(mv, target=mv.act) for tag, mv in mvs.items()}
    if line is LineState.RUNNING:
        sequence = replace(sequence, interlock="")
        lease = replace(lease, accepted_hb=state.heartbeat, fresh=True)
    return replace(
        state,
        sequence=sequence,
        mvs=mvs,
        level=level,
        lease=lease,
        diverter=replace(diverter, goal=Diverter.DIVERT, good_s=0),
        rejection=replace(state.rejection, missed=0),
    )


def _recipe(p: PlcParameters, tag: str, mv: MvState) -> MvState:
    return aim(p.limits[tag], replace(mv, local=False), p.limits[tag].nominal)


def _trip(p: PlcParameters, state: PlcState) -> str:
    """The interlock that acts now, if any."""
    if state.sequence.over_cap >= _OVER_CAP_SCANS:
        return "main force above cap"
    if state.sequence.line is LineState.RESTARTING:
        return ""
    if state.level.level >= p.overflow:
        return "chute overflow"
    if state.sequence.line is LineState.RUNNING and state.level.level <= p.starve:
        return "chute starved"
    fault = outlet_fault(p, state.rejection, state.diverter)
    if fault and state.sequence.line is LineState.RUNNING:
        return fault
    for i, feeder in enumerate(state.feeders):
        if feeder.empty_s >= _EMPTY_S:
            return f"feeder {i + 1} empty"
    return ""


def sequence_step(p: PlcParameters, state: PlcState, readings: Readings) -> PlcState:
    """One second of interlocks and sequence."""
    force = readings.main_force
    above = is_good(force.status) and force.value > p.force_cap and powers(p, state).press
    s = replace(
        state.sequence,
        line_s=state.sequence.line_s + 1,
        phase_s=state.sequence.phase_s + 1,
        over_cap=state.sequence.over_cap + 1 if above else 0,
    )
    state = replace(state, sequence=s)
    if s.line in (LineState.STARTING, LineState.RUNNING, LineState.RESTARTING):
        interlock = _trip(p, state)
        if interlock:
            safe = LineState.HOLDING if s.line is LineState.RUNNING else LineState.STOPPING
            if s.over_cap >= _OVER_CAP_SCANS:
                safe = LineState.ABORTED
            return _enter(p, state, safe, interlock)
    if s.line is LineState.STARTING:
        return _starting(p, state)
    if s.line is LineState.RESTARTING and s.line_s >= _RESTART_S and settled(p, state):
        return _enter(p, state, LineState.RUNNING)
    if s.line is LineState.HOLDING and s.line_s >= _HOLD_S:
        return _enter(p, state, LineState.HELD)
    if s.line is LineState.STOPPING and (state.level.level <= p.starve or s.line_s >= _STOPPING_S):
        return _enter(p, state, LineState.STOPPED)
    return state


def _phase(state: PlcState, phase: Phase) -> PlcState:
    return replace(state, sequence=replace(state.sequence, phase=phase, phase_s=0))


def _starting(p: PlcParameters, state: PlcState) -> PlcState:
    s, feed = state.sequence, state.mvs[MV.TOTAL_FEED]
    if s.phase is Phase.FILL and state.level.level >= p.level_loop.set_point:
        return _phase(state, Phase.LOW_SPEED)
    if s.phase is Phase.LOW_SPEED and s.phase_s >= _LOW_SPEED_S:
        nominal = p.limits[MV.TOTAL_FEED].nominal
        mvs = {**state.mvs, MV.TOTAL_FEED: aim(p.limits[MV.TOTAL_FEED], feed, nominal)}
        return _phase(replace(state, mvs=mvs), Phase.RAMP)
    if s.phase is Phase.RAMP and feed.act == feed.target:
        return _phase(state, Phase.SETTLE)
    if s.phase is Phase.SETTLE and s.line_s >= p.config.start_up_s and settled(p, state):
        return _enter(p, state, LineState.RUNNING)
    return state
