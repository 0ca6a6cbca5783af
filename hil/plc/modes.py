"""Who owns which set point, and what changes hands when: shed, operator's moves, per-MV local."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from math import isfinite

from hil.plc.parameters import PlcParameters
from hil.plc.ramps import aim
from hil.plc.state import Diverter, DiverterState, LeaseState, MvState, PlcState
from plant_models.regulatory import force_re_reference
from plant_models.signals import MV, LineState, PlcMode
from plant_models.units import to_si

__all__ = [
    "DONE",
    "Source",
    "available",
    "controlled",
    "level_follower",
    "operator_set",
    "owner",
    "permit",
    "re_reference",
    "restarted",
    "set_local",
    "shed",
    "watchdog_cause",
]

DONE = "done"


class Source(StrEnum):
    """Owner of a set point."""

    LOCAL = "LOCAL"
    CONTROLLER = "CONTROLLER"
    LOOP = "LOOP"
    SEQUENCE = "SEQUENCE"


def level_follower(p: PlcParameters, mode: PlcMode, mvs: dict[str, MvState]) -> str:
    """Which of total feed and turret speed the level loop moves; empty if it is off.

    The loop is on whenever the controller does not own both. The declared follower gives way to
    the other one while the operator keeps it in local; with both in local the operator has the
    level.
    """
    feed, turret = mvs[MV.TOTAL_FEED].local, mvs[MV.TURRET_SPEED].local
    if mode is not PlcMode.LOCAL and not feed and not turret:
        return ""
    if feed and turret:
        return ""
    if feed or turret:
        return MV.TURRET_SPEED if feed else MV.TOTAL_FEED
    return MV.TURRET_SPEED if p.feeders_lead else MV.TOTAL_FEED


def owner(p: PlcParameters, state: PlcState, tag: str) -> Source:
    """Who sets ``tag`` now."""
    if state.sequence.line is not LineState.RUNNING:
        return Source.SEQUENCE
    mvs, mode = state.mvs, state.lease.mode
    if mvs[tag].local:
        return Source.LOCAL
    manual_fill = mvs[MV.FILL_DEPTH].local
    if tag == MV.FILL_DEPTH and mode is not PlcMode.REMOTE:
        return Source.LOOP
    if tag == MV.MAIN_FORCE and (mode is PlcMode.REMOTE or manual_fill):
        return Source.LOOP
    if tag == level_follower(p, mode, mvs):
        return Source.LOOP
    return Source.LOCAL if mode is PlcMode.LOCAL else Source.CONTROLLER


def controlled(p: PlcParameters, state: PlcState) -> tuple[str, ...]:
    """The set points that the controller owns now."""
    return tuple(tag for tag in p.limits if owner(p, state, tag) is Source.CONTROLLER)


def permit(state: PlcState) -> bool:
    """Whether the PLC allows remote control: no interlock is latched."""
    return not state.sequence.interlock


def available(p: PlcParameters, state: PlcState, tag: str) -> bool:
    """Whether the controller may move ``tag`` now; in LOCAL, whether CASCADE would let it.

    The answer in LOCAL lets a controller judge before it asks for the lease.
    """
    if state.sequence.line is not LineState.RUNNING or state.sequence.interlock:
        return False
    if state.lease.mode is PlcMode.LOCAL:
        lease = replace(state.lease, mode=PlcMode.CASCADE)
        state = replace(state, lease=lease)
    return owner(p, state, tag) is Source.CONTROLLER


def watchdog_cause(p: PlcParameters, state: PlcState) -> str:
    """Why control is to be shed now; empty if it is not."""
    lease, sequence = state.lease, state.sequence
    if lease.mode is PlcMode.LOCAL:
        return ""
    if sequence.interlock:
        return f"interlock: {sequence.interlock}"
    if sequence.line in (LineState.STOPPING, LineState.STOPPED, LineState.ABORTED):
        return f"line {sequence.line.value}"
    silent = state.heartbeat - lease.accepted_hb
    if sequence.line is LineState.RUNNING and silent >= p.config.watchdog_s:
        return f"no accepted command for {silent:g} s"
    return ""


def shed(p: PlcParameters, state: PlcState, cause: str) -> PlcState:
    """Fall back to LOCAL, bumpless: set points stay, the force loop keeps its recent mean.

    The force set point ramps to the mean measured force of the time before the last accepted
    command; the level loop takes over from actual values in the next scan; tablets are diverted
    until they are good again.
    """
    mvs = {tag: replace(mv, target=mv.act, clamped=0) for tag, mv in state.mvs.items()}
    recent = state.force.recent[-p.config.shed_force_window_s :]
    force = state.lease.shed_force
    if force is None and recent:
        force = sum(recent) / len(recent)
    if force is not None and not mvs[MV.MAIN_FORCE].local:
        mvs[MV.MAIN_FORCE] = aim(p.limits[MV.MAIN_FORCE], mvs[MV.MAIN_FORCE], force)
    lease: LeaseState = replace(
        state.lease,
        mode=PlcMode.LOCAL,
        active=False,
        session="",
        divert=False,
        shed_force=None,
        shed_count=state.lease.shed_count + 1,
        shed_cause=cause,
        fresh=True,
    )
    diverter: DiverterState = replace(state.diverter, good_s=0, goal=Diverter.DIVERT)
    return replace(state, mvs=mvs, lease=lease, diverter=diverter)


def restarted(p: PlcParameters, state: PlcState) -> PlcState:
    """After a restart of the PLC: in LOCAL, diverting; set points move only if it had to shed."""
    cause = "plant restarted"
    if state.lease.mode is not PlcMode.LOCAL:
        return shed(p, state, cause)
    lease = replace(
        state.lease, session="", shed_count=state.lease.shed_count + 1, shed_cause=cause
    )
    diverter = replace(state.diverter, good_s=0, goal=Diverter.DIVERT)
    return replace(state, lease=lease, diverter=diverter)


def re_reference(p: PlcParameters, mvs: dict[str, MvState], thickness: float) -> float:
    """Change of the force set point [N] that keeps the weight at another thickness [m]."""
    force, now = mvs[MV.MAIN_FORCE].target, mvs[MV.THICKNESS].target
    return float(force_re_reference(p.press, p.compaction, force, now, thickness - now))


def operator_set(
    p: PlcParameters, state: PlcState, tag: str, value: float, reason: str
) -> tuple[PlcState, str]:
    """An operator's set point, in the plant unit: ``done``, or why not.

    A thickness move in LOCAL carries the re-reference of the force set point.
    """
    limit = p.limits.get(tag)
    if limit is None:
        return state, f"{tag!r} is no manipulated variable"
    if not reason.strip():
        return state, "a reason is needed"
    wanted = to_si(value, limit.unit)
    slack = 1e-9 * (limit.hi - limit.lo)
    if not isfinite(value) or not limit.lo - slack <= wanted <= limit.hi + slack:
        return state, f"{value:g} {limit.unit} lies outside the range of {tag}"
    source = owner(p, state, tag)
    if source is not Source.LOCAL:
        return state, f"{tag} is owned by {source.value}; set it to local first"
    mvs = dict(state.mvs)
    if tag == MV.THICKNESS and owner(p, state, MV.MAIN_FORCE) is Source.LOCAL:
        move = re_reference(p, mvs, wanted)
        force = mvs[MV.MAIN_FORCE]
        mvs[MV.MAIN_FORCE] = aim(p.limits[MV.MAIN_FORCE], force, force.target + move)
    mvs[tag] = aim(limit, mvs[tag], wanted)
    return replace(state, mvs=mvs), DONE


def set_local(
    p: PlcParameters, state: PlcState, tag: str, local: bool, reason: str
) -> tuple[PlcState, str]:
    """Let the operator keep one set point, or give it back: ``done``, or why not."""
    if tag not in p.limits:
        return state, f"{tag!r} is no manipulated variable"
    if not reason.strip():
        return state, "a reason is needed"
    mv = state.mvs[tag]
    mvs = {**state.mvs, tag: replace(mv, local=local, target=mv.act, clamped=0)}
    return replace(state, mvs=mvs), DONE
