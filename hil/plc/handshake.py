"""The handshake: who may command, and whether one command frame is taken, as pure functions.

A frame is taken whole or not at all. It is judged against the state at its arrival, so the writer
can read back at once whether it counted; the set points move from the next scan on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from math import isfinite

from hil.plc.modes import controlled
from hil.plc.parameters import PlcParameters
from hil.plc.ramps import cut_to_rate
from hil.plc.state import LeaseState, PlcState
from plant_models.signals import APC, LineState, Payload, PlcMode
from plant_models.units import to_si

__all__ = [
    "GRANTED",
    "ReceivedFrame",
    "Refusal",
    "apply_frame",
    "judge_frame",
    "received_frame",
    "refuse",
    "release_session",
    "request_control",
]

GRANTED = "granted"


class Refusal(StrEnum):
    """Why a frame was not taken."""

    INCOMPLETE = "incomplete"
    TORN = "torn"
    SEQUENCE = "sequence"
    NOT_FINITE = "not finite"
    MODE = "mode"
    LINE_STATE = "line state"
    PERMIT = "permit"
    EPOCH = "epoch"
    ECHO = "echo"
    SESSION = "session"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedFrame:
    """A frame as it came, in plant units; ``None`` where a value was missing or no number."""

    head: int | None
    tail: int | None
    echo: int | None
    epoch: int | None
    divert: bool | None
    requests: Mapping[str, float | None]


def _integer(value: Payload) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _number(value: Payload) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value)


def received_frame(writes: Mapping[str, Payload], tags: Mapping[str, object]) -> ReceivedFrame:
    """The frame in one batch of writes; ``tags`` are those of all manipulated variables."""
    divert = writes.get(APC.DIVERT_REQ)
    return ReceivedFrame(
        head=_integer(writes.get(APC.SEQ_HEAD)),
        tail=_integer(writes.get(APC.SEQ_TAIL)),
        echo=_integer(writes.get(APC.ECHO)),
        epoch=_integer(writes.get(APC.EPOCH)),
        divert=divert if isinstance(divert, bool) else None,
        requests={tag: _number(writes.get(f"{tag}/REQ")) for tag in tags},
    )


def judge_frame(p: PlcParameters, state: PlcState, frame: ReceivedFrame) -> Refusal | None:
    """The first reason to refuse ``frame``, or ``None`` if it is to be taken."""
    lease = state.lease
    if frame.head is None or frame.tail is None or frame.head != frame.tail:
        return Refusal.TORN
    if (
        frame.echo is None
        or frame.epoch is None
        or frame.divert is None
        or any(frame.requests.get(tag) is None for tag in p.limits)
    ):
        return Refusal.INCOMPLETE
    if not all(value is not None and isfinite(value) for value in frame.requests.values()):
        return Refusal.NOT_FINITE
    if not lease.active or frame.epoch != lease.epoch or frame.epoch in lease.revoked:
        return Refusal.EPOCH
    if lease.mode is PlcMode.LOCAL:
        return Refusal.MODE
    if frame.head <= lease.sequence:
        return Refusal.SEQUENCE
    if state.sequence.line is not LineState.RUNNING:
        return Refusal.LINE_STATE
    if state.sequence.interlock:
        return Refusal.PERMIT
    if not 0 <= state.heartbeat - frame.echo <= p.config.echo_max_s:
        return Refusal.ECHO
    return None


def refuse(state: PlcState, cause: Refusal) -> PlcState:
    """Count one refused frame."""
    refused = {**state.lease.refused, cause.value: state.lease.refused.get(cause.value, 0) + 1}
    return replace(state, lease=replace(state.lease, refused=refused))


def apply_frame(
    p: PlcParameters, state: PlcState, frame: ReceivedFrame
) -> tuple[PlcState, Refusal | None]:
    """Take ``frame`` or count its refusal; requests that the controller does not own are ignored.

    A request is clamped to its range and cut to the largest move of one control period; what is
    left is reached by the ramp, so nothing goes on moving when frames stop coming.
    """
    cause = judge_frame(p, state, frame)
    if cause is not None:
        return refuse(state, cause), cause
    mvs = dict(state.mvs)
    for tag in controlled(p, state):
        request = frame.requests[tag]
        if request is not None:
            mvs[tag] = cut_to_rate(p, tag, mvs[tag], to_si(request, p.limits[tag].unit))
    recent = state.force.recent[-p.config.shed_force_window_s :]
    lease = replace(
        state.lease,
        sequence=frame.head or 0,
        accepted_hb=state.heartbeat,
        accepted_count=state.lease.accepted_count + 1,
        shed_force=sum(recent) / len(recent) if recent else None,
        divert=bool(frame.divert),
        fresh=False,
    )
    return replace(state, mvs=mvs, lease=lease), None


def request_control(
    p: PlcParameters,
    state: PlcState,
    *,
    session: str,
    user: str,
    mode: str,
    epoch: int,
    reason: str,
) -> tuple[PlcState, str]:
    """Grant the lease, or say why not.

    Granted in LOCAL, or by taking over openly from the present holder, whose epoch is revoked for
    good. Set points start from those in use.
    """
    lease = state.lease
    refusal = _why_not(state, mode, epoch, reason)
    if refusal:
        return state, refusal
    other = lease.epoch not in (0, epoch)
    granted = LeaseState(
        mode=PlcMode(mode),
        active=True,
        epoch=epoch,
        session=session,
        user=user,
        sequence=0 if other else lease.sequence,
        revoked=(*lease.revoked, lease.epoch) if other else lease.revoked,
        accepted_hb=state.heartbeat,
        accepted_count=lease.accepted_count,
        shed_force=None,
        shed_count=lease.shed_count,
        shed_cause=lease.shed_cause,
        refused=lease.refused,
        divert=False,
        fresh=True,
    )
    mvs = {tag: replace(mv, target=mv.act, clamped=0) for tag, mv in state.mvs.items()}
    return replace(state, lease=granted, mvs=mvs), GRANTED


def _why_not(state: PlcState, mode: str, epoch: int, reason: str) -> str:
    if mode not in (PlcMode.CASCADE, PlcMode.REMOTE):
        return f"mode must be CASCADE or REMOTE, not {mode!r}"
    if not reason.strip():
        return "a reason is needed"
    if epoch <= 0:
        return f"epoch must be positive, not {epoch}"
    if epoch in state.lease.revoked:
        return f"epoch {epoch} was revoked when another controller took over"
    if state.sequence.line is not LineState.RUNNING:
        return f"the line is {state.sequence.line.value}, not running"
    if state.sequence.interlock:
        return f"interlock: {state.sequence.interlock}"
    return ""


def release_session(state: PlcState, session: str) -> PlcState:
    """The connection of ``session`` is gone: it owns nothing any more; the lease runs out."""
    if not session or state.lease.session != session:
        return state
    return replace(state, lease=replace(state.lease, session=""))
